"""A mixture of two Gaussians in one dimension, and what it says about label noise: 0 clean, 1 mislabeled.

Source: "Detecting label noise from loss curves", section 4.1. The paper names no settings for the fit; here:
standardized scores, full variances, several starts, expectation-maximization in float64. scikit-learn's mixture takes
no weights and is slower.

Shapes: N scores, G grid points or bins, 2 components in the order of their means.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from labelaudit.detect import FloatArray
from labelaudit.detect import constants as c


@dataclass(frozen=True, kw_only=True)
class GaussianMixture:
    """weight_2[k] · N(mean_2[k], std_2[k]²), ordered by mean, in the units of the scores."""

    weight_2: FloatArray
    mean_2: FloatArray
    std_2: FloatArray

    def _log_density(self, score_N: FloatArray) -> FloatArray:
        return _log_gaussians(score_N, self.weight_2, self.mean_2, self.std_2**2)

    def component_density(self, score_N: FloatArray) -> FloatArray:
        """Return the weighted density of each component at each score: [N, 2]."""
        return np.exp(self._log_density(score_N)).T

    def posterior(self, score_N: FloatArray) -> FloatArray:
        """Return π₁f₁ / (π₀f₀ + π₁f₁) at each score: [N], NaN where the score is not finite."""
        finite_N = np.isfinite(score_N)
        z_N = np.full(len(score_N), np.nan)
        z_N[finite_N] = _responsibility(self._log_density(score_N[finite_N]))
        return z_N

    def monotone_posterior(self, score_N: FloatArray) -> FloatArray:
        """Return the posterior, made to rise with the score: [N].

        Where the components' spreads differ, the posterior rises again below the low mean or falls above the high one.
        Here it is 0 below the low mean and its own running maximum above, so a smaller loss is never more suspicious.
        """
        z_N = self.posterior(score_N)
        finite = np.flatnonzero(np.isfinite(score_N))
        order = finite[np.argsort(score_N[finite], kind="stable")]
        z_N[order] = np.maximum.accumulate(np.where(score_N[order] >= self.mean_2[0], z_N[order], 0.0))
        return z_N

    @property
    def separation(self) -> float:
        """Ashman's D = √2 |μ₁ − μ₀| / √(σ₀² + σ₁²): above 2 the components stand apart."""
        return float(np.sqrt(2.0) * (self.mean_2[1] - self.mean_2[0]) / np.sqrt((self.std_2**2).sum()))

    @property
    def modes(self) -> int:
        """Number of peaks of the mixture's density: 1 or 2.

        Means no further apart than twice the smaller deviation have one (Behboodian 1970). Otherwise all peaks lie
        between the means, where the density rises as long as π₁N₁ (μ₁ − x) / σ₁² > π₀N₀ (x − μ₀) / σ₀²;
        compared as logarithms, so that rounding does not decide for far components.
        """
        (low, high), (low_std, high_std) = self.mean_2, self.std_2
        if high - low <= 2 * min(low_std, high_std):
            return 1
        step_G = np.linspace(0.0, 1.0, 2001)
        grid_G = np.concatenate([low + (high - low) * step_G, low + 6 * low_std * step_G, high - 6 * high_std * step_G])
        grid_G = np.unique(grid_G[(grid_G > low) & (grid_G < high)])
        low_density_G, high_density_G = self._log_density(grid_G)
        up_G = high_density_G + np.log((high - grid_G) / high_std**2)
        down_G = low_density_G + np.log((grid_G - low) / low_std**2)
        # It rises from the low mean and falls towards the high one, however little.
        rises_G = np.concatenate([[True], up_G > down_G, [False]])
        return int((rises_G[:-1] & ~rises_G[1:]).sum())


def fit_gaussian_mixture(score_N: FloatArray) -> GaussianMixture | None:
    """Fit by expectation-maximization from several starts, splits at quantiles of the scores; the likeliest end wins.

    With more than `EXACT_UP_TO` scores the sums run over a histogram of some 8,000 bins with the mean of each.
    Scores that are not finite are left out. None with fewer than `MIN_SCORES` others, or where these are nearly equal.
    """
    finite = score_N[np.isfinite(score_N)]
    if len(finite) < c.MIN_SCORES:
        return None
    center, spread = finite.mean(), finite.std()
    if spread <= 1e-9 * max(1.0, abs(center)):
        return None
    value_G, count_G = _condense(np.sort((finite - center) / spread))
    if len(value_G) < 3:
        return None
    fits = [_maximize(value_G, count_G, quantile) for quantile in c.START_QUANTILES]
    _, weight_2, mean_2, variance_2 = max(fits, key=lambda fit: fit[0])
    order = np.argsort(mean_2, kind="stable")
    return GaussianMixture(
        weight_2=weight_2[order],
        mean_2=mean_2[order] * spread + center,
        std_2=np.sqrt(variance_2[order]) * spread,
    )


