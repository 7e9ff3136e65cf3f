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
from importlib.metadata import version

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

import labelaudit
from labelaudit.auditing import plan
from labelaudit.auditing.begin import begun, clear, now, numbered_run, remember_place, tell_set_aside
from labelaudit.auditing.mirror import MirrorTest, settle_flip
from labelaudit.auditing.model import Data, is_trained, read_catalogue, read_curves
from labelaudit.auditing.near import find_near
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.prepare import (
    Prepared,
    Source,
    make_network,
    numbered_as,
    own_embeddings,
    prepare,
    with_embeddings,
)
from labelaudit.auditing.training import TrainingJob, read_checkpoint, train, write_network
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.detect import Float32Array
from labelaudit.detect.curves import Course
from labelaudit.detect.noclass import class_distances
from labelaudit.engine.inputs import FeatureInputs, Inputs
from labelaudit.engine.loop import Training
from labelaudit.engine.networks import Heads
from labelaudit.engine.order import derive_seed, make_generator
from labelaudit.engine.parallel import joined
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.engine.step import EpochRecord, observe
from labelaudit.errors import RunError
from labelaudit.methods.base import Batch, Clock, Lesson, Logits, Method, State
from labelaudit.methods.standard import Standard
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.moves import Relabelings, require_settled
from labelaudit.run import documents, losses
from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder
from labelaudit.run.tables import read_image_table, write_annotations, write_image_table, write_samples
from labelaudit.selectors.table import NONE


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
    being trained, other settings. Under torchrun, all processes train it together; the first one writes and reports.
    Losses of the ``test`` images, in evaluation mode, are recorded after each epoch that this call trains.

    Raises:
        DataError: the folder or labels file cannot be audited.
        RunError: the run folder is of other data or settings, damaged, or in use.
        ModelError, DeviceError, UsageError, StorageError, TrainingError: see `labelaudit.errors`.
    """
    options = options or TrainingOptions()
    device = plan.set_up_device(options)
    with joined(device) as world, contextlib.ExitStack() as held:
        reporter = reporter if world.is_main else QUIET
        claimed, begun = world.once(lambda: _claim_run(data, run, options, device, held, reporter))
        if begun is None:
            return claimed
        world.once(lambda: rewind_to_checkpoint(claimed))  # before the images are read: damage is reported at once
        source = Source(
            device=device,
            weights_file=options.network_weights,
            embeddings=options.embeddings,
            offline=options.offline,
            world=world,
        )
        look = world.is_main and (begun.is_new or not claimed.near.exists())
        prepared = prepare(begun.catalogue, begun.settings, source, reporter, look=look)
        if begun.is_new:
            make_network(begun.settings, prepared, source)  # fails before anything is written
            if options.augment is None:
                settings, prepared, mirror = settle_flip(begun.settings, prepared, source, reporter)
                begun = replace(begun, settings=settings, mirror=mirror)
        world.once(lambda: _describe(data, claimed, begun, prepared, device, reporter))
        if not begun.settings.heads_epochs:
            world.once(lambda: _find_near(claimed, prepared, prepared.inputs, reporter))
        with claimed.noting_divergence(is_main=world.is_main):
            held_out = None
            if test is not None:
                catalogue, statistics = numbered_as(test, prepared.catalogue, reporter), prepared.statistics
                held_out = prepare(catalogue, begun.settings, source, reporter, statistics=statistics)
            network = train_recorded(claimed, begun.settings, prepared, source, reporter, held_out=held_out)
            may_add = begun.settings.network_if_doubted and test is None
            if may_add and world.once(lambda: _doubt_labels(claimed, begun.settings)):
                settings, prepared = _add_network(claimed, begun.settings, prepared, options, source, reporter)
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
        data.require_outside(given.root)
    catalogue = trainable(data.scan(reporter))

    def require(known_run: RunFolder, known: documents.Description) -> TrainingSettings:
        """Return the settings of a run; raise a RunError where they are not those asked for."""
        if known.settings.get("kind") == documents.PREDICTIONS:
            raise RunError(f"{known_run.root} is an audit of predictions", fix="give another --run")
        settings = settings_from_json(known.settings, str(known_run.description))
        plan.agree(settings, options, str(known_run.root))
        return settings

    run = given or numbered_run(data, catalogue, require, reporter)
    settings = begun(run, catalogue, require)
    if settings is not None and is_trained(run):  # nothing is written: the folder may be read-only
        reporter.say(f"The probe in {run.root} is trained already")
        remember_place(data, run, reporter)
        return run, None
    # Before the folder is made: a mistyped option leaves nothing behind.
    planned = None if settings else plan.plan_probe(catalogue, options, device)
    if planned is not None:
        plan.check_probe(planned.settings)
    decided = settings if planned is None else planned.settings
    if decided is not None and decided.takes_embeddings:
        own_embeddings(catalogue, options.embeddings, reporter)
    held.enter_context(run.writing("--run"))
    settings = begun(run, catalogue, require)  # another process may have trained meanwhile
    if settings is not None:
        if is_trained(run):
            return run, None
        remember_place(data, run, reporter, held=True)
        return run, _Begun(catalogue, settings, relabelings, is_new=False)
    planned = planned or plan.plan_probe(catalogue, options, device)
    clear(run, follows=given is None)
    reporter.say(f"Probe: {planned.why}")
    return run, _Begun(catalogue, planned.settings, relabelings, is_new=True)


def _describe(
    data: Data, run: RunFolder, begun: _Begun, prepared: Prepared, device: torch.device, reporter: Reporter
) -> None:
    """Write what is trained on, or check that it is what was trained on before."""
    catalogue = prepared.catalogue
    if require_settled(data.root) != begun.relabelings:
        raise RunError(f"{data.root} was relabeled while it was read", fix="run the command again")
    tell_set_aside(catalogue, reporter)
    if not begun.is_new:
        before = read_catalogue(run)
        if len(changed := np.flatnonzero(before.used_N != catalogue.used_N)):
            name = before.paths[changed[0]]
            what = f"{name!r} is readable now but was not when {run.root} was started, or vice versa"
            raise RunError(what, fix="bring the file back, or audit into a new --run")
        return
    write_samples(run.samples, catalogue)
    write_annotations(run.annotations, catalogue)
    if prepared.image_table is not None:
        write_image_table(run.pictures, replace(prepared.image_table, distance_U2=_distances(prepared)))
    description = documents.Description(
        status=documents.TRAINING,
        created=now(),
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


def _train_heads(
    run: RunFolder, settings: TrainingSettings, prepared: Prepared, source: Source, reporter: Reporter
) -> None:
    """Train held-out heads on a frozen backbone or the user's embeddings."""
    own = plan.heads_beside(settings, prepared.catalogue, source.device, source.embeddings)
    if settings.takes_embeddings:
        embedded = with_embeddings(prepared, source)
    else:
        embedded = prepare(prepared.catalogue, own, replace(source, weights_file=None), reporter)
    _require_same(embedded, prepared)
    source.world.once(lambda: _write_distances(run, embedded))
    source.world.once(lambda: _find_near(run, prepared, embedded.inputs, reporter))
    train_recorded(run.heads, own, embedded, source, reporter, title="Training the heads")


