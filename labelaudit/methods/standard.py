"""Standard training: every sample counts the same.

Source: the Standard row of Table 1 in "Detecting label noise from loss curves" (the AUL paper).
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson


class Standard:
    """L = (1/B) Σ CE(logits, given label)."""

    networks = 1

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given labels, all with weight 1."""
        return [Lesson(target=batch.label_B, weight_B=torch.ones_like(logits[0][:, 0]))]

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Those of the one network."""
        return logits[0]


def standard(ingredients: Ingredients) -> Standard:
    """Standard training needs nothing."""
    return Standard()
