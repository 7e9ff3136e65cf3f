"""How well wrong labels, corrupted images and clean samples are told apart: a corrupted copy is audited.

Shapes: N samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit import __version__
from labelaudit.auditing.corrupt import CorruptionRate
from labelaudit.auditing.fit import Fitted
from labelaudit.auditing.model import Data
from labelaudit.auditing.score import score
from labelaudit.errors import UsageError
from labelaudit.names import KINDS
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import KindsOptions, runner
from labelaudit.reproduce.runner import Case, Row, Tables, figure, grouped, pivot, ratio
from labelaudit.reproduce.truth import rank_quality
from labelaudit.run.documents import read_description
from labelaudit.run.layout import RunFolder

TRUE_KINDS = {"uniform": "mislabeled", "shuffle-pixels": "shuffled", "gaussian": "gaussian", "": "clean"}
"""Of each kind of corruption."""

CALLED = (*KINDS, "")
"""What a sample can be called; the last is nothing."""

_CORRUPTED = ("shuffled", "gaussian")


@dataclass(frozen=True, kw_only=True)
class MatrixRow(Row):
    """One cell of the confusion matrix: how many samples of a true kind are suspicious or not, and called so."""

    true_kind: str
    suspicious: bool
    called: str
    samples: int


@dataclass(frozen=True, kw_only=True)
class KindRankingRow(Row):
    """How well a statistic ranks one true kind, ``corrupted`` for both corruptions of the image.

    Attributes:
        auroc, auroc_of_all: Against the clean samples alone, and against all other samples.
    """

    true_kind: str
    statistic: str
    auroc: float
    auroc_of_all: float


@dataclass(frozen=True, kw_only=True)
class PlantedRow(Row):
    """One cell of the audit's own matrix, of what it planted itself; see `labelaudit.detect.kinds.Called`."""

    planted: str
    expected: str
    called: str
    samples: int


