"""The interval of a share."""

from __future__ import annotations

import math

_NORMAL_95 = 1.959964
"""97.5% quantile of the standard normal distribution."""


def wilson(count: float, samples: int) -> tuple[float, float]:
    """Wilson's 95% interval of the share ``count`` / ``samples``.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), Wilson 1927. It stays in [0, 1] for few samples and for shares
    near 0 and 1, where the normal approximation does not.

    Args:
        count: In [0, ``samples``]; a sum of probabilities will do.
        samples: n.
    """
    if samples == 0:
        return 0.0, 1.0
    share, z2 = count / samples, _NORMAL_95**2
    middle = share + z2 / (2 * samples)
    spread = _NORMAL_95 * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2))
    low, high = ((middle + sign * spread) / (1 + z2 / samples) for sign in (-1, 1))
    # What rounding would leave at the ends exceeds a limit of 0.
    return (0.0 if count == 0 else max(0.0, low)), (1.0 if count == samples else min(1.0, high))
