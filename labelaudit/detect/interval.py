"""Where the noise rate lies: between what the probe is sure of and what it leans to.

Shapes: N samples.
"""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from labelaudit.detect.estimators import Estimate
from labelaudit.detect.evidence import Evidence
from labelaudit.names import ControlKind, EstimatorName

_NORMAL_95 = 1.959964
"""97.5% quantile of the standard normal distribution."""


def noise_interval(
    evidence: Evidence, estimate: Estimate, estimates: Mapping[EstimatorName, Estimate]
) -> tuple[float, float]:
    """An interval around an estimate, [low, high].

    low: the share of samples of which the probe is sure that they belong to another class; all others are taken to be
    right. high: also those of which it is sure of no class, but believes another one more than the given one. Both are
    widened by Wilson's 95% interval for the number of samples, and further where the estimate itself, or the controls,
    say so: ``confusion`` controls the lower end, ``look-alike`` controls the upper one.

    Random flips are mostly among the sure ones, errors that look alike among those it leans to: so the ends also say
    what the rate would be if the errors were all of one sort. How often the interval held the truth is in
    docs/accuracy.md.

    Args:
        evidence: Of N samples.
        estimate: The chosen one.
        estimates: By all estimators.
    """
    own_N, beliefs = evidence.own_N, evidence.statistics.beliefs
    class_N = evidence.statistics.joint.class_N
    sure_N = own_N & (class_N >= 0) & (class_N != evidence.label_N)
    with np.errstate(invalid="ignore"):
        leans_N = own_N & (class_N < 0) & (beliefs.alternative_belief_N > beliefs.given_N)
    samples = int(own_N.sum())
    low = wilson(int(sure_N.sum()), samples)[0]
    high = wilson(int((sure_N | leans_N).sum()), samples)[1]
    tails = estimates["controls"].tails if "controls" in estimates else {}
    lower_kind: ControlKind = "confusion" if "confusion" in tails else "random"
    if lower_kind in tails:
        low = min(low, tails[lower_kind].low)
    if "look-alike" in tails:
        high = max(high, tails["look-alike"].high)
    return min(low, estimate.noise_rate), max(high, estimate.noise_rate)


def wilson(count: int, samples: int) -> tuple[float, float]:
    """Wilson's 95% interval of a share (Wilson 1927), which stays in [0, 1] for few samples too."""
    if samples == 0:
        return 0.0, 1.0
    share, z2 = count / samples, _NORMAL_95**2
    middle = share + z2 / (2 * samples)
    spread = _NORMAL_95 * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2))
    low, high = ((middle + sign * spread) / (1 + z2 / samples) for sign in (-1, 1))
    return (0.0 if count == 0 else max(0.0, low)), (1.0 if count == samples else min(1.0, high))
