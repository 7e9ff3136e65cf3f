"""The confident joint: which class is labeled as which, counted where the probe is sure.

Source: Northcutt, Jiang and Chuang 2021, "Confident learning", section 3.1. Two differences: probabilities are means
over the epochs of one training instead of those of held-out folds, and of the other classes only those in the curves' M
slots count. Only cells that hold samples are kept.

Shapes: N samples, K classes, M slots, Q cells (given, true) that hold samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from labelaudit.detect import BoolArray, FloatArray, IntArray, LongArray
from labelaudit.detect import constants as c


@dataclass(frozen=True, kw_only=True)
class Beliefs:
    """Mean probabilities over a training; NaN and −1 for samples without a record.

    Attributes:
        given_N: Of the given label.
        class_MN: The other classes that the probe believed in; −1 in empty slots.
        other_MN: Their mean probabilities.
        rest_N: The part of these that was not recorded, but is an even share of what the records leave open.
    """

    given_N: FloatArray
    class_MN: IntArray
    other_MN: FloatArray
    rest_N: FloatArray

    @property
    def cautious(self) -> Beliefs:
        """The same beliefs with only half of what was not recorded."""
        return replace(self, other_MN=self.other_MN - (1.0 - c.UNRECORDED_SHARE) * self.rest_N)

    def of(self, class_N: IntArray) -> FloatArray:
        """Return the mean probability of one other class for each sample; NaN where it has no slot."""
        is_it_MN = (self.class_MN == class_N) & (self.class_MN >= 0)
        return np.where(is_it_MN.any(axis=0), np.where(is_it_MN, self.other_MN, 0.0).sum(axis=0), np.nan)

    @property
    def alternative_belief_N(self) -> FloatArray:
        """The mean probability of the most believed other class."""
        belief_N: FloatArray = self.other_MN.max(axis=0)
        return belief_N

    @property
    def certainty(self) -> float:
        """Its mean belief in the likeliest class, over the share of labels that it agrees with."""
        seen_N = np.isfinite(self.given_N)
        given_N, other_N = self.given_N[seen_N], self.alternative_belief_N[seen_N]
        return float(np.maximum(given_N, other_N).sum() / max(np.count_nonzero(given_N > other_N), 1))


@dataclass(frozen=True, kw_only=True)
class ConfidentJoint:
    """An estimate of how given and true labels go together.

    Attributes:
        classes: K.
        samples: How many samples were counted.
        given_Q, true_Q: The cells, ordered.
        share_Q: The share of all samples in each; sums to 1, and for each given class to its own share.
        class_N: The class that the probe is sure of for each sample; −1 where it is sure of none.
    """

    classes: int
    samples: int
    given_Q: LongArray
    true_Q: LongArray
    share_Q: FloatArray
    class_N: IntArray

    @property
    def noise_rate(self) -> float:
        """The share of the cells whose given class is not the true one."""
        return float(self.share_Q[self.given_Q != self.true_Q].sum())

    @property
    def structure(self) -> float:
        """How far from even the errors are, in [0, 1]: 0 where they are spread evenly, 1 for all between two classes.

        With n errors in a pair, (Σ n)² / Σ n² is the number of pairs that they are spread over. Of even errors, drawn
        by chance with μ expected in each of K(K − 1) pairs, it is near K(K − 1) · μ / (1 + μ). It is 1 − their ratio.
        """
        error_Q = self.share_Q[self.given_Q != self.true_Q] * self.samples
        if self.classes < 2 or not error_Q.any():
            return 0.0
        mean = error_Q.sum() / (self.classes * (self.classes - 1))
        even = error_Q.sum() / (1.0 + mean)
        return float(np.clip(1.0 - error_Q.sum() ** 2 / (error_Q**2).sum() / even, 0.0, 1.0))


def confident_joint(label_N: IntArray, beliefs: Beliefs, classes: int) -> ConfidentJoint:
    """Count the samples of each given class by the class that the probe is sure of; those without a record are not.

    It is sure of class j where the mean probability of j is at least its mean over the samples labeled j; of several
    such classes the most probable counts. Samples of which it is sure of none go like the others of their given class.
    """
    seen_N = np.isfinite(beliefs.given_N)
    label_U, given_U = label_N[seen_N], beliefs.given_N[seen_N]
    count_K = np.bincount(label_U, minlength=classes)
    threshold_K = sure_from(label_U, given_U, classes)
    class_N = _sure_class(label_N, beliefs, threshold_K)
    given_Q, true_Q, sure_Q = _count_cells(label_U, class_N[seen_N], classes)
    mass_K = np.bincount(given_Q, weights=sure_Q, minlength=classes)
    share_K = count_K / max(int(count_K.sum()), 1)
    return ConfidentJoint(
        classes=classes,
        samples=len(label_U),
        given_Q=given_Q,
        true_Q=true_Q,
        share_Q=sure_Q / mass_K[given_Q] * share_K[given_Q],
        class_N=class_N,
    )


def sure_from(label_N: npt.NDArray[np.integer], given_N: npt.NDArray[np.floating], classes: int) -> FloatArray:
    """Return from which probability on one is sure of each class: [K], above 1 for a class without samples.

    It is the mean of ``given_N``, the probabilities of the given labels, over the samples labeled so.
    """
    count_K = np.bincount(label_N, minlength=classes)
    sum_K = np.bincount(label_N, weights=given_N, minlength=classes)
    return np.where(count_K > 0, sum_K / np.maximum(count_K, 1), 2.0) - c.ROUNDING


def surely_wrong(label_N: LongArray, p_NK: npt.NDArray[np.floating]) -> BoolArray:
    """True for samples whose most probable class is another than the given one, and sure: see `sure_from`."""
    row_N, predicted_N = np.arange(len(label_N)), p_NK.argmax(axis=1)
    threshold_K = sure_from(label_N, p_NK[row_N, label_N], p_NK.shape[1])
    wrong_N: BoolArray = (p_NK[row_N, predicted_N] >= threshold_K[predicted_N]) & (predicted_N != label_N)
    return wrong_N


def looks_symmetric(given_D: LongArray, predicted_D: LongArray, classes: int) -> bool:
    """True when disagreements with labels are spread over the pairs of classes as uniform noise is.

    Uniform noise gives the c_j samples predicted as j every other label alike, however few classes a network predicts.
    So of the n disagreements in each pair, Σ n² is near Σ c_j² / (K − 1) + Σ n. That over the Σ n² found is 1 for
    uniform noise and 1 / (K − 1) for one pair a class; from `SYMMETRIC_FROM` on, noise is taken for symmetric.
    """
    _, count_Q = np.unique(given_D * classes + predicted_D, return_counts=True)
    _, predicted_Q = np.unique(predicted_D, return_counts=True)
    chance = (predicted_Q.astype(np.float64) ** 2).sum() / (classes - 1) + len(given_D)
    return bool(chance >= c.SYMMETRIC_FROM * (count_Q.astype(np.float64) ** 2).sum())


def indistinct_pairs(label_N: IntArray, beliefs: Beliefs, classes: int) -> dict[tuple[int, int], float]:
    """Return how alike classes are that the probe cannot tell apart, by their pair, the lower number first.

    With b(i, j) the mean belief in j over the samples labeled i, r(i, j) = b(i, j) / (b(i, i) + b(i, j)) is 0 for
    classes that are sure and ½ for two by chance; classes are as alike as the smaller of r(i, j) and r(j, i). Classes
    of fewer than `LEAST_OF_CLASS` samples are not judged.
    """
    count_K = np.bincount(label_N[np.isfinite(beliefs.given_N)], minlength=classes)
    seen_N = np.isfinite(beliefs.given_N) & (count_K >= c.LEAST_OF_CLASS)[label_N]
    own_K = np.bincount(label_N[seen_N], weights=beliefs.given_N[seen_N], minlength=classes)
    has_MN = seen_N & (beliefs.class_MN >= 0)
    cell = (label_N.astype(np.int64) * classes + beliefs.class_MN)[has_MN]
    cell_Q, place = np.unique(cell, return_inverse=True)
    sum_Q = np.bincount(place, weights=beliefs.other_MN[has_MN], minlength=len(cell_Q))
    ratio_Q = sum_Q / np.maximum(own_K[cell_Q // classes] + sum_Q, c.TINY)
    likely = {(int(q) // classes, int(q) % classes): float(r) for q, r in zip(cell_Q, ratio_Q, strict=True)}
    return {
        (one, other): min(ratio, likely[other, one])
        for (one, other), ratio in likely.items()
        if one < other and min(ratio, likely.get((other, one), 0.0)) > c.INDISTINCT
    }


def _sure_class(label_N: IntArray, beliefs: Beliefs, threshold_K: FloatArray) -> IntArray:
    class_N = np.where(beliefs.given_N >= threshold_K[label_N], label_N, -1).astype(np.int32)
    best_N = np.where(class_N >= 0, beliefs.given_N, -1.0)
    for other_N, p_N in zip(beliefs.class_MN, beliefs.other_MN, strict=True):
        better_N = (other_N >= 0) & (p_N >= threshold_K[other_N]) & (p_N > best_N)
        class_N = np.where(better_N, other_N, class_N)
        best_N = np.where(better_N, p_N, best_N)
    return class_N


def _count_cells(label_U: IntArray, class_U: IntArray, classes: int) -> tuple[LongArray, LongArray, FloatArray]:
    """Return the cells and their samples; every class with samples has its diagonal cell, with at least one.

    A class without any confident sample therefore counts as correctly labeled.
    """
    sure_U = class_U >= 0
    cell_U = label_U[sure_U] * np.int64(classes) + class_U[sure_U]
    diagonal_Q = np.unique(label_U).astype(np.int64) * (classes + 1)
    cell_Q, count_Q = np.unique(np.concatenate([cell_U, diagonal_Q]), return_counts=True)
    given_Q, true_Q = np.divmod(cell_Q, classes)
    real_Q = count_Q - (given_Q == true_Q)
    return given_Q, true_Q, np.where(given_Q == true_Q, np.maximum(real_Q, 1), real_Q).astype(np.float64)
