"""Statistics of loss curves, in one pass over the epochs and memory that does not grow with their number.

Shapes: N samples, R records of one epoch, B samples of one block, M belief slots.

For sample i with given label y, loss ℓ_e = −log p_e(y) and margin m_e = z_y − max_{j≠y} z_j in epoch e of T:

| statistic | formula | suspicious when | source |
|---|---|---|---|
| ``aul`` | Σ_e ℓ_e | high | "Detecting label noise from loss curves", section 3 |
| ``aum`` | (1/T) Σ_e m_e | low | Pleiss et al. 2020, eq. 2 |
| ``mean_probability`` | (1/T) Σ_e p_e(y) | low | the confidence of Swayamdipta et al. 2020 |
| ``misprediction_rate`` | (1/T) Σ_e 1[prediction ≠ y] | high | 1 − correctness of the same |
| ``soft_misprediction_rate`` | (1/T) Σ_e σ(−4 m_e) | high | the same with a soft step |
| ``forgetting_count`` | Σ_e 1[right in e − 1, wrong in e]; T if never right | high | Toneva et al. 2019 |
| ``cell_margin`` | Σ_e w_e m_e / Σ_e w_e − λ · log-odds of the sample's cell | low | `cell_log_odds` |

w_e is e² times the trust in epoch e, see `labelaudit.detect.epochs`, and the trust alone where the training memorised.
Beliefs are means weighted with the trust alone.
"""

from __future__ import annotations

from dataclasses import dataclass, fields
from typing import TypeVar

import numpy as np
import numpy.typing as npt

from labelaudit.detect.confident import Beliefs, ConfidentJoint, cell_log_odds, confident_joint
from labelaudit.detect.epochs import LATENESS, Course, EpochTrust
from labelaudit.names import StatisticName

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]
Scalar = TypeVar("Scalar", bound=np.generic)

SUSPICIOUS_WHEN_LOW = frozenset({"aum", "mean_probability", "cell_margin"})
_SHARPNESS = 4.0
_LEAST_CELL_SHARE, _MOST_CELL_SHARE = 0.05, 0.75
"""How much of a cell's log-odds counts beside the margin: as much as structure outweighs chance (docs/accuracy.md)."""

