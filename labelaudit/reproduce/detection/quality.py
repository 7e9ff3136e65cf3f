"""How good a ranking, a set of flags and a probability are, and their mean and spread over seeds.

Shapes: N samples, V values.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from sklearn.metrics import average_precision_score, roc_auc_score

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

BINS = 15


@dataclass(frozen=True, kw_only=True)
class RankQuality:
    """Of a ranking; NaN where all labels are right, or all are wrong.

    Attributes:
        auroc: Probability that a wrong label is ranked above a right one.
        average_precision: Area under the precision-recall curve.
    """

    auroc: float
    average_precision: float


@dataclass(frozen=True, kw_only=True)
class FlagQuality:
    """Of a set of samples that are called wrong.

    Attributes:
        share: Of all samples.
        precision: Share of wrong labels among the flagged; NaN where nothing is flagged.
        recall: Share of flagged ones among the wrong; NaN where nothing is wrong.
        f1: 2 · hits / (flagged + wrong); NaN where both are none.
    """

    share: float
    precision: float
    recall: float
    f1: float


@dataclass(frozen=True, kw_only=True)
class Spread:
    """A figure over several seeds.

    Attributes:
        mean: Of the values that are numbers; NaN where none is.
        deviation: Their standard deviation with n − 1; NaN with fewer than two.
        count: How many they are.
    """

    mean: float
    deviation: float
    count: int


def rank_quality(wrong_N: BoolArray, suspicion_N: npt.NDArray[np.floating]) -> RankQuality:
    """AUROC and average precision of a ranking, higher = more suspicious."""
    if not 0 < int(wrong_N.sum()) < len(wrong_N):
        return RankQuality(auroc=math.nan, average_precision=math.nan)
    return RankQuality(
        auroc=float(roc_auc_score(wrong_N, suspicion_N)),
        average_precision=float(average_precision_score(wrong_N, suspicion_N)),
    )


def flag_quality(wrong_N: BoolArray, flagged_N: BoolArray) -> FlagQuality:
    """Precision, recall and F1 of the flagged samples."""
    hits, flagged, wrong = int((wrong_N & flagged_N).sum()), int(flagged_N.sum()), int(wrong_N.sum())
    return FlagQuality(
        share=_ratio(flagged, len(flagged_N)),
        precision=_ratio(hits, flagged),
        recall=_ratio(hits, wrong),
        f1=_ratio(2 * hits, flagged + wrong),
    )


def calibration_error(wrong_N: BoolArray, p_N: FloatArray, bins: int = BINS) -> float:
    """The expected calibration error of P(mislabeled).

    ECE = Σ_b (n_b / N) · |wrong_b − p_b| over bins of equal width, ((b − 1) / B, b / B], the first with 0 in it;
    n_b is the number of samples whose p lies in bin b, wrong_b the share of wrong labels among them, p_b their mean p
    (Naeini et al. 2015; Guo et al. 2017, eq. 3, with P(mislabeled) in the place of the confidence).

    Args:
        wrong_N: Which labels are wrong.
        p_N: P(mislabeled), in [0, 1].
        bins: B.

    Returns:
        In [0, 1]; NaN without samples.
    """
    if len(p_N) == 0:
        return math.nan
    bin_N = np.clip(np.ceil(p_N * bins).astype(np.int64) - 1, 0, bins - 1)
    wrong_B = np.bincount(bin_N, weights=wrong_N, minlength=bins)
    p_B = np.bincount(bin_N, weights=p_N, minlength=bins)
    return float(np.abs(wrong_B - p_B).sum() / len(p_N))


def spread(values: Sequence[float]) -> Spread:
    """Mean and standard deviation of the values that are numbers."""
    value_V = np.array([value for value in values if not math.isnan(value)])
    return Spread(
        mean=float(value_V.mean()) if len(value_V) else math.nan,
        deviation=float(value_V.std(ddof=1)) if len(value_V) > 1 else math.nan,
        count=len(value_V),
    )


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
