"""A finished audit as tables, for Python: what was found, without knowing the run folder's files.

Shapes: N samples, U samples that were audited, S suspicious ones.
"""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass, fields
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from labelaudit.audit.judge import read_noise
from labelaudit.audit.model import Data, default_run, read_catalogue
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.curves import SUSPICIOUS_WHEN_LOW
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import RunError, UsageError
from labelaudit.names import EstimatorName, StatisticName
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import read_suspicious
from labelaudit.run.tables import read_scores
from labelaudit.text import require_local

IntArray = npt.NDArray[np.int64]

_SCORES = ("sample", "path", "given_label", "suggested_label", "p_mislabeled", "label_score", "weight")
"""The columns that everybody who reads an audit relies on; a run may have more."""


@dataclass(frozen=True, kw_only=True, eq=False, repr=False)
class Audit:
    """What an audit found. Tables are Arrow's: ``.to_pandas()``, polars and DuckDB take them as they are.

    Attributes:
        run: Where it lies.
        catalogue: The samples.
        scores: N rows in the order of samples.parquet: every sample's statistics and verdict, ``p_mislabeled`` (high =
            suspicious) and ``label_score`` (low = suspicious) among them; null for images that could not be read.
        summary: The content of noise.json.
        order_U: Numbers of the audited samples, the most suspicious first.
        flagged: S; the suspicious samples are the head of ``order_U``.
    """

    run: RunFolder
    catalogue: Catalogue
    scores: pa.Table
    summary: dict[str, Any]
    order_U: IntArray
    flagged: int

    @property
    def noise_rate(self) -> float | None:
        """The estimated share of wrong labels; None where the audit could not estimate one."""
        rate: float | None = self.summary["noise_rate"]
        return rate

    @property
    def warnings(self) -> list[str]:
        """Why not to trust the figures, a sentence each."""
        return list(self.summary["warnings"])

    @cached_property
    def suspicious(self) -> pa.Table:
        """The suspicious samples, the most suspicious first: ``rank`` from 1, the columns of ``scores``, ``sha256``."""
        return self.top(self.flagged)

    @cached_property
    def noise(self) -> pa.Table:
        """A row per class: ``class``, ``samples``, ``noise_rate``, ``suspicious``."""
        return _table(
            self.summary["classes"],
            {"class": pa.string(), "samples": pa.int64(), "noise_rate": pa.float64(), "suspicious": pa.int64()},
        )

    @cached_property
    def confusion(self) -> pa.Table:
        """How often which label was suggested for which, among the suspicious: ``given``, ``suggested``, ``count``."""
        return _table(self.summary["confusion"], {"given": pa.string(), "suggested": pa.string(), "count": pa.int64()})

    def top(self, count: int) -> pa.Table:
        """The ``count`` most suspicious samples, suspicious or not, with the columns of ``suspicious``."""
        first = self.order_U[:count]
        table = self.scores.take(pa.array(first))
        table = table.add_column(0, "rank", pa.array(np.arange(1, len(first) + 1, dtype=np.int32)))
        return table.append_column("sha256", pa.array([self.catalogue.sha256[i] for i in first], pa.string()))

    def __repr__(self) -> str:
        from labelaudit.report.notebook import as_text

        return as_text(self)

    def _repr_html_(self) -> str:
        from labelaudit.report.notebook import as_html

        return as_html(self)


