"""MentorNet with the predefined curriculum (PD): samples count by how their loss compares with a moving percentile.

Source: Jiang et al. 2018, "MentorNet: learning data-driven curriculum for very deep neural networks on corrupted
labels" (ICML), and the authors' code; the MentorNet-PD row of Table 1 in "Detecting label noise from loss curves".

    m ← .5 m + .5 · percentile_q(losses of the batch), from m = 0
    v = 1 in the first 19% of the training (``burn_in``), 1[ℓ ≤ m] up to 90%, then clip(1 − (ℓ − m)/γ, 0, 1)
    of the batch, a random half (after 17% of the training a random twentieth) gets v = 0
    L = (1/B) Σ v ℓ + (Σ v / B) · weight decay, with no gradient through v

This follows the code. There v comes from a small LSTM that was trained on this rule, here from the rule (such networks
agreed with it in 99.9% of the cases). The published commands give q = .75 (.5 at 80% noise) with a misspelt flag, so
.7, the code's default, may have been in force; .75 is taken. The percentile is one of the losses, not interpolated.

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson, Logits, Method
from labelaudit.methods.parameters import MentorNetParameters

_PACED_UNTIL = 0.9  # from then on, hard samples count a little


def predefined_weights(difference_B: torch.Tensor, done: float, settings: MentorNetParameters) -> torch.Tensor:
    """Return v by how much of the training is done: 1, then 1[d ≤ 0] (self-paced), in the end clip(1 − d/γ, 0, 1).

    d is the loss less the moving percentile.
    """
    if done < settings.burn_in:
        return torch.ones_like(difference_B, dtype=torch.float32)
    if done < _PACED_UNTIL:
        return (difference_B <= 0).float()
    return (1 - difference_B / settings.gamma).clamp(0, 1).float()


def percentile(loss_B: torch.Tensor, share: float) -> torch.Tensor:
    """Return the loss that a ``share`` of the batch does not exceed, without interpolation: a scalar."""
    place = round(share * (len(loss_B) - 1))
    return loss_B.sort().values[place]


def drop_examples(weight_B: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
    """Keep int(B · (1 − rate)) samples of the batch, drawn uniformly, and give the others the weight 0."""
    count = len(weight_B)
    kept = torch.zeros(count)
    # A little above the product: .9 · 10 must not become 8.
    kept[torch.randperm(count, generator=generator)[: int(count * (1 - rate) + 1e-9)]] = 1.0
    return weight_B * kept.to(weight_B.device)


class MentorNet(Method):
    """Its ``average`` is m, the moving percentile."""

    memory = ("average",)

    def __init__(self, ingredients: Ingredients) -> None:
        self._settings: MentorNetParameters = ingredients.parameters or MentorNetParameters()
        self.average = torch.zeros(())

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach the given labels with the curriculum's weights."""
        settings = self._settings
        loss_B = functional.cross_entropy(logits[0], batch.label_B, reduction="none")
        found = percentile(loss_B, settings.percentile)
        self.average = settings.average_decay * self.average.to(found.device) + (1 - settings.average_decay) * found
        weight_B = predefined_weights(loss_B - self.average, clock.done, settings)
        rate = settings.early_dropout if clock.done < settings.early_share else settings.dropout
        weight_B = drop_examples(weight_B, rate, generator)
        return [Lesson(target=batch.label_B, weight_B=weight_B, decay=weight_B.mean())]
