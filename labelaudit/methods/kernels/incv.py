"""Iterative noisy cross-validation: which samples agree with a network that has not seen them, and what follows.

Source: Chen et al. 2019, "Understanding and utilizing deep neural networks trained with noisy labels" (ICML), and the
authors' code.

Shapes: R rows of the training data, H rows of a held-out half, K classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

BoolArray = npt.NDArray[np.bool_]
RowArray = npt.NDArray[np.int64]

_STEP = 0.001
_MOST_DISCARDED = 2.0


@dataclass(frozen=True, kw_only=True)
class Selection:
    """Samples that are believed, S, and those that are still candidates, C; a sample in neither is discarded.

    Attributes:
        selected_R: S.
        candidate_R: C; no sample is in both.
    """

    selected_R: BoolArray
    candidate_R: BoolArray

    @classmethod
    def start(cls, rows: int) -> Selection:
        """Nothing selected, everything a candidate."""
        return cls(selected_R=np.zeros(rows, dtype=np.bool_), candidate_R=np.ones(rows, dtype=np.bool_))

    def after(self, agreeing: RowArray, discarded: RowArray) -> Selection:
        """The selection with more samples believed, and others set aside; who is believed is not set aside."""
        selected_R, candidate_R = self.selected_R.copy(), self.candidate_R.copy()
        selected_R[agreeing] = True
        candidate_R[agreeing] = False
        candidate_R[discarded] = False
        return Selection(selected_R=selected_R, candidate_R=candidate_R)

    def halves(self, generator: np.random.Generator) -> tuple[RowArray, RowArray]:
        """The candidates in two random halves; the second has one more when they are odd."""
        order = generator.permutation(np.flatnonzero(self.candidate_R))
        middle = len(order) // 2
        return np.sort(order[:middle]), np.sort(order[middle:])


def expected_agreement(noise: float, classes: int) -> float:
    """(1 − ε)² + ε²/(K − 1): how often an unseen label agrees with a network that has learned labels of this noise."""
    return (1 - noise) ** 2 + noise**2 / (classes - 1)


def noise_from_agreement(agreement: float, classes: int) -> float:
    """ε, the smaller root of `expected_agreement`, to .001.

    The authors scan upward and stop at 1 when the agreement is below its minimum at ε = (K − 1)/K; then nothing would
    be kept later. Here the scan ends at that minimum.

    Args:
        agreement: Share of held-out samples whose label is the prediction.
        classes: K, at least 2.
    """
    most = (classes - 1) / classes
    steps = 1
    while steps * _STEP < most and expected_agreement(steps * _STEP, classes) > agreement:
        steps += 1
    return min(steps * _STEP, most)


def discard_ratio(noise: float) -> float:
    """ρ = min(2, ε/(1 − ε)): how many samples are discarded for each that agrees."""
    return min(_MOST_DISCARDED, noise / (1 - noise)) if noise < 1 else _MOST_DISCARDED


def discarded(row_H: RowArray, loss_H: npt.NDArray[np.floating], agreeing: int, ratio: float) -> RowArray:
    """The rows of the int(ρ · agreeing) largest losses; none when that is 0, where the authors' code takes all.

    Args:
        row_H: Rows of the held-out half.
        loss_H: Cross-entropy of each against its given label.
        agreeing: How many of the half agree.
        ratio: ρ.
    """
    count = min(len(row_H), int(ratio * agreeing))
    return row_H[np.argsort(loss_H, kind="stable")[len(row_H) - count :]]


def noise_left(noise: float, classes: int, *, symmetric: bool) -> float:
    """ε_S = ε²/(ε² + c(1 − ε)²) with c = K − 1 for symmetric noise, else 1: the share of wrong labels in S."""
    constant = classes - 1 if symmetric else 1
    wrong, right = noise**2, constant * (1 - noise) ** 2
    return wrong / (wrong + right) if wrong + right > 0 else 0.0


def looks_symmetric(given_D: RowArray, predicted_D: RowArray, classes: int) -> bool:
    """True when disagreements are spread over most pairs of classes, False when few pairs hold them.

    With n disagreements in a pair, (Σ n)² / Σ n² is the number of pairs that they are spread over; of evenly drawn
    ones, μ expected in each of K(K − 1) pairs, it is near K(K − 1) · μ / (1 + μ). When each class is taken for
    one other, they are K of the K(K − 1); few means less than halfway from there. The published method is told instead.

    Args:
        given_D: Given labels of the samples that surely disagree.
        predicted_D: What was predicted.
        classes: K.
    """
    pairs = classes * (classes - 1)
    if len(given_D) == 0 or classes < 3:
        return True
    _, count_Q = np.unique(given_D * classes + predicted_D, return_counts=True)
    mean = len(given_D) / pairs
    spread = len(given_D) ** 2 / (count_Q.astype(np.float64) ** 2).sum()
    return bool(spread / (pairs * mean / (1 + mean)) > (1 + 1 / (classes - 1)) / 2)


def best_epoch_until(noise: float, *, symmetric: bool) -> int:
    """Through which iteration the network of the best held-out epoch judges; after it, that of the last epoch."""
    if not symmetric or noise > 0.6:
        return 1
    return 2 if noise > 0.3 else 4
