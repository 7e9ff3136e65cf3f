"""The training loop of all networks: probes and robust retraining go through it.

Shapes: N rows of the training data, B batch, b this process's part of it, C classes, D features; M places of an epoch,
N of them when every row comes once, or rows that are looked at, m this process's share of some of them.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from labelaudit.engine.devices import Device, memory_errors, single_threaded
from labelaudit.engine.draws import derive_seed, make_generator, split_places
from labelaudit.engine.inputs import Inputs, Views
from labelaudit.engine.optimizers import build_optimizer, set_pace, step_with_decay
from labelaudit.engine.parallel import Threaded, in_processes, in_threads
from labelaudit.engine.step import EpochRecord, Recorder, lesson_loss
from labelaudit.engine.world import ALONE, World
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.methods.base import Batch, Clock, EpochPlan, Method, Mixing, Remembers, State
from labelaudit.progress import Advance

_SMALL = 1_000_000
"""Networks of up to so many weights are trained by one thread, unless their batches have parts: with two threads digits
took 2.4 times as long, heads beside other work ten times (docs/benchmarks.md)."""

_CHUNK = 512
"""Rows that are looked at together."""


Places = slice | torch.Tensor
"""Some places of an epoch, or in a batch; as a tensor, int64 on the CPU."""


@dataclass(frozen=True, kw_only=True)
class EpochOrder:
    """The places of an epoch, drawn before it begins.

    ``order_M``, int64, has the row at each place, on the CPU; ``row_M`` the same on the device, as are given labels.
    ``batches`` are the places of each batch.
    """

    order_M: torch.Tensor
    row_M: torch.Tensor
    label_M: torch.Tensor
    views: Views | None
    batches: list[slice]

    def batch(self, places: Places) -> Batch:
        """Return what a method is told of a batch."""
        places = places if isinstance(places, slice) else places.to(self.row_M.device)
        return Batch(row_B=self.row_M[places], label_B=self.label_M[places])

    def images(self, inputs: Inputs, places: Places, within: Places) -> torch.Tensor:
        """Return the inputs at places ``within`` the batch at some places of the epoch, on the device."""
        views = None if self.views is None else self.views.part(places).part(within)
        return inputs.batch(self.order_M[places][within], views)

    def blended(self, x_b: torch.Tensor, inputs: Inputs, places: Places, share: slice, mixing: Mixing) -> torch.Tensor:
        """Blend a share of a batch, at ``places`` of the epoch, with its partners, which may be in another share."""
        other_b = self.images(inputs, places, mixing.partner_B[share])
        factor_b = mixing.factor_B[share].to(x_b.device).view(-1, *[1] * (x_b.dim() - 1))
        return torch.lerp(other_b, x_b, factor_b)


@dataclass(frozen=True)
class Work:
    """An epoch that is about to be trained. ``generator`` is the method's own."""

    order: EpochOrder
    clock: Clock
    generator: torch.Generator
    recorder: Recorder
    advance: Advance


Put = Callable[[torch.Tensor, torch.Tensor, torch.Tensor], None]
"""Takes rows, logits and labels of a batch, as `Recorder.put`."""


class Trainer(Remembers):
    """What takes an epoch's steps in place of the loop; see `labelaudit.engine.selection`."""

    def train_epoch(self, training: Training, work: Work) -> tuple[int, npt.NDArray[np.int32]]:
        """Take an epoch's steps, and return what they cost, as `EpochRecord` has it."""
        raise NotImplementedError


@dataclass(frozen=True)
class Task:
    """What is learned.

    Attributes:
        inputs, label_N: What is trained on, with int64 given labels.
        method: What says what to teach; by default standard training.
        sample_weight_N: float32; they multiply every lesson's weights.
        selection: Chooses which samples are back-propagated; its scoring pass is recorded.
        marks: Further entries of the checkpoint.
    """

    inputs: Inputs
    label_N: torch.Tensor
    method: Method = field(default_factory=Method)
    sample_weight_N: torch.Tensor | None = None
    selection: Trainer | None = None
    marks: Mapping[str, int] = field(default_factory=dict)