_SLOTS = 4
_BLOCK = 16_384
"""So many samples are updated at once, so that everything in between stays in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class CurveStatistics:
    """Statistics of N samples; NaN (−1 for integers) where a sample has no record.

    Attributes:
        beliefs: The probe's mean probabilities of the given class and of the others that it believed in.
        joint: How given and true labels go together, counted from these beliefs.
        memorised_from: See `labelaudit.detect.epochs.EpochTrust`.
    """

    aul_N: FloatArray
    aum_N: FloatArray
    mean_probability_N: FloatArray
    misprediction_rate_N: FloatArray
    soft_misprediction_rate_N: FloatArray
    forgetting_count_N: FloatArray
    cell_margin_N: FloatArray
    beliefs: Beliefs
    joint: ConfidentJoint
    epochs: int
    memorised_from: int | None = None

    def suspicion(self, name: StatisticName) -> FloatArray:
        """The named statistic, turned so that higher is more suspicious."""
        value_N: FloatArray = getattr(self, f"{name}_N")
        return -value_N if name in SUSPICIOUS_WHEN_LOW else value_N


STATISTICS = tuple(field.name.removesuffix("_N") for field in fields(CurveStatistics) if field.name.endswith("_N"))


class CurveAccumulator:
    """Takes one epoch after the other.

    The belief in other classes is kept in M = 4 slots a sample. An epoch's record names only the most probable other
    class, with p_j = p_y · exp(−m); that class adds its probability to its slot, or takes over the smallest slot. Every
    other class is taken to have had an even part of the rest, (1 − p_y − p_j) / (K − 2): without it, a class that is
    not the favourite in every epoch would be believed too little beside the given one, whose probability is in every
    record.
    That is exact where the rest is spread evenly and at most four classes are ever the favourite.

    Args:
        label_N: The labels that the losses were recorded against, in [0, ``classes``).
        classes: Number of classes.
        counted_N: The samples that tell how labels are confused; the others get their statistics all the same.
            Default: all.
        course: How the epochs follow each other. Default: they are of one network's training.
    """

    def __init__(
        self,
        label_N: IntArray,
        classes: int,
        *,
        counted_N: npt.NDArray[np.bool_] | None = None,
        course: Course | None = None,
    ) -> None:
        samples = len(label_N)
        self._label_N, self._classes, self._counted_N = label_N, classes, counted_N
        self._lateness = LATENESS if course is None else course.lateness
        self._trust = EpochTrust(samples, epochs=None if course is None else course.epochs)
        self._epochs = 0
        self._count_N = np.zeros(samples, dtype=np.int32)
        self._loss_N = np.zeros(samples)
        self._margin_N = np.zeros(samples)
        self._probability_N = np.zeros(samples)
        self._wrong_N = np.zeros(samples, dtype=np.int32)
        self._soft_wrong_N = np.zeros(samples)
        self._forgotten_N = np.zeros(samples, dtype=np.int32)
        self._was_right_N = np.zeros(samples, dtype=bool)
        self._slot_class_MN = np.full((_SLOTS, samples), -1, dtype=np.int32)
        # What a slot's class had beyond its even part of the rest, in the epochs in which it was named.
        self._slot_mass_MN = np.zeros((_SLOTS, samples), dtype=np.float32)
        self._rest_N = np.zeros(samples)
        # Weighted with the trust in their epochs: the belief in the given class, the margins, and the sum of weights.
        self._given_N, self._trusted_margin_N, self._trust_N = np.zeros((3, samples))
        # Likewise, and with how late they are.
        self._late_margin_N, self._late_N = np.zeros((2, samples))

    def add(
        self,
        sample_R: IntArray,
        loss_R: npt.NDArray[np.float32],
        margin_R: npt.NDArray[np.float32],
        alternative_R: IntArray,
    ) -> None:
        """Add one epoch's records; a sample may appear at most once.

        Raises:
            ValueError: a sample number is out of range or appears twice.
        """
        samples = len(self._count_N)
        rising = bool((sample_R[1:] > sample_R[:-1]).all())
        _check_samples(sample_R, samples, rising)
        if rising and len(sample_R) == samples:
            present_N = np.ones(samples, dtype=bool)
            loss_N, margin_N, alternative_N = loss_R, margin_R, alternative_R
        else:
            present_N = _spread(np.ones(len(sample_R), dtype=bool), sample_R, samples)
            loss_N, margin_N = _spread(loss_R, sample_R, samples), _spread(margin_R, sample_R, samples)
            alternative_N = _spread(alternative_R, sample_R, samples)
        late = float(self._trust.number**self._lateness)
        trust = self._trust.add(present_N, margin_N)
        for first in range(0, samples, _BLOCK):
            block = slice(first, first + _BLOCK)
            self._add_block(
                block, present_N[block], loss_N[block], margin_N[block], alternative_N[block], trust, late * trust
            )
        self._epochs += 1

    @property
    def last_wrong_N(self) -> npt.NDArray[np.bool_]:
        """True where the last record of a sample predicted another class than the given one."""
        return (self._count_N > 0) & ~self._was_right_N

    def result(self) -> CurveStatistics:
        """The statistics so far. AUL is scaled to the full number of epochs for samples that miss some."""
        count_N = self._count_N
        seen_N = count_N > 0
        divisor_N = np.where(seen_N, count_N, np.nan)
        wrong_N = self._wrong_N / divisor_N
        forgotten_N = np.where(self._wrong_N == count_N, self._epochs, self._forgotten_N)
        trust_N = np.where(seen_N, self._trust_N, np.nan)
        beliefs = Beliefs(
            given_N=self._given_N / trust_N,
            class_MN=self._slot_class_MN.copy(),
            other_MN=(self._slot_mass_MN + np.where(self._slot_class_MN >= 0, self._rest_N, 0.0)) / trust_N,
            rest_N=self._rest_N / trust_N,
        )
        joint = confident_joint(self._label_N, beliefs, self._classes, counted_N=self._counted_N)
        counted_N = seen_N if self._counted_N is None else seen_N & self._counted_N
        log_odds_N = cell_log_odds(self._label_N, beliefs.alternative_N, joint, counted_N=counted_N)
        # What a training that memorised knew best it knew in the middle.
        if self._trust.memorised_from is None:
            margin_N = self._late_margin_N / np.where(seen_N, self._late_N, np.nan)
        else:
            margin_N = self._trusted_margin_N / trust_N
        cell_share = min(max(2.0 * joint.structure - 1.0, _LEAST_CELL_SHARE), _MOST_CELL_SHARE)
        return CurveStatistics(
            aul_N=self._loss_N / divisor_N * self._epochs,
            aum_N=self._margin_N / divisor_N,
            mean_probability_N=self._probability_N / divisor_N,
            misprediction_rate_N=wrong_N,
            soft_misprediction_rate_N=self._soft_wrong_N / divisor_N,
            forgetting_count_N=np.where(seen_N, forgotten_N, np.nan),
            cell_margin_N=margin_N - cell_share * log_odds_N,
            beliefs=beliefs,
            joint=joint,
            epochs=self._epochs,
            memorised_from=self._trust.memorised_from,
        )

    def _add_block(
        self,
        block: slice,
        present_B: npt.NDArray[np.bool_],
        loss_B: npt.NDArray[np.float32],
        margin_B: npt.NDArray[np.float32],
        alternative_B: IntArray,
        trust: float,
        weight: float,
    ) -> None:
        loss_B64, margin_B64 = loss_B.astype(np.float64), margin_B.astype(np.float64)
        wrong_B = present_B & ~(margin_B > 0)
        was_right_B = self._was_right_N[block]
        self._count_N[block] += present_B
        self._loss_N[block] += loss_B64
        self._margin_N[block] += margin_B64
        self._trusted_margin_N[block] += trust * margin_B64
        self._late_margin_N[block] += weight * margin_B64
        self._late_N[block] += weight * present_B
        self._trust_N[block] += trust * present_B
        given_B = np.exp(-loss_B64) * present_B
        self._probability_N[block] += given_B
        self._given_N[block] += trust * given_B
        self._wrong_N[block] += wrong_B
        self._soft_wrong_N[block] += present_B / (1.0 + np.exp(np.minimum(_SHARPNESS * margin_B64, 700.0)))
        self._forgotten_N[block] += was_right_B & wrong_B
        self._was_right_N[block] = np.where(present_B, ~wrong_B, was_right_B)
        # log p_j = log p_y − m; the exponent is at most 0, so nothing overflows.
        belief_B = np.exp(np.minimum(-loss_B64 - margin_B64, 0.0)) * present_B
        rest_B = np.maximum(present_B - given_B - belief_B, 0.0) / max(self._classes - 2, 1)
        self._rest_N[block] += trust * rest_B
        class_MB = self._slot_class_MN[:, block]
        # Nothing is added to a class that is known already.
        named_B = np.where(present_B, alternative_B, class_MB[0])
        _believe(class_MB, self._slot_mass_MN[:, block], named_B, trust * (belief_B - rest_B))


def _believe(
    class_MB: IntArray, mass_MB: npt.NDArray[np.float32], alternative_B: IntArray, belief_B: FloatArray
) -> None:
    """Add the belief in one other class each to its slot, in place; a class without one takes over the smallest."""
    same_MB = class_MB == alternative_B
    mass_MB += np.where(same_MB, belief_B, 0.0)
    new_B = np.flatnonzero(~same_MB.any(axis=0))
    slot_B = mass_MB[:, new_B].argmin(axis=0)
    class_MB[slot_B, new_B] = alternative_B[new_B]
    mass_MB[slot_B, new_B] = belief_B[new_B]


def _spread(value_R: npt.NDArray[Scalar], sample_R: IntArray, samples: int) -> npt.NDArray[Scalar]:
    """The values at their samples, 0 elsewhere: [N]."""
    value_N = np.zeros(samples, dtype=value_R.dtype)
    value_N[sample_R] = value_R
    return value_N


def _check_samples(sample_R: IntArray, samples: int, rising: bool) -> None:
    if len(sample_R) == 0:
        return
    if sample_R.min() < 0 or sample_R.max() >= samples:
        raise ValueError(f"sample numbers must be in 0 … {samples - 1}")
    if not rising and np.bincount(sample_R, minlength=samples).max() > 1:
        raise ValueError("a sample appears twice in one epoch")
