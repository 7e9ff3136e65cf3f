"""Learning rates as a function of how much of a training is done."""

from __future__ import annotations

import math
from collections.abc import Sequence

from labelaudit.names import ScheduleName

LATE = 0.4
"""Where ``late-linear`` starts to fall: epoch 80 of 200, Co-Teaching's for CIFAR-10."""

_STEP = ((0.5, 0.1), (0.75, 0.1**2))


def rate_factor(name: ScheduleName, done: float, milestones: Sequence[tuple[float, float]] = ()) -> float:
    """Factor on the base learning rate.

    Args:
        name: ``constant`` 1 (the AUL paper's probe); ``step`` ×0.1 at 1/2 and again at 3/4 (He et al. 2016: epochs 150
            and 225 of 300); ``linear`` 1 → 0; ``cosine`` half a cosine 1 → 0; ``one-cycle`` 0.1 → 1 over the first
            fifth, then linearly to 0; ``late-linear`` 1 up to `LATE`, then linearly to 0; ``milestones`` see there.
        done: Share of the training's steps that are done, in [0, 1).
        milestones: Of the schedule of that name: (share done, factor from there on), in order; 1 before the first.
    """
    match name:
        case "linear":
            return 1.0 - done
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))
        case "one-cycle":
            return 0.1 + 4.5 * done if done < 0.2 else 1.25 * (1.0 - done)
        case "late-linear":
            return min(1.0, (1.0 - done) / (1.0 - LATE))
    if name == "step":
        milestones = _STEP
    return next((factor for start, factor in reversed(milestones) if done >= start), 1.0)


def has_turned(name: ScheduleName, done: float) -> bool:
    """True once the rate of ``late-linear`` falls."""
    return name == "late-linear" and done >= LATE
