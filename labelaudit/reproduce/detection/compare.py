"""An audit's verdicts against the truth.

Shapes: N samples, U of them with a verdict.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property
from typing import cast

import numpy as np
import numpy.typing as npt

from labelaudit.audit.judge import Fitted
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.curves import STATISTICS
from labelaudit.detect.estimators import ESTIMATORS
from labelaudit.names import StatisticName
from labelaudit.reproduce.detection.labels import true_labels
from labelaudit.reproduce.detection.quality import (
    FlagQuality,
    RankQuality,
    calibration_error,
    flag_quality,
    rank_quality,
)

BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class EstimateQuality:
    """One estimator against the truth.

    Attributes:
        noise_rate: Its estimate; NaN where it found nothing to fit.
        flags: Of the samples whose P(mislabeled) is above the audit's cut.
        calibration_error: See `labelaudit.reproduce.detection.quality.calibration_error`.
    """

    noise_rate: float
    flags: FlagQuality
    calibration_error: float


class Comparison:
    """An audit of labels whose truth is known.

    Args:
        fitted: The audit.
        truth: The same images, or more, with their true labels.

    Raises:
        DataError: a sample has no true label.
    """

    def __init__(self, fitted: Fitted, truth: Catalogue) -> None:
        self._fitted = fitted
        self._true_N = true_labels(fitted.catalogue, truth)
        self.wrong_N: BoolArray = fitted.catalogue.label_N != self._true_N
        """True where the given label is wrong."""

    @cached_property
    def used_N(self) -> BoolArray:
        """True for the samples that have a verdict."""
        used_N: BoolArray = np.isfinite(self._fitted.verdicts.p_mislabeled_N)
        return used_N

    @property
    def wrong_U(self) -> BoolArray:
        """The same for the samples that have a verdict."""
        return self.wrong_N[self.used_N]

    @property
    def noise_rate(self) -> float:
        """The share of wrong labels."""
        return float(self.wrong_U.mean())

    def rankings(self) -> dict[str, RankQuality]:
        """Of each statistic by its name."""
        return {
            name: rank_quality(
                self.wrong_U, self._fitted.statistics.suspicion(cast("StatisticName", name))[self.used_N]
            )
            for name in STATISTICS
        }

    def estimates(self) -> dict[str, EstimateQuality]:
        """Of each estimator by its name; ``controls`` only where some were planted."""
        found = {}
        for name in ESTIMATORS:
            estimate = self._fitted.estimate(name)
            if estimate is None and name == "controls" and self._fitted.noise.controls is None:
                continue
            p_U = np.zeros(len(self.wrong_U)) if estimate is None else estimate.p_mislabeled_N[self.used_N]
            found[str(name)] = EstimateQuality(
                noise_rate=math.nan if estimate is None else estimate.noise_rate,
                flags=flag_quality(self.wrong_U, p_U > self._fitted.noise.flag_above),
                calibration_error=math.nan if estimate is None else calibration_error(self.wrong_U, p_U),
            )
        return found

    @property
    def suggestion(self) -> float:
        """Share of the wrong labels whose suggested label is the true one; NaN where none is wrong."""
        right_U = (self._fitted.statistics.beliefs.alternative_N == self._true_N)[self.used_N]
        return float(right_U[self.wrong_U].mean()) if self.wrong_U.any() else math.nan


def compare(fitted: Fitted, clean: Catalogue) -> dict[str, float]:
    """The figures of the ranking and the estimator that an audit's settings chose.

    Args:
        fitted: An audit of noisy labels.
        clean: The same images with their true labels.

    Returns:
        ``rate`` (the true one), ``auroc``, ``average_precision``, ``estimate``, ``precision``, ``recall`` and
        ``suggestion``. Precision is 0 where nothing is flagged, recall where nothing is wrong.
    """
    found = Comparison(fitted, clean)
    ranking = rank_quality(found.wrong_U, fitted.statistics.suspicion(fitted.noise.fit.rank_by)[found.used_N])
    flagged_U = fitted.verdicts.p_mislabeled_N[found.used_N] > fitted.noise.flag_above
    flags = flag_quality(found.wrong_U, flagged_U)
    return {
        "rate": found.noise_rate,
        "auroc": ranking.auroc,
        "average_precision": ranking.average_precision,
        "estimate": math.nan if fitted.noise.noise_rate is None else fitted.noise.noise_rate,
        "precision": 0.0 if math.isnan(flags.precision) else flags.precision,
        "recall": 0.0 if math.isnan(flags.recall) else flags.recall,
        "suggestion": found.suggestion,
    }
