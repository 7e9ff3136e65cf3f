"""Train the probe: write every sample's loss in every epoch to the run folder, and resume interrupted work.

Members train one after the other, each with its own seed. Their epochs are numbered through: M members of E epochs
leave M · E files. Folds train side by side, each head without its own part of the data.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from importlib.metadata import version
from pathlib import Path

import numpy as np
import torch
from torch import nn

import labelaudit
from labelaudit.auditing.mirror import MirrorTest, settle_flip
from labelaudit.auditing.model import Data, is_trained, read_catalogue, read_curves, runs_of
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import (
    DOUBTED,
    agree,
    build_selection,
    check_probe,
    heads_beside,
    network_beside,
    plan_probe,
    set_up_device,
)
from labelaudit.auditing.prepare import Prepared, Source, make_network, numbered_as, prepare
from labelaudit.auditing.training import TrainingJob, clear, earlier, read_checkpoint, train, write_network
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.data.folder import require_outside
from labelaudit.detect.curves import Course
from labelaudit.engine.loop import Training
from labelaudit.engine.networks import Heads
from labelaudit.engine.order import derive_seed, make_generator
from labelaudit.engine.parallel import joined
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.engine.step import EpochRecord, observe
from labelaudit.errors import RunError, StorageError
from labelaudit.methods.base import Batch, Clock, Lesson, Logits, Method, State
from labelaudit.methods.standard import Standard
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.moves import Relabelings, require_settled
from labelaudit.run import documents, losses
from labelaudit.run.files import require_regular, storage_errors, write_bytes
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import unreadable_rows
from labelaudit.run.series import earlier_runs, next_run, runs_in
from labelaudit.run.tables import write_image_table, write_samples
from labelaudit.selectors.table import NONE
from labelaudit.text import alike, plural


def train_probe(
    data: Data,
    run: RunFolder | None,
    options: TrainingOptions | None = None,
    reporter: Reporter = QUIET,
    *,
    test: Catalogue | None = None,
) -> RunFolder:
    """Train a probe on a folder and record its losses, or resume a run that was interrupted; return its run folder.

    Without a ``run``, that is the newest of the data's own by number, and the next number where it has other data or,
    being trained, other settings. Under torchrun, all processes train it together. The first one writes and reports.
    Losses of the ``test`` images are recorded too: those of the mean prediction in evaluation mode, after each epoch
    that this call trains.

    Raises:
        DataError: the folder or labels file cannot be audited.
        RunError: the run folder is of other data or settings, damaged, or in use.
        ModelError, DeviceError, UsageError, StorageError, TrainingError: see `labelaudit.errors`.
    """
    options = options or TrainingOptions()
    device = set_up_device(options)
    with joined(device) as world, contextlib.ExitStack() as held:
        reporter = reporter if world.is_main else QUIET
        claimed, begun = world.once(lambda: _claim_run(data, run, options, device, held, reporter))
        if begun is None:
            return claimed
        world.once(lambda: rewind_to_checkpoint(claimed))  # before the images are read: damage is reported at once
        source = Source(device=device, weights_file=options.network_weights, offline=options.offline, world=world)
        prepared = prepare(begun.catalogue, begun.settings, source, reporter, look=begun.is_new and world.is_main)
        if begun.is_new:
            make_network(begun.settings, prepared, source)  # fails before anything is written
            if options.augment is None:
                settings, prepared, mirror = settle_flip(begun.settings, prepared, source, reporter)
                begun = replace(begun, settings=settings, mirror=mirror)
        world.once(lambda: _describe(data, claimed, begun, prepared, device, reporter))
        with claimed.noting_divergence(is_main=world.is_main):
            held_out = None
            if test is not None:
                catalogue, statistics = numbered_as(test, prepared.catalogue, reporter), prepared.statistics
                held_out = prepare(catalogue, begun.settings, source, reporter, statistics=statistics)
            network = train_recorded(claimed, begun.settings, prepared, source, reporter, held_out=held_out)
            may_add = begun.settings.network_if_doubted and test is None
            if may_add and world.once(lambda: _doubt_labels(claimed, begun.settings)):
                settings, prepared = _stand_beside_network(claimed, begun.settings, prepared, options, source, reporter)
                network = train_recorded(claimed, settings, prepared, source, reporter)
            elif begun.settings.heads_epochs and not world.once(lambda: _are_trained(claimed.heads, begun.settings)):
                _train_heads(claimed, begun.settings, prepared, source, reporter)
        world.once(lambda: _finish(claimed, network, prepared))
        return claimed


@dataclass(frozen=True)
class _Begun:
    catalogue: Catalogue
    settings: TrainingSettings
    relabelings: Relabelings
    is_new: bool
    mirror: MirrorTest | None = None


def _claim_run(
    data: Data,
    given: RunFolder | None,
    options: TrainingOptions,
    device: torch.device,
    held: contextlib.ExitStack,
    reporter: Reporter,
) -> tuple[RunFolder, _Begun | None]:
    """Hold the run folder, and return it and what is to be trained; None when the probe is trained already."""
    relabelings = require_settled(data.root)
    if given is not None:
        require_outside(given.root, data.root, "--run")
    catalogue = trainable(data.scan(reporter))
    run = _numbered_run(data, catalogue, options, reporter) if given is None else given
    settings = _begun_settings(run, catalogue, options)
    if settings is not None and is_trained(run):  # nothing is written: the folder may be read-only
        reporter.say(f"The probe in {run.root} is trained already")
        _remember_place(data, run, reporter)
        return run, None
    # Before the folder is made: a mistyped option leaves nothing behind.
    planned = None if settings else plan_probe(catalogue, options, device)
    if planned is not None:
        check_probe(planned.settings)
    held.enter_context(run.writing("--run"))
    settings = _begun_settings(run, catalogue, options)  # another process may have trained meanwhile
    if settings is not None:
        if is_trained(run):
            return run, None
        _remember_place(data, run, reporter, held=True)
        return run, _Begun(catalogue, settings, relabelings, is_new=False)
    planned = planned or plan_probe(catalogue, options, device)
    is_first, before = not run.exists, earlier_runs(run) if given is None else []
    clear(run)
    if is_first and before and before[-1].decisions.exists():
        write_bytes(run.decisions, require_regular(before[-1].decisions).read_bytes())
    reporter.say(f"Probe: {planned.why}")
    return run, _Begun(catalogue, planned.settings, relabelings, is_new=True)


def _numbered_run(data: Data, catalogue: Catalogue, options: TrainingOptions, reporter: Reporter) -> RunFolder:
    """Return the newest run of the data, or the next one where data or settings have changed since; say why.

    A run that is not trained to the end is left for the next one only where the data have changed: other settings are
    refused later. Raises a RunError where the runs are of another folder, which is still there.
    """
    home = runs_of(data.root)
    if home.is_absolute():
        reporter.say(f"The runs are in {home}: nothing is written into the folder of the images")
    runs = runs_in(home)
    if not runs:
        return next_run(home)
    newest, why = runs[-1], ""
    description = documents.read_description(newest)
    if description.data.fingerprint != catalogue.fingerprint:
        root = Path(description.data.root)
        if root != data.root.resolve() and root.exists():
            what = f"{home} has the audits of {root}, which has the same name as {data.root}"
            raise RunError(what, fix="give a --run for this folder")
        why = f"{data.root} has changed since {newest.root}"
    elif is_trained(newest):
        try:
            agree(settings_from_json(description.settings, str(newest.description)), options, str(newest.root))
        except RunError as error:
            why = error.what
    if not why:
        return newest
    run = next_run(home)
    reporter.say(f"{why}: a new audit goes to {run.root}")
    return run


def _begun_settings(run: RunFolder, catalogue: Catalogue, options: TrainingOptions) -> TrainingSettings | None:
    """Return the settings of an earlier call; raise a RunError where they are of other data, or not those asked for."""
    if not run.exists:
        return None
    description = documents.read_description(run)

    def read() -> TrainingSettings:
        if description.data.fingerprint != catalogue.fingerprint:
            what = f"{run.root} is the audit of other data: {_difference(description.data, catalogue)}"
            raise RunError(what, fix="give another --run, or delete that folder")
        settings = settings_from_json(description.settings, str(run.description))
        agree(settings, options, str(run.root))
        return settings

    return earlier(run, read)


def _difference(data: documents.RecordedData, catalogue: Catalogue) -> str:
    if data.samples != len(catalogue):
        return f"{plural(data.samples, 'image')} in {data.root} there, {len(catalogue):,} in {catalogue.root} here"
    if data.classes != catalogue.classes:
        return f"classes {', '.join(data.classes[:4])}… there, {', '.join(catalogue.classes[:4])}… here"
    return f"images or labels of {catalogue.root} have changed since"


def _remember_place(data: Data, run: RunFolder, reporter: Reporter, *, held: bool = False) -> None:
    """Write to run.json where the images of a run are now, if they have moved since."""
    known, root = documents.read_description(run).data, str(data.root.resolve())
    labels_file = str(data.labels_file.resolve()) if data.labels_file else None
    if (known.root, known.labels_file) == (root, labels_file):
        return
    try:
        with contextlib.nullcontext() if held else run.writing():
            run.update_description(data={**documents.as_json(known), "root": root, "labels_file": labels_file})
    except StorageError as error:
        reporter.warn(f"{run.root} still looks for its images in {known.root}: {error.what}")
    else:
        reporter.say(f"{run.root} now looks for its images in {root}; before, in {known.root}")


def _describe(
    data: Data, run: RunFolder, begun: _Begun, prepared: Prepared, device: torch.device, reporter: Reporter
) -> None:
    """Write what is trained on, or check that it is what was trained on before."""
    catalogue = prepared.catalogue
    if require_settled(data.root) != begun.relabelings:
        raise RunError(f"{data.root} was relabeled while it was read", fix="run the command again")
    _tell_set_aside(catalogue, reporter)
    if not begun.is_new:
        before = read_catalogue(run)
        if len(changed := np.flatnonzero(before.used_N != catalogue.used_N)):
            name = before.paths[changed[0]]
            what = f"{name!r} is readable now but was not when {run.root} was started, or vice versa"
            raise RunError(what, fix="bring the file back, or audit into a new --run")
        return
    write_samples(run.samples, catalogue)
    if prepared.image_table is not None:
        write_image_table(run.pictures, prepared.image_table)
    description = documents.Description(
        status=documents.TRAINING,
        created=_now(),
        versions={
            "labelaudit": labelaudit.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "timm": version("timm"),
        },
        device={
            "type": device.type,
            "name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
            "deterministic": device.type == "cpu" or torch.are_deterministic_algorithms_enabled(),
        },
        data=documents.RecordedData.of(catalogue, data.labels_file),
        mirror_test=begun.mirror.as_json() if begun.mirror else None,
        recording=_recording(begun.settings),
        settings=begun.settings.as_json(),
    )
    documents.write_description(run, description)


def _tell_set_aside(catalogue: Catalogue, reporter: Reporter) -> None:
    if bad := unreadable_rows(catalogue):
        first = f"{bad[0]['path']}: {bad[0]['reason']}"
        reporter.warn(f"{len(bad)} of {len(catalogue)} images cannot be read and are set aside ({first})")
    for text in catalogue.warnings:
        reporter.warn(text)
    if catalogue.left_out:
        files = sum(row.files for row in catalogue.left_out)
        reporter.say(f"Files in the folder that are not in the audit: {files:,} (run.json says which and why)")
    for twin, name in alike(catalogue.classes):
        reporter.warn(f"the classes {twin!r} and {name!r} differ only in spelling; are they the same class?")


def _train_heads(
    run: RunFolder, settings: TrainingSettings, prepared: Prepared, source: Source, reporter: Reporter
) -> None:
    """Train held-out heads on the bundled backbone."""
    own = heads_beside(settings, prepared.catalogue, source.device)
    embedded = prepare(prepared.catalogue, own, replace(source, weights_file=None), reporter)
    _require_same(embedded, prepared)
    train_recorded(run.heads, own, embedded, source, reporter, title="Training the heads")


def _doubt_labels(run: RunFolder, heads: TrainingSettings) -> bool:
    """Return True where the heads of a run expect to disagree with more labels than `DOUBTED`."""
    catalogue, course = read_catalogue(run), Course(epochs=heads.epochs, held_out=True)
    transition = read_curves(run, course, catalogue.label_N, len(catalogue.classes)).result().transition
    return bool(np.nanmean(transition.doubt_N) > DOUBTED)


def _stand_beside_network(
    run: RunFolder,
    heads: TrainingSettings,
    embedded: Prepared,
    options: TrainingOptions,
    source: Source,
    reporter: Reporter,
) -> tuple[TrainingSettings, Prepared]:
    """Turn an audit by heads into one by heads and a network, and return what the network is trained by and on."""
    settings = network_beside(heads, embedded.catalogue, options, source.device)
    reporter.say(
        f"The heads disagree with many labels, so {settings.model} is trained beside them, from scratch at "
        f"{settings.image_size} pixels"
    )
    prepared = prepare(embedded.catalogue, settings, source, reporter)
    _require_same(prepared, embedded)
    settings, prepared, mirror = settle_flip(settings, prepared, source, reporter)

    def move() -> None:
        # Where this is interrupted, run.json has the old settings, and the heads are trained again.
        with storage_errors(run.heads.root):
            shutil.rmtree(run.heads.root, ignore_errors=True)
            run.heads.root.mkdir()
            run.checkpoint.rename(run.heads.checkpoint)
            run.losses.rename(run.heads.losses)
        run.update_description(settings=settings.as_json(), mirror_test=mirror.as_json() if mirror else None)

    source.world.once(move)
    return settings, prepared


def _are_trained(heads: RunFolder, settings: TrainingSettings) -> bool:
    return len(losses.recorded_epochs(heads.losses)) == settings.heads_epochs


def _require_same(one: Prepared, other: Prepared) -> None:
    if not np.array_equal(one.sample_R, other.sample_R):
        what = "an image that was trained on cannot be read any more"
        raise RunError(what, fix="bring the file back, or audit into a new --run")


def _finish(run: RunFolder, network: nn.Module, prepared: Prepared) -> None:
    network = network.mean() if isinstance(network, Heads) else network
    write_network(run.probe, network, prepared.catalogue.classes)
    mean, std = prepared.statistics
    run.update_description(status=documents.TRAINED, finished=_now(), normalization={"mean": mean, "std": std})


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")


def train_recorded(
    run: RunFolder,
    settings: TrainingSettings,
    prepared: Prepared,
    source: Source,
    reporter: Reporter,
    *,
    title: str = "Training the probe",
    held_out: Prepared | None = None,
) -> nn.Module:
    """Train all members to the end, from the state in the folder, and record every loss, also of held-out images.

    Return the network of the last member.
    """
    state = source.world.once(lambda: rewind_to_checkpoint(run))
    finished, whole = _finished(state), settings.recorded_epochs
    if finished:
        reporter.say(f"Resuming after {finished} of {whole} epochs")

    def members() -> Iterator[TrainingJob]:
        # A member that ended with the last whole epoch is loaded again only if it is the last, whose network is kept.
        first = min(finished // settings.epochs, settings.members - 1)
        for member in range(first, settings.members):
            job = _member(settings, member, prepared, source)
            if state is not None and state["member"] == member:
                job.restore(state, run.checkpoint)
            yield job

    def after(job: TrainingJob, record: EpochRecord, _seconds: float) -> Callable[[], None]:
        recorded = losses.EpochLosses(
            epoch=job.number["member"] * settings.epochs + record.epoch,
            sample_R=prepared.sample_R,
            loss_R=record.loss_N,
            margin_R=record.margin_N,
            predicted_R=record.predicted_N,
            alternative_R=record.alternative_N,
        )
        tested: losses.EpochLosses | None = None
        if held_out is not None:
            # A probability that is 0 in float32 counts as the smallest that is not: a loss of 87.
            log_p_TC = job.training.predict(held_out.inputs).clamp_min(torch.finfo(torch.float32).tiny).log()
            seen = {f"{name}_R": value_T.numpy() for name, value_T in observe(log_p_TC, held_out.label_R).items()}
            tested = losses.EpochLosses(epoch=recorded.epoch, sample_R=held_out.sample_R, **seen)

        def write() -> None:
            if tested is not None:
                losses.write_epoch(run.test_losses, tested, recording=losses.TEST_PASS)
            losses.write_epoch(run.losses, recorded, recording=_recording(settings))

        return write

    images = (whole - finished) * len(prepared.inputs)
    return train(run, members(), after, reporter, title=title, images=images).networks[0]


def _recording(settings: TrainingSettings) -> str:
    return losses.TRAINING_FORWARD if settings.selector == NONE else losses.SCORING_PASS


def _member(settings: TrainingSettings, member: int, prepared: Prepared, source: Source) -> TrainingJob:
    """Build one member; the first has the seed that was asked for."""
    own = replace(settings, seed=derive_seed(settings.seed, "member", member)) if member else settings
    method: Method = Standard()
    if settings.folds > 1:
        fold_R = draw_folds(prepared.label_R, settings.folds, make_generator(settings.seed, "folds"))
        method = Folds(fold_R.to(source.device))
    return TrainingJob(
        training=Training([make_network(own, prepared, source)], own, source.device, source.world),
        method=method,
        inputs=prepared.inputs,
        label_R=prepared.label_R,
        # One curve holds one kind of loss: that of the scoring pass, also while a selector is off.
        selection=build_selection(own, len(prepared.inputs), records_scores=True),
        number={"member": member, "epochs": settings.epochs},
    )


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


class Folds:
    """L = Σ_f L_f for one network of F heads: L_f is the mean loss of head f on the samples outside of fold f.

    ``fold_R`` is the int64 fold of each row, in [0, F), on the training's device.
    """

    networks = 1

    def __init__(self, fold_R: torch.Tensor) -> None:
        self._fold_R = fold_R

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach the given labels, with weight 0 for the head's own fold."""
        heads = torch.arange(logits[0].shape[1], device=self._fold_R.device)
        weight_BF = (self._fold_R[batch.row_B, None] != heads).float()
        return [Lesson(target=batch.label_B[:, None].expand_as(weight_BF), weight_B=weight_BF, per="weight")]

    def recorded(self, batch: Batch, logits: Logits) -> torch.Tensor:
        """Return of each sample the logits of the head that was not taught it."""
        fold_B = self._fold_R[batch.row_B]
        return logits[0][torch.arange(len(fold_B), device=fold_B.device), fold_B]


def draw_folds(label_R: torch.Tensor, folds: int, generator: torch.Generator) -> torch.Tensor:
    """Draw a fold for each row, on the CPU; the folds of each class differ by one sample at most: int64 [R]."""
    order_R = torch.randperm(len(label_R), generator=generator)
    by_class_R = order_R[torch.argsort(label_R[order_R], stable=True)]
    fold_R = torch.empty_like(order_R)
    fold_R[by_class_R] = torch.arange(len(order_R)) % folds
    return fold_R
