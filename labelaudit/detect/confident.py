"""The confident joint: which class is labelled as which, counted where the probe is sure.

Source: Northcutt, Jiang and Chuang 2021, "Confident learning", section 3.1, with two differences: probabilities are the
means over the epochs of one training instead of those of held-out folds, and of the other classes only those in the
curves' M slots are looked at (a class outside of them was never the probe's second choice for long).

Shapes: N samples, K classes, M slots.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

_ROUNDING = 1e-6


@dataclass(frozen=True, kw_only=True)
class Beliefs:
    """Mean probabilities over a training; all rows have a record.

    Attributes:
        given_N: Of the given label.
        class_MN: The other classes that the probe believed in; −1 in empty slots.
        other_MN: Their mean probabilities.
    """

    given_N: FloatArray
    class_MN: IntArray
    other_MN: FloatArray

    @property
    def alternative_N(self) -> IntArray:
        """The most believed other class; −1 where there is none."""
        best_N = self.other_MN.argmax(axis=0)
        alternative_N: IntArray = self.class_MN[best_N, np.arange(len(best_N))]
        return alternative_N


@dataclass(frozen=True, kw_only=True)
class ConfidentJoint:
    """An estimate of how given and true labels go together.

    Attributes:
        share_KK: Share of samples with given class i and true class j, [i, j]; sums to 1, its rows to the classes' own
            shares.
        class_N: The class that the probe is sure of for each sample; −1 where it is sure of none.
    """

    share_KK: FloatArray
    class_N: IntArray

    @property
    def noise_rate(self) -> float:
        """The share off the diagonal."""
        return float(max(0.0, 1.0 - np.trace(self.share_KK)))


def confident_joint(label_N: IntArray, beliefs: Beliefs, classes: int) -> ConfidentJoint:
    """Count the samples of each given class by the class that the probe is sure of.

    It is sure of class j where the mean probability of j is at least its mean over the samples labelled j; of several
    such classes the most probable counts. Samples of which it is sure of none are taken to go like the others of their
    given class.

    Args:
        label_N: Given labels in [0, K).
        beliefs: Of the same samples.
        classes: K.
    """
    count_K = np.bincount(label_N, minlength=classes)
    sum_K = np.bincount(label_N, weights=beliefs.given_N, minlength=classes)
    # Nothing can be sure of a class without samples.
    threshold_K = np.where(count_K > 0, sum_K / np.maximum(count_K, 1), 2.0) - _ROUNDING
    class_N = np.where(beliefs.given_N >= threshold_K[label_N], label_N, -1).astype(np.int32)
    best_N = np.where(class_N >= 0, beliefs.given_N, -1.0)
    for other_N, p_N in zip(beliefs.class_MN, beliefs.other_MN, strict=True):
        better_N = (other_N >= 0) & (p_N >= threshold_K[other_N]) & (p_N > best_N)
        class_N = np.where(better_N, other_N, class_N)
        best_N = np.where(better_N, p_N, best_N)
    sure_N = class_N >= 0
    cell_KK = np.bincount(label_N[sure_N] * np.int64(classes) + class_N[sure_N], minlength=classes**2)
    cell_KK = cell_KK.reshape(classes, classes).astype(np.float64)
    # A class of which nothing is sure is taken to be right.
    diagonal = np.arange(classes)
    cell_KK[diagonal, diagonal] = np.maximum(cell_KK[diagonal, diagonal], 1.0)
    share_KK = cell_KK / cell_KK.sum(axis=1, keepdims=True) * (count_K / max(count_K.sum(), 1))[:, None]
    return ConfidentJoint(share_KK=share_KK, class_N=class_N)


def cell_log_odds(
    label_N: IntArray, alternative_N: IntArray, joint: ConfidentJoint, *, prior_samples: float = 30.0
) -> FloatArray:
    """Log-odds that a sample is wrong, from its given label and the probe's favourite other class alone: [N].

    A cell (alternative, given) is suspicious where many of its samples are counted as wrong: under structured noise a
    few cells hold nearly all errors, while between similar classes most samples of a cell are right. Cells with few
    samples are drawn to the mean of all by ``prior_samples``.

    Args:
        label_N: Given labels.
        alternative_N: The most believed other classes; −1, where there is none, gives the mean of all cells.
        joint: Of the same samples.
        prior_samples: How many samples the mean of all cells counts for; positive.
    """
    classes, count = len(joint.share_KK), len(label_N)
    known_N = alternative_N >= 0
    cell_N = np.where(known_N, alternative_N, 0) * np.int64(classes) + label_N
    held_KK = np.bincount(cell_N[known_N], minlength=classes**2).reshape(classes, classes)  # [alternative, given]
    wrong_KK = joint.share_KK.T * count
    np.fill_diagonal(wrong_KK, 0.0)
    mean = wrong_KK.sum() / max(held_KK.sum(), 1)
    rate_KK = np.clip((wrong_KK + prior_samples * mean) / (held_KK + prior_samples), 0.002, 0.95)
    rate_N = np.where(known_N, rate_KK.ravel()[cell_N], np.clip(mean, 0.002, 0.95))
    log_odds_N: FloatArray = np.log(rate_N / (1.0 - rate_N))
    return log_odds_N
