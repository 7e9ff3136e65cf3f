"""How many labels are wrong, and which: the estimators that a user can choose from.

| estimator | noise rate | P(mislabeled) |
|---|---|---|
| ``transition`` | the default: `labelaudit.detect.theory` | that of the noise transition model |
| ``gmm`` | the AUL paper, section 4.1: a Gaussian mixture's mean posterior | its posterior |

Shapes: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from types import MappingProxyType

import numpy as np

from labelaudit.detect import FloatArray
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.mixture import GaussianMixture, fit_gaussian_mixture
from labelaudit.detect.theory import held_out_interval, in_sample_interval, noise_rate, probability, probability_by
from labelaudit.names import EstimatorName, StatisticName


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
        """Return the interval [low, high] of `labelaudit.detect.theory`, widened where needed to contain the estimate.

        All estimators have the same.
        """
        if statistics.held_out is not None:
            low, high = held_out_interval(statistics.held_out, statistics.seen_N, statistics.joint)
        else:
            low, high = in_sample_interval(statistics.label_N, statistics.beliefs, statistics.joint)
        return min(self.noise_rate, low), max(self.noise_rate, high)


def transition_estimate(statistics: CurveStatistics, rank_by: StatisticName) -> Estimate | None:
    """Estimate as `labelaudit.detect.theory` says; None without a sample that has a record."""
    seen_N = statistics.seen_N
    if not seen_N.any():
        return None
    rate = noise_rate(statistics.held_out, statistics.joint, seen_N)
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
