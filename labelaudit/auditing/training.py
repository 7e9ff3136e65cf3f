"""Run every training that can be interrupted: the probe, retraining and cross-validation.

What is written after an epoch is a parameter of `train`. The checkpoint is written last: a crash in between repeats the
epoch and writes the same files again. Checkpoints and networks load without running code.
"""

from __future__ import annotations

import io
import time
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from typing import Any

import torch

from labelaudit.auditing.begin import Tensors
from labelaudit.engine.loop import Training
from labelaudit.engine.step import EpochRecord
from labelaudit.errors import RunError
from labelaudit.methods.base import State
from labelaudit.progress import Reporter
from labelaudit.run.files import require_regular, write_bytes
from labelaudit.run.layout import RunFolder


def restore(training: Training, state: State, file: Path) -> None:
    """Bring a training to the state in a checkpoint; raise a RunError for that of another network or method."""
    try:
        training.load(state)
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise RunError(f"{file} belongs to a different network", fix="delete it to train from the start") from error


After = Callable[[Training, EpochRecord, float], Callable[[], None]]
"""Called by every process after each epoch, with its record and its seconds. The first process writes the epoch by the
function that it returns, and the checkpoint after it."""


def train(
    run: RunFolder, trainings: Iterable[Training], after: After, reporter: Reporter, *, title: str, images: int
) -> Training:
    """Take trainings one after the other, writing each epoch while the next one is trained; return the last one.

    ``images`` are left in all of them together. A failed write raises its StorageError one epoch later; the checkpoint
    still holds the last epoch written.
    """

    def write_epoch(write: Callable[[], None], state: State) -> None:
        write()
        write_checkpoint(run.checkpoint, state)

    pending: Future[None] | None = None
    with reporter.bar(title, images, "images") as advance, ThreadPoolExecutor(1) as pool:
        for training in trainings:
            began = time.perf_counter()
            for record in training.run_epochs(advance):
                write = after(training, record, time.perf_counter() - began)
                if training.world.is_main:
                    state = training.state()
                    if pending is not None:
                        pending.result()
                    pending = pool.submit(write_epoch, write, state)
                began = time.perf_counter()
        if pending is not None:
            pending.result()
    return training


def write_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Write tensors and plain values atomically."""
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())  # a memoryview of the buffer crashes Python 3.12.1


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU; raise a RunError where it is damaged, or has more than tensors and plain values."""
    fix = "delete it to train from the start"
    try:
        state = torch.load(require_regular(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many types
        raise RunError(f"the checkpoint {path} is damaged", fix=fix) from error
    if not isinstance(state, dict):
        raise RunError(f"the checkpoint {path} is not one of labelaudit", fix=fix)
    return state


def tensors_of(network: torch.nn.Module) -> Tensors:
    """Return a network's parameters and buffers by name."""
    return {name: tensor.detach().cpu().contiguous().numpy() for name, tensor in network.state_dict().items()}
