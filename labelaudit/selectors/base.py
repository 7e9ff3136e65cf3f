"""The interface of a selector: it chooses which candidates are back-propagated, by a score of each.

The loop shows it one *pool* of candidates after the other, scored by a forward pass in evaluation mode, and trains on
its choice. With several processes each has its own copy, with the same scores and draws.

Shapes: B candidates of a pool, b chosen ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

import torch

from labelaudit.methods.base import Remembers

ScoreName = Literal["loss", "entropy", "gradient"]
"""The score of candidates; see `labelaudit.engine.selection`."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The part of a pool that is back-propagated: int64 places, maybe repeated, and float32 factors on their losses.

    Both are on the CPU.
    """

    index_b: torch.Tensor
    weight_b: torch.Tensor


class Selector(Remembers):
    """A way to choose what is back-propagated.

    Attributes:
        score: What it chooses by.
        pool: How many batches of candidates it chooses from at a time.
        warm_up_epochs: In so many first epochs every sample is back-propagated.
        stale_epochs: A score is used in so many epochs before it is computed again; 1 for a fresh one in each.
    """

    score: ScoreName = "loss"
    pool = 1
    warm_up_epochs = 0
    stale_epochs = 1

    @property
    def is_on(self) -> bool:
        """False while every sample is back-propagated; `observe` gets the scores of each batch then."""
        return True

    def choose(self, score_B: torch.Tensor, size: int, generator: torch.Generator) -> Choice:
        """Choose from a pool, by scores float32 [B] on the CPU; a sample whose score is NaN is never chosen.

        A step of the training takes ``size`` samples. The generator is made anew from (seed, epoch) in every epoch.
        """
        raise NotImplementedError

    def observe(self, score_B: torch.Tensor) -> None:
        """Update itself from a batch that was back-propagated whole, while the selector is off."""
