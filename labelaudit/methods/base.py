"""The interface of a robust-training method: it says what to teach in a batch.

With several processes, each has its own copy of the method, with the same batches, logits and draws: a method may
depend on nothing else, so that all processes come to the same lessons.

Shapes: B batch, C classes, R rows of the training data, M rows that are looked at.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Literal, Protocol

import torch

from labelaudit.methods.parameters import lacking

PerName = Literal["sample", "weight"]
State = dict[str, Any]
"""What a checkpoint keeps: tensors and plain values by name."""
Logits = Sequence[torch.Tensor]
"""For each network float32 [B, C], detached."""


@dataclass(frozen=True, kw_only=True)
class Batch:
    """The samples of one step: int64 rows in the training data and int64 given labels."""

    row_B: torch.Tensor
    label_B: torch.Tensor


@dataclass(frozen=True, kw_only=True)
class Clock:
    """The progress of the training: epoch (from 0) of epochs, and step (from 0) of the steps of this epoch."""

    epoch: int
    epochs: int
    step: int = 0
    steps: int = 1

    @property
    def steps_done(self) -> int:
        """Steps of the training that are done, if all epochs have as many as this one."""
        return self.epoch * self.steps + self.step

    @property
    def done(self) -> float:
        """Share of the training that is done, in [0, 1)."""
        return (self.epoch + self.step / self.steps) / self.epochs


@dataclass(frozen=True, kw_only=True)
class Lesson:
    """What one network is taught from a batch.

    The loop minimizes Σ weight · CE(logits, target) / count over the batch of all processes. The count is the number of
    samples (``per="sample"``) or the sum of the lesson's weights (``per="weight"``). Sample weights of the training
    multiply the lesson's, and their sum replaces the number of samples.

    Attributes:
        target: int64 class numbers [B], or rows that sum to 1 [B, C]: probabilities, or what `steer` gives.
        weight_B: float32, non-negative.
        per: What the sum is divided by.
        decay: Factor on the weight decay in this step: a float32 scalar on the device. None for 1.
    """

    target: torch.Tensor
    weight_B: torch.Tensor
    per: PerName = "sample"
    decay: torch.Tensor | None = None


def steer(logits_BC: torch.Tensor, gradient_BC: torch.Tensor) -> torch.Tensor:
    """Return the target whose cross-entropy has a given gradient: softmax(logits) − gradient, float32 [B, C].

    ∂CE(z, t)/∂z = p − t wherever the entries of t sum to 1. Any loss that does not change when all logits of a sample
    move together has a gradient whose entries sum to 0, so such a target teaches it. Entries may be negative; then only
    the gradient of the cross-entropy means something, not its value.
    """
    return logits_BC.softmax(dim=1) - gradient_BC


@dataclass(frozen=True, kw_only=True)
class Verified:
    """What cross-validation on noisy labels found in so many iterations; see `labelaudit.retraining.incv`.

    Attributes:
        selected_R, candidate_R: True for the samples that are believed, or may still be right; no sample is in both,
            and one in neither is discarded.
        noise_rate, noise_left: Estimated share of wrong labels in the data, and among the believed.
        symmetric: True when wrong labels look as if drawn from all other classes, False when from few.
    """

    selected_R: torch.Tensor
    candidate_R: torch.Tensor
    noise_rate: float = 0.0
    noise_left: float = 0.0
    symmetric: bool = True
    iterations: int = 0


@dataclass(frozen=True, kw_only=True)
class Ingredients:
    """What methods are built from; all for the R rows of the training data, on the training's device.

    Attributes:
        label_R: int64 given labels.
        classes: How many there are.
        weight_R: float32 sample weights, or None.
        truth_R: int64 true labels, or None; −1 for a true class that the data does not have.
        batch_size: Samples in a step.
        verified: What cross-validation found, for INCV.
        parameters: The method's own settings, from `labelaudit.methods.parameters`; None for their defaults.
    """

    label_R: torch.Tensor
    classes: int = 0
    weight_R: torch.Tensor | None = None
    truth_R: torch.Tensor | None = None
    batch_size: int = 128
    verified: Verified | None = None
    parameters: Any = None

    def audited_weights(self, method: str) -> torch.Tensor:
        """Return the sample weights; raise UsageError if there are none."""
        if self.weight_R is None:
            raise lacking(method, "weights")
        return self.weight_R


class Look(Protocol):
    """A look at the networks between two epochs, in evaluation mode: nothing in them changes. ``rows`` is R."""

    rows: int

    def logits(self, row_M: torch.Tensor, *, network: int = 0) -> torch.Tensor:
        """Return float32 [M, C] on the device, of the un-augmented rows ``row_M`` (int64, on the CPU)."""

    def features(self, row_M: torch.Tensor, *, network: int = 0) -> torch.Tensor:
        """Return float32 [M, D] on the device: the inputs of the network's last layer."""


