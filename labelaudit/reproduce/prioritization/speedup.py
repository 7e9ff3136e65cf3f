"""How much sooner a way of training reaches an error.

Shapes: E epochs, S seeds.
"""

from __future__ import annotations

import math

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]

TARGET = 1.2
"""The error to reach, as a multiple of the best of standard training."""


def first_cost(error_E: FloatArray, cost_E: FloatArray, target: float) -> float:
    """The cost at the end of the first epoch whose error is at most ``target``; NaN if there is none.

    Args:
        error_E: After each epoch.
        cost_E: Spent up to the end of each epoch.
        target: The error to reach.
    """
    reached_E = np.flatnonzero(error_E <= target)
    return float(cost_E[reached_E[0]]) if len(reached_E) else math.nan


def speedup(
    standard: tuple[FloatArray, FloatArray], method: tuple[FloatArray, FloatArray], *, multiple: float = TARGET
) -> float:
    """Cost of standard training to its target, over the method's to the same; NaN if that never gets there.

    The target is ``multiple`` times the best error of standard training: on the test data, which so have a say in when
    a training counts as done.

    Args:
        standard: Its errors and its costs, [E] each.
        method: Those of the other one.
        multiple: See above.
    """
    target = multiple * float(standard[0].min())
    return first_cost(*standard, target) / first_cost(*method, target)


def oversampling(share_E: FloatArray, rate: float) -> float:
    """Mean share of corrupted samples among those that were back-propagated, over their share in the data."""
    return float(np.nanmean(share_E)) / rate if rate > 0 else math.nan
