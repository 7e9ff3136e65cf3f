"""The whole audit in one go: do what is missing, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from labelaudit.auditing.fit import Fitted, compute, fit
from labelaudit.auditing.model import Audit, Data, default_run, is_trained, open_run, recorded_data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.predictions import is_of_predictions, record_predictions
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import StorageError, UsageError
from labelaudit.methods.table import find
from labelaudit.names import EstimatorName, StatisticName
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.layout import RunFolder
from labelaudit.text import require_local

_FILES = ("network_weights", "embeddings", "predictions")
"""Options that are files."""


def score(
    data: Data | None,
    run: RunFolder,
    options: TrainingOptions | None = None,
    fit_settings: FitSettings | None = None,
    reporter: Reporter = QUIET,
    *,
    keep: bool = True,
) -> Fitted:
    """Audit a folder: train the probe (or continue it, or find it trained), then judge every sample.

    Args:
        data: The images and their labels; None: those of a run folder, which are only read where training is left.
        run: Where everything is written.
        options: What is asked of the probe.
        fit_settings: What is asked of the fit; None keeps that of a finished run.
        reporter: Told about the progress.
        keep: Refuse where new verdicts cannot be written to the run folder; otherwise only warn.

    Raises:
        LabelauditError: see `train_probe` and `fit`.
    """
    train_missing(data, run, options, reporter)
    try:
        if (found := finished(run, fit_settings)) is not None:
            return compute(run, found.summary.fit, reporter)
        return fit(run, fit_settings, reporter)
    except StorageError as error:
        if keep:
            raise
        reporter.warn(f"the run folder keeps its earlier verdicts: {error.what}")
        return compute(run, fit_settings or FitSettings(), reporter)


def train_missing(data: Data | None, run: RunFolder, options: TrainingOptions | None, reporter: Reporter) -> None:
    """Train the probe of an audit to the end; see `score`. Loads torch only where something is left to do."""
    if data is None and is_trained(run):
        return
    data, options = data or recorded_data(run), options or TrainingOptions()
    if options.predictions is not None or is_of_predictions(run):
        record_predictions(data, run, options, reporter)
    else:
        from labelaudit.auditing.probe import train_probe

        train_probe(data, run, options, reporter)


def finished(run: RunFolder, fit_settings: FitSettings | None) -> Audit | None:
    """Return the audit in a run folder if its verdicts were made with these settings (None: with any), else None."""
    found = Audit(run)
    return found if run.noise.exists() and fit_settings in (None, found.summary.fit) else None


def asked_fit(rank_by: StatisticName | None, estimator: EstimatorName | None) -> FitSettings | None:
    """Return what is asked of the fit; None where nothing is, which keeps the settings of a finished run."""
    return FitSettings.chosen(rank_by=rank_by, estimator=estimator) if rank_by or estimator else None


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

    An earlier audit is read, or continued where it is not finished.

    Args:
        folder: One folder of images per class; or any layout, with ``labels_file``.
        run: The run folder; None: ``labelaudit-runs/<name of folder>``.
        labels_file: CSV with the columns ``path`` and ``label``, instead of class folders.
        split: Folders in it that hold the class folders, as ``("train", "val")``: audited as one data set.
        rank_by: Statistic that ranks the samples; None: that of a finished run, or the estimator's own.
        estimator: How P(mislabeled) is estimated; None: that of a finished run, or the noise transition model.
        reporter: Is told about the progress.
        training: `TrainingOptions` by their names: ``epochs=50``, ``device="cuda"``, ``preset="balanced"``.

    Raises:
        UsageError: an unknown option, or ``folder`` is a run folder.
        LabelauditError: see `labelaudit.score`.
    """
    for place in (folder, run, labels_file):
        require_local(place or "")
    root = Path(folder)
    if RunFolder(root).exists:
        raise UsageError(f"{root} is a run folder", fix=f"read it with labelaudit.open_run({str(root)!r})")
    for name, value in training.items():
        find("option", name, {field.name: field for field in fields(TrainingOptions)})
        if name in _FILES and value is not None:
            require_local(value)
            training[name] = Path(value)
    data = Data(
        root=root,
        labels_file=None if labels_file is None else Path(labels_file),
        split=tuple(part.strip() for part in split.split(",")) if isinstance(split, str) else tuple(split),
    )
    target = RunFolder(default_run(root) if run is None else Path(run))
    score(data, target, TrainingOptions(**training), asked_fit(rank_by, estimator), reporter)
    return open_run(target.root)
