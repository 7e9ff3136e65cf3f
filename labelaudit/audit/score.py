"""The whole audit in one go: do what is missing, and nothing twice."""

from __future__ import annotations

from labelaudit.audit.judge import Fitted, compute, fit, is_fitted
from labelaudit.audit.model import Data, is_trained, recorded_data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.probe import train_probe
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import StorageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.documents import read_noise
from labelaudit.run.layout import RunFolder


def score(
    data: Data,
    run: RunFolder,
    options: TrainingOptions | None = None,
    fit_settings: FitSettings | None = None,
    reporter: Reporter = QUIET,
) -> Fitted:
    """Audit a folder: train the probe (or continue it, or find it trained), then judge every sample.

    Args:
        data: The images and their labels.
        run: Where everything is written.
        options: What is asked of the probe.
        fit_settings: What is asked of the fit; None keeps that of a finished run.
        reporter: Told about the progress.

    Raises:
        LabelauditError: see `train_probe` and `fit`.
    """
    train_probe(data, run, options, reporter)
    return _judge(run, fit_settings, reporter)


def score_run(
    run: RunFolder,
    options: TrainingOptions | None = None,
    fit_settings: FitSettings | None = None,
    reporter: Reporter = QUIET,
    *,
    keep: bool = True,
) -> Fitted:
    """Finish the audit in a run folder as `score` does; only read where everything is there.

    Args:
        run: The run folder.
        options: Where an unfinished probe is trained; its settings are those of the run.
        fit_settings: See `score`.
        reporter: Told about the progress.
        keep: Refuse where new verdicts cannot be written to the run folder; otherwise only warn.

    Raises:
        LabelauditError: see `train_probe` and `fit`.
    """
    finish_probe(run, options, reporter)
    try:
        return _judge(run, fit_settings, reporter)
    except StorageError as error:
        if keep:
            raise
        reporter.warn(f"the run folder keeps its earlier verdicts: {error.what}")
        return compute(run, fit_settings or FitSettings(), reporter)


def finish_probe(run: RunFolder, options: TrainingOptions | None = None, reporter: Reporter = QUIET) -> None:
    """Train the probe of a run to the end, if it is not yet.

    Raises:
        LabelauditError: see `train_probe`.
    """
    if not is_trained(run):
        train_probe(recorded_data(run), run, options, reporter)


def _judge(run: RunFolder, fit_settings: FitSettings | None, reporter: Reporter) -> Fitted:
    if is_fitted(run, fit_settings):
        return compute(run, fit_settings or read_noise(run).fit, reporter)
    return fit(run, fit_settings, reporter)