def _write_distances(run: RunFolder, embedded: Prepared) -> None:
    """Write how far each image is from the classes, which is known only by the embeddings of the heads."""
    if (images := read_image_table(run.pictures, len(embedded.catalogue))) is not None:
        write_image_table(run.pictures, replace(images, distance_U2=_distances(embedded)))


def _distances(prepared: Prepared) -> Float32Array | None:
    """Return the distances of embeddings to the classes; None for pixels."""
    if not isinstance(prepared.inputs, FeatureInputs):
        return None
    feature_RD, classes = prepared.inputs.feature_ND.cpu().numpy(), len(prepared.catalogue.classes)
    return class_distances(feature_RD, prepared.label_R.numpy(), classes)


def _find_near(run: RunFolder, prepared: Prepared, inputs: Inputs, reporter: Reporter) -> None:
    """Find copies among images that were looked at, with their embeddings, if these are the inputs."""
    if prepared.image_table is not None and not run.near.exists():
        feature_RD = inputs.feature_ND.cpu().numpy() if isinstance(inputs, FeatureInputs) else None
        find_near(run, prepared.image_table, feature_RD, reporter)


def _doubt_labels(run: RunFolder, heads: TrainingSettings) -> bool:
    """Return True where the heads of a run expect to disagree with more labels than `DOUBTED`."""
    catalogue, course = read_catalogue(run), Course(epochs=heads.epochs, held_out=True)
    transition = read_curves(run, course, catalogue.label_N, len(catalogue.classes)).result().transition
    return bool(np.nanmean(transition.doubt_N) > plan.DOUBTED)


