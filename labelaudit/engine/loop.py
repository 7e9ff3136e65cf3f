"""The one training loop: probes, heads and robust retraining all go through it.

Shapes: N rows of the training data, B batch, b the part of it that this process has, C classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from labelaudit.engine.devices import Precision, memory_errors
from labelaudit.engine.inputs import Inputs
from labelaudit.engine.parallel import ALONE, World
from labelaudit.engine.recorder import EpochRecord, Recorder
from labelaudit.engine.schedule import rate_factor
from labelaudit.engine.seeds import derive_seed, make_generator
from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch, Clock, Method
from labelaudit.names import ScheduleName
from labelaudit.progress import Advance

_AHEAD = 2
"""So many batches ahead the inputs are told what will be asked for."""


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
        world: The processes that train them together; all have to begin with equal networks.
    """

    def __init__(
        self, networks: Sequence[nn.Module], settings: LoopSettings, device: torch.device, world: World = ALONE
    ) -> None:
        self.networks = [network.to(device).to(memory_format=torch.channels_last) for network in networks]
        self.settings = settings
        self.device = device
        self._world = world
        self._shared = [world.share_network(network, device) for network in self.networks]
        self.finished_epochs = 0
        self._optimizers = [
            torch.optim.SGD(
                network.parameters(),
                lr=settings.lr,
                momentum=settings.momentum,
                nesterov=settings.nesterov,
                weight_decay=settings.weight_decay,
                fused=True,
            )
            for network in self.networks
        ]

    def state(self) -> dict[str, Any]:
        """A copy on the CPU, as tensors and plain values, that `load` takes back."""
        return {
            "finished_epochs": self.finished_epochs,
            "networks": [_copied(network.state_dict()) for network in self.networks],
            "optimizers": [_copied(optimizer.state_dict()) for optimizer in self._optimizers],
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
        finished = state["finished_epochs"]
        if not isinstance(finished, int) or not 0 <= finished <= self.settings.epochs:
            raise ValueError(f"a state after {finished} of {self.settings.epochs} epochs")
        self.finished_epochs = finished

    def run_epoch(self, inputs: Inputs, label_N: torch.Tensor, method: Method, advance: Advance) -> EpochRecord:
        """Train one epoch and give every row's record, as the networks saw it before each step.

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
        # All draws of the epoch are made here, on the CPU: they depend neither on the device nor on the processes.
        order_N = torch.randperm(len(inputs), generator=make_generator(settings.seed, "order", epoch))
        views = inputs.draw_views(make_generator(settings.seed, "augment", epoch))
        method_generator = make_generator(settings.seed, "method", epoch)
        row_N = order_N.to(self.device)
        label_N = label_N.to(self.device)[row_N]
        batches = split_places(len(inputs), settings.batch_size)
        clock = Clock(epoch=epoch, epochs=settings.epochs)
        recorder = Recorder(len(inputs), self.device)
        for network in self._shared:
            network.train()
        with memory_errors(settings.batch_size), torch.random.fork_rng(self._cuda_devices()):
            # Dropout and stochastic depth.
            torch.manual_seed(derive_seed(settings.seed, "network", epoch) + self._world.rank)
            for step, places in enumerate(batches):
                self._set_rate((epoch + step / len(batches)) / settings.epochs)
                for ahead in batches[_AHEAD + step : _AHEAD + step + 1] if step else batches[: _AHEAD + 1]:
                    inputs.announce(order_N[self._share(ahead)])
                share = self._share(places)
                x_b = inputs.batch(order_N[share], None if views is None else views.part(share))
                batch = Batch(row_B=row_N[places], label_B=label_N[places])
                self._step(x_b, batch, clock, method, method_generator, recorder)
                advance(places.stop - places.start)
            record = recorder.take(epoch)
        self.finished_epochs += 1
        return record

    def _share(self, places: slice) -> slice:
        share = self._world.share(places.stop - places.start)
        return slice(places.start + share.start, places.start + share.stop)

    def _step(
        self,
        x_b: torch.Tensor,
        batch: Batch,
        clock: Clock,
        method: Method,
        generator: torch.Generator,
        recorder: Recorder,
    ) -> None:
        count, world = len(batch.row_B), self._world
        logits = [self._forward(network, x_b) for network in self._shared]
        seen = [world.gather(logits_bC.detach(), count) for logits_bC in logits]
        recorder.put(batch.row_B, method.recorded(batch, seen), batch.label_B)
        lessons = method.teach(batch, seen, clock, generator)
        for optimizer, logits_bC, lesson in zip(self._optimizers, logits, lessons, strict=True):
            optimizer.zero_grad(set_to_none=True)
            # Gradients are averaged over the processes, each of which has a part of one sum.
            loss = lesson_loss(logits_bC, lesson, world.share(count)) * world.size
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()

    def _forward(self, network: nn.Module, x_b: torch.Tensor) -> torch.Tensor:
        enabled = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            logits: torch.Tensor = network(x_b)
        return logits.float()

    @torch.no_grad()
    def predict(self, inputs: Inputs, *, batch_size: int = 512) -> torch.Tensor:
        """Mean softmax of the networks on the un-augmented rows, in evaluation mode: float32 [N, C] on the CPU."""
        for network in self.networks:
            network.eval()
        share = self._world.share(len(inputs))
        parts = []
        for index_b in torch.split(torch.arange(share.start, share.stop), batch_size):
            x_b = inputs.batch(index_b, None)
            p_bC = sum(self._forward(network, x_b).softmax(dim=1) for network in self.networks)
            parts.append((p_bC / len(self.networks)).cpu())  # type: ignore[union-attr]
        return self._world.gather(torch.cat(parts), len(inputs))

    def _set_rate(self, done: float) -> None:
        rate = self.settings.lr * rate_factor(self.settings.schedule, done)
        for optimizer in self._optimizers:
            for group in optimizer.param_groups:
                group["lr"] = rate

    def _cuda_devices(self) -> list[torch.device]:
        return [self.device] if self.device.type == "cuda" else []


def split_places(count: int, batch_size: int) -> list[slice]:
    """Cut an epoch into batches; a single left-over row joins the last batch, since batch norm cannot take it alone."""
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


def _copied(state: Any) -> Any:
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    return state


def run_epochs(
    training: Training, inputs: Inputs, label_N: torch.Tensor, method: Method, advance: Advance
) -> Iterator[EpochRecord]:
    """Train the epochs that are left, and yield the record of each."""
    while training.finished_epochs < training.settings.epochs:
        yield training.run_epoch(inputs, label_N, method, advance)
