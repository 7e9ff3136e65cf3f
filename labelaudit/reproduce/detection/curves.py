"""How well the loss tells wrong labels over the epochs, and how two networks agree (the AUL paper, Figures 2 to 5).

Shapes: N samples, E epochs.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.reproduce.detection.quality import rank_quality
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import read_epochs
from labelaudit.run.tables import read_controls

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class LossCurves:
    """What the losses of a training say, without the planted controls: their losses are against other labels.

    Attributes:
        loss_auroc: For each epoch, AUROC of its loss alone.
        aul_auroc: For each epoch, AUROC of the sum of the losses up to it.
        aul_N: The sum over all epochs; NaN for controls and without a record.
        last_loss_N: The loss of the last epoch; likewise.
    """

    loss_auroc: tuple[float, ...]
    aul_auroc: tuple[float, ...]
    aul_N: FloatArray
    last_loss_N: FloatArray


def read_loss_curves(run: RunFolder, wrong_N: BoolArray) -> LossCurves:
    """Read the losses of a trained run, epoch by epoch.

    Args:
        run: Where they lie.
        wrong_N: Which labels are wrong.

    Raises:
        RunError: they are damaged.
    """
    controls = read_controls(run.samples)
    own_N = np.ones(len(wrong_N), dtype=bool) if controls is None else ~controls.planted_N
    aul_N, last_loss_N = np.zeros(len(wrong_N)), np.full(len(wrong_N), np.nan)
    loss_auroc, aul_auroc = [], []
    for record in read_epochs(run.losses):
        last_loss_N = np.full(len(wrong_N), np.nan)
        last_loss_N[record.sample_R] = record.loss_R
        last_loss_N[~own_N] = np.nan
        aul_N = aul_N + last_loss_N
        loss_auroc.append(_auroc(wrong_N, last_loss_N))
        aul_auroc.append(_auroc(wrong_N, aul_N))
    return LossCurves(loss_auroc=tuple(loss_auroc), aul_auroc=tuple(aul_auroc), aul_N=aul_N, last_loss_N=last_loss_N)


def correlation(one_N: FloatArray, other_N: FloatArray) -> float:
    """Pearson's correlation over the samples that both have; NaN where one of them does not vary."""
    both_N = np.isfinite(one_N) & np.isfinite(other_N)
    one, other = one_N[both_N], other_N[both_N]
    if len(one) < 2 or np.ptp(one) == 0 or np.ptp(other) == 0:
        return float("nan")
    return float(np.corrcoef(one, other)[0, 1])


def _auroc(wrong_N: BoolArray, suspicion_N: FloatArray) -> float:
    seen_N = np.isfinite(suspicion_N)
    return rank_quality(wrong_N[seen_N], suspicion_N[seen_N]).auroc
