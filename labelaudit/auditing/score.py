"""The whole audit in one go: do what is missing, and nothing twice."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

from labelaudit.auditing.fit import Fitted, compute, fit
from labelaudit.auditing.model import Audit, Data, is_trained, opened, recorded_data, runs_of
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.predictions import is_of_predictions, record_predictions
from labelaudit.data.remote import local
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import RunError, StorageError, UsageError
from labelaudit.methods.table import find
from labelaudit.names import EstimatorName, StatisticName
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.decisions import digest_of
from labelaudit.run.layout import RunFolder, runs_in
from labelaudit.text import require_local


def judged(
    run: RunFolder, asked: FitSettings | None, reporter: Reporter = QUIET, *, keep: bool = True
) -> Audit | Fitted:
    """Return the verdicts of a trained run by the settings that are asked for; None for those of its last fit.

    They are read where the folder has them, and else made and written. A folder that takes none is a StorageError of
    `fit`, or without ``keep`` a warning.
    """
    if (found := finished(run, asked)) is not None:
        return found
    settings = asked or (Audit(run).summary.fit if run.noise.exists() else FitSettings())
    try:
        return fit(run, settings, reporter)
    except StorageError as error:
        if keep:
            raise
        reporter.warn(f"the run folder keeps its earlier verdicts: {error.what}")
        return compute(run, settings, reporter)


def resumed(run: RunFolder, options: TrainingOptions, reporter: Reporter) -> RunFolder:
    """Train the probe of a run to the end, if it is not, and return the run."""
    return run if is_trained(run) else train_missing(recorded_data(run), run, options, reporter)


def train_missing(data: Data, run: RunFolder | None, options: TrainingOptions, reporter: Reporter) -> RunFolder:
    """Train the probe of an audit to the end, and return its run folder; loads torch only where something is left.

    Without a ``run``, that is the newest of the data's own by number, or the next. Errors are those of `train_probe`.
    """
    of_predictions = options.predictions is not None
    if run is not None:
        of_predictions = of_predictions or is_of_predictions(run)
    elif options.deciding == TrainingOptions():  # else the next run is one by a training
        of_predictions = any(map(is_of_predictions, runs_in(runs_of(data))[-1:]))
    if of_predictions:
        return record_predictions(data, run, options, reporter)
    from labelaudit.auditing.probe import train_probe

    return train_probe(data, run, options, reporter)


def finished(run: RunFolder, fit_settings: FitSettings | None) -> Audit | None:
    """Return the audit in a run folder if its verdicts go by these settings (None: any) and its decisions."""
    found = Audit(run)
    if not run.noise.exists() or found.summary.decisions != digest_of(run.decisions, run.answers):
        return None
    return found if fit_settings in (None, found.summary.fit) else None


def renew(run: RunFolder, reporter: Reporter = QUIET) -> None:
    """Judge a run again, with its settings, where a person has decided since it was judged; warn where that fails."""
    if not run.noise.exists() or finished(run, None) is not None:
        return
    try:
        fit(run, Audit(run).summary.fit, reporter)
    except (RunError, StorageError) as error:
        reporter.warn(f"decisions since the last fit do not count: {error}")


def asked_fit(rank_by: StatisticName | None, estimator: EstimatorName | None) -> FitSettings | None:
    """Return what is asked of the fit; None where nothing is, which keeps the settings of a finished run."""
    return FitSettings.chosen(rank_by=rank_by, estimator=estimator) if rank_by or estimator else None


def audit(
    folder: Path | str,
    *,
    run: Path | str | None = None,
    labels_file: Path | str | None = None,
    split: str | Sequence[str] = (),
    test: Path | str | None = None,
    rank_by: StatisticName | None = None,
    estimator: EstimatorName | None = None,
    reporter: Reporter = QUIET,
    **training: Any,
) -> Audit:
    """Audit a folder of images: find the samples whose labels look wrong.

    An earlier audit of the same data is read, or continued where it is not finished.

    Args:
        folder: One folder of images per class, a zip or tar of it, Parquet; or any layout, with ``labels_file``. May be
            an address, as ``s3://bucket/photos``.
        run: The run folder; None: the newest of ``labelaudit-runs/<name of folder>``, or after a change the next one.
        labels_file: CSV with the columns ``path`` and ``label``, instead of class folders.
        split: Folders in it that hold the class folders, as ``("train", "val")``: audited as one data set.
        test: Another folder, archive or table of the same classes, audited as the split ``test`` beside ``train``.
        rank_by: Statistic that ranks the samples; None: that of a finished run, or the estimator's own.
        estimator: How P(mislabeled) is estimated; None: that of a finished run, or the noise transition model.
        reporter: Is told about the progress.
        training: `TrainingOptions` by their names: ``epochs=50``, ``device="cuda"``, ``preset="balanced"``.

    Raises:
        UsageError: an unknown option, or ``folder`` is a run folder.
        LabelauditError: see `labelaudit.train_probe` and `labelaudit.fit`.
    """
    for place in (run, labels_file):
        require_local(place or "")
    if RunFolder(Path(folder)).exists or runs_in(Path(folder)):
        raise UsageError(f"{folder} is a run folder", fix=f"read it with labelaudit.open_run({str(folder)!r})")
    for name, value in training.items():
        find("option", name, {field.name: field for field in fields(TrainingOptions)})
        if name in ("network_weights", "embeddings", "predictions") and value is not None:  # files
            require_local(value)
            training[name] = Path(value)
    parts = tuple(part.strip() for part in split.split(",")) if isinstance(split, str) else tuple(split)
    options = TrainingOptions(**training)
    labels_file, test = (None if each is None else Path(each) for each in (labels_file, test))
    data = asked_data(Path(folder), labels_file, parts, test, reporter, offline=options.offline)
    found = train_missing(data, asked_run(run), options, reporter)
    judged(found, asked_fit(rank_by, estimator), reporter)
    return opened(found)


def asked_data(
    root: Path,
    labels_file: Path | None,
    split: tuple[str, ...],
    test: Path | None,
    reporter: Reporter,
    *,
    offline: bool = False,
) -> Data:
    """Return the data that are asked for, fetched where they are elsewhere; a ``test`` side makes splits of both."""
    if test is not None and (labels_file is not None or any(split)):
        fix = "leave it out; or give a labels file with a column split, without --test"
        raise UsageError("--test makes splits of two folders, and --labels and --split are about one", fix=fix)
    root, *sides = (local(place, reporter, offline=offline) for place in (root, test) if place is not None)
    return Data.beside(root, *sides) if sides else Data(root=root, labels_file=labels_file, split=split)


def asked_run(run: Path | str | None) -> RunFolder | None:
    """Return the run folder that was named; None where none was, which takes the runs of the data by number.

    A folder of runs by number is a UsageError: a run of its own in it would be hidden by them.
    """
    if run is None:
        return None
    named = RunFolder(Path(run))
    if not named.exists and (runs := runs_in(named.root)):
        fix = f"leave --run out, or name one of them, as {runs[-1].root}"
        raise UsageError(f"--run {run} holds runs by number", fix=fix)
    return named
