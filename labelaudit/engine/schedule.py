"""Learning rates as a function of how much of a training is done."""

from __future__ import annotations

import math

from labelaudit.names import ScheduleName


def rate_factor(name: ScheduleName, done: float) -> float:
    """Factor on the base learning rate.

    Args:
        name: ``constant`` 1 (the AUL paper's probe); ``step`` ×0.1 at 1/2 and again at 3/4 (He et al. 2016: epochs 150
            and 225 of 300); ``linear`` 1 → 0; ``cosine`` half a cosine 1 → 0; ``one-cycle`` 0.1 → 1 over the first
            fifth, then linearly to 0.
        done: Share of the training's steps that are done, in [0, 1).
    """
    match name:
        case "constant":
            return 1.0
        case "step":
            return 0.1 ** ((done >= 0.5) + (done >= 0.75))
        case "linear":
            return 1.0 - done
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))
        case "one-cycle":
            return 0.1 + 4.5 * done if done < 0.2 else 1.25 * (1.0 - done)
