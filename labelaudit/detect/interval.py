"""Where the noise rate lies: between what the probe is sure of and what it leans to.

Shapes: N samples.
"""

from __future__ import annotations

import numpy as np

from labelaudit.detect.confident import confident_joint
from labelaudit.detect.estimators import Estimate
from labelaudit.detect.evidence import Evidence
from labelaudit.detect.wilson import wilson


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
