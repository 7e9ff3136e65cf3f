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
        if is_fitted(run, fit_settings):
            return compute(run, fit_settings or read_noise(run).fit, reporter)
        return fit(run, fit_settings, reporter)
    except StorageError as error:
        if keep:
            raise
        reporter.warn(f"the run folder keeps its earlier verdicts: {error.what}")
        return compute(run, fit_settings or FitSettings(), reporter)


def train_missing(data: Data | None, run: RunFolder, options: TrainingOptions | None, reporter: Reporter) -> None:
    """Train the probe of an audit to the end; see `score`."""
    if data is not None or not is_trained(run):
        train_probe(data or recorded_data(run), run, options, reporter)
