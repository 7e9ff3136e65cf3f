"""Heads side by side, each trained without its own part of the data, which it is recorded on.

A head that has never seen a label cannot have memorised it: the curves of cross-validation, in one training.

Shapes: B batch, C classes, F folds, R rows of the training data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from labelaudit.methods.base import Batch, Clock, Lesson


class Folds:
    """L_f = Σ CE(logits_f, given label) over the samples of the batch outside of fold f, divided by their number.

    Args:
        fold_R: int64 fold of each row, in [0, F), on the training's device.
        folds: F, at least 2.
    """

    def __init__(self, fold_R: torch.Tensor, folds: int) -> None:
        self.networks = folds
        self._fold_R = fold_R

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given labels, with weight 0 for the head's own fold."""
        fold_B = self._fold_R[batch.row_B]
        return [
            Lesson(target=batch.label_B, weight_B=(fold_B != fold).float(), per="weight")
            for fold in range(self.networks)
        ]

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Of each sample, those of the head that was not taught it."""
        fold_B = self._fold_R[batch.row_B]
        return torch.stack(list(logits))[fold_B, torch.arange(len(fold_B), device=fold_B.device)]


def draw_folds(label_R: torch.Tensor, folds: int, generator: torch.Generator) -> torch.Tensor:
    """A fold for each row, at random, such that the folds of each class differ by one sample at most: int64 [R].

    Args:
        label_R: int64 labels.
        folds: How many.
        generator: Draws; on the CPU.
    """
    order_R = torch.randperm(len(label_R), generator=generator)
    by_class_R = order_R[torch.argsort(label_R[order_R], stable=True)]
    fold_R = torch.empty_like(order_R)
    fold_R[by_class_R] = torch.arange(len(order_R)) % folds
    return fold_R
