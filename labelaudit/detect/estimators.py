"""How many labels are wrong, and which: the estimators that can be asked for, side by side.

| estimator | noise rate | P(mislabeled) |
|---|---|---|
| ``confident-joint`` | the confident joint's share off the diagonal | a logistic curve taught by the sure samples |
| ``controls`` | tail ratio against planted controls that are confused as the data's own classes are | density ratio |
| ``gmm`` | the AUL paper, section 4.1: a Gaussian mixture's mean posterior | its posterior |
| ``gmm-per-class`` | the same after standardising the scores within each class | its posterior |
| ``bmm`` | a beta mixture's mean posterior | its posterior |

Shapes: N samples, K classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

import numpy as np

from labelaudit.detect.beta_mixture import fit_beta_mixture
from labelaudit.detect.calibration import calibrated_probability
from labelaudit.detect.controls import TailRate, density_ratio_probability, tail_rate
from labelaudit.detect.curves import FloatArray
from labelaudit.detect.evidence import Evidence
from labelaudit.detect.mixture import GaussianMixture, fit_gaussian_mixture
from labelaudit.names import CONTROL_KINDS, ControlKind, EstimatorName, StatisticName

_FLATTER_WHEN_EVEN = 0.5
"""How much of the logistic curve's slope is given up under even errors (docs/log.md)."""


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


def confident_joint_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """See `labelaudit.detect.confident` and `labelaudit.detect.calibration`.

    Where errors are spread evenly over the classes, in the measure of `ConfidentJoint.evenness`:

    - random controls are errors of the same sort, so that their tail ratio's interval bounds the rate;
    - the samples that teach the logistic curve are told apart more easily than the others, so that it is flatter.
    """
    joint, own_N = evidence.statistics.joint, evidence.own_N
    if not own_N.any():
        return None
    rate = joint.noise_rate
    random = _tail(evidence, "random", rank_by)
    if random is not None:
        rate += joint.evenness * (float(np.clip(rate, random.low, random.high)) - rate)
    p_N = calibrated_probability(
        evidence.statistics.suspicion(rank_by),
        own_N & (joint.class_N >= 0),
        joint.class_N != evidence.label_N,
        rate,
        steepness=1.0 - joint.evenness * _FLATTER_WHEN_EVEN,
        counted_N=own_N,
    )
    # Controls are mostly planted where labels are right, so without them the others look a little worse than all.
    rate = rate if evidence.controls is None else float(np.nanmean(p_N))
    return Estimate(rank_by=rank_by, noise_rate=rate, p_mislabeled_N=p_N, raw_posterior_N=p_N)


def controls_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """See `labelaudit.detect.controls`; None without controls.

    The rate is that of the controls which are confused as the data's own classes are; where the pilot saw no confusion,
    that of the random ones.
    """
    if evidence.controls is None:
        return None
    own_N = evidence.own_N
    suspicion_N = evidence.statistics.suspicion(rank_by)
    found = {kind: _tail(evidence, kind, rank_by) for kind in CONTROL_KINDS}
    tails = {kind: tail for kind, tail in found.items() if tail is not None}
    for kind in ("confusion", "random", "look-alike"):
        if kind in tails:
            rate = tails[kind].rate
            planted_P = evidence.planted(kind, rank_by)
            break
    else:
        return None
    p_N = np.full(len(suspicion_N), np.nan)
    seen_N = np.isfinite(suspicion_N)
    p_N[own_N] = density_ratio_probability(suspicion_N[own_N], planted_P, rate)
    # Controls, by their own label: as others of the same score.
    order = np.argsort(suspicion_N[own_N])
    rest_N = seen_N & ~own_N
    p_N[rest_N] = np.interp(suspicion_N[rest_N], suspicion_N[own_N][order], p_N[own_N][order])
    return Estimate(rank_by=rank_by, noise_rate=rate, p_mislabeled_N=p_N, raw_posterior_N=p_N, tails=tails)


def _tail(evidence: Evidence, kind: ControlKind, rank_by: StatisticName) -> TailRate | None:
    """The tail ratio against the controls of this kind, None with too few."""
    return tail_rate(
        evidence.statistics.suspicion(rank_by)[evidence.own_N],
        evidence.planted(kind, rank_by),
        np.random.default_rng([0, CONTROL_KINDS.index(kind)]),
        classes=len(np.unique(evidence.label_N)) if kind == "random" else None,
    )


def gmm_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """See `labelaudit.detect.mixture`; None when no mixture fits."""
    return _of_gaussians(evidence.statistics.suspicion(rank_by), rank_by)


def gmm_per_class_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """The same on scores standardised within each given class, so that an easy class and a hard one are comparable."""
    suspicion_N = evidence.statistics.suspicion(rank_by)
    seen_N = np.isfinite(suspicion_N)
    label_U, value_U = evidence.label_N[seen_N], suspicion_N[seen_N]
    count_K = np.maximum(np.bincount(label_U), 1)
    mean_K = np.bincount(label_U, weights=value_U) / count_K
    spread_K = np.sqrt(np.bincount(label_U, weights=(value_U - mean_K[label_U]) ** 2) / count_K)
    scaled_N = np.full(len(suspicion_N), np.nan)
    scaled_N[seen_N] = (value_U - mean_K[label_U]) / np.where(spread_K > 0, spread_K, 1.0)[label_U]
    return _of_gaussians(scaled_N, rank_by)


def bmm_estimate(evidence: Evidence, rank_by: StatisticName) -> Estimate | None:
    """See `labelaudit.detect.beta_mixture`; None when no mixture fits."""
    suspicion_N = evidence.statistics.suspicion(rank_by)
    mixture = fit_beta_mixture(suspicion_N)
    if mixture is None:
        return None
    raw_N = mixture.posterior(suspicion_N)
    return Estimate(
        rank_by=rank_by,
        noise_rate=float(np.nanmean(raw_N)),
        p_mislabeled_N=mixture.monotone_posterior(suspicion_N),
        raw_posterior_N=raw_N,
    )


def _of_gaussians(score_N: FloatArray, rank_by: StatisticName) -> Estimate | None:
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
    """An estimator, and the statistic that it takes unless another is asked for."""

    estimate: Callable[[Evidence, StatisticName], Estimate | None]
    rank_by: StatisticName


ESTIMATORS: Mapping[EstimatorName, Estimator] = MappingProxyType(
    {
        "confident-joint": Estimator(estimate=confident_joint_estimate, rank_by="cell_margin"),
        "controls": Estimator(estimate=controls_estimate, rank_by="cell_margin"),
        "gmm": Estimator(estimate=gmm_estimate, rank_by="aul"),
        "gmm-per-class": Estimator(estimate=gmm_per_class_estimate, rank_by="aul"),
        "bmm": Estimator(estimate=bmm_estimate, rank_by="aul"),
    }
)
