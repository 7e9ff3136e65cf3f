"""Statistics of loss curves, in one pass over the epochs and memory that does not grow with their number.

Shapes: N samples, R records of one epoch, M belief slots.

For sample i with given label y, loss ℓ_e = −log p_e(y) and margin m_e = z_y − max_{j≠y} z_j in epoch e of T:

| statistic | formula | suspicious when | source |
|---|---|---|---|
| ``aul`` | Σ_e ℓ_e | high | "Detecting label noise from loss curves", section 3 |
| ``aum`` | (1/T) Σ_e m_e | low | Pleiss et al. 2020, eq. 2 |
| ``mean_probability`` | (1/T) Σ_e p_e(y) | low | the confidence of Swayamdipta et al. 2020 |
| ``misprediction_rate`` | (1/T) Σ_e 1[prediction ≠ y] | high | 1 − correctness of the same |
| ``forgetting_count`` | Σ_e 1[right in e − 1, wrong in e]; T if never right | high | Toneva et al. 2019 |
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np
import numpy.typing as npt

from labelaudit.names import StatisticName

FloatArray = npt.NDArray[np.float64]
IntArray = npt.NDArray[np.int32]

SUSPICIOUS_WHEN_LOW = frozenset({"aum", "mean_probability"})
_SLOTS = 4


@dataclass(frozen=True, kw_only=True)
class CurveStatistics:
    """Statistics of N samples; NaN (−1 for integers) where a sample has no record.

    ``alternative_N`` is the class other than the given one that the probe believed most over the training, and
    ``belief_N`` its mean probability.
    """

    aul_N: FloatArray
    aum_N: FloatArray
    mean_probability_N: FloatArray
    misprediction_rate_N: FloatArray
    forgetting_count_N: FloatArray
    alternative_N: IntArray
    belief_N: FloatArray
    epochs: int

    def suspicion(self, name: StatisticName) -> FloatArray:
        """The named statistic, turned so that higher is more suspicious."""
        value_N: FloatArray = getattr(self, f"{name}_N")
        return -value_N if name in SUSPICIOUS_WHEN_LOW else value_N


STATISTICS = tuple(
    field.name.removesuffix("_N")
    for field in fields(CurveStatistics)
    if field.name not in ("epochs", "alternative_N", "belief_N")
)


class CurveAccumulator:
    """Takes one epoch after the other.

    The belief in other classes is kept in M = 4 slots a sample: in each epoch the most probable other class adds its
    probability p_j = p_y · exp(−m) to its slot, or takes over the smallest slot. That is exact for a sample whose most
    probable other class is one of at most four over the training.

    Args:
        samples: N, the number of rows of samples.parquet.
    """

    def __init__(self, samples: int) -> None:
        self._epochs = 0
        self._count_N = np.zeros(samples, dtype=np.int32)
        self._loss_N = np.zeros(samples)
        self._margin_N = np.zeros(samples)
        self._probability_N = np.zeros(samples)
        self._wrong_N = np.zeros(samples, dtype=np.int32)
        self._forgotten_N = np.zeros(samples, dtype=np.int32)
        self._was_right_N = np.zeros(samples, dtype=bool)
        self._slot_class_NM = np.full((samples, _SLOTS), -1, dtype=np.int32)
        self._slot_mass_NM = np.zeros((samples, _SLOTS), dtype=np.float32)

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
        _check_samples(sample_R, len(self._count_N))
        loss_R64, margin_R64 = loss_R.astype(np.float64), margin_R.astype(np.float64)
        right_R = margin_R > 0
        probability_R = np.exp(-loss_R64)
        self._count_N[sample_R] += 1
        self._loss_N[sample_R] += loss_R64
        self._margin_N[sample_R] += margin_R64
        self._probability_N[sample_R] += probability_R
        self._wrong_N[sample_R] += ~right_R
        self._forgotten_N[sample_R] += self._was_right_N[sample_R] & ~right_R
        self._was_right_N[sample_R] = right_R
        # log p_j = log p_y − m; the exponent is at most 0, so nothing overflows.
        self._believe(sample_R, alternative_R, np.exp(np.minimum(-loss_R64 - margin_R64, 0.0)))
        self._epochs += 1

    def result(self) -> CurveStatistics:
        """The statistics so far. AUL is scaled to the full number of epochs for samples that miss some."""
        count_N = self._count_N
        seen_N = count_N > 0
        divisor_N = np.where(seen_N, count_N, np.nan)
        wrong_N = self._wrong_N / divisor_N
        forgotten_N = np.where(self._wrong_N == count_N, self._epochs, self._forgotten_N)
        best_N = self._slot_mass_NM.argmax(axis=1)
        rows_N = np.arange(len(count_N))
        return CurveStatistics(
            aul_N=self._loss_N / divisor_N * self._epochs,
            aum_N=self._margin_N / divisor_N,
            mean_probability_N=self._probability_N / divisor_N,
            misprediction_rate_N=wrong_N,
            forgetting_count_N=np.where(seen_N, forgotten_N, np.nan),
            alternative_N=self._slot_class_NM[rows_N, best_N],
            belief_N=self._slot_mass_NM[rows_N, best_N] / divisor_N,
            epochs=self._epochs,
        )

    def _believe(self, sample_R: IntArray, class_R: IntArray, mass_R: FloatArray) -> None:
        slot_class_RM = self._slot_class_NM[sample_R]
        slot_mass_RM = self._slot_mass_NM[sample_R]
        same_RM = slot_class_RM == class_R[:, None]
        known_R = same_RM.any(axis=1)
        slot_R = np.where(known_R, same_RM.argmax(axis=1), slot_mass_RM.argmin(axis=1))
        rows_R = np.arange(len(sample_R))
        before_R = np.where(known_R, slot_mass_RM[rows_R, slot_R], 0.0)
        self._slot_class_NM[sample_R, slot_R] = class_R
        self._slot_mass_NM[sample_R, slot_R] = before_R + mass_R


def _check_samples(sample_R: IntArray, samples: int) -> None:
    if len(sample_R) == 0:
        return
    if sample_R.min() < 0 or sample_R.max() >= samples:
        raise ValueError(f"sample numbers must be in 0 … {samples - 1}")
    if np.bincount(sample_R, minlength=samples).max() > 1:
        raise ValueError("a sample appears twice in one epoch")