class Training:
    """Networks and optimizers between two epochs, and what they learn.

    Random draws are seeded from (seed, purpose, epoch), so a training that goes on from a checkpoint draws what the
    uninterrupted one would have drawn. All processes of the world have to begin with equal networks.
    """

    def __init__(
        self, networks: Sequence[nn.Module], settings: Hyperparameters, device: Device, task: Task, world: World = ALONE
    ) -> None:
        self.task = task
        self.device = torch.device(str(device))
        self.networks = [network.to(self.device).to(memory_format=torch.channels_last) for network in networks]
        self.settings = settings
        self.world = world
        weight_N = task.sample_weight_N
        self._sample_weight_N = None if weight_N is None else weight_N.to(self.device)
        self.shared = [
            in_threads(network, device, settings.batch_size) if world.size == 1 else in_processes(network, device)
            for network in self.networks
        ]
        # For looks at images without learning; processes that share a network look through their own copies.
        self.seeing = self.shared if world.size == 1 else self.networks
        self.finished_epochs = 0
        self.optimizers = [build_optimizer(network, settings) for network in self.networks]
        self._kept: list[dict[str, torch.Tensor]] | None = None

    def state(self) -> State:
        """Return all that a checkpoint has to hold: a copy on the CPU, as tensors and plain values."""
        state = {
            **self.task.marks,
            "finished_epochs": self.finished_epochs,
            "networks": [_copied(network.state_dict()) for network in self.networks],
            "optimizers": [_copied(optimizer.state_dict()) for optimizer in self.optimizers],
        }
        if self._kept is not None:
            state["kept"] = _copied(self._kept)
        if self.task.method.memory:
            state["method"] = _copied(self.task.method.state())
        if self.task.selection is not None:
            state["selection"] = _copied(self.task.selection.state())
        return state

    def load(self, state: State) -> None:
        """Go on from a state.

        That of other networks, another method or selector is a KeyError, RuntimeError, ValueError or TypeError.
        """
        for network, values in zip(self.networks, state["networks"], strict=True):
            network.load_state_dict(values)
        for optimizer, values in zip(self.optimizers, state["optimizers"], strict=True):
            optimizer.load_state_dict(values)
        self._kept = state.get("kept")
        if self.task.method.memory:
            self.task.method.load(state["method"])
        if self.task.selection is not None:
            self.task.selection.load(state["selection"])
        finished = state["finished_epochs"]
        if not isinstance(finished, int) or not 0 <= finished <= self.settings.epochs:
            raise ValueError(f"a state after {finished} of {self.settings.epochs} epochs")
        self.finished_epochs = finished

    def run_epochs(self, advance: Advance) -> Iterator[EpochRecord]:
        """Train the epochs that are left, and yield the record of each."""
        while self.finished_epochs < self.settings.epochs:
            yield self.run_epoch(advance)

    def run_epoch(self, advance: Advance) -> EpochRecord:
        """Train one epoch and return every row's record, as the networks saw it before each step.

        ``advance`` gets the size of each finished batch. A loss that is not finite is a TrainingError, a lack of memory
        a DeviceError.
        """
        epoch, settings, selection = self.finished_epochs, self.settings, self.task.selection
        # All draws of the epoch are made here, on the CPU: they depend neither on the device nor on the processes.
        generator = make_generator(settings.seed, "method", epoch)
        clock = Clock(epoch=epoch, epochs=settings.epochs)
        for network in self.shared:
            network.train()
        cuda = [self.device] if self.device.type == "cuda" else []
        with memory_errors(settings.batch_size), torch.random.fork_rng(cuda):
            plan = self._plan(clock, generator)
            order = self._order(plan, epoch)
            recorder = Recorder(len(self.task.inputs), self.device, None if plan.batches is None else order.order_M)
            # Dropout and stochastic depth.
            torch.manual_seed(derive_seed(settings.seed, "network", epoch) + self.world.rank)
            work = Work(order, clock, generator, recorder, advance)
            with self._threads():
                cost = self._train_epoch(work) if selection is None else selection.train_epoch(self, work)
            record = recorder.take(epoch, *cost)
        self.finished_epochs += 1
        return record

    def _train_epoch(self, work: Work) -> tuple[int, npt.NDArray[np.int32]]:
        """Take a step on each batch, one after the other; return what it cost, as `EpochRecord` has it."""
        order = work.order
        for step, places in enumerate(order.batches):
            at = replace(work.clock, step=step, steps=len(order.batches))
            set_pace(self.optimizers, self.settings, at.done, at.steps_done)
            self.step(work, places, at, work.recorder.put)
            work.advance(places.stop - places.start)
        times_N = torch.bincount(order.order_M, minlength=len(self.task.inputs)).to(torch.int32).numpy()
        return len(order.order_M), times_N

    def _threads(self) -> contextlib.AbstractContextManager[None]:
        """Have this thread compute alone for small networks, and for those with threads of their own."""
        weights = sum(parameter.numel() for network in self.networks for parameter in network.parameters())
        has_threads = any(isinstance(network, Threaded) for network in self.shared)
        return single_threaded() if weights <= _SMALL or has_threads else contextlib.nullcontext()

    def _plan(self, clock: Clock, generator: torch.Generator) -> EpochPlan:
        plan = self.task.method.plan_epoch(_NetworkLook(self, self.task.inputs), clock, generator)
        if plan.go_back and self._kept is not None:
            for network, values in zip(self.networks, self._kept, strict=True):
                network.load_state_dict(values)
        self._kept = [_copied(network.state_dict()) for network in self.networks] if plan.keep else None
        return plan

    def _order(self, plan: EpochPlan, epoch: int) -> EpochOrder:
        seed, inputs = self.settings.seed, self.task.inputs
        if plan.batches is None:
            order_M = torch.randperm(len(inputs), generator=make_generator(seed, "order", epoch))
            batches = split_places(len(inputs), self.settings.batch_size)
        else:
            order_M = torch.cat(list(plan.batches))
            stops = torch.tensor([len(row_B) for row_B in plan.batches]).cumsum(dim=0).tolist()
            batches = [slice(start, stop) for start, stop in zip([0, *stops], stops, strict=False)]
        row_M = order_M.to(self.device)
        return EpochOrder(
            order_M=order_M,
            row_M=row_M,
            label_M=self.task.label_N.to(self.device)[row_M],
            views=inputs.draw_views(make_generator(seed, "augment", epoch), len(order_M)),
            batches=batches,
        )

    def step(
        self, work: Work, places: Places, clock: Clock, put: Put, choice_weight_B: torch.Tensor | None = None
    ) -> None:
        """Take a step on some places of the epoch, after their logits were ``put``.

        The weights of the lessons are multiplied by ``choice_weight_B``, float32.
        """
        order, method, world = work.order, self.task.method, self.world
        batch, sample_weight_N = order.batch(places), self._sample_weight_N
        sample_weight_B = None if sample_weight_N is None else sample_weight_N[batch.row_B]
        count = len(batch.row_B)
        share = world.share(count)
        x_b = order.images(self.task.inputs, places, share)
        if method.mixes:
            mixing = method.mix(batch, functools.partial(self._guess, x_b, count), clock, work.generator)
            x_b = order.blended(x_b, self.task.inputs, places, share, mixing)
            sample_weight_B = None if sample_weight_B is None else mixing.blend(sample_weight_B)
        logits = [self.forward(network, x_b) for network in self.shared]
        seen = [world.gather(logits_bC.detach(), count) for logits_bC in logits]
        put(batch.row_B, seen[0], batch.label_B)
        lessons = method.teach(batch, seen, clock, work.generator)
        if choice_weight_B is not None:
            lessons = [replace(lesson, weight_B=lesson.weight_B * choice_weight_B) for lesson in lessons]
        for optimizer, logits_bC, lesson in zip(self.optimizers, logits, lessons, strict=True):
            optimizer.zero_grad(set_to_none=True)
            # Gradients are averaged over the processes, each of which has a part of one sum.
            loss = lesson_loss(logits_bC, lesson, share, sample_weight_B) * world.size
            loss.backward()  # type: ignore[no-untyped-call]
            if lesson.decay is None:
                optimizer.step()
            else:
                step_with_decay(optimizer, self.settings.weight_decay, lesson.decay)

    def _guess(self, x_b: torch.Tensor, count: int) -> list[torch.Tensor]:
        with evaluating(self.seeing):
            return [self.world.gather(self.forward(network, x_b), count) for network in self.seeing]

    def forward(self, network: Callable[[torch.Tensor], Any], x_b: torch.Tensor) -> torch.Tensor:
        """Return the logits of a batch in float32, computed in the training's precision."""
        enabled = self.settings.precision == "bfloat16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=enabled):
            logits: torch.Tensor = network(x_b)
        return logits.float()

    def predict(self, inputs: Inputs, *, networks: int | None = None) -> torch.Tensor:
        """Return the softmax of the mean logits on the un-augmented rows: float32 [N, C] on the CPU.

        The mean is over all networks, or the first ``networks``, in evaluation mode.
        """

        def logits(network: nn.Module, x_b: torch.Tensor) -> torch.Tensor:
            return self.forward(network, x_b).cpu()

        look, row_N = _NetworkLook(self, inputs), torch.arange(len(inputs))
        each = [look.see(row_N, network, logits) for network in self.networks[:networks]]
        return torch.stack(each).mean(dim=0).softmax(dim=1)


