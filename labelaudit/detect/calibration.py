"""From a score to P(mislabeled), taught by the samples of which the probe is sure.

Shapes: N samples.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

FloatArray = npt.NDArray[np.float64]
BoolArray = npt.NDArray[np.bool_]

_RIDGE = 1e-4
_STEPS = 100
_TOLERANCE = 1e-10
_BISECTIONS = 80
_FARTHEST = 40.0
_LEAST_SPREAD = 1e-9


def calibrated_probability(
    suspicion_N: FloatArray,
    sure_N: BoolArray,
    wrong_N: BoolArray,
    rate: float,
    *,
    steepness: float = 1.0,
    counted_N: BoolArray | None = None,
) -> FloatArray:
    """σ(a + b · suspicion), b ≥ 0: [N], NaN where the suspicion is not finite.

    The slope b is that of a logistic regression on the samples of which the probe is sure, times ``steepness``; a is
    set so that the mean over the counted samples is ``rate``.

    Args:
        suspicion_N: High = suspicious.
        sure_N: Samples that teach.
        wrong_N: Whether the probe is sure of another class than the given one.
        rate: The share of wrong labels among the counted samples, in [0, 1].
        steepness: Positive; under 1 where the samples that teach are told apart more easily than the others.
        counted_N: The others get a probability from the same curve. Default: all.
    """
    finite_N = np.isfinite(suspicion_N)
    p_N = np.full(len(suspicion_N), np.nan)
    seen = suspicion_N[finite_N]
    counted = np.ones(len(seen), dtype=bool) if counted_N is None else counted_N[finite_N]
    if not counted.any():
        return p_N
    teach_N = finite_N & sure_N
    if rate <= 0.0 or not wrong_N[teach_N].any():
        p_N[finite_N] = 0.0
        return p_N
    # Ranks of far outliers are no evidence: in units of the spread of the middle half, from the median.
    centre, spread = _location(seen[counted])
    slope = steepness * _slope((suspicion_N[teach_N] - centre) / spread, wrong_N[teach_N])
    logit = slope * (seen - centre) / spread
    p_N[finite_N] = _sigmoid(logit + _offset(logit[counted], rate))
    return p_N


def _location(value_N: FloatArray) -> tuple[float, float]:
    low, middle, high = np.quantile(value_N, [0.25, 0.5, 0.75])
    spread = high - low
    if spread <= 0:
        spread = value_N.std()
    # Where nearly all values are the same, the others would be too far off to compute with.
    spread = max(spread, _LEAST_SPREAD * np.ptp(value_N))
    return float(middle), float(spread) if spread > 0 else 1.0


def _slope(value_N: FloatArray, wrong_N: BoolArray) -> float:
    """Slope of a logistic regression, by Newton's method with a little ridge; 0 when it would be negative."""
    design_N2 = np.stack([np.ones(len(value_N)), value_N], axis=1)
    parameter_2 = np.zeros(2)
    share = np.clip(wrong_N.mean(), 1e-6, 1 - 1e-6)
    parameter_2[0] = np.log(share / (1 - share))
    ridge = _RIDGE * np.eye(2)
    loss = _loss(design_N2, wrong_N, parameter_2)
    for _ in range(_STEPS):
        p_N = _sigmoid(design_N2 @ parameter_2)
        gradient_2 = design_N2.T @ (p_N - wrong_N) + _RIDGE * parameter_2
        curvature = (design_N2 * (p_N * (1.0 - p_N))[:, None]).T @ design_N2 + ridge
        step_2 = np.linalg.solve(curvature, gradient_2)
        size = 1.0
        while size > 1e-8 and _loss(design_N2, wrong_N, parameter_2 - size * step_2) > loss:
            size /= 2
        parameter_2 = parameter_2 - size * step_2
        before, loss = loss, _loss(design_N2, wrong_N, parameter_2)
        if before - loss <= _TOLERANCE * max(1.0, abs(before)):
            break
    return float(max(parameter_2[1], 0.0))


def _loss(design_N2: FloatArray, wrong_N: BoolArray, parameter_2: FloatArray) -> float:
    logit_N = design_N2 @ parameter_2
    return float((np.logaddexp(0.0, logit_N) - wrong_N * logit_N).sum() + 0.5 * _RIDGE * (parameter_2**2).sum())


def _offset(logit_N: FloatArray, rate: float) -> float:
    """What is to be added to every logit so that the mean probability is the rate."""
    low, high = -_FARTHEST - logit_N.max(), _FARTHEST - logit_N.min()
    for _ in range(_BISECTIONS):
        middle = (low + high) / 2
        if _sigmoid(logit_N + middle).mean() < rate:
            low = middle
        else:
            high = middle
    return float((low + high) / 2)


def _sigmoid(value_N: FloatArray) -> FloatArray:
    result: FloatArray = 1.0 / (1.0 + np.exp(-np.clip(value_N, -700.0, 700.0)))
    return result
