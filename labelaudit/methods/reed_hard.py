"""Hard bootstrapping: the network's own prediction is a part of the target.

Source: Reed et al. 2015, "Training deep neural networks on noisy labels with bootstrapping", arXiv:1412.6596, section
3; the Reed-Hard row of Table 1 in "Detecting label noise from loss curves". β = .8 as in both papers.
Deviations from the reference code: none known; the gradient does not flow through the argmax, as there.

Shapes: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson
from labelaudit.methods.parameters import ReedHardParameters


class ReedHard:
    """L = (1/B) Σ [−β log p_y − (1 − β) log p_m], y the given label and m = argmax p.

    Args:
        beta: β in [0, 1]; 1 is standard training.
    """

    networks = 1

    def __init__(self, beta: float) -> None:
        self._beta = beta

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given label and the prediction, mixed."""
        target_BC = bootstrapped(batch.label_B, logits[0], self._beta)
        return [Lesson(target=target_BC, weight_B=torch.ones_like(target_BC[:, 0]))]

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Those of the one network."""
        return logits[0]


def bootstrapped(label_B: torch.Tensor, logits_BC: torch.Tensor, beta: float) -> torch.Tensor:
    """β · onehot(y) + (1 − β) · onehot(argmax p): float32 [B, C].

    Args:
        label_B: int64 given labels y.
        logits_BC: float32.
        beta: β.
    """
    classes = logits_BC.shape[1]
    given_BC = functional.one_hot(label_B, classes).to(logits_BC.dtype)
    own_BC = functional.one_hot(logits_BC.argmax(dim=1), classes).to(logits_BC.dtype)
    return beta * given_BC + (1 - beta) * own_BC


def reed_hard(ingredients: Ingredients) -> ReedHard:
    """Hard bootstrapping with the β that was asked for."""
    return ReedHard(ingredients.settings(ReedHardParameters).beta)
