"""An epoch as labelaudit trains and records it, and the least that any epoch with the same network takes."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from unittest import mock

import torch
from torch.nn import functional

from labelaudit.engine import loop
from labelaudit.engine.loop import Training
from labelaudit.engine.recorder import Effort, EpochRecord
from labelaudit.methods.standard import Standard
from labelaudit.reproduce.speed.problem import Problem
from labelaudit.run.files import BackgroundWriter
from labelaudit.run.losses import EpochLosses, write_epoch

_TINY_RATE = 1e-4


class RecordedEpochs:
    """labelaudit's own epochs, each with its Parquet file, which is written while the next one trains.

    Nobody waits for the last file but the clock: `run` returns when it is written.

    Args:
        problem: What is trained; at a constant rate, since nobody knows how many epochs it will be.
        folder: Where the records go.
        epochs: Of one run.
    """

    def __init__(self, problem: Problem, folder: Path, *, epochs: int = 1) -> None:
        self._problem, self._folder, self._epochs = problem, folder, epochs
        settings = replace(problem.settings, schedule="constant")
        self._training = Training([problem.build()], settings, problem.device)
        self.items = epochs * len(problem.inputs)

    def run(self) -> None:
        """Train, and write what was recorded."""
        with BackgroundWriter() as writer:
            for _ in range(self._epochs):
                writer.submit(partial(write_epoch, self._folder, self._losses(self._epoch())))
        wait_for(self._problem.device)

    def run_unrecorded(self) -> None:
        """Train, and keep nothing of it."""
        with recording_off():
            for _ in range(self._epochs):
                self._epoch()
        wait_for(self._problem.device)

    def _epoch(self) -> EpochRecord:
        problem = self._problem
        return self._training.run_epoch(problem.inputs, problem.label_R, Standard(), lambda _finished: None)

    def _losses(self, record: EpochRecord) -> EpochLosses:
        return EpochLosses(
            epoch=record.epoch,
            sample_R=self._problem.sample_R,
            loss_R=record.loss_N,
            margin_R=record.margin_N,
            predicted_R=record.predicted_N,
            alternative_R=record.alternative_N,
        )


class BareStep:
    """Forward, backward and optimiser on one batch that never changes: what no loop can beat with this network.

    Precision, memory format and optimiser are those of labelaudit's loop. The rate is tiny: a batch that is learned by
    heart would soon compute with numbers that no training has.

    Args:
        problem: What is trained.
    """

    def __init__(self, problem: Problem) -> None:
        settings = problem.settings
        self._device, self._enabled = problem.device, settings.precision == "bfloat16"
        self.batch_size = min(settings.batch_size, len(problem.inputs))
        index_B = torch.arange(self.batch_size) * (len(problem.inputs) // self.batch_size)
        self._x_B = problem.inputs.batch(index_B, None)
        self._label_B = problem.label_R[index_B].to(self._device)
        self._network = problem.build().to(self._device).to(memory_format=torch.channels_last).train()
        self._optimizer = torch.optim.SGD(
            self._network.parameters(),
            lr=_TINY_RATE,
            momentum=settings.momentum,
            nesterov=settings.nesterov,
            weight_decay=settings.weight_decay,
            fused=True,
        )

    def run(self, steps: int) -> None:
        """So many steps."""
        for _ in range(steps):
            with torch.autocast(self._device.type, dtype=torch.bfloat16, enabled=self._enabled):
                logits_BC = self._network(self._x_B)
            self._optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(logits_BC.float(), self._label_B).backward()  # type: ignore[no-untyped-call]
            self._optimizer.step()
        wait_for(self._device)


@contextlib.contextmanager
def recording_off() -> Iterator[None]:
    """Let the training loop neither compute nor keep records, while the context lasts."""
    with mock.patch.object(loop, "Recorder", _NoRecorder):
        yield


def wait_for(device: torch.device) -> None:
    """Return when the device has done all that it was told."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)


class _NoRecorder:
    def __init__(self, rows: int, device: torch.device, order_M: torch.Tensor | None = None) -> None:
        pass

    def put(self, row_B: torch.Tensor, logits_BC: torch.Tensor, label_B: torch.Tensor) -> None:
        """Drop it."""

    def take(self, epoch: int, effort: Effort | None = None) -> None:
        """Nothing was kept."""
