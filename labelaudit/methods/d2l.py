"""D2L: the given labels until the network starts to memorize, and from then on more and more its own predictions.

Source: Ma et al. 2018, "Dimensionality-driven learning with noisy labels" (ICML), and the authors' code; the D2L row of
Table 1 in "Detecting label noise from loss curves" (the AUL paper). While a network generalizes, the local intrinsic
dimensionality (LID) of its last features falls; when it begins to memorize, it rises.

    LID_i  = −k / Σ_{j ≤ k} log(r_j / r_k), over the k = 20 nearest of a chunk of 128; mean over 1,280 samples
    turned : LID_now − mean(last w) > 2 · std(last w), from epoch init + w on; then the epoch before is undone
    α      = 1 before, exp(−(e/T) · LID_now / min LID) after
    L      = (1/B) Σ CE(logits, α · onehot(y) + (1 − α) · onehot(argmax p))

This follows the code of 2018 for all figures (its symmetric cross-entropy is younger than the AUL paper), and the paper
for undoing one epoch, where the code loads the weights that it has anyway.
Deviations: plain cross-entropy before the turning point, where the code clips targets to [.01/9, .99]; samples whose
neighbors are all at one distance are left out of the mean, where the code divides by zero.
Published for CIFAR-10 beside the settings in the table: weight decay .01 on a dense layer that ResNet-32 does not have,
w = 5, init = 40 of 120 epochs (here a share). The AUL paper diverged at 60 and 80% noise.

Shapes: R rows of the training data, M rows that are looked at, B batch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from labelaudit.methods.base import Batch, Clock, EpochPlan, Ingredients, Lesson, Logits, Look, Method, State
from labelaudit.methods.parameters import D2LParameters
from labelaudit.methods.standard import bootstrapped, evenly

_TINY = 1e-8


def local_dimensions(feature_SD: torch.Tensor, neighbors: int) -> torch.Tensor:
    """Return LID_i = −k / Σ_{j=1..k} log(r_j / r_k + 1e-8), with r_1 ≤ … ≤ r_k the distances to the k nearest.

    The sum has k terms of which the last is zero, as in the authors' code: points spread evenly in d dimensions have
    the mean d · k / (k − 2). At most S − 1 neighbors are taken. The result is float64 [S]; NaN for a point whose k
    nearest are all at one distance (as copies of it are), or that has fewer than two others.
    """
    count = len(feature_SD)
    k = min(neighbors, count - 1)
    if k < 2:
        return torch.full((count,), torch.nan, dtype=torch.float64, device=feature_SD.device)
    point_SD = feature_SD.double()
    # Differences, not the usual expansion of the square: that one sees no copies for rounding.
    distance_SS = torch.cdist(point_SD, point_SD, compute_mode="donot_use_mm_for_euclid_dist").fill_diagonal_(torch.inf)
    radius_Sk = distance_SS.topk(k, dim=1, largest=False).values
    sum_S = torch.log(radius_Sk / radius_Sk[:, -1:] + _TINY).sum(dim=1)
    return torch.where(sum_S < -k * 1e-6, -k / sum_S, torch.nan)


def mean_dimension(feature_MD: torch.Tensor, *, neighbors: int = 20, chunk: int = 128) -> float:
    """Return the mean of `local_dimensions`, with neighbors from a point's own chunk; NaN if no point has one."""
    found_M = torch.cat([local_dimensions(part_SD, neighbors) for part_SD in torch.split(feature_MD, chunk)])
    return float(found_M.nanmean())


def append_dimension(history: Sequence[float], found: float) -> list[float]:
    """Return the figures and one more: the last one again (at first NaN) where it is not a positive number."""
    return [*history, found if math.isfinite(found) and found > 0 else [math.nan, *history][-1]]


def has_turned(history: Sequence[float], *, first_epochs: int, window: int) -> bool:
    """Return True when the last figure lies over two standard deviations above the mean of the ``window`` before it.

    ``first_epochs`` and the window have to be over.
    """
    if len(history) <= first_epochs + window:
        return False
    before = history[-window - 1 : -1]
    return bool(history[-1] - np.mean(before) > 2 * np.std(before))


def trust_in_labels(history: Sequence[float], done: float) -> float:
    """Return α = exp(−(e/T) · LID_now / min LID so far), the weight of the given label; 1 while there is no figure."""
    least = min((value for value in history if math.isfinite(value)), default=math.nan)
    if not math.isfinite(least):
        return 1.0
    return math.exp(-done * history[-1] / least)


class D2L(Method):
    """Its ``history`` has the mean LID before each epoch; at ``turned_at`` it turned (−1: not yet)."""

    memory = ("history", "turned_at")

    def __init__(self, ingredients: Ingredients) -> None:
        self._settings: D2LParameters = ingredients.parameters or D2LParameters()
        self.history: list[float] = []
        self.turned_at = -1
        self._alpha = 1.0

    def plan_epoch(self, look: Look, clock: Clock, generator: torch.Generator) -> EpochPlan:
        """Measure the dimension; at the turning point, undo the epoch before."""
        settings = self._settings
        row_M = torch.randperm(look.rows, generator=generator)[: settings.samples]
        found = mean_dimension(look.features(row_M), neighbors=settings.neighbors, chunk=settings.chunk)
        self.history = append_dimension(self.history, found)
        first = round(settings.init_share * clock.epochs)
        turns = self.turned_at < 0 and has_turned(self.history, first_epochs=first, window=settings.window)
        if turns:
            self.turned_at = clock.epoch
        turned = self.turned_at >= 0
        self._alpha = trust_in_labels(self.history, clock.epoch / clock.epochs) if turned else 1.0
        return EpochPlan(keep=not turned, go_back=turns)

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach a mixture of the given label and the prediction."""
        return [evenly(bootstrapped(batch.label_B, logits[0], self._alpha), logits[0])]

    def report(self) -> State:
        """Return the course of the dimension, and when it turned, for the result."""
        history = [value if math.isfinite(value) else None for value in self.history]
        return {"dimensions": history, "turned_at_epoch": self.turned_at if self.turned_at >= 0 else None}
