"""From evidence to verdicts: P(mislabeled), weights, a noise rate, and warnings where these are not to be trusted.

Shapes: N samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from labelaudit.detect.curves import FloatArray
from labelaudit.detect.estimators import ESTIMATORS, Estimate
from labelaudit.detect.evidence import Evidence
from labelaudit.detect.interval import noise_interval
from labelaudit.detect.power import Power, measure_power
from labelaudit.detect.warnings import find_warnings
from labelaudit.names import EstimatorName, StatisticName

FLAG_ABOVE = 0.5
"""A sample with P(mislabeled) above this is suspicious (the AUL paper, section 5)."""

DEFAULT_ESTIMATOR: EstimatorName = "confident-joint"


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Which statistic ranks the samples, and how P(mislabeled) is estimated from it."""

    rank_by: StatisticName = ESTIMATORS[DEFAULT_ESTIMATOR].rank_by
    estimator: EstimatorName = DEFAULT_ESTIMATOR

    @classmethod
    def chosen(cls, *, rank_by: StatisticName | None = None, estimator: EstimatorName | None = None) -> FitSettings:
        """What was asked for; the statistic is the estimator's own unless another is named."""
        estimator = estimator or DEFAULT_ESTIMATOR
        return cls(rank_by=rank_by or ESTIMATORS[estimator].rank_by, estimator=estimator)


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What the audit says of each sample, and of all.

    Attributes:
        p_mislabeled_N: In [0, 1], high = suspicious; rises with the suspicion. NaN without a record.
        raw_posterior_N: A mixture's posterior before it was made to rise with the score.
        weight_N: 1 − P(mislabeled); 0 without a record.
        order: Samples with a record, most suspicious first.
        flagged: How many of them are suspicious: the head of ``order``.
        noise_rate: The estimated share of wrong labels. None where the estimator finds nothing to fit.
        interval: Where the noise rate lies, [low, high]; None as above.
        estimates: What each estimator says, the chosen one among them; those that find nothing to fit are left out.
        power: How well wrong labels are found.
        warnings: Why not to trust the figures, in words.
    """

    p_mislabeled_N: FloatArray
    raw_posterior_N: FloatArray
    weight_N: FloatArray
    order: npt.NDArray[np.int64]
    flagged: int
    noise_rate: float | None
    interval: tuple[float, float] | None
    estimates: Mapping[EstimatorName, Estimate]
    power: Power
    warnings: list[str] = field(default_factory=list)


def judge(evidence: Evidence, settings: FitSettings) -> Verdicts:
    """Judge every sample.

    Weights are w = 1 − P(mislabeled). The AUL paper's equation in section 4.2 prints z = P(mislabeled) itself as the
    weight, against its own text; see `labelaudit.methods.weighted`.

    Args:
        evidence: Of N samples.
        settings: Which estimator's verdict counts.
    """
    estimates: dict[EstimatorName, Estimate] = {}
    for name, estimator in ESTIMATORS.items():
        found = estimator.estimate(evidence, settings.rank_by if name == settings.estimator else estimator.rank_by)
        if found is not None:
            estimates[name] = found
    suspicion_N = evidence.statistics.suspicion(settings.rank_by)
    seen_N = np.isfinite(suspicion_N)
    estimate = estimates.get(settings.estimator)
    if estimate is None:
        p_N = raw_N = np.where(seen_N, 0.0, np.nan)
    else:
        p_N, raw_N = estimate.p_mislabeled_N, estimate.raw_posterior_N
    seen = np.flatnonzero(seen_N)
    # By P first: with an estimator that looks at each class on its own, it does not rise with the statistic of all.
    order = seen[np.lexsort((-suspicion_N[seen], -p_N[seen]))]
    flagged_N = p_N > FLAG_ABOVE
    return Verdicts(
        p_mislabeled_N=p_N,
        raw_posterior_N=raw_N,
        weight_N=np.where(seen_N, 1.0 - p_N, 0.0),
        order=order,
        flagged=int(flagged_N.sum()),
        noise_rate=None if estimate is None else estimate.noise_rate,
        interval=None if estimate is None else noise_interval(evidence, estimate),
        estimates=estimates,
        power=measure_power(evidence, settings.rank_by, p_N, flagged_N),
        warnings=find_warnings(evidence, estimate, flagged_N, settings.estimator, settings.rank_by),
    )
