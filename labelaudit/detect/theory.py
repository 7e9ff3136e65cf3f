"""The theory of detection, in the steps that every audit runs: evidence → score → rate → probability → interval.

A probe is trained on the given labels and its losses are recorded. `labelaudit.detect.curves` sums them up for each
sample as *beliefs*, the mean probabilities of the classes. From these:

1. **score**: the log-odds of P(mislabeled) by the noise transition model (`labelaudit.detect.transition`), which says
   how far the beliefs are to be trusted and how often each class is labeled as each other one;
2. **rate**: the mean of its P(mislabeled), if the beliefs are held out, and what hides in the probe's own doubt where
   the errors look like it (`hidden_rate`). A probe that was trained on the labels that it judges agrees with them too
   often; then the rate is that of the confident joint (`labelaudit.detect.confident`);
3. **probability**: the score, shifted so that the mean probability is the rate;
4. **interval**: from the rate, by how much of the disagreement between beliefs and labels the probe's own doubt
   explains: that may hide errors.

These are the estimator ``transition``, the default. A user can choose another one:

| estimator | noise rate | P(mislabeled) |
|---|---|---|
| ``transition`` | step 2 | step 3 |
| ``gmm`` | the AUL paper, section 4.1: a Gaussian mixture's mean posterior | its posterior |

The constants are in `labelaudit.detect.constants`. Shapes: N samples.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from labelaudit.detect import BoolArray, FloatArray, IntArray
from labelaudit.detect import constants as c
from labelaudit.detect.confident import Beliefs, ConfidentJoint, confident_joint
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.mixture import GaussianMixture, fit_gaussian_mixture
from labelaudit.detect.transition import Transition
from labelaudit.names import EstimatorName, StatisticName


def hidden_rate(transition: Transition, seen_N: BoolArray, classes: int) -> float:
    """Return the share of labels that are wrong, it is assumed, but look like doubt of the held-out probe.

    People mislabel what is hard to tell apart, and a probe doubts the same images. Of such errors the model finds about
    half (docs/accuracy.md). So errors count twice as far as their pairs of classes, e, are those of the doubt, d:

        hidden = a · Σ √(e · q) · min(found, HIDDEN_SHARE · doubt),   q = a · d + (1 − a) / (K (K − 1)),

    where a makes e likeliest, and the sum is the Bhattacharyya coefficient: 1 where q describes the errors, near 0
    where they lie in a few pairs of their own. Errors that are spread evenly have a = 0.
    """
    is_error_Q = transition.true_Q != transition.given_Q
    errors_Q, doubt_Q = transition.count_Q[is_error_Q], transition.doubt_Q[is_error_Q]
    if errors_Q.sum() <= 0 or doubt_Q.sum() <= 0:
        return 0.0
    e_Q, d_Q = errors_Q / errors_Q.sum(), doubt_Q / doubt_Q.sum()
    even, share = 1.0 / (classes * (classes - 1)), 0.5
    for _ in range(c.ALIKE_STEPS):
        like_Q = share * d_Q
        share = float((e_Q * like_Q / (like_Q + (1.0 - share) * even + c.LEAST_BELIEF)).sum())
    alike = share * float(np.sqrt(e_Q * (share * d_Q + (1.0 - share) * even)).sum())
    found, doubt = _found_and_doubt(transition, seen_N)
    return alike * min(found, c.HIDDEN_SHARE * doubt)


def _found_and_doubt(transition: Transition, seen_N: BoolArray) -> tuple[float, float]:
    """Return the mean P(mislabeled), and what the probe expects to disagree with beyond it."""
    found = float(transition.p_mislabeled_N[seen_N].mean())
    return found, max(float(transition.doubt_N[seen_N].mean()) - found, 0.0)


def probability(log_odds_N: FloatArray, rate: float) -> FloatArray:
    """Return P(mislabeled) = σ(log-odds + shift), with the rate as its mean: [N], NaN where they are not finite."""
    from scipy.special import expit

    finite_N = np.isfinite(log_odds_N)
    if rate <= math.exp(-c.FARTHEST_LOGIT):
        return np.where(finite_N, 0.0, np.nan)
    p_N: FloatArray = expit(log_odds_N + offset(log_odds_N[finite_N], rate))
    return p_N


def offset(logit_N: FloatArray, rate: float) -> float:
    """Return what every logit needs so that the mean probability is the rate."""
    from scipy.optimize import brentq
    from scipy.special import expit

    ends = -c.FARTHEST_LOGIT - logit_N.max(), c.FARTHEST_LOGIT - logit_N.min()
    return float(brentq(lambda offset: expit(logit_N + offset).mean() - rate, *ends, xtol=1e-13))


def probability_by(suspicion_N: FloatArray, p_N: FloatArray) -> FloatArray:
    """Return P(mislabeled) as a rising function of another statistic, by isotonic regression: [N], the same mean."""
    from sklearn.isotonic import IsotonicRegression

    found_N, finite_N = np.full(len(p_N), np.nan), np.isfinite(suspicion_N) & np.isfinite(p_N)
    if finite_N.any():
        found_N[finite_N] = IsotonicRegression(y_min=0.0, y_max=1.0).fit_transform(suspicion_N[finite_N], p_N[finite_N])
    return found_N


def held_out_interval(transition: Transition, seen_N: BoolArray, joint: ConfidentJoint) -> tuple[float, float]:
    """Return the interval [low, high] of the noise rate of held-out beliefs.

    The probe expects to disagree with a share d of the labels, by its own doubt; of these, r is what the model calls
    errors. Errors that look like the other class hide in the rest, d − r: on all sets at hand between −6 and 26% of it
    (docs/accuracy.md). The ends are Wilson's limits where −10 and 30% of it are errors.

    A probe that has learned 40% of flips between the same classes doubts as one that cannot tell these classes apart,
    and the model takes it for the second. So the high end is not below the rate of the confident joint of the same
    beliefs, which takes all of that for errors.
    """
    samples = int(seen_N.sum())
    found, doubt = _found_and_doubt(transition, seen_N)
    least = max(found - c.OVERCOUNTED_SHARE * doubt, 0.0)
    most = max(min(found + c.HIDDEN_SHARE * doubt, 1.0), joint.noise_rate)
    # A count below half an error is none: the model is never quite sure.
    least = 0.0 if least * samples < 0.5 else least
    return wilson(least * samples, samples)[0], wilson(most * samples, samples)[1]


def in_sample_interval(label_N: IntArray, beliefs: Beliefs, joint: ConfidentJoint) -> tuple[float, float]:
    """Return the interval [low, high] of the noise rate that in-sample beliefs allow.

    - **low end**: Wilson's lower limit of the share of samples that the probe is sure belong to another class, when
      only half of what the records leave open counts (`Beliefs.cautious`);
    - **high end**: Wilson's upper limit of the same when all of that counts, plus the samples without a sure class but
      with more belief in another class than in the given one.

    Random flips are mostly among the sure ones, look-alikes among the others. docs/accuracy.md says how often it held
    the truth.
    """
    cautious_N = confident_joint(label_N, beliefs.cautious, joint.classes).class_N
    sure_N = (joint.class_N >= 0) & (joint.class_N != label_N)
    with np.errstate(invalid="ignore"):
        leans_N = (joint.class_N < 0) & (beliefs.alternative_belief_N > beliefs.given_N)
    least = int(((cautious_N >= 0) & (cautious_N != label_N)).sum())
    most, samples = int((sure_N | leans_N).sum()), joint.samples
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


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one estimator says.

    Attributes:
        rank_by: The statistic that it is made from.
        noise_rate: The share of wrong labels.
        p_mislabeled_N: In [0, 1], high = suspicious; NaN without a record.
        raw_posterior_N: Of a mixture before it was made to rise with the score; else the same as ``p_mislabeled_N``.
        mixture: The fit of ``gmm``.
    """

    rank_by: StatisticName
    noise_rate: float
    p_mislabeled_N: FloatArray
    raw_posterior_N: FloatArray
    mixture: GaussianMixture | None = None

    def interval(self, statistics: CurveStatistics) -> tuple[float, float]:
        """Return the interval [low, high], the same of all estimators, widened where needed to contain the estimate."""
        if statistics.held_out is not None:
            low, high = held_out_interval(statistics.held_out, statistics.seen_N, statistics.joint)
        else:
            low, high = in_sample_interval(statistics.label_N, statistics.beliefs, statistics.joint)
        return min(self.noise_rate, low), max(self.noise_rate, high)


