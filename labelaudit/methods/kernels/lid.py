"""Local intrinsic dimensionality, and what D2L makes of its course over the epochs.

Source: Ma et al. 2018, "Dimensionality-driven learning with noisy labels" (ICML), and the authors' code.

Shapes: M points, D features, S points of a chunk, B batch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch

_TINY = 1e-8


def local_dimensions(feature_SD: torch.Tensor, neighbours: int) -> torch.Tensor:
    """LID_i = −k / Σ_{j=1..k} log(r_j / r_k + 1e-8), with r_1 ≤ … ≤ r_k the distances to the k nearest other points.

    The sum has k terms of which the last is zero, as in the authors' code: points spread evenly in d dimensions
    have the mean d · k / (k − 2). The figure does not change when all features are scaled by one factor.

    Args:
        feature_SD: Points among which neighbours are looked for.
        neighbours: k; at most S − 1 are taken.

    Returns:
        float64 [S]; NaN for a point that has no such dimension: its k nearest are all at one distance (as copies of it
        are), or there are fewer than two others. The authors' code divides by zero there.
    """
    count = len(feature_SD)
    k = min(neighbours, count - 1)
    if k < 2:
        return torch.full((count,), torch.nan, dtype=torch.float64, device=feature_SD.device)
    point_SD = feature_SD.double()
    # Differences, not the usual expansion of the square: that one sees no copies for rounding.
    distance_SS = torch.cdist(point_SD, point_SD, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    radius_Sk = distance_SS.topk(k, dim=1, largest=False).values
    sum_S = torch.log(radius_Sk / radius_Sk[:, -1:] + _TINY).sum(dim=1)
    return torch.where(sum_S < -k * 1e-6, -k / sum_S, torch.nan)


def mean_dimension(feature_MD: torch.Tensor, *, neighbours: int = 20, chunk: int = 128) -> float:
    """Mean of `local_dimensions` over points whose neighbours are looked for in their own chunk.

    Args:
        feature_MD: Features of random samples; the order decides who shares a chunk.
        neighbours: k.
        chunk: Points of a chunk.

    Returns:
        The mean over the points that have a dimension; NaN when none has.
    """
    found_M = torch.cat([local_dimensions(part_SD, neighbours) for part_SD in torch.split(feature_MD, chunk)])
    return float(found_M.nanmean())


def append_dimension(history: Sequence[float], found: float) -> list[float]:
    """The course so far with one more figure; the one before again where it is not a positive number.

    A course that begins with such a figure begins with NaN.
    """
    if math.isfinite(found) and found > 0:
        return [*history, found]
    return [*history, history[-1] if history else math.nan]


def has_turned(history: Sequence[float], *, first_epochs: int, window: int) -> bool:
    """True when the last figure lies more than two standard deviations above the mean of the ``window`` before it.

    Args:
        history: Mean LID at the start of each epoch so far.
        first_epochs: So many epochs, and the window, have to be over.
        window: w.
    """
    if len(history) <= first_epochs + window or window < 1:
        return False
    before = history[-window - 1 : -1]
    mean = math.fsum(before) / window
    deviation = math.sqrt(math.fsum((value - mean) ** 2 for value in before) / window)
    return history[-1] - mean > 2 * deviation


def trust_in_labels(history: Sequence[float], done: float) -> float:
    """α = exp(−(e/T) · LID_now / min LID so far): how much the given label counts after the turning point.

    Args:
        history: Mean LID at the start of each epoch so far.
        done: e/T, the share of the epochs that are over.

    Returns:
        α in (0, 1]; 1 while there is no figure.
    """
    least = min((value for value in history if math.isfinite(value)), default=math.nan)
    if not math.isfinite(least):
        return 1.0
    return math.exp(-done * history[-1] / least)


def blend(label_B: torch.Tensor, logits_BC: torch.Tensor, alpha: float) -> torch.Tensor:
    """α · onehot(given label) + (1 − α) · onehot(argmax of the logits): float32 [B, C]."""
    classes = logits_BC.shape[1]
    given_BC = torch.nn.functional.one_hot(label_B, classes).float()
    believed_BC = torch.nn.functional.one_hot(logits_BC.argmax(dim=1), classes).float()
    return alpha * given_BC + (1 - alpha) * believed_BC
