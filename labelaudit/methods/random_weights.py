"""Random weights: how far any reweighting gets by chance alone.

Source: the Random row of Table 1 in "Detecting label noise from loss curves"; Ren et al. 2018, "Learning to reweight
examples for robust deep learning", arXiv:1803.09050, section 4, where it is the baseline.
Deviations from the reference code: a batch whose weights are all zero teaches nothing there and here, but there it
would divide by zero. Weights are drawn anew in every batch; since each sample comes once an epoch, that is the paper's
"re-drawn every epoch".

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson


class RandomWeights:
    """L = Σ w_i ℓ_i / Σ w_i over the batch, with w_i = max(0, n_i) and n_i ~ N(0, 1)."""

    networks = 1

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given labels with weights drawn for this batch."""
        weight_B = draw_weights(len(batch.row_B), generator).to(batch.row_B.device)
        return [Lesson(target=batch.label_B, weight_B=weight_B, per="weight")]

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Those of the one network."""
        return logits[0]


def draw_weights(count: int, generator: torch.Generator) -> torch.Tensor:
    """Rectified standard normal weights, half of them 0 on average: float32 [B] on the CPU."""
    return torch.randn(count, generator=generator).clamp_(min=0)


def random_weights(ingredients: Ingredients) -> RandomWeights:
    """Random weights need nothing."""
    return RandomWeights()
