"""The theory of detection, in the four steps that every audit runs: score → rate → probability → interval.

A probe is trained on the given labels and its losses are recorded. `labelaudit.detect.curves` sums them up for each
sample: a mean margin, and *beliefs*, the mean probabilities of the classes. `labelaudit.detect.confident` counts from
the beliefs how given and true labels go together, the *joint*. From these:

1. **score**: the mean margin, less what the joint says about the sample's given label and its favorite other class;
2. **rate**: the share of the joint where given and true label differ;
3. **probability**: a logistic curve in the score whose mean over the samples is the rate;
4. **interval**: from the errors of which the probe is sure to those that it also suspects.

The constants are in `labelaudit.detect.constants`. Shapes: N samples.
"""

from __future__ import annotations

import math
import warnings

import numpy as np

from labelaudit.detect import BoolArray, FloatArray, IntArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import Beliefs, ConfidentJoint, cell_log_odds, confident_joint


def cell_margin(
    margin_N: FloatArray, label_N: IntArray, beliefs: Beliefs, joint: ConfidentJoint, counted_N: BoolArray
) -> FloatArray:
    """Return the score by which the default ranks, low = suspicious: margin − λ · log-odds of the sample's cell.

    The more structured the errors, the more a cell says: λ = 2 · structure − 1, within bounds.
    """
    share = min(max(2.0 * joint.structure - 1.0, c.LEAST_CELL_SHARE), c.MOST_CELL_SHARE)
    return margin_N - share * cell_log_odds(label_N, beliefs.alternative_N, joint, counted_N)


def noise_rate(joint: ConfidentJoint, bounds: tuple[float, float] | None) -> float:
    """Return the share of wrong labels: that of the joint off its diagonal.

    Hard images make it too high. Where the errors are spread evenly, random controls are errors of the same sort, so
    the rate is kept in their interval ``bounds``, as far as the errors are even.
    """
    rate = joint.noise_rate
    return rate if bounds is None else rate + joint.evenness * (float(np.clip(rate, *bounds)) - rate)


def probability(
    suspicion_N: FloatArray,
    sure_N: BoolArray,
    wrong_N: BoolArray,
    rate: float,
    *,
    evenness: float = 0.0,
    counted_N: BoolArray | None = None,
) -> FloatArray:
    """Return P(mislabeled) = σ(a + b · suspicion), b ≥ 0: [N], NaN where the suspicion is not finite.

    b is the slope of a logistic regression on the samples of which the probe is sure. Under even errors these are told
    apart more easily than the others, so the curve is flatter. a makes the mean over the counted samples the rate.

    Args:
        suspicion_N: High = suspicious.
        sure_N: Samples of which the probe is sure.
        wrong_N: Whether it is sure of another class than the given one.
        rate: The share of wrong labels among the counted samples, in [0, 1].
        evenness: How even the errors are, in [0, 1].
        counted_N: The others get a probability from the same curve. Default: all.
    """
    from scipy.special import expit

    finite_N = np.isfinite(suspicion_N)
    counted_N = finite_N if counted_N is None else finite_N & counted_N
    teach_N = finite_N & sure_N
    p_N = np.where(finite_N, 0.0, np.nan)
    if not counted_N.any():
        return np.full(len(p_N), np.nan)
    if rate <= math.exp(-c.FARTHEST_LOGIT) or not wrong_N[teach_N].any():
        return p_N
    # Scores in units of the spread of the middle half, from the median: far outliers must not set the unit.
    low, center, high = np.quantile(suspicion_N[counted_N], [0.25, 0.5, 0.75])
    spread = high - low if high > low else suspicion_N[counted_N].std()
    spread = max(spread, c.LEAST_SPREAD * np.ptp(suspicion_N[counted_N])) or 1.0
    scaled_N = (suspicion_N - center) / spread
    slope = _slope(scaled_N[teach_N], wrong_N[teach_N]) * (1.0 - evenness * c.FLATTER_WHEN_EVEN)
    logit_N = slope * scaled_N
    p_N[finite_N] = expit(logit_N[finite_N] + offset(logit_N[counted_N], rate))
    return p_N


def _slope(value_N: FloatArray, wrong_N: BoolArray) -> float:
    """Return the slope of a logistic regression, at least 0."""
    from sklearn.linear_model import LogisticRegression

    if wrong_N.all():
        return 0.0
    # The constant column is an intercept with the same small penalty as the slope.
    design_N2 = np.stack([np.ones(len(value_N)), value_N], axis=1)
    model = LogisticRegression(C=1 / c.RIDGE, fit_intercept=False, solver="newton-cholesky", tol=1e-14)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # far outliers: rounding limits the precision
        model.fit(design_N2, wrong_N)
    return max(float(model.coef_[0, 1]), 0.0)


def offset(logit_N: FloatArray, rate: float) -> float:
    """Return what every logit needs so that the mean probability is the rate."""
    from scipy.optimize import brentq
    from scipy.special import expit

    ends = -c.FARTHEST_LOGIT - logit_N.max(), c.FARTHEST_LOGIT - logit_N.min()
    return float(brentq(lambda offset: expit(logit_N + offset).mean() - rate, *ends, xtol=1e-13))


def noise_interval(label_N: IntArray, beliefs: Beliefs, joint: ConfidentJoint, own_N: BoolArray) -> tuple[float, float]:
    """Return the interval [low, high] of the noise rate that the probe's beliefs allow.

    - **low end**: Wilson's lower limit of the share of samples that the probe is sure belong to another class, when
      only half of what the records leave open counts (`Beliefs.cautious`);
    - **high end**: Wilson's upper limit of the same when all of that counts, plus the samples without a sure class but
      with more belief in another class than in the given one.

    Random flips are mostly among the sure ones, look-alikes among the others: so the ends also say what the rate would
    be if all errors were of one sort. `Estimate.interval` widens it where needed so that it contains the estimate.
    docs/accuracy.md says how often it held the truth.
    """
    cautious = confident_joint(label_N, beliefs.cautious, joint.classes, counted_N=own_N).class_N
    sure_N = (joint.class_N >= 0) & (joint.class_N != label_N)
    with np.errstate(invalid="ignore"):
        leans_N = (joint.class_N < 0) & (beliefs.alternative_belief_N > beliefs.given_N)
    least = int((own_N & (cautious >= 0) & (cautious != label_N)).sum())
    most, samples = int((own_N & (sure_N | leans_N)).sum()), int(own_N.sum())
    return wilson(least, samples)[0], wilson(most, samples)[1]


def wilson(count: float, samples: int) -> tuple[float, float]:
    """Return Wilson's 95% interval of the share ``count`` / ``samples``.

    (p + z²/2n ± z √(p(1−p)/n + z²/4n²)) / (1 + z²/n), Wilson 1927. SciPy's takes whole counts only; the gate's count is
    a sum of probabilities.
    """
    if samples == 0:
        return 0.0, 1.0
    share, z2 = count / samples, c.NORMAL_95**2
    middle = share + z2 / (2 * samples)
    spread = c.NORMAL_95 * math.sqrt(share * (1 - share) / samples + z2 / (4 * samples**2))
    low, high = ((middle + sign * spread) / (1 + z2 / samples) for sign in (-1, 1))
    # Rounding would leave more than a limit of 0 at the ends.
    return (0.0 if count == 0 else max(0.0, low)), (1.0 if count == samples else min(1.0, high))