def transition_estimate(statistics: CurveStatistics, rank_by: StatisticName) -> Estimate | None:
    """Estimate from held-out beliefs, or else from the joint; None without a sample that has a record."""
    held_out, joint, seen_N = statistics.held_out, statistics.joint, statistics.seen_N
    if not seen_N.any():
        return None
    rate = joint.noise_rate
    if held_out is not None:
        rate = float(held_out.p_mislabeled_N[seen_N].mean()) + hidden_rate(held_out, seen_N, joint.classes)
    p_N = probability(statistics.log_odds_N, rate)
    if rank_by != "log_odds":
        p_N = probability_by(statistics.suspicion(rank_by), p_N)
    return Estimate(rank_by=rank_by, noise_rate=rate, p_mislabeled_N=p_N, raw_posterior_N=p_N)


def mixture_estimate(statistics: CurveStatistics, rank_by: StatisticName) -> Estimate | None:
    """Estimate from a Gaussian mixture of the scores; None when none fits."""
    score_N = statistics.suspicion(rank_by)
    mixture = fit_gaussian_mixture(score_N)
    if mixture is None:
        return None
    raw_N = mixture.posterior(score_N)
    return Estimate(
        rank_by=rank_by,
        noise_rate=float(np.nanmean(raw_N)),
        p_mislabeled_N=mixture.monotone_posterior(score_N),
        raw_posterior_N=raw_N,
        mixture=mixture,
    )


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """An estimator, and the statistic that it takes unless the user chooses another."""

    estimate: Callable[[CurveStatistics, StatisticName], Estimate | None]
    rank_by: StatisticName


ESTIMATORS: Mapping[EstimatorName, Estimator] = MappingProxyType(
    {
        "transition": Estimator(estimate=transition_estimate, rank_by="log_odds"),
        "gmm": Estimator(estimate=mixture_estimate, rank_by="aul"),
    }
)
