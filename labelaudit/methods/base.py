"""What a robust-training method is: it says what to teach in a batch, and nothing else.

Shapes: B batch, C classes, R rows of the training data.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

import torch

PerName = Literal["sample", "weight"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The samples of one step.

    Attributes:
        row_B: int64 row of each sample in the training data.
        label_B: int64 given labels.
    """

    row_B: torch.Tensor
    label_B: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Clock:
    """Where the training is: epoch (from 0) of epochs."""

    epoch: int
    epochs: int


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What one network is taught from a batch.

    The loop minimises Σ weight · CE(logits, target) / count, where the count is the number of samples in the batch
    (``per="sample"``) or the sum of their weights (``per="weight"``); over all processes, when there are several.

    Attributes:
        target: int64 class numbers [B], or probabilities [B, C].
        weight_B: float32, non-negative.
        per: What the sum is divided by.
    """

    target: torch.Tensor
    weight_B: torch.Tensor
    per: PerName = "sample"


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What methods are built from; all for the R rows of the training data, on the training's device.

    Attributes:
        label_R: int64 given labels.
        weight_R: float32 sample weights, when there are any.
        truth_R: int64 true labels, when they are known; −1 for a true class that the data does not have.
    """

    label_R: torch.Tensor
    weight_R: torch.Tensor | None = None
    truth_R: torch.Tensor | None = None


class Method(Protocol):
    """A way to train on labels of which some are wrong."""

    networks: int
    """How many networks it trains side by side."""

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """One lesson for each network.

        Args:
            batch: The samples of this step, on the device.
            logits: For each network float32 [B, C], detached.
            clock: Where the training is.
            generator: For the method's random draws; on the CPU.
        """

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """The logits [B, C] of which losses and margins are recorded: the first network's, for most methods."""
