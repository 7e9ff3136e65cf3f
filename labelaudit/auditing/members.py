"""Train the members of an audit's network with torch, and record their losses.

Members train one after the other, each with its own seed. Their epochs are numbered through: M members of E epochs
leave M · E files.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import torch

from labelaudit.auditing import plan
from labelaudit.auditing.begin import Tensors
from labelaudit.auditing.prepare import Prepared, Source, make_network
from labelaudit.auditing.training import read_checkpoint, restore, tensors_of, train
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.settings import TrainingSettings
from labelaudit.engine.step import EpochRecord, observe
from labelaudit.errors import RunError
from labelaudit.methods.base import State
from labelaudit.progress import Reporter
from labelaudit.run import losses
from labelaudit.run.layout import RunFolder


def train_recorded(
    run: RunFolder,
    settings: TrainingSettings,
    prepared: Prepared,
    source: Source,
    reporter: Reporter,
    *,
    held_out: Prepared | None = None,
) -> Tensors:
    """Train all members to the end, from the state in the folder, and record every loss, also of held-out images.

    Return the tensors of the last member's network by name.
    """
    state = source.world.once(lambda: rewind_to_checkpoint(run))
    finished, whole = _finished(state), settings.recorded_epochs
    if finished:
        reporter.say(f"Resuming after {finished} of {whole} epochs")

    def members() -> Iterator[Training]:
        # A member that ended with the last whole epoch is loaded again only if it is the last, whose network is kept.
        first = min(finished // settings.epochs, settings.members - 1)
        for member in range(first, settings.members):
            training = _member(settings, member, prepared, source)
            if state is not None and state["member"] == member:
                restore(training, state, run.checkpoint)
            yield training

    def after(training: Training, record: EpochRecord, _seconds: float) -> Callable[[], None]:
        seen = {name: getattr(record, f"{name}_N") for name in ("loss", "margin", "predicted", "alternative")}
        epoch = training.task.marks["member"] * settings.epochs + record.epoch
        recorded = losses.EpochLosses.of(epoch, prepared.sample_R, seen)
        tested: losses.EpochLosses | None = None
        if held_out is not None:
            # A probability that is 0 in float32 counts as the smallest that is not: a loss of 87.
            log_p_TC = training.predict(held_out.inputs).clamp_min(torch.finfo(torch.float32).tiny).log()
            seen = {name: value_T.numpy() for name, value_T in observe(log_p_TC, held_out.label_R).items()}
            tested = losses.EpochLosses.of(epoch, held_out.sample_R, seen)

        def write() -> None:
            if tested is not None:
                losses.write_epoch(run.test_losses, tested, recording=losses.TEST_PASS)
            losses.write_epoch(run.losses, recorded, recording=settings.recording)

        return write

    images = (whole - finished) * len(prepared.inputs)
    return tensors_of(train(run, members(), after, reporter, title="Training the probe", images=images).networks[0])


def _member(settings: TrainingSettings, member: int, prepared: Prepared, source: Source) -> Training:
    """Build one member; the first has the seed that was asked for."""
    own = settings.of_member(member)
    task = Task(
        prepared.inputs,
        prepared.label_R,
        # One curve holds one kind of loss: that of the scoring pass, also while a selector is off.
        selection=plan.build_selection(own, len(prepared.inputs), records_scores=True),
        marks={"member": member, "epochs": settings.epochs},
    )
    return Training([make_network(own, prepared, source)], own, source.device, task, source.world)


def rewind_to_checkpoint(run: RunFolder) -> State | None:
    """Return the state in the checkpoint and delete the losses of later epochs; raise a RunError if some lack."""
    state = read_checkpoint(run.checkpoint) if run.checkpoint.exists() else None
    counts = ("member", "epochs", "finished_epochs")
    if state is not None and not all(isinstance(state.get(name), int) for name in counts):
        raise RunError(f"{run.checkpoint} belongs to a different network", fix="delete it to train from the start")
    epochs = _finished(state)
    losses.discard_from(run.losses, epochs)
    losses.discard_from(run.test_losses, epochs)
    recorded = losses.recorded_epochs(run.losses)
    if len(recorded) != epochs or recorded != list(range(len(recorded))):  # any number may stand in the checkpoint
        raise RunError(f"{run.losses} lacks epochs that the checkpoint has", fix="delete the checkpoint to train again")
    return state


def _finished(state: State | None) -> int:
    return 0 if state is None else int(state["member"]) * int(state["epochs"]) + int(state["finished_epochs"])
