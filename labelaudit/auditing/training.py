"""The driver of every training that can be interrupted: the probe, its pilot, retraining and cross-validation.

    earlier   read what an earlier call began in the folder, where its settings hold
    clear     delete what no settings hold
    restore   bring a training back to its last whole epoch
    train     train the epochs that are left, and write each one while the next one is trained
    finish    write the network

What is written after an epoch is a parameter of `train`. The checkpoint is written last: a crash in between repeats the
epoch and writes the same files again.
"""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

import torch

from labelaudit.engine.inputs import Inputs
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.selection import Selection
from labelaudit.engine.step import EpochRecord
from labelaudit.errors import RunError
from labelaudit.methods.base import Method, State
from labelaudit.progress import Reporter
from labelaudit.run.checkpoint import write_checkpoint, write_network
from labelaudit.run.documents import TRAINED
from labelaudit.run.files import background_writer
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import discard_from, recorded_epochs

Found = TypeVar("Found")


def earlier(run: RunFolder, read: Callable[[], Found]) -> Found | None:
    """Return what an earlier call began in a folder, or None where a training may begin anew.

    An earlier call fixes the folder's settings once an epoch is recorded, unless the training diverged. ``read``
    reads and checks them; its RunError counts only where they are fixed.

    Raises:
        RunError: the earlier settings are fixed, and `read` refuses them.
    """
    if not run.exists:
        return None
    description = run.read_description()
    if description.get("diverged"):
        return None
    try:
        return read()
    except RunError:
        recorded = any(file.exists() for file in (run.checkpoint, run.verified, run.result))
        if recorded or description.get("status") == TRAINED or recorded_epochs(run.pilot.losses):
            raise
        return None


def clear(run: RunFolder) -> None:
    """Delete what a training left whose settings do not bind.

    Raises:
        RunError: the folder has results that no run.json describes.
    """
    if not run.exists:
        run.require_fresh()
        return
    for file in (run.checkpoint, run.pilot.checkpoint, run.pictures, run.verified, run.metrics, run.seconds):
        file.unlink(missing_ok=True)
    discard_from(run.pilot.losses, 0)
    shutil.rmtree(run.picks, ignore_errors=True)


@dataclass(frozen=True, kw_only=True)
class TrainingJob:
    """A training and what it learns from.

    Attributes:
        selection: Chooses the samples that are back-propagated; None for all.
        sample_weight_R: Sample weights that multiply those of the method; None for 1.
        number: Further entries of the checkpoint, such as the member's number.
    """

    training: Training
    method: Method
    inputs: Inputs
    label_R: torch.Tensor
    selection: Selection | None = None
    sample_weight_R: torch.Tensor | None = None
    number: Mapping[str, int] = field(default_factory=dict)

    def restore(self, state: State, file: Path) -> None:
        """Bring the training to the state in a checkpoint.

        Raises:
            RunError: the state belongs to a different network, method or selector.
        """
        try:
            self.training.load(state, self.method, self.selection)
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise RunError(f"{file} belongs to a different network", fix="delete it to train from the start") from error


After = Callable[[TrainingJob, EpochRecord, float], Callable[[], None]]
"""Called by every process after each epoch, with its record and its seconds. The first process writes the epoch by the
function that it returns, and the checkpoint after it."""


def train(
    run: RunFolder, jobs: Iterable[TrainingJob], after: After, reporter: Reporter, *, title: str, images: int
) -> Training:
    """Train one job or more, one after the other, and write each epoch while the next one is trained.

    Return the last training. ``images`` are left in all jobs and epochs together. A failed write, such as a full disk,
    is reported one epoch later; the checkpoint still holds the last epoch written.

    Raises:
        TrainingError, DeviceError, StorageError: see `labelaudit.errors`.
    """
    last: TrainingJob | None = None
    with reporter.bar(title, images, "images") as advance, background_writer() as submit:
        for job in jobs:
            last = job
            began = time.perf_counter()
            training, given = job.training, (job.inputs, job.label_R, job.method)
            epochs = run_epochs(training, *given, advance, sample_weight_N=job.sample_weight_R, selection=job.selection)
            for record in epochs:
                write = after(job, record, time.perf_counter() - began)
                if training.world.is_main:
                    state = {**job.number, **training.state(job.method, job.selection)}
                    submit(functools.partial(_write, write, run.checkpoint, state))
                began = time.perf_counter()
    if last is None:
        raise ValueError("there is nothing to train")
    return last.training


def _write(write: Callable[[], None], checkpoint: Path, state: State) -> None:
    write()
    write_checkpoint(checkpoint, state)


def finish(file: Path, network: torch.nn.Module, classes: Sequence[str]) -> None:
    """Write a trained network with the names of its classes."""
    write_network(file, network, {"format": "pt", "classes": "\n".join(classes)})
