"""How well wrong labels, corrupted images and clean samples are told apart: a corrupted copy is audited.

Shapes: N samples.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit import __version__
from labelaudit.auditing.corrupt import CorruptionRate
from labelaudit.auditing.fit import Fitted
from labelaudit.auditing.model import Data
from labelaudit.auditing.score import score
from labelaudit.errors import UsageError
from labelaudit.names import KINDS
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import ExperimentOptions, runner
from labelaudit.reproduce.runner import Case, Cell, Row, Rows, Tables, figure, grouped, pivot, ratio, table
from labelaudit.reproduce.truth import AUDITED, rank_quality
from labelaudit.run.documents import read_description
from labelaudit.run.layout import RunFolder

TRUE_KINDS = {"uniform": "mislabeled", "shuffle-pixels": "shuffled", "gaussian": "gaussian", "": "clean"}
CALLED = (*KINDS, "")
"""What a sample can be called; the last is nothing."""

_CORRUPTED = ("shuffled", "gaussian")
_CORRUPTIONS = (
    CorruptionRate(kind="uniform", rate=0.1),
    CorruptionRate(kind="shuffle-pixels", rate=0.05),
    CorruptionRate(kind="gaussian", rate=0.05),
)
_NOISE = "0.1 wrong labels, 0.05 shuffled, 0.05 Gaussian"
_COLUMNS = {
    "matrix": AUDITED + "true_kind:str suspicious:bool called:str samples:int64",
    "ranking": AUDITED + "true_kind:str statistic:str auroc auroc_of_all",
    "copies": AUDITED + "kind:str count:int64 found:int64",
}
"""The confusion matrix; how well a statistic ranks one true kind, ``corrupted`` for both corruptions of the image,
against the clean samples alone and against all; and what the audit says of its own copies, see
`labelaudit.detect.kinds.Copies`."""

_GOALS = {
    "of the suspicious corrupted images, called corrupted": (_CORRUPTED, "corrupted", True),
    "of all corrupted images, called corrupted": (_CORRUPTED, "corrupted", None),
    "of the suspicious wrong labels, called mislabeled": (("mislabeled",), "mislabeled", True),
    "of the wrong labels, suspicious": (("mislabeled",), None, None),
    "of the corrupted images, suspicious": (_CORRUPTED, None, None),
    "of the clean samples, suspicious": (("clean",), None, None),
    "of the clean samples and wrong labels, called corrupted": (("clean", "mislabeled"), "corrupted", None),
}
"""The arguments of `share`."""


def measure(asked: ExperimentOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``kinds.md`` and the Parquet tables."""
    runner.check_experiment(asked)
    source = runner.needed(asked.data, "--data")
    if asked.images is not None and asked.images < 1:
        raise UsageError(f"--images {asked.images} is too few", fix="give at least 1")
    tables = Tables("Kinds", **_COLUMNS)

    def measure_case(_case: Case, seed: int, folder: Path) -> Iterator[dict[str, Iterator[Row]]]:
        data, run = folder / "data", RunFolder(folder / "run")
        truth = runner.corrupted_copy(source, data, _CORRUPTIONS, seed=seed, most=asked.images, reporter=reporter)
        fitted = score(Data(root=data), run, replace(asked.training, seed=seed), reporter=reporter)
        settings = read_description(run).settings
        tables.about = (
            f"{len(fitted.catalogue):,} images of {len(fitted.catalogue.classes)} classes; {_NOISE}; seeds "
            f"{asked.seeds_text}; labelaudit {__version__}; the probe is {settings['model']}, "
            f"{settings['image_size']} pixels, {settings['epochs']} epochs."
        )
        kind_of = {row["path"]: TRUE_KINDS[row["kind"]] for row in truth}
        true_N = np.array([kind_of[path] for path in fitted.catalogue.paths])
        same = {"noise": _NOISE, "model": settings["model"], "seed": seed}
        copies = ({"kind": row.kind, "count": row.count, "found": row.found} for row in fitted.kinds.copies)
        found = {"matrix": _matrix(true_N, fitted), "ranking": _ranking(true_N, fitted), "copies": copies}
        yield {name: ({**same, **row} for row in rows) for name, rows in found.items()}

    return runner.run_cases(asked, [Case(name="corrupted")], tables, measure_case, _page, reporter)


