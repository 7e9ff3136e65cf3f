"""A training whose losses and checkpoints go to a run folder, epoch by epoch, and which goes on from there.

Members train one after the other with seeds of their own; their epochs are counted through, so that M members of E
epochs leave M · E files. Folds train side by side, each head without its own part of the data.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from labelaudit.audit.plan import build_selection
from labelaudit.audit.prepare import Prepared, Source, make_network
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.order import derive_seed, make_generator
from labelaudit.engine.recorder import EpochRecord
from labelaudit.engine.selection import Selection
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import RunError
from labelaudit.methods.base import Batch, Clock, Lesson, Method
from labelaudit.methods.standard import Standard
from labelaudit.progress import Reporter
from labelaudit.run.checkpoint import read_checkpoint, write_checkpoint
from labelaudit.run.files import BackgroundWriter
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import (
    SCORING_PASS,
    TRAINING_FORWARD,
    EpochLosses,
    discard_from,
    recorded_epochs,
    write_epoch,
)
from labelaudit.selectors.table import NONE


class Folds:
    """L_f = Σ CE(logits_f, given label) over the samples of the batch outside of fold f, divided by their number.

    Args:
        fold_R: int64 fold of each row, in [0, F), on the training's device.
        folds: F, at least 2.
    """

    def __init__(self, fold_R: torch.Tensor, folds: int) -> None:
        self.networks = folds
        self._fold_R = fold_R

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given labels, with weight 0 for the head's own fold."""
        fold_B = self._fold_R[batch.row_B]
        return [
            Lesson(target=batch.label_B, weight_B=(fold_B != fold).float(), per="weight")
            for fold in range(self.networks)
        ]

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Of each sample, those of the head that was not taught it."""
        fold_B = self._fold_R[batch.row_B]
        return torch.stack(list(logits))[fold_B, torch.arange(len(fold_B), device=fold_B.device)]


def draw_folds(label_R: torch.Tensor, folds: int, generator: torch.Generator) -> torch.Tensor:
    """A fold for each row, at random, such that the folds of each class differ by one sample at most: int64 [R].

    Args:
        label_R: int64 labels.
        folds: How many.
        generator: Draws; on the CPU.
    """
    order_R = torch.randperm(len(label_R), generator=generator)
    by_class_R = order_R[torch.argsort(label_R[order_R], stable=True)]
    fold_R = torch.empty_like(order_R)
    fold_R[by_class_R] = torch.arange(len(order_R)) % folds
    return fold_R


def recording_of(settings: TrainingSettings) -> str:
    """Of which forward pass the recorded losses are, in words."""
    return TRAINING_FORWARD if settings.selector == NONE else SCORING_PASS


def train_recorded(
    run: RunFolder,
    settings: TrainingSettings,
    prepared: Prepared,
    source: Source,
    reporter: Reporter,
    *,
    title: str = "Training the probe",
) -> nn.Module:
    """Train all members to the end, from the state in the folder.

    Returns:
        The first network of the last member.

    Raises:
        RunError: the state is damaged, or of another network.
        TrainingError: the training diverged.
        DeviceError: the device is out of memory.
    """
    state = source.world.once(lambda: read_state(run))
    finished = _finished(state)
    whole = settings.recorded_epochs
    if finished:
        reporter.say(f"Going on after {finished} of {whole} epochs")
    # A member that ended with the last whole epoch is loaded again only if it is the last: it is what is returned.
    first = min(finished // settings.epochs, settings.members - 1)
    with (
        reporter.bar(title, (whole - finished) * len(prepared.inputs), "images") as advance,
        BackgroundWriter() as writer,
    ):
        for member in range(first, settings.members):
            training, selection = _start(run, settings, member, prepared, source, state if member == first else None)
            epochs = run_epochs(
                training,
                prepared.inputs,
                prepared.label_R,
                _method(settings, prepared, source),
                advance,
                selection=selection,
            )
            for record in epochs:
                if source.world.is_main:
                    losses = _losses(record, member * settings.epochs, prepared)
                    state = {"member": member, "epochs": settings.epochs, **training.state(selection=selection)}
                    writer.submit(functools.partial(_write_epoch, run, losses, state, recording_of(settings)))
    return training.networks[0]


def _start(
    run: RunFolder,
    settings: TrainingSettings,
    member: int,
    prepared: Prepared,
    source: Source,
    state: dict[str, Any] | None,
) -> tuple[Training, Selection | None]:
    settings = member_settings(settings, member)
    networks = [make_network(settings, prepared, source, number=fold) for fold in range(settings.folds)]
    training = Training(networks, settings, source.device, source.world)
    # Every loss is of the scoring pass then, also while a selector is off: one curve holds one kind of loss.
    selection = build_selection(settings, len(prepared.inputs), records_scores=True)
    if state is not None and int(state["member"]) == member:
        try:
            training.load(state, selection=selection)
        except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
            raise _foreign(run) from error
    return training, selection


def member_settings(settings: TrainingSettings, member: int) -> TrainingSettings:
    """Those of one member: the first has the seed that was asked for."""
    return replace(settings, seed=derive_seed(settings.seed, "member", member)) if member else settings


def _method(settings: TrainingSettings, prepared: Prepared, source: Source) -> Method:
    if settings.folds == 1:
        return Standard()
    fold_R = draw_folds(prepared.label_R, settings.folds, make_generator(settings.seed, "folds"))
    return Folds(fold_R.to(source.device), settings.folds)


def read_state(run: RunFolder) -> dict[str, Any] | None:
    """The state after the last whole epoch; later epochs are deleted.

    Raises:
        RunError: it is damaged, or epochs are missing that it has.
    """
    state = read_checkpoint(run.checkpoint) if run.checkpoint.exists() else None
    if state is None:
        discard_from(run.losses, 0)
        return None
    if not all(isinstance(state.get(name), int) for name in ("member", "epochs", "finished_epochs")):
        raise _foreign(run)
    epochs = _finished(state)
    discard_from(run.losses, epochs)
    recorded = recorded_epochs(run.losses)
    if len(recorded) != epochs or recorded != list(range(len(recorded))):
        raise RunError(f"{run.losses} lacks epochs that the checkpoint has", fix="delete the checkpoint to train again")
    return state


def _finished(state: dict[str, Any] | None) -> int:
    return 0 if state is None else int(state["member"]) * int(state["epochs"]) + int(state["finished_epochs"])


def _write_epoch(run: RunFolder, losses: EpochLosses, state: dict[str, Any], recording: str) -> None:
    write_epoch(run.losses, losses, recording=recording)
    # The checkpoint comes second: a crash in between repeats the epoch and writes the same file again.
    write_checkpoint(run.checkpoint, state)


def _losses(record: EpochRecord, before: int, prepared: Prepared) -> EpochLosses:
    return EpochLosses(
        epoch=before + record.epoch,
        sample_R=prepared.sample_R,
        loss_R=record.loss_N,
        margin_R=record.margin_N,
        predicted_R=record.predicted_N,
        alternative_R=record.alternative_N,
    )


def _foreign(run: RunFolder) -> RunError:
    return RunError(f"{run.checkpoint} is of another network", fix="delete it to train from the start")