def _copied(state: Any) -> Any:
    """Copy tensors to the CPU, and plain values, in mappings and lists: later steps do not change them."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: _copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [_copied(value) for value in state]
    return state


@contextlib.contextmanager
def evaluating(networks: Sequence[nn.Module]) -> Iterator[None]:
    """Switch to evaluation mode without gradients, and back to the earlier mode."""
    training = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for network, mode in zip(networks, training, strict=True):
            network.train(mode)


class _NetworkLook:
    """See `labelaudit.methods.base.Look`. Each process computes its share and gets the whole."""

    def __init__(self, training: Training, inputs: Inputs) -> None:
        self.rows = len(inputs)
        self._training = training
        self._inputs = inputs

    def logits(self, row_M: torch.Tensor, *, network: int = 0) -> torch.Tensor:
        """See `labelaudit.methods.base.Look`."""
        return self.see(row_M, self._training.networks[network], self._training.forward)

    def features(self, row_M: torch.Tensor, *, network: int = 0) -> torch.Tensor:
        """See `labelaudit.methods.base.Look`."""
        return self.see(row_M, self._training.networks[network], self._features)

    def see(self, row_M: torch.Tensor, network: nn.Module, what: Callable[..., torch.Tensor]) -> torch.Tensor:
        """Return ``what`` gives for a network and the inputs of these rows."""
        world, parts = self._training.world, []
        with evaluating([network]):
            for row in torch.split(row_M, _CHUNK * world.size):
                part_m = row[world.share(len(row))]
                parts.append(world.gather(what(network, self._inputs.batch(part_m, None)), len(row)))
        return torch.cat(parts)

    def _features(self, network: Any, x_m: torch.Tensor) -> torch.Tensor:
        """Return what the last layer with weights is given; of some of timm's models it is a convolution."""
        seen: list[torch.Tensor] = []
        last = [module for module in network.modules() if isinstance(module, nn.Linear | nn.Conv2d)][-1]
        handle = last.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
        try:
            self._training.forward(network, x_m)
        finally:
            handle.remove()
        return seen[0].float().flatten(1)
