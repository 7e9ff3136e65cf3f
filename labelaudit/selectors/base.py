"""The interface of a selector: it chooses which candidates are back-propagated, by a score of each.

The loop shows it one *pool* of candidates after the other, scored by a forward pass in evaluation mode, and trains on
its choice. With several processes each has its own copy, with the same scores and draws.

Shapes: B candidates of a pool, b chosen ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch

from labelaudit.methods.base import State

ScoreName = Literal["loss", "entropy", "gradient"]
"""The score of candidates; see `labelaudit.engine.selection`."""


@dataclass(frozen=True, kw_only=True)
class Choice:
    """The part of a pool that is back-propagated: int64 places, maybe repeated, and float32 factors on their losses.

    Both are on the CPU.
    """

    index_b: torch.Tensor
    weight_b: torch.Tensor


class Selector(Protocol):
    """A way to choose what is back-propagated.

    Attributes:
        score: What it chooses by.
        pool: How many batches of candidates it chooses from at a time.
        warm_up_epochs: In so many first epochs every sample is back-propagated.
        stale_epochs: A score is used in so many epochs before it is computed again; 1 for a fresh one in each.
    """

    score: ScoreName
    pool: int
    warm_up_epochs: int
    stale_epochs: int

    @property
    def is_on(self) -> bool:
        """False while every sample is back-propagated; `observe` gets the scores of each batch then."""

    def choose(self, score_B: torch.Tensor, size: int, generator: torch.Generator) -> Choice:
        """Choose from a pool, by scores float32 [B] on the CPU; a sample whose score is NaN is never chosen.

        A step of the training takes ``size`` samples. The generator is made anew from (seed, epoch) in every epoch.
        """

    def observe(self, score_B: torch.Tensor) -> None:
        """Update itself from a batch that was back-propagated whole, while the selector is off."""

    def state(self) -> State:
        """Return tensors on the CPU and plain values: all that it knows from finished epochs."""

    def load(self, state: State) -> None:
        """Restore a state; KeyError, RuntimeError, ValueError or TypeError for one of something else."""
