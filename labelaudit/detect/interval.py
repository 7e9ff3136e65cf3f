"""Where the noise rate lies: between what the probe is sure of and what it leans to.

Shapes: N samples.
"""

from __future__ import annotations

import math

import numpy as np

from labelaudit.detect.confident import confident_joint
from labelaudit.detect.estimators import Estimate
from labelaudit.detect.evidence import Evidence

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


def noise_interval(evidence: Evidence, estimate: Estimate) -> tuple[float, float]:
    """An interval around an estimate, [low, high].

    low: the share of samples of which the probe is sure that they belong to another class, when only half of what the
    records leave open is counted (`labelaudit.detect.confident.Beliefs.cautious`); all others are taken to be right.
    high: those of which it is sure when all of it is counted, and those of which it is sure of no class, but believes
    another one more than the given one. Both are widened by Wilson's 95% interval for the number of samples.

    Random flips are mostly among the sure ones, errors that look alike among those it leans to: so the ends also say
    what the rate would be if the errors were all of one sort. How often the interval held the truth is in
    docs/accuracy.md.

    An estimate from controls has their own interval: from errors like those of confused classes to errors that look
    alike.

    Args:
        evidence: Of N samples.
        estimate: The chosen one.
    """
    ends = [(tail.low, tail.high) for tail in estimate.tails.values()] or [_bracket(evidence)]
    if "confusion" in estimate.tails and len(estimate.tails) > 1:
        ends = [(tail.low, tail.high) for kind, tail in estimate.tails.items() if kind != "random"]
    return min(estimate.noise_rate, *(low for low, _ in ends)), max(estimate.noise_rate, *(high for _, high in ends))


def _bracket(evidence: Evidence) -> tuple[float, float]:
    own_N, label_N = evidence.own_N, evidence.label_N
    beliefs, joint = evidence.statistics.beliefs, evidence.statistics.joint
    cautious = confident_joint(label_N, beliefs.cautious, joint.classes, counted_N=own_N)
    least_N = own_N & (cautious.class_N >= 0) & (cautious.class_N != label_N)
    class_N = joint.class_N
    sure_N = own_N & (class_N >= 0) & (class_N != label_N)
    with np.errstate(invalid="ignore"):
        leans_N = own_N & (class_N < 0) & (beliefs.alternative_belief_N > beliefs.given_N)
    samples = int(own_N.sum())
    return wilson(int(least_N.sum()), samples)[0], wilson(int((sure_N | leans_N).sum()), samples)[1]
