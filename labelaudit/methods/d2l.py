"""D2L: the given labels until the network starts to memorise, and from then on more and more its own predictions.

Source: Ma et al. 2018, "Dimensionality-driven learning with noisy labels" (ICML), and the authors' code; the D2L row of
Table 1 in "Detecting label noise from loss curves" (the AUL paper). While a network generalises, the local intrinsic
dimensionality (LID) of its last features falls; when it begins to memorise, it rises.

    LID_i  = −k / Σ_{j ≤ k} log(r_j / r_k), over the k = 20 nearest of a chunk of 128; mean over 1,280 samples
    turned : LID_now − mean(last w) > 2 · std(last w), from epoch init + w on; then the epoch before is undone
    α      = 1 before, exp(−(e/T) · LID_now / min LID) after
    L      = (1/B) Σ CE(logits, α · onehot(y) + (1 − α) · onehot(argmax p))

Which is followed: the code, version of 2018, for all figures (the AUL paper's 2019 could not have had the symmetric
cross-entropy that came later); the paper for undoing one epoch, where the code loads the weights that it has anyway.
Deviations: plain cross-entropy before the turning point, where the code's is of targets clipped to [.01/9, .99];
samples whose neighbours are all at one distance are left out of the mean, where the code divides by zero.
Published for CIFAR-10: 120 epochs, batch 128, SGD .1 divided by 10 at epochs 40 and 80, momentum .9, weight decay 1e-4
(not in the sources at hand: the AUL authors'), w = 5, init = 40 (here a share of the epochs). The AUL paper reports
divergence at 60 and 80% noise.

Shapes: R rows of the training data, M rows that are looked at, B batch, C classes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import torch

from labelaudit.methods.base import Batch, Clock, EpochPlan, Ingredients, Lesson, Look
from labelaudit.methods.kernels.lid import append_dimension, blend, has_turned, mean_dimension, trust_in_labels
from labelaudit.methods.parameters import D2LParameters


class D2L:
    """See the module.

    Args:
        settings: Window, first epochs, neighbours.
    """

    networks = 1

    def __init__(self, settings: D2LParameters) -> None:
        self._settings = settings
        self._history: list[float] = []
        self._turned_at = -1
        self._alpha = 1.0

    @property
    def history(self) -> list[float]:
        """Mean LID at the start of each epoch so far."""
        return list(self._history)

    @property
    def turned_at(self) -> int:
        """The epoch at whose start the turning point was seen; −1 before."""
        return self._turned_at

    def plan_epoch(self, look: Look, clock: Clock, generator: torch.Generator) -> EpochPlan:
        """Measure the dimension; at the turning point, undo the epoch before."""
        settings = self._settings
        row_M = torch.randperm(look.rows, generator=generator)[: settings.samples]
        found = mean_dimension(look.features(row_M), neighbours=settings.neighbours, chunk=settings.chunk)
        self._history = append_dimension(self._history, found)
        first = round(settings.init_share * clock.epochs)
        turns = self._turned_at < 0 and has_turned(self._history, first_epochs=first, window=settings.window)
        if turns:
            self._turned_at = clock.epoch
        turned = self._turned_at >= 0
        self._alpha = trust_in_labels(self._history, clock.epoch / clock.epochs) if turned else 1.0
        return EpochPlan(keep=not turned, go_back=turns)

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given label and the prediction, mixed by α."""
        target_BC = blend(batch.label_B, logits[0], self._alpha)
        return [Lesson(target=target_BC, weight_B=torch.ones_like(target_BC[:, 0]))]

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Those of the one network."""
        return logits[0]

    def state(self) -> dict[str, Any]:
        """The course of the dimension, and when it turned."""
        return {"history": list(self._history), "turned_at": self._turned_at}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._history = [float(value) for value in state["history"]]
        self._turned_at = int(state["turned_at"])

    def report(self) -> dict[str, Any]:
        """What the result of a training tells of it."""
        history = [value if math.isfinite(value) else None for value in self._history]
        return {"dimensions": history, "turned_at_epoch": self._turned_at if self._turned_at >= 0 else None}


def d2l(ingredients: Ingredients) -> D2L:
    """D2L needs nothing but its settings."""
    return D2L(ingredients.settings(D2LParameters))
