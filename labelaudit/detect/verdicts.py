"""From statistics to verdicts: P(mislabeled), weights, a noise rate, and warnings where these are not to be trusted.

Shapes: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from labelaudit.detect.curves import CurveStatistics, FloatArray
from labelaudit.detect.mixture import MIN_SCORES, GaussianMixture, fit_gaussian_mixture
from labelaudit.names import EstimatorName, StatisticName

FLAG_ABOVE = 0.5
"""A sample with P(mislabeled) above this is suspicious (the AUL paper, section 5)."""

LOW_SEPARATION = 2.0
"""Ashman's D below which two Gaussians are not told apart."""


@dataclass(frozen=True, kw_only=True)
class FitSettings:
    """Which statistic ranks the samples, and how P(mislabeled) is estimated from it."""

    rank_by: StatisticName = "aul"
    estimator: EstimatorName = "gmm"


@dataclass(frozen=True, kw_only=True)
class Verdicts:
    """What the audit says of each sample, and of all.

    Attributes:
        p_mislabeled_N: In [0, 1], high = suspicious; rises with the suspicion. NaN without a record.
        raw_posterior_N: The mixture's posterior before it was made to rise with the score.
        weight_N: 1 − P(mislabeled); 0 without a record.
        order: Samples with a record, most suspicious first.
        flagged: How many of them are suspicious: the head of ``order``.
        noise_rate: Mean of the raw posterior: the estimated share of wrong labels. None without a mixture.
        mixture: The fit, or None.
        warnings: Why not to trust the figures, in words.
    """

    p_mislabeled_N: FloatArray
    raw_posterior_N: FloatArray
    weight_N: FloatArray
    order: npt.NDArray[np.int64]
    flagged: int
    noise_rate: float | None
    mixture: GaussianMixture | None
    warnings: list[str] = field(default_factory=list)


def judge(statistics: CurveStatistics, last_wrong_N: npt.NDArray[np.bool_], settings: FitSettings) -> Verdicts:
    """Fit the mixture to the chosen statistic and judge every sample.

    Weights are w = 1 − P(mislabeled). The AUL paper's equation in section 4.2 prints z = P(mislabeled) itself as the
    weight, against its own text; see `labelaudit.methods.weighted`.

    Args:
        statistics: Of N samples.
        last_wrong_N: True where the last epoch predicted another class than the given one.
        settings: What to fit.
    """
    suspicion_N = statistics.suspicion(settings.rank_by)
    seen_N = np.isfinite(suspicion_N)
    mixture = fit_gaussian_mixture(suspicion_N)
    if mixture is None:
        p_N = raw_N = np.where(seen_N, 0.0, np.nan)
        noise_rate = None
    else:
        p_N, raw_N = mixture.monotone_posterior(suspicion_N), mixture.posterior(suspicion_N)
        noise_rate = float(raw_N[seen_N].mean())
    seen = np.flatnonzero(seen_N)
    order = seen[np.argsort(-suspicion_N[seen], kind="stable")]
    flagged_N = p_N > FLAG_ABOVE
    return Verdicts(
        p_mislabeled_N=p_N,
        raw_posterior_N=raw_N,
        weight_N=np.where(seen_N, 1.0 - p_N, 0.0),
        order=order,
        flagged=int(flagged_N.sum()),
        noise_rate=noise_rate,
        mixture=mixture,
        warnings=_warnings(statistics, seen_N, flagged_N, last_wrong_N, mixture, settings),
    )


def _warnings(
    statistics: CurveStatistics,
    seen_N: npt.NDArray[np.bool_],
    flagged_N: npt.NDArray[np.bool_],
    last_wrong_N: npt.NDArray[np.bool_],
    mixture: GaussianMixture | None,
    settings: FitSettings,
) -> list[str]:
    if mixture is None:
        few = seen_N.sum() < MIN_SCORES
        why = f"only {seen_N.sum()} samples have one" if few else "it has fewer than three different values"
        return [f"No mixture fits the {settings.rank_by}: {why}. There is no noise rate, and nothing is flagged."]
    found = []
    if mixture.modes == 1:
        found.append(
            f"The {settings.rank_by} has one peak, not two: the mixture splits its tail off whether labels are wrong "
            "or not. The data may be clean; read the noise rate as an upper bound and trust the ranking only."
        )
    elif mixture.separation < LOW_SEPARATION:
        found.append(
            f"The two groups overlap (separation {mixture.separation:.1f}, under {LOW_SEPARATION:.0f}): the noise rate "
            "is rough. More epochs or a stronger probe may part them."
        )
    flagged_total = int(flagged_N.sum())
    if flagged_total and (flagged_N & ~last_wrong_N).sum() > 0.5 * flagged_total:
        found.append(
            "By its last epoch the probe agrees with most of the suspicious labels: either they are right but hard, "
            "or it has memorised them. Trust the ranking more than the noise rate, and look at the first rows."
        )
    wrong_rate = float(last_wrong_N[seen_N].mean())
    if wrong_rate > 0.5:
        found.append(
            f"The probe disagrees with {wrong_rate:.0%} of the labels in its last epoch: it has learned little, so "
            "hard images look like wrong labels. Train longer, or take a stronger probe (--preset, --model)."
        )
    return found
