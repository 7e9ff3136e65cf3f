"""Co-Teaching: each of two networks learns from the samples that the other one finds easy.

Source: Han et al. 2018, "Co-teaching: robust training of deep neural networks with extremely noisy labels",
arXiv:1804.06872, algorithm 1; the Co-Teaching row of Table 1 in "Detecting label noise from loss curves".
The dropped share is the paper's, R(e) = τ · min(e^c / T, 1) with e from 0, and c = 1 in its tables; the reference code
has even steps from 0 to τ^c and then τ.
Deviations from the code: the loss is not divided by the number of kept samples a second time, which Adam cancels; the
last batch of an epoch is not dropped; at least one sample is kept; τ, oracle knowledge there, comes from an audit.

Shapes: B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson, Logits, Method
from labelaudit.methods.parameters import CoTeachingParameters, lacking


class CoTeaching(Method):
    """L_k = mean CE of network k over the (1 − R(e)) · B samples on which the other network's loss is smallest.

    Raises UsageError where the settings have no noise rate τ.
    """

    networks = 2

    def __init__(self, ingredients: Ingredients) -> None:
        self._settings: CoTeachingParameters = ingredients.parameters or CoTeachingParameters()
        if self._settings.noise_rate is None:
            raise lacking("co-teaching", "noise_rate")
        self._noise_rate = self._settings.noise_rate

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach the given labels, with weight 1 where the other network finds them easy, else 0."""
        settings = self._settings
        dropped = dropped_share(clock.epoch, self._noise_rate, settings.warm_up_epochs, settings.exponent)
        return exchange(batch, logits, kept(len(batch.label_B), dropped))


def exchange(batch: Batch, logits: Logits, count: int | torch.Tensor) -> list[Lesson]:
    """Teach each network the ``count`` samples on which the other network's loss is smallest."""
    easy = [smallest(functional.cross_entropy(own_BC, batch.label_B, reduction="none"), count) for own_BC in logits]
    return [Lesson(target=batch.label_B, weight_B=weight_B, per="weight") for weight_B in reversed(easy)]


def dropped_share(epoch: int, noise_rate: float, warm_up_epochs: int, exponent: float = 1.0) -> float:
    """Return R(e) = τ · min(e^c / T, 1), with e from 0."""
    share: float = epoch**exponent / warm_up_epochs
    return noise_rate * min(share, 1.0)


def kept(count: int, dropped: float) -> int:
    """Return how many of a batch are kept: int((1 − R) · B), at least one."""
    # The tolerance is for shares that binary numbers miss: 10 · (1 − .9) is .9999…
    return max(1, int((1.0 - dropped) * count + 1e-9))


def smallest(loss_B: torch.Tensor, count: int | torch.Tensor) -> torch.Tensor:
    """Return 1 for the ``count`` samples of smallest loss, else 0; of equal losses the first count: float32 [B]."""
    order_B = torch.sort(loss_B, stable=True).indices
    place_B = torch.arange(len(loss_B), device=loss_B.device)
    return (torch.empty_like(order_B).scatter_(0, order_B, place_B) < count).float()
