"""An audit compared with the truth, as rows: its rankings and its estimates.

Shapes: N samples, U of them with a verdict.
"""

from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

from labelaudit.auditing.fit import Fitted, compute, fit
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.probe import train_probe
from labelaudit.auditing.score import finished
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.noise import LabelArray
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.detect.curves import STATISTICS
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import DataError, RunError
from labelaudit.progress import Reporter
from labelaudit.reproduce.runner import Row, ratio
from labelaudit.run.documents import read_description
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import recorded_epochs

OURS = "labelaudit"


def rank_quality(wrong_N: BoolArray, suspicion_N: npt.NDArray[np.floating]) -> dict[str, float]:
    """Return AUROC and average precision, higher = more suspicious; NaN where all labels are right or all wrong."""
    if not 0 < int(wrong_N.sum()) < len(wrong_N):
        return {"auroc": math.nan, "average_precision": math.nan}
    return {
        "auroc": float(roc_auc_score(wrong_N, suspicion_N)),
        "average_precision": float(average_precision_score(wrong_N, suspicion_N)),
    }


def flag_quality(wrong_N: BoolArray, flagged_N: BoolArray) -> dict[str, float]:
    """Return share, precision, recall and F1 of samples that are called wrong; NaN where undefined."""
    hits, flagged, wrong = int((wrong_N & flagged_N).sum()), int(flagged_N.sum()), int(wrong_N.sum())
    return {
        "flagged": ratio(flagged, len(flagged_N)),
        "precision": ratio(hits, flagged),
        "recall": ratio(hits, wrong),
        "f1": ratio(2 * hits, flagged + wrong),
    }


def calibration_error(wrong_N: BoolArray, p_N: FloatArray, bins: int = 15) -> float:
    """Return the expected calibration error of P(mislabeled), in [0, 1]; NaN without samples.

    ECE = Σ_b (n_b / N) · |wrong_b − p_b| over bins of equal width, ((b − 1) / B, b / B], the first with 0 in it, of n_b
    samples with the share wrong_b of wrong labels and mean p p_b (Naeini et al. 2015; Guo et al. 2017, eq. 3).
    """
    bin_N = np.clip(np.ceil(p_N * bins).astype(np.int64) - 1, 0, bins - 1)
    wrong_B, p_B = (np.bincount(bin_N, weights=value_N, minlength=bins) for value_N in (wrong_N, p_N))
    return ratio(float(np.abs(wrong_B - p_B).sum()), len(p_N))


def true_labels(given: Catalogue, truth: Catalogue) -> LabelArray:
    """Return the true label of each given sample as a number among the given classes, −1 for none of them: [N].

    Raises DataError where a sample has no true label.
    """
    number_of = {name: number for number, name in enumerate(given.classes)}
    true_of = dict(zip(truth.paths, truth.label_N.tolist(), strict=True))
    missing = [path for path in given.paths if path not in true_of]
    if missing:
        what = f"{len(missing)} of {len(given)} labeled images have no true label, the first is {missing[0]!r}"
        raise DataError(what, fix="give the truth for every image, or leave these out of the labels")
    return np.array([number_of.get(truth.classes[true_of[path]], -1) for path in given.paths], dtype=np.int32)


class TrueAudit:
    """An audit of labels whose truth is known, of the same images or more.

    ``wrong_N`` is true where the given label is wrong, ``used_N`` where there is a verdict. Every row of it begins with
    ``row``: the name of the labels, the network, and the seed of errors and training.
    """

    def __init__(self, noise: str, seed: int, run: RunFolder, fitted: Fitted, truth: Catalogue) -> None:
        verdicts = fitted.verdicts
        self.settings = read_description(run).settings
        self.row: Row = {"noise": noise, "model": self.settings["model"], "seed": seed}
        self.run, self.fitted = run, fitted
        self._true_N = true_labels(fitted.catalogue, truth)
        self.wrong_N: BoolArray = fitted.catalogue.label_N != self._true_N
        self.used_N: BoolArray = np.isfinite(verdicts.p_mislabeled_N)
        self.wrong_U: BoolArray = self.wrong_N[self.used_N]
        self.true_rate = float(self.wrong_U.mean())
        self.noise_rate = math.nan if verdicts.noise_rate is None else verdicts.noise_rate
        self.interval = verdicts.interval or (math.nan, math.nan)

    @property
    def flags(self) -> dict[str, float]:
        """Quality of the audit's suspicious samples."""
        suspicious = self.fitted.verdicts.order[: self.fitted.verdicts.flagged]
        return flag_quality(self.wrong_U, np.isin(np.flatnonzero(self.used_N), suspicious))

    @property
    def suggestion(self) -> float:
        """Share of the wrong labels whose suggested label is the true one; NaN where none is wrong."""
        right_N = self.fitted.statistics.transition.true_N == self._true_N
        return ratio(int((right_N & self.wrong_N & self.used_N).sum()), int(self.wrong_U.sum()))

    def rankings(self) -> Iterator[Row]:
        """Yield the row of each statistic."""
        for name in STATISTICS:
            suspicion_N = self.fitted.statistics.suspicion(name)
            chosen = name == self.fitted.summary.fit.rank_by
            yield self.ranking(OURS, name, suspicion_N[self.used_N], chosen=chosen)

    def ranking(self, source: str, name: str, suspicion_U: npt.NDArray[np.floating], *, chosen: bool) -> Row:
        """Return the row of a ranking; ``chosen`` is true for that of the audit's own list."""
        quality = rank_quality(self.wrong_U, suspicion_U)
        return {**self.row, "source": source, "statistic": name, "chosen": chosen, **quality}

    def estimates(self) -> Iterator[Row]:
        """Yield the row of each estimator that could be fitted."""
        for name, found in self.fitted.verdicts.estimates.items():
            p_U = found.p_mislabeled_N[self.used_N]
            flagged_U, error = p_U > self.fitted.summary.flag_above, calibration_error(self.wrong_U, p_U)
            yield self.estimate(OURS, name, flagged_U, found.noise_rate, error)

    def estimate(
        self, source: str, name: str, flagged_U: BoolArray, noise_rate: float, calibration: float = math.nan
    ) -> Row:
        """Return the row of an estimator: its flags, its noise rate and its calibration error; error is rate − truth.

        ``chosen`` is true for that of the audit's own verdicts.
        """
        chosen, error = source == OURS and name == self.fitted.summary.fit.estimator, noise_rate - self.true_rate
        found = {**self.row, "source": source, "estimator": name, "chosen": chosen, "true_rate": self.true_rate}
        found |= {"noise_rate": noise_rate, "error": error, "calibration_error": calibration}
        return found | flag_quality(self.wrong_U, flagged_U)


def audit(
    noise: str,
    data: Data,
    run: RunFolder,
    truth: Catalogue,
    options: TrainingOptions,
    reporter: Reporter,
    settings: FitSettings | None = None,
    *,
    test: Catalogue | None = None,
) -> TrueAudit:
    """Audit labels whose truth is known, and measure the losses of test images; finished parts are only read.

    Raises RunError where there are epochs without losses of the test images.
    """
    if test is not None and len(recorded_epochs(run.test_losses)) < len(recorded_epochs(run.losses)):
        raise RunError(f"{run.root} was begun without --test", fix=f"give another --out, or delete {run.root}")
    train_probe(data, run, options, reporter, test=test)
    done = finished(run, settings)
    fitted = fit(run, settings, reporter) if done is None else compute(run, done.summary.fit, reporter)
    return TrueAudit(noise, options.seed or 0, run, fitted, truth)
