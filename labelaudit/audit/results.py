"""The Python API: audit a folder, or open a finished audit."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from labelaudit.audit.model import Audit, Data, default_run
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import UsageError
from labelaudit.names import EstimatorName, StatisticName
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.layout import RunFolder
from labelaudit.text import require_local


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
    audit = Audit(RunFolder(Path(path)))
    _ = audit.catalogue, audit.summary, audit.order_U  # now: a damaged file is an error here, not later
    return audit


def _require_known(asked: Iterable[str], known: Sequence[str]) -> None:
    for name in asked:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"unknown option {name!r}", fix=hint)