def _matrix(true_N: npt.NDArray[np.str_], fitted: Fitted) -> Iterator[Row]:
    flagged_N = np.isin(np.arange(len(true_N)), fitted.verdicts.order[: fitted.verdicts.flagged])
    called_N = np.array(CALLED)[fitted.kinds.kind_N]
    for true, suspicious, called in itertools.product(TRUE_KINDS.values(), (True, False), CALLED):
        count = int(((true_N == true) & (flagged_N == suspicious) & (called_N == called)).sum())
        yield {"true_kind": true, "suspicious": suspicious, "called": called, "samples": count}


def _ranking(true_N: npt.NDArray[np.str_], fitted: Fitted) -> Iterator[Row]:
    rank_by = fitted.noise.fit.rank_by
    scores = {
        "aul": fitted.statistics.aul_N,
        str(rank_by): fitted.statistics.suspicion(rank_by),
        "corruption": np.nan_to_num(fitted.kinds.corruption_N),
    }
    for name, (statistic, score_N) in itertools.product(("mislabeled", *_CORRUPTED, "corrupted"), scores.items()):
        is_kind_N = np.isin(true_N, _CORRUPTED if name == "corrupted" else name)
        seen_N = is_kind_N | (true_N == "clean")
        auroc, of_all = (rank_quality(is_kind_N[of], score_N[of])["auroc"] for of in (seen_N, ...))
        yield {"true_kind": name, "statistic": statistic, "auroc": auroc, "auroc_of_all": of_all}


def _page(tables: Tables) -> Iterator[str]:
    """Yield the lines of the page; counts are summed over the seeds, shares are mean ± standard deviation."""
    matrix = tables["matrix"]
    counts: dict[str, Cell] = {"{}": lambda own: f"{sum(row['samples'] for row in own):,}"}
    for suspicious, title in ((True, "Suspicious samples, and what they are called"), (False, "Samples that are not")):
        shown = [row for row in matrix if row["suspicious"] == suspicious]
        shown = [{**row, "called": row["called"] or "nothing"} for row in shown]
        shown += [{**row, "called": "samples"} for row in shown]
        yield from pivot(title, "", shown, {"truth": "true_kind"}, counts, across="called")
    by_seed = grouped(matrix, "seed").values()
    cells = {name: {"value": figure(share(rows, *of) for rows in by_seed)} for name, of in _GOALS.items()}
    yield from table("Against the goals", "", ("share",), cells)
    yield from pivot(
        "How well each is found: AUROC against the clean (against all others)",
        "",
        tables["ranking"],
        {"truth": "true_kind"},
        {"{}": lambda rows: "{} ({})".format(*(figure(row[of] for row in rows) for of in ("auroc", "auroc_of_all")))},
        across="statistic",
    )
    yield from pivot(
        "What the audit says of itself: copies that it corrupted",
        "",
        [{**row, "share": ratio(row["found"], row["count"])} for row in tables["copies"]],
        {"copies": "kind"},
        {"number": ("count", 0), "called corrupted": ("share", 3)},
    )


def share(matrix: Rows, true: Sequence[str], called: str | None, suspicious: bool | None) -> float:
    """Return which share of samples of some true kinds is called so, or is suspicious where ``called`` is None.

    ``suspicious`` leaves out the others.
    """
    rows = [row for row in matrix if row["true_kind"] in true and suspicious in (None, row["suspicious"])]
    hits = [row for row in rows if (row["suspicious"] if called is None else row["called"] == called)]
    return ratio(sum(row["samples"] for row in hits), sum(row["samples"] for row in rows))
