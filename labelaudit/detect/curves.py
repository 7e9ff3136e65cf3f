"""Statistics of loss curves, in one pass over the epochs and memory that does not grow with their number.

For sample i with given label y, loss ℓ_e = −log p_e(y) and margin m_e = z_y − max_{j≠y} z_j in epoch e of T:

| statistic | formula | suspicious when | source |
|---|---|---|---|
| ``aul`` | Σ_e ℓ_e | high | "Detecting label noise from loss curves", section 3 |
| ``aum`` | (1/T) Σ_e m_e | low | Pleiss et al. 2020, eq. 2 |
| ``mean_probability`` | (1/T) Σ_e p_e(y) | low | the confidence of Swayamdipta et al. 2020 |
| ``misprediction_rate`` | (1/T) Σ_e 1[prediction ≠ y] | high | 1 − correctness of the same |
| ``soft_misprediction_rate`` | (1/T) Σ_e σ(−4 m_e) | high | the same with a soft step |
| ``forgetting_count`` | Σ_e 1[right in e − 1, wrong in e]; T if never right | high | Toneva et al. 2019 |
| ``log_odds`` | log-odds of P(mislabeled) | high | `labelaudit.detect.transition` |

With several heads on a frozen backbone ℓ, m and p are held out: of the head that is not trained on the sample.

Beliefs are mean probabilities, weighted with the trust in each epoch (`EpochTrust`).

Shapes: N samples, R of them with a record, the same in every epoch, B samples of one block, M belief slots.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any, get_args

import numpy as np
import numpy.typing as npt

from labelaudit.detect import BoolArray, Float32Array, FloatArray, IntArray, NumberArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import Beliefs, ConfidentJoint, confident_joint
from labelaudit.detect.transition import Transition, fit_transition
from labelaudit.names import StatisticName

STATISTICS: tuple[StatisticName, ...] = get_args(StatisticName)
SUSPICIOUS_WHEN_LOW = frozenset({"aum", "mean_probability"})


@dataclass(frozen=True, kw_only=True)
class Course:
    """How the epochs of a recording follow each other.

    Attributes:
        epochs: Of one training.
        members: Trainings that were recorded one after the other.
        held_out: Every sample was recorded by a network that was not trained on it.
    """

    epochs: int
    members: int = 1
    held_out: bool = False

    @property
    def recorded(self) -> int:
        """Epochs of all trainings."""
        return self.epochs * self.members


class EpochTrust:
    """Tells memorizing from learning, epoch by epoch, from the recorded margins alone.

    In each epoch e, the *doubted* samples are those with Σ_{f<e} f · m_f < 0: until then the probe spoke against their
    labels, and the later the more it counts. Their *doubt* is max(0, −Σ m_e) / R, times the share of samples that are
    not doubted, as a probe that doubts everything has not learned yet. An epoch's trust is 1 as long as the doubt
    grows, and else what is left of the largest doubt so far.

    After ``epochs`` another training begins, which is judged by itself.
    """

    def __init__(self, epochs: int) -> None:
        self._epochs = epochs
        self._seen = 0
        self._largest = 0.0
        self._weighted_R = np.empty(0)
        self.memorized_from: int | None = None
        """The number of the epoch from which on less than a quarter of the doubt is left; None where more is."""

    @property
    def number(self) -> int:
        """The number, from 1, that the next epoch has in its training."""
        return 1 + self._seen % self._epochs

    def add(self, margin_R: Float32Array) -> float:
        """Return the trust in the next epoch, in (0, 1]."""
        if self.number == 1:
            self.memorized_from, self._largest = None, 0.0
            self._weighted_R = np.zeros(len(margin_R))
        bounded_R = np.clip(margin_R, -c.LARGEST_MARGIN, c.LARGEST_MARGIN).astype(np.float64)
        doubted_R, samples = self._weighted_R < 0, max(len(margin_R), 1)
        learned = 1.0 - np.count_nonzero(doubted_R) / samples
        doubt = max(0.0, -float(bounded_R[doubted_R].sum())) / samples * learned
        self._largest = max(self._largest, doubt)
        trust = 1.0 - (self._largest - doubt) / max(self._largest, c.LEAST_DOUBT)
        if trust >= c.MEMORIZED_BELOW:
            self.memorized_from = None
        elif self.memorized_from is None:
            self.memorized_from = self.number
        self._weighted_R += self.number * bounded_R
        self._seen += 1
        return max(trust, c.LEAST_TRUST)


@dataclass(frozen=True, kw_only=True)
class CurveStatistics:
    """What the losses of N samples say; NaN (−1 for integers) where a sample has no record.

    Attributes:
        label_N: The given labels.
        last_wrong_N: True where the last record of a sample predicted another class than the given one.
        beliefs: The probe's mean probabilities of the given class and of the others that it believed in.
        joint: How given and true labels go together, counted from held-out beliefs, or from these if there are none.
        transition: The noise transition model fitted to them.
        held_out: The same model of the held-out beliefs alone; None where there are none.
        memorized_from: See `EpochTrust`.
    """

    label_N: IntArray
    last_wrong_N: BoolArray
    aul_N: FloatArray
    aum_N: FloatArray
    mean_probability_N: FloatArray
    misprediction_rate_N: FloatArray
    soft_misprediction_rate_N: FloatArray
    forgetting_count_N: FloatArray
    log_odds_N: FloatArray
    beliefs: Beliefs
    joint: ConfidentJoint
    transition: Transition
    epochs: int
    held_out: Transition | None = None
    memorized_from: int | None = None

    @property
    def seen_N(self) -> BoolArray:
        """True for samples with a record."""
        seen_N: BoolArray = np.isfinite(self.aul_N)
        return seen_N

    def suspicion(self, name: StatisticName) -> FloatArray:
        """Return the named statistic, turned so that higher is more suspicious."""
        value_N: FloatArray = getattr(self, f"{name}_N")
        return -value_N if name in SUSPICIOUS_WHEN_LOW else value_N


class CurveAccumulator:
    """Takes one epoch after the other, with the same samples in each.

    The belief in other classes is kept in M = 4 slots for each sample. An epoch's record names only the most probable
    other class, with p_j = p_y · exp(−m); that class adds its probability to its slot, or takes over the smallest slot.
    Every other class is assumed to have had an even part of the rest, (1 − p_y − p_j) / (K − 2), which is exact where
    the rest is spread evenly and at most four classes are ever the favorite. ``label_N`` are the given labels.
    """

    def __init__(self, label_N: IntArray, classes: int, course: Course) -> None:
        self._label_N, self._classes, self._held_out = label_N, classes, course.held_out
        self._trust = EpochTrust(course.epochs)
        self._epochs, self._trusted = 0, 0.0
        self._begin(np.empty(0, dtype=np.int32))

    def _begin(self, sample_R: IntArray) -> None:
        samples = len(sample_R)
        self._sample_R = sample_R
        self._wrong_R, self._forgotten_R = np.zeros((2, samples), dtype=np.int32)
        self._loss_R, self._margin_R, self._probability_R, self._soft_wrong_R = np.zeros((4, samples))
        self._was_right_R = np.zeros(samples, dtype=bool)
        self._slot_class_MR = np.full((c.SLOTS, samples), -1, dtype=np.int32)
        # What a slot's class had beyond its even part of the rest, in the epochs in which it was named.
        self._slot_mass_MR = np.zeros((c.SLOTS, samples), dtype=np.float32)
        # Weighted with the trust in their epochs: the belief in the given class, and the rest.
        self._given_R, self._rest_R = np.zeros((2, samples))

    def add(self, sample_R: IntArray, loss_R: Float32Array, margin_R: Float32Array, alternative_R: IntArray) -> None:
        """Add one epoch's records, of the samples of the first epoch."""
        if self._epochs == 0:
            self._begin(sample_R)
        trust = self._trust.add(margin_R)
        for first in range(0, len(sample_R), c.SAMPLES_AT_ONCE):
            block = slice(first, first + c.SAMPLES_AT_ONCE)
            self._add_block(block, loss_R[block], margin_R[block], alternative_R[block], trust)
        self._trusted += trust
        self._epochs += 1

    def _of_all(self, value_R: npt.NDArray[Any], missing: float = np.nan) -> npt.NDArray[Any]:
        """Return the values of all samples, ``missing`` for those without a record: [..., N]."""
        value_N = np.full((*value_R.shape[:-1], len(self._label_N)), missing, dtype=value_R.dtype)
        value_N[..., self._sample_R] = value_R
        return value_N

    @property
    def beliefs(self) -> Beliefs:
        """The mean probabilities so far."""
        rest_MR = np.where(self._slot_class_MR >= 0, self._rest_R, 0.0)
        return Beliefs(
            given_N=self._of_all(self._given_R / self._trusted),
            class_MN=self._of_all(self._slot_class_MR, -1),
            other_MN=self._of_all((self._slot_mass_MR + rest_MR) / self._trusted),
            rest_N=self._of_all(self._rest_R / self._trusted),
        )

    def result(self, heads: CurveAccumulator | None = None) -> CurveStatistics:
        """Return the statistics so far, with held-out ``heads`` as a second witness of the noise transition model."""
        beliefs, others = self.beliefs, None if heads is None else heads.beliefs
        # Heads that have hardly begun to learn tell no rate.
        judges = None if others is None or others.certainty < c.LEAST_CERTAINTY else others
        joint = confident_joint(self._label_N, judges or beliefs, self._classes)

        def fit(*witnesses: Beliefs, held_out: bool = False) -> Transition:
            averaged = self._epochs > 1
            return fit_transition(self._label_N, witnesses, self._classes, held_out=held_out, averaged=averaged)

        if self._held_out:
            transition = fit(beliefs, held_out=True)
            held_out: Transition | None = transition
        else:
            # The label has taught the probe that judges it.
            own = replace(beliefs, given_N=beliefs.given_N * np.exp(-c.SELF_INFLUENCE))
            transition = fit(own) if others is None else fit(own, others)
            held_out = None if judges is None else fit(judges, held_out=True)

        def mean(sum_R: NumberArray | FloatArray) -> FloatArray:
            return self._of_all(sum_R / self._epochs)

        forgotten_R = np.where(self._wrong_R == self._epochs, self._epochs, self._forgotten_R)
        return CurveStatistics(
            label_N=self._label_N,
            last_wrong_N=self._of_all(~self._was_right_R, False),
            aul_N=self._epochs * mean(self._loss_R),
            aum_N=mean(self._margin_R),
            mean_probability_N=mean(self._probability_R),
            misprediction_rate_N=mean(self._wrong_R),
            soft_misprediction_rate_N=mean(self._soft_wrong_R),
            forgetting_count_N=self._of_all(forgotten_R.astype(np.float64)),
            log_odds_N=transition.log_odds_N,
            beliefs=beliefs,
            joint=joint,
            transition=transition,
            epochs=self._epochs,
            held_out=held_out,
            memorized_from=self._trust.memorized_from,
        )

    def _add_block(
        self, block: slice, loss_B: Float32Array, margin_B: Float32Array, alternative_B: IntArray, trust: float
    ) -> None:
        """Add one epoch's records of the samples in ``block``."""
        loss_B64, margin_B64 = loss_B.astype(np.float64), margin_B.astype(np.float64)
        wrong_B, given_B = ~(margin_B > 0), np.exp(-loss_B64)
        self._loss_R[block] += loss_B64
        self._margin_R[block] += margin_B64
        self._probability_R[block] += given_B
        self._given_R[block] += trust * given_B
        self._wrong_R[block] += wrong_B
        self._soft_wrong_R[block] += 1.0 / (1.0 + np.exp(np.minimum(c.STEP_SLOPE * margin_B64, 700.0)))
        self._forgotten_R[block] += self._was_right_R[block] & wrong_B
        self._was_right_R[block] = ~wrong_B
        # log p_j = log p_y − m; the exponent is at most 0, so nothing overflows.
        belief_B = np.exp(np.minimum(-loss_B64 - margin_B64, 0.0))
        rest_B = np.maximum(1.0 - given_B - belief_B, 0.0) / max(self._classes - 2, 1)
        self._rest_R[block] += trust * rest_B
        class_MB, mass_MB = self._slot_class_MR[:, block], self._slot_mass_MR[:, block]
        _believe(class_MB, mass_MB, alternative_B, trust * (belief_B - rest_B))


def _believe(class_MB: IntArray, mass_MB: Float32Array, alternative_B: IntArray, belief_B: FloatArray) -> None:
    """Add the belief in one other class each to its slot, in place; a class without one takes over the smallest."""
    same_MB = class_MB == alternative_B
    mass_MB += np.where(same_MB, belief_B, 0.0)
    new_B = np.flatnonzero(~same_MB.any(axis=0))
    slot_B = mass_MB[:, new_B].argmin(axis=0)
    class_MB[slot_B, new_B] = alternative_B[new_B]
    mass_MB[slot_B, new_B] = belief_B[new_B]
