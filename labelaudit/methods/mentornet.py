"""MentorNet with the predefined curriculum (PD): samples count by how their loss compares with a moving percentile.

Source: Jiang et al. 2018, "MentorNet: learning data-driven curriculum for very deep neural networks on corrupted
labels" (ICML), and the authors' code; the MentorNet-PD row of Table 1 in "Detecting label noise from loss curves".

    m ← .5 m + .5 · percentile_q(losses of the batch), from m = 0
    v = v*(ℓ − m, percent of the training done): all 1 up to 18, 1[ℓ ≤ m] up to 89, then clip(1 − (ℓ − m)/γ, 0, 1)
    of the batch, a random half (after 17% of the training a random twentieth) gets v = 0
    L = (1/B) Σ v ℓ + (Σ v / B) · weight decay, with no gradient through v

Which is followed: the code. There v is what a small LSTM gives that was trained on v*; v* is known in closed form, so
it is the default here, and ``mentor=lstm`` trains that network first, in half a minute. The published commands give
q = .75 (.5 at 80% noise) with a misspelt flag; whether that or the code's default of .7 was in force is not known, and
.75 is taken. The percentile is one of the losses, not interpolated.
Published for CIFAR-10: 39,000 steps of 128 (111 epochs of 45,000), SGD .1 divided by 10 at steps 19,531, 25,000 and
30,000, momentum .9, weight decay 2e-4.

Shapes: B batch.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch.nn import functional

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson
from labelaudit.methods.kernels.mentor import drop_examples, moved, percent_done, percentile, predefined_weights
from labelaudit.methods.kernels.mentor_network import MentorNetwork, MentorTraining, mentor_weights, train_mentor
from labelaudit.methods.parameters import MentorNetParameters

_MENTOR_SEED = 0
"""The mentor does not depend on the data: one for all, as if it were published."""


class MentorNet:
    """See the module.

    Args:
        settings: Percentile, dropout, which mentor.
        mentor: The network that gives the weights; the rule gives them where there is none.
    """

    networks = 1

    def __init__(self, settings: MentorNetParameters, mentor: MentorNetwork | None = None) -> None:
        self._settings = settings
        self._mentor = mentor
        self._average = torch.zeros(())

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given labels with the mentor's weights."""
        settings = self._settings
        loss_B = functional.cross_entropy(logits[0], batch.label_B, reduction="none")
        self._average = moved(
            self._average.to(loss_B.device), percentile(loss_B, settings.percentile), settings.average_decay
        )
        weight_B = self._weigh(loss_B, clock)
        rate = settings.early_dropout if clock.done < settings.early_share else settings.dropout
        weight_B = drop_examples(weight_B, rate, generator)
        return [Lesson(target=batch.label_B, weight_B=weight_B, decay=weight_B.mean())]

    def _weigh(self, loss_B: torch.Tensor, clock: Clock) -> torch.Tensor:
        if clock.done < self._settings.burn_in:
            return torch.ones_like(loss_B)
        percent = percent_done(clock.done)
        if self._mentor is None:
            return predefined_weights(loss_B - self._average, percent, self._settings.gamma)
        return mentor_weights(self._mentor, loss_B, self._average, percent)

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Those of the one network."""
        return logits[0]

    def state(self) -> dict[str, Any]:
        """The moving percentile."""
        return {"average": self._average}

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state."""
        self._average = state["average"].float().reshape(())


def mentornet(ingredients: Ingredients) -> MentorNet:
    """MentorNet-PD with the mentor that was asked for."""
    settings = ingredients.settings(MentorNetParameters)
    if settings.mentor == "rule":
        return MentorNet(settings)
    training = MentorTraining(gamma=settings.gamma)
    mentor = train_mentor(torch.Generator().manual_seed(_MENTOR_SEED), training)
    return MentorNet(settings, mentor.to(ingredients.label_R.device))