def audit(
    folder: Path | str,
    *,
    run: Path | str | None = None,
    labels_file: Path | str | None = None,
    split: str | Sequence[str] = (),
    rank_by: StatisticName | None = None,
    estimator: EstimatorName | None = None,
    reporter: Reporter = QUIET,
    **training: Any,
) -> Audit:
    """Audit a folder of images: find the samples whose labels look wrong.

    What an earlier call left unfinished is finished; what is done is only read.

    Args:
        folder: One folder of images per class; or any layout, with ``labels_file``.
        run: The run folder; None: ``labelaudit-runs/<name of folder>``.
        labels_file: CSV with the columns ``path`` and ``label``, instead of class folders.
        split: Folders in it that hold the class folders, as ``("train", "val")``: audited as one data set.
        rank_by: Statistic that ranks the samples; None: that of a finished run, or the estimator's own.
        estimator: How P(mislabeled) is estimated; None: that of a finished run, or the confident joint.
        reporter: Told about the progress.
        training: `TrainingOptions` by their names: ``epochs=50``, ``device="cuda"``, ``preset="balanced"``.

    Raises:
        UsageError: an option that there is not, or ``folder`` is a run folder.
        LabelauditError: see `labelaudit.score`.
    """
    from labelaudit.audit.options import TrainingOptions
    from labelaudit.audit.score import score

    for place in (folder, run, labels_file):
        require_local(place or "")
    root = Path(folder)
    if RunFolder(root).exists:
        raise UsageError(f"{root} is a run folder", fix=f"read it with labelaudit.open_run({str(root)!r})")
    _require_known(training, [field.name for field in fields(TrainingOptions)])
    chosen = None
    if rank_by or estimator:
        chosen = FitSettings.chosen(rank_by=rank_by, estimator=estimator)
    data = Data(
        root=root,
        labels_file=None if labels_file is None else Path(labels_file),
        split=tuple(part.strip() for part in split.split(",")) if isinstance(split, str) else tuple(split),
    )
    target = RunFolder(default_run(root) if run is None else Path(run))
    score(data, target, TrainingOptions(**training), chosen, reporter)
    return open_run(target.root)


def open_run(path: Path | str) -> Audit:
    """Read a finished audit; needs neither its images nor torch.

    Raises:
        RunError: ``path`` is no run folder, its verdicts are missing, or a file is damaged.
    """
    require_local(path)
    run = RunFolder(Path(path))
    catalogue = read_catalogue(run)
    noise = read_noise(run)
    scores = read_scores(run.scores)
    missing = [name for name in _SCORES if name not in scores.column_names]
    if missing or scores.column("sample").to_pylist() != list(range(len(catalogue))):
        what = f"lacks {', '.join(missing)}" if missing else f"has other samples than {run.samples}"
        raise RunError(f"{run.scores} {what}", fix=f"run labelaudit fit {run.root}")
    flagged = _flagged(run, len(catalogue))
    return Audit(
        run=run,
        catalogue=catalogue,
        scores=scores,
        summary=noise,
        order_U=np.concatenate([flagged, _others(scores, flagged, noise["fit"]["rank_by"])]),
        flagged=len(flagged),
    )


def _flagged(run: RunFolder, samples: int) -> IntArray:
    """The samples of suspicious.csv, in its order."""
    try:
        flagged = np.array(
            [int(row["sample"]) for row in read_suspicious(run.suspicious, most=samples)], dtype=np.int64
        )
    except (ValueError, OverflowError) as error:
        raise RunError(f"{run.suspicious} is damaged ({error})", fix=f"run labelaudit fit {run.root}") from error
    if len(np.unique(flagged)) < len(flagged) or ((flagged < 0) | (flagged >= samples)).any():
        raise RunError(f"{run.suspicious} has other samples than {run.samples}", fix=f"run labelaudit fit {run.root}")
    return flagged


def _others(scores: pa.Table, flagged: IntArray, rank_by: str) -> IntArray:
    """The audited samples that are not suspicious; P(mislabeled) is 0 for most of them, so the statistic decides."""
    p_N = _numbers(scores, "p_mislabeled")
    statistic_N = _numbers(scores, rank_by) if rank_by in scores.column_names else p_N
    suspicion_N = -statistic_N if rank_by in SUSPICIOUS_WHEN_LOW else statistic_N
    other_N = np.isfinite(p_N)
    other_N[flagged] = False
    other = np.flatnonzero(other_N)
    return other[np.lexsort((-suspicion_N[other], -p_N[other]))]


def _numbers(table: pa.Table, column: str) -> npt.NDArray[np.float64]:
    """A column as float64, NaN where it is null."""
    return table.column(column).to_numpy().astype(np.float64)  # type: ignore[no-any-return]


def _table(rows: list[dict[str, Any]], types: dict[str, pa.DataType]) -> pa.Table:
    return pa.table({name: pa.array([row[name] for row in rows], kind) for name, kind in types.items()})


def _require_known(asked: dict[str, Any], known: list[str]) -> None:
    for name in asked:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"unknown option {name!r}", fix=hint)
