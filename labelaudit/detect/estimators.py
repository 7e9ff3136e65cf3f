"""How many labels are wrong, and which: the estimators that a user can choose from.

| estimator | noise rate | P(mislabeled) |
|---|---|---|
| ``transition`` | the default: `labelaudit.detect.theory` | that of the noise transition model |
| ``controls`` | tail ratio against planted controls that are confused as the data's own classes are | density ratio |
| ``gmm`` | the AUL paper, section 4.1: a Gaussian mixture's mean posterior | its posterior |
| ``gmm-per-class`` | the same after standardizing the scores within each class | its posterior |
| ``bmm`` | a beta mixture's mean posterior | its posterior |

Shapes: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from functools import partial
from types import MappingProxyType

import numpy as np

from labelaudit.detect import FloatArray
from labelaudit.detect.evidence import Evidence, TailRate, density_ratio_probability
from labelaudit.detect.mixture import GaussianMixture, Mixture, fit_beta_mixture, fit_gaussian_mixture
from labelaudit.detect.theory import held_out_interval, in_sample_interval, noise_rate, probability, probability_by
from labelaudit.names import CONTROL_KINDS, ControlKind, EstimatorName, StatisticName


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """What one estimator says.

    Attributes:
        rank_by: The statistic that it is made from.
        noise_rate: The share of wrong labels.
        p_mislabeled_N: In [0, 1], high = suspicious; NaN without a record.
        raw_posterior_N: Of a mixture before it was made to rise with the score; else the same as ``p_mislabeled_N``.
        mixture: The fit of ``gmm``.
        tails: The tail ratio by kind of control, of ``controls``.
    """

    rank_by: StatisticName
    noise_rate: float
    p_mislabeled_N: FloatArray
    raw_posterior_N: FloatArray
    mixture: GaussianMixture | None = None
    tails: Mapping[ControlKind, TailRate] = field(default_factory=dict)

    def interval(self, evidence: Evidence) -> tuple[float, float]:
        """Return the interval [low, high] of `labelaudit.detect.theory`, widened where needed to contain the estimate.

        Mixtures get the default's interval. Controls give their own; random ones do not count beside confused ones.
        """
        tails = dict(self.tails)
        if "confusion" in tails and len(tails) > 1:
            tails.pop("random", None)
        statistics = evidence.statistics
        ends = [(tail.low, tail.high) for tail in tails.values()]
        if not ends and statistics.held_out is not None:
            ends = [held_out_interval(statistics.held_out, evidence.own_N)]
        elif not ends:
            ends = [in_sample_interval(evidence.label_N, statistics.beliefs, statistics.joint, evidence.own_N)]
        return min(self.noise_rate, *(low for low, _ in ends)), max(self.noise_rate, *(high for _, high in ends))


def transition_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """Estimate as `labelaudit.detect.theory` says; None without a sample to count."""
    statistics, own_N = evidence.statistics, evidence.own_N
    if not own_N.any():
        return None
    random = evidence.tail("random", rank_by)
    bounds = None if random is None else (random.low, random.high)
    rate = noise_rate(statistics.held_out, statistics.joint, own_N, bounds)
    p_N = probability(statistics.log_odds_N, rate, own_N)
    if rank_by != "log_odds":
        p_N = probability_by(statistics.suspicion(rank_by), p_N)
    # Controls are mostly planted where labels are right, so without them the others look a little worse than all.
    rate = rate if evidence.controls is None else float(np.nanmean(p_N))
    return Estimate(rank_by=rank_by, noise_rate=rate, p_mislabeled_N=p_N, raw_posterior_N=p_N)


def controls_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """Estimate from planted controls; None without enough of them.

    The rate is that of the controls which are confused as the data's own classes are; where the pilot saw no confusion,
    that of the random ones.
    """
    found = {kind: evidence.tail(kind, rank_by) for kind in CONTROL_KINDS}
    tails = {kind: tail for kind, tail in found.items() if tail is not None}
    if not tails:
        return None
    order: tuple[ControlKind, ...] = ("confusion", "random", "look-alike")
    chosen = next(kind for kind in order if kind in tails)
    own_N, suspicion_N = evidence.own_N, evidence.statistics.suspicion(rank_by)
    own, p_N = suspicion_N[own_N], np.full(len(suspicion_N), np.nan)
    p_N[own_N] = density_ratio_probability(own, evidence.planted(chosen, rank_by), tails[chosen].rate)
    # The given label of a control gets the probability of others with its score.
    rest_N, order_U = np.isfinite(suspicion_N) & ~own_N, np.argsort(own)
    p_N[rest_N] = np.interp(suspicion_N[rest_N], own[order_U], p_N[own_N][order_U])
    return Estimate(
        rank_by=rank_by, noise_rate=tails[chosen].rate, p_mislabeled_N=p_N, raw_posterior_N=p_N, tails=tails
    )


def gmm_per_class_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """Estimate as ``gmm``, from scores standardized within each given class: easy and hard ones become comparable."""
    suspicion_N = evidence.statistics.suspicion(rank_by)
    seen_N = np.isfinite(suspicion_N)
    label_U, value_U = evidence.label_N[seen_N], suspicion_N[seen_N]
    count_K = np.maximum(np.bincount(label_U), 1)
    mean_K = np.bincount(label_U, weights=value_U) / count_K
    spread_K = np.sqrt(np.bincount(label_U, weights=(value_U - mean_K[label_U]) ** 2) / count_K)
    scaled_N = np.full(len(suspicion_N), np.nan)
    scaled_N[seen_N] = (value_U - mean_K[label_U]) / np.where(spread_K > 0, spread_K, 1.0)[label_U]
    return mixture_estimate(fit_gaussian_mixture, evidence, rank_by, scaled_N)


def mixture_estimate(
    fit: Callable[[FloatArray], Mixture | None],
    evidence: Evidence,
    rank_by: StatisticName,
    score_N: FloatArray | None = None,
) -> Estimate | None:
    """Estimate from a mixture of the scores, by default the suspicion; None when none fits."""
    score_N = evidence.statistics.suspicion(rank_by) if score_N is None else score_N
    mixture = fit(score_N)
    if mixture is None:
        return None
    raw_N = mixture.posterior(score_N)
    return Estimate(
        rank_by=rank_by,
        noise_rate=float(np.nanmean(raw_N)),
        p_mislabeled_N=mixture.monotone_posterior(score_N),
        raw_posterior_N=raw_N,
        mixture=mixture if isinstance(mixture, GaussianMixture) else None,
    )


@dataclass(frozen=True, kw_only=True)
class Estimator:
    """An estimator, and the statistic that it takes unless the user chooses another."""

    estimate: Callable[[Evidence, StatisticName], Estimate | None]
    rank_by: StatisticName


ESTIMATORS: Mapping[EstimatorName, Estimator] = MappingProxyType(
    {
        "transition": Estimator(estimate=transition_estimate, rank_by="log_odds"),
        "controls": Estimator(estimate=controls_estimate, rank_by="log_odds"),
        "gmm": Estimator(estimate=partial(mixture_estimate, fit_gaussian_mixture), rank_by="aul"),
        "gmm-per-class": Estimator(estimate=gmm_per_class_estimate, rank_by="aul"),
        "bmm": Estimator(estimate=partial(mixture_estimate, fit_beta_mixture), rank_by="aul"),
    }
)