def _add_network(
    run: RunFolder,
    heads: TrainingSettings,
    embedded: Prepared,
    options: TrainingOptions,
    source: Source,
    reporter: Reporter,
) -> tuple[TrainingSettings, Prepared]:
    """Turn an audit by heads into one by heads and a network, and return what the network is trained by and on."""
    settings = plan.network_beside(heads, embedded.catalogue, options, source.device)
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
        fix = "bring the file back, or audit into a new --run"
        raise RunError("an image that was trained on cannot be read any more", fix=fix)


def _finish(run: RunFolder, network: nn.Module, prepared: Prepared) -> None:
    network = network.mean() if isinstance(network, Heads) else network
    write_network(run.probe, network, prepared.catalogue.classes)
    mean, std = prepared.statistics
    run.update_description(status=documents.TRAINED, finished=now(), normalization={"mean": mean, "std": std})


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
    if settings.folds > 1 and len(prepared.catalogue.splits) > 1:
        nothing = "none, as each has over half of the images, or classes that are rare in the others"
        reporter.say(f"Splits that are judged by the others alone: {', '.join(settings.apart) or nothing}")
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
        split_R = np.array(prepared.catalogue.split_N)[prepared.sample_R] if settings.apart else None
        fold_R = draw_folds(
            prepared.label_R, settings.folds, make_generator(settings.seed, "folds"), settings.apart, split_R
        )
        method = Folds(fold_R.to(source.device))
    return TrainingJob(
        training=Training([make_network(own, prepared, source)], own, source.device, source.world),
        method=method,
        inputs=prepared.inputs,
        label_R=prepared.label_R,
        # One curve holds one kind of loss: that of the scoring pass, also while a selector is off.
        selection=plan.build_selection(own, len(prepared.inputs), records_scores=True),
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


def draw_folds(
    label_R: torch.Tensor,
    folds: int,
    generator: torch.Generator,
    apart: Sequence[str] = (),
    split_R: npt.NDArray[np.str_] | None = None,
) -> torch.Tensor:
    """Draw a fold for each row, on the CPU; the folds of each class differ by one sample at most: int64 [R].

    The splits ``apart`` are the last folds, and nothing is drawn for their rows; ``split_R`` has the rows' splits.
    """
    fold_R = torch.full(label_R.shape, -1)
    for number, name in enumerate(apart, folds - len(apart)):
        fold_R[torch.from_numpy(split_R == name)] = number
    drawn = (fold_R < 0).nonzero()[:, 0]
    order_R = drawn[torch.randperm(len(drawn), generator=generator)]
    by_class_R = order_R[torch.argsort(label_R[order_R], stable=True)]
    fold_R[by_class_R] = torch.arange(len(order_R)) % max(folds - len(apart), 1)
    return fold_R