@dataclass(frozen=True, kw_only=True)
class EpochPlan:
    """How a method wants an epoch; the default is an ordinary one.

    Attributes:
        batches: int64 rows of each batch, on the CPU, instead of every row once in random order. A row may come several
            times, also in one batch, each time in another view. Its first loss is recorded.
        keep: Keep the networks of before this epoch, for a later ``go_back``, until the next plan without it.
        go_back: Begin this epoch with the networks that the epoch before kept, if it did; optimizers go on.
    """

    batches: Sequence[torch.Tensor] | None = None
    keep: bool = False
    go_back: bool = False


def shuffled(row: torch.Tensor, generator: torch.Generator) -> torch.Tensor:
    """Return the rows in random order."""
    return row[torch.randperm(len(row), generator=generator)]


def without_single(batches: list[torch.Tensor]) -> list[torch.Tensor]:
    """Return the batches, the last joined to the one before if it has one row: batch norm cannot take it alone."""
    if len(batches) > 1 and len(batches[-1]) == 1:
        return [*batches[:-2], torch.cat(batches[-2:])]
    return batches


@dataclass(frozen=True, kw_only=True)
class Mixing:
    """Which samples of a batch are blended: x_i ← f_i · x_i + (1 − f_i) · x_j with j the partner (mixup).

    ``partner_B`` are int64 places in the batch, ``factor_B`` float32 f; both are on the CPU.
    """

    partner_B: torch.Tensor
    factor_B: torch.Tensor

    def blend(self, value: torch.Tensor) -> torch.Tensor:
        """Blend values of the samples of a batch: floats [B, …]."""
        factor = self.factor_B.to(value.device).view(-1, *[1] * (value.dim() - 1))
        return factor * value + (1 - factor) * value[self.partner_B.to(value.device)]


class Remembers:
    """What knows something from one epoch to the next: the attributes that ``memory`` names belong in a checkpoint."""

    memory: tuple[str, ...] = ()

    def state(self) -> State:
        """Return the remembered tensors and plain values."""
        return {name: getattr(self, name) for name in self.memory}

    def load(self, state: State) -> None:
        """Restore a state, whose tensors are on the CPU; another one's is a KeyError, ValueError or TypeError."""
        for name in self.memory:
            known, value = getattr(self, name), state[name]
            is_tensor = isinstance(known, torch.Tensor)
            setattr(self, name, value.to(known.device, copy=True) if is_tensor else type(known)(value))


class Method(Remembers):
    """A way to train on labels of which some are wrong.

    ``networks`` are trained side by side. With ``mixes``, lessons and recorded losses are of images that it blends. The
    generator, for its random draws, is on the CPU and made anew from (seed, epoch) in every epoch.
    """

    networks = 1
    mixes = False

    def plan_epoch(self, look: Look, clock: Clock, generator: torch.Generator) -> EpochPlan:
        """Plan an epoch, after a look at the networks; the default is an ordinary one."""
        return EpochPlan()

    def mix(self, batch: Batch, guess: Callable[[], Logits], clock: Clock, generator: torch.Generator) -> Mixing:
        """Return what to blend in this batch, before its forward pass.

        ``guess`` returns the logits of the unblended images, in evaluation mode; it costs a forward pass per network.
        """
        raise NotImplementedError

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Return one lesson for each network; by default the given labels, L = (1/B) Σ CE(logits, given label)."""
        return [Lesson(target=batch.label_B, weight_B=torch.ones_like(logits_BC[:, 0])) for logits_BC in logits]

    def report(self) -> State:
        """Return what belongs in the result: plain values by name, none of them NaN or infinite."""
        return {}