def _condense(rising_N: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Return the different scores, or the means of bins, and how many scores each stands for."""
    if len(rising_N) <= c.EXACT_UP_TO:
        unique_G, repeats_G = np.unique(rising_N, return_counts=True)
        return unique_G, repeats_G.astype(np.float64)
    # Far outliers would stretch an even grid: it ends where the tails begin, whose bins hold the fewer scores the
    # further out they are. The quantiles give bins to a component that is narrow against the spread of all.
    low, high = np.quantile(rising_N, [c.TAIL, 1 - c.TAIL])
    tail_Q = np.geomspace(1 / len(rising_N), c.TAIL, c.TAIL_BINS)
    share_Q = np.concatenate([np.linspace(0, 1, 256), tail_Q, 1 - tail_Q])
    edges = np.unique(np.concatenate([np.linspace(low, high, c.BINS), np.quantile(rising_N, share_Q)]))
    # In sorted scores a bin is a slice between two edges.
    bounds = np.concatenate([[0], np.searchsorted(rising_N, edges), [len(rising_N)]])
    full_G = np.diff(bounds) > 0
    count_G = np.diff(bounds)[full_G].astype(np.float64)
    return np.add.reduceat(rising_N, bounds[:-1][full_G]) / count_G, count_G


def _maximize(
    value_G: FloatArray, count_G: FloatArray, quantile: float
) -> tuple[float, FloatArray, FloatArray, FloatArray]:
    """Return the log-likelihood, weights, means and variances where expectation-maximization ends."""
    total = count_G.sum()
    high_G = (np.cumsum(count_G) > quantile * total).astype(np.float64)
    # The start is softened so that neither side can be empty.
    responsibility_G = 0.02 + 0.96 * high_G
    before = -np.inf
    for _ in range(c.MAX_STEPS):
        mass_2, mean_2, variance_2 = _moments(value_G, count_G, responsibility_G)
        weight_2, variance_2 = mass_2 / mass_2.sum(), np.maximum(variance_2, c.MIN_VARIANCE)
        log_density_2G = _log_gaussians(value_G, weight_2, mean_2, variance_2)
        responsibility_G = _responsibility(log_density_2G)
        # The larger component's log density, less the log of its share, is the log of the sum.
        share_G = np.maximum(responsibility_G, 1.0 - responsibility_G)
        likelihood = float((count_G * (log_density_2G.max(axis=0) - np.log(share_G))).sum() / total)
        if likelihood - before < c.TOLERANCE:
            break
        before = likelihood
    return likelihood, weight_2, mean_2, variance_2


def _moments(
    value_G: FloatArray, count_G: FloatArray, responsibility_G: FloatArray
) -> tuple[FloatArray, FloatArray, FloatArray]:
    """Return each component's count, mean and variance."""
    share_2G = np.stack([1.0 - responsibility_G, responsibility_G]) * count_G
    mass_2 = np.maximum(share_2G.sum(axis=1), 1e-12)
    mean_2 = share_2G @ value_G / mass_2
    return mass_2, mean_2, (share_2G * (value_G - mean_2[:, None]) ** 2).sum(axis=1) / mass_2


def _log_gaussians(value_G: FloatArray, weight_2: FloatArray, mean_2: FloatArray, variance_2: FloatArray) -> FloatArray:
    """Return the logarithm of each component's weighted density: [2, G]."""
    distance_2G = (value_G - mean_2[:, None]) ** 2 / variance_2[:, None]
    constant_2 = np.log(weight_2) - 0.5 * np.log(2 * np.pi * variance_2)
    return constant_2[:, None] - 0.5 * distance_2G


def _responsibility(log_density_2G: FloatArray) -> FloatArray:
    difference_G = np.clip(log_density_2G[0] - log_density_2G[1], -700.0, 700.0)
    result: FloatArray = 1.0 / (1.0 + np.exp(difference_G))  # several times as fast as SciPy's expit
    return result
