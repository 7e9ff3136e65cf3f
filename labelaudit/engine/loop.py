"""The one training loop: probes, heads and robust retraining all go through it.

Shapes: N rows of the training data, B batch, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from labelaudit.engine.devices import Precision, memory_errors
from labelaudit.engine.inputs import Inputs
from labelaudit.engine.recorder import EpochRecord, Recorder
from labelaudit.engine.schedule import rate_factor
from labelaudit.engine.seeds import derive_seed, make_generator
from labelaudit.engine.step import lesson_loss, observe
from labelaudit.methods.base import Batch, Clock, Method
from labelaudit.names import ScheduleName
from labelaudit.progress import Advance


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long and how fast to train; SGD with momentum."""

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: ScheduleName
    precision: Precision
    seed: int


class Training:
    """Networks and optimisers between two epochs: all that a checkpoint has to hold.

    Random draws are seeded from (seed, purpose, epoch), so a training that goes on from a checkpoint draws what the
    uninterrupted one would have drawn.

    Args:
        networks: As many as the method trains.
        settings: How to train.
        device: Where.
    """

    def __init__(self, networks: Sequence[nn.Module], settings: LoopSettings, device: torch.device) -> None:
        self.networks = [network.to(device).to(memory_format=torch.channels_last) for network in networks]
        self.settings = settings
        self.device = device
        self.finished_epochs = 0
        self._optimizers = [
            torch.optim.SGD(
                network.parameters(),
                lr=settings.lr,
                momentum=settings.momentum,
                nesterov=settings.nesterov,
                weight_decay=settings.weight_decay,
            )
            for network in self.networks
        ]

    def state(self) -> dict[str, Any]:
        """Tensors and plain values that `load` takes back."""
        return {
            "finished_epochs": self.finished_epochs,
            "networks": [network.state_dict() for network in self.networks],
            "optimizers": [optimizer.state_dict() for optimizer in self._optimizers],
        }

    def load(self, state: dict[str, Any]) -> None:
        """Go on from a state.

        Raises:
            KeyError, RuntimeError, ValueError: the state is of other networks.
        """
        for network, values in zip(self.networks, state["networks"], strict=True):
            network.load_state_dict(values)
        for optimizer, values in zip(self._optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self.finished_epochs = int(state["finished_epochs"])

    def run_epoch(self, inputs: Inputs, label_N: torch.Tensor, method: Method, advance: Advance) -> EpochRecord:
        """Train one epoch and give every row's record, as the first network saw it before each step.

        Args:
            inputs: N rows.
            label_N: int64 given labels.
            method: What to teach.
            advance: Told the size of each finished batch.

        Raises:
            TrainingError: the loss is no longer finite.
            DeviceError: the device is out of memory.
        """
        epoch, settings = self.finished_epochs, self.settings
        view_generator = make_generator(settings.seed, "augment", epoch)
        method_generator = make_generator(settings.seed, "method", epoch)
        order_N = torch.randperm(len(inputs), generator=make_generator(settings.seed, "order", epoch))
        batches = split_batches(order_N, settings.batch_size)
        clock = Clock(epoch=epoch, epochs=settings.epochs)
        recorder = Recorder(len(inputs), self.device)
        label_N = label_N.to(self.device)
        for network in self.networks:
            network.train()
        with memory_errors(settings.batch_size), torch.random.fork_rng(self._cuda_devices()):
            torch.manual_seed(derive_seed(settings.seed, "network", epoch))  # dropout and stochastic depth
            for step, index_B in enumerate(batches):
                self._set_rate((epoch + step / len(batches)) / settings.epochs)
                batch = Batch(row_B=index_B.to(self.device), label_B=label_N[index_B.to(self.device)])
                x_B = inputs.batch(index_B, view_generator)
                self._step(x_B, batch, clock, method, method_generator, recorder)
                advance(len(index_B))
            record = recorder.take(epoch)
        self.finished_epochs += 1
        return record

    def _step(
        self,
        x_B: torch.Tensor,
        batch: Batch,
        clock: Clock,
        method: Method,
        generator: torch.Generator,
        recorder: Recorder,
    ) -> None:
        logits = [self._forward(network, x_B) for network in self.networks]
        seen = [logits_BC.detach() for logits_BC in logits]
        recorder.put(batch.row_B, observe(seen[0], batch.label_B))
        lessons = method.teach(batch, seen, clock, generator)
        for optimizer, logits_BC, lesson in zip(self._optimizers, logits, lessons, strict=True):
            optimizer.zero_grad(set_to_none=True)
            lesson_loss(logits_BC, lesson).backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def _forward(self, network: nn.Module, x_B: torch.Tensor) -> torch.Tensor:
        enabled = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            logits: torch.Tensor = network(x_B)
        return logits.float()

    @torch.no_grad()
    def predict(self, inputs: Inputs, *, batch_size: int = 512) -> torch.Tensor:
        """Mean softmax of the networks on the un-augmented rows, in evaluation mode: float32 [N, C] on the CPU."""
        for network in self.networks:
            network.eval()
        parts = []
        for index_B in torch.split(torch.arange(len(inputs)), batch_size):
            x_B = inputs.batch(index_B, None)
            p_BC = sum(self._forward(network, x_B).softmax(dim=1) for network in self.networks)
            parts.append((p_BC / len(self.networks)).cpu())  # type: ignore[union-attr]
        return torch.cat(parts)

    def _set_rate(self, done: float) -> None:
        rate = self.settings.lr * rate_factor(self.settings.schedule, done)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _cuda_devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []


def split_batches(order_N: torch.Tensor, batch_size: int) -> Sequence[torch.Tensor]:
    """Cut an order into batches; a single left-over row joins the last batch, since batch norm cannot take it alone."""
    batches = list(torch.split(order_N, batch_size))
    if len(batches) > 1 and len(batches[-1]) == 1:
        batches[-2:] = [torch.cat(batches[-2:])]
    return batches


def run_epochs(
    training: Training, inputs: Inputs, label_N: torch.Tensor, method: Method, advance: Advance
) -> Iterator[EpochRecord]:
    """Train the epochs that are left, and yield the record of each."""
    while training.finished_epochs < training.settings.epochs:
        yield training.run_epoch(inputs, label_N, method, advance)