def measure(asked: KindsOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``kinds.md`` and the Parquet tables."""
    runner.check_experiment(asked)
    corruptions = [
        CorruptionRate(kind="uniform", rate=asked.mislabeled),
        CorruptionRate(kind="shuffle-pixels", rate=asked.shuffled),
        CorruptionRate(kind="gaussian", rate=asked.gaussian),
    ]
    if asked.images is not None and asked.images < 1:
        raise UsageError(f"--images {asked.images} is too few", fix="give at least 1")
    noise = f"{asked.mislabeled:g} wrong labels, {asked.shuffled:g} shuffled, {asked.gaussian:g} Gaussian"
    tables = Tables("Kinds", matrix=MatrixRow, ranking=KindRankingRow, planted=PlantedRow)

    def measure_case(_case: Case, seed: int, folder: Path) -> Iterator[Iterator[Row]]:
        data, run = folder / "data", RunFolder(folder / "run")
        truth = runner.corrupted_copy(asked.data, data, corruptions, seed=seed, most=asked.images, reporter=reporter)
        fitted = score(Data(root=data), run, replace(asked.training, seed=seed), reporter=reporter)
        settings = read_description(run).settings
        tables.about = (
            f"{len(fitted.catalogue):,} images of {len(fitted.catalogue.classes)} classes; {noise}; seeds "
            f"{asked.seeds_text}; labelaudit {__version__}; the probe is {settings['model']}, "
            f"{settings['image_size']} pixels, {settings['epochs']} epochs."
        )
        kind_of = {row["path"]: TRUE_KINDS[row["kind"]] for row in truth}
        yield _rows({"noise": noise, "model": settings["model"], "seed": seed}, fitted, kind_of)

    return runner.run_cases("kinds", asked, [Case(name="corrupted")], tables, measure_case, _page, reporter)


def _rows(same: Mapping[str, Any], fitted: Fitted, kind_of: Mapping[str, str]) -> Iterator[Row]:
    true_N = np.array([kind_of[path] for path in fitted.catalogue.paths])
    flagged_N = np.isin(np.arange(len(true_N)), fitted.verdicts.order[: fitted.verdicts.flagged])
    called_N = np.array(CALLED)[fitted.kinds.kind_N]
    for true, suspicious, called in itertools.product(TRUE_KINDS.values(), (True, False), CALLED):
        count = int(((true_N == true) & (flagged_N == suspicious) & (called_N == called)).sum())
        yield MatrixRow(**same, true_kind=true, suspicious=suspicious, called=called, samples=count)
    rank_by = fitted.noise.fit.rank_by
    scores = {
        "aul": fitted.statistics.aul_N,
        str(rank_by): fitted.statistics.suspicion(rank_by),
        "corruption": np.nan_to_num(fitted.kinds.corruption_N),
    }
    for name in ("mislabeled", *_CORRUPTED, "corrupted"):
        is_kind_N = np.isin(true_N, _CORRUPTED if name == "corrupted" else name)
        seen_N = is_kind_N | (true_N == "clean")
        for statistic, score_N in scores.items():
            yield KindRankingRow(
                **same,
                true_kind=name,
                statistic=statistic,
                auroc=rank_quality(is_kind_N[seen_N], score_N[seen_N])["auroc"],
                auroc_of_all=rank_quality(is_kind_N, score_N)["auroc"],
            )
    for row in fitted.kinds.matrix:
        counts = {**{str(kind): count for kind, count in row.called.items()}, "": row.count - sum(row.called.values())}
        for called in CALLED:
            yield PlantedRow(**same, planted=row.planted, expected=row.expected, called=called, samples=counts[called])


def _page(tables: Tables) -> Iterator[str]:
    """Yield the lines of the page; counts are summed over the seeds, shares are mean ± standard deviation."""
    matrix = tables.of(MatrixRow)
    for suspicious, title in ((True, "Suspicious samples, and what they are called"), (False, "Samples that are not")):
        shown = [row for row in matrix if row.suspicious == suspicious]
        yield from pivot(title, "", ("truth",), _counts(shown, "true_kind"))
    goals = (
        ("of the suspicious corrupted images, called corrupted", _CORRUPTED, "corrupted", True),
        ("of all corrupted images, called corrupted", _CORRUPTED, "corrupted", None),
        ("of the suspicious wrong labels, called mislabeled", ("mislabeled",), "mislabeled", True),
        ("of the wrong labels, suspicious", ("mislabeled",), None, None),
        ("of the corrupted images, suspicious", _CORRUPTED, None, None),
        ("of the clean samples, suspicious", ("clean",), None, None),
        ("of the clean samples and wrong labels, called corrupted", ("clean", "mislabeled"), "corrupted", None),
    )
    by_seed = grouped(matrix, lambda row: row.seed).values()
    cells = {
        name: {"value": figure(share(rows, true, called, suspicious) for rows in by_seed)}
        for name, true, called, suspicious in goals
    }
    yield from pivot("Against the goals", "", ("share",), cells)
    ranking = {
        true: {
            statistic: f"{figure(row.auroc for row in rows)} ({figure(row.auroc_of_all for row in rows)})"
            for statistic, rows in grouped(group, lambda row: row.statistic).items()
        }
        for true, group in grouped(tables.of(KindRankingRow), lambda row: row.true_kind).items()
    }
    yield from pivot("How well each is found: AUROC against the clean (against all others)", "", ("truth",), ranking)
    planted = _counts(tables.of(PlantedRow), "planted")
    yield from pivot("What the audit says of itself: planted controls", "", ("planted",), planted)


def _counts(rows: Sequence[MatrixRow | PlantedRow], key: str) -> dict[str, dict[str, str]]:
    """Return how many samples of each key are called what, and their number."""
    counts = {}
    for name, group in grouped(rows, lambda row: str(getattr(row, key))).items():
        of_called = {called: sum(row.samples for row in group if row.called == called) for called in CALLED}
        cells = {called or "nothing": f"{count:,}" for called, count in of_called.items()}
        counts[name] = {**cells, "samples": f"{sum(of_called.values()):,}"}
    return counts


def share(matrix: Sequence[MatrixRow], true: Sequence[str], called: str | None, suspicious: bool | None) -> float:
    """Return which share of the samples of some true kinds, all or those that are suspicious or not, is called so.

    Without ``called`` it is the share of the suspicious.
    """
    rows = [row for row in matrix if row.true_kind in true and suspicious in (None, row.suspicious)]
    hits = [row for row in rows if (row.suspicious if called is None else row.called == called)]
    return ratio(sum(row.samples for row in hits), sum(row.samples for row in rows))
