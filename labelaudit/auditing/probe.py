"""Train the probe: write every sample's loss in every epoch to the run folder, and resume interrupted work.

A network is trained by `labelaudit.auditing.members`, with torch. Held-out heads on embeddings need none, so what does
is imported where it is needed.
"""

from __future__ import annotations

import contextlib
import platform
import shutil
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, cast

import numpy as np

from labelaudit.auditing import begin, plan
from labelaudit.auditing.begin import Tensors
from labelaudit.auditing.model import Data, is_trained, read_catalogue, read_curves
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.own import read_embeddings
from labelaudit.auditing.prepare import Prepared, Source, numbered_as, prepare, with_embeddings
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect import Float32Array
from labelaudit.detect.curves import Course
from labelaudit.detect.noclass import class_distances
from labelaudit.engine.devices import Device, count_threads
from labelaudit.engine.draws import make_draws
from labelaudit.engine.heads import Heads, draw_folds, observe
from labelaudit.engine.inputs import FeatureInputs
from labelaudit.engine.lazy import torch
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.engine.world import joined
from labelaudit.errors import RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.moves import Relabelings
from labelaudit.run import documents, losses
from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder

if TYPE_CHECKING:
    from labelaudit.auditing.mirror import MirrorTest


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
        source = Source(
            device=device,
            weights_file=options.network_weights,
            embeddings=options.embeddings,
            offline=options.offline,
            world=world,
        )
        look = world.is_main and (begun.is_new or not claimed.near.exists())
        prepared = prepare(begun.catalogue, begun.settings, source, reporter, look=look)
        if begun.is_new and not begun.settings.has_folds and options.augment is None:
            from labelaudit.auditing.mirror import settle_flip

            settings, prepared, mirror = settle_flip(begun.settings, prepared, source, reporter)
            begun = replace(begun, settings=settings, mirror=mirror)
        world.once(lambda: _describe(data, claimed, begun, prepared, device, reporter))
        if not begun.settings.heads_epochs:
            world.once(lambda: _write_images(claimed, prepared, prepared, reporter))
        with claimed.noting_divergence(is_main=world.is_main):
            held_out = None
            if test is not None:
                catalogue, statistics = numbered_as(test, prepared.catalogue), prepared.statistics
                held_out = prepare(catalogue, begun.settings, source, reporter, statistics=statistics)
            tensors = _train(claimed, begun.settings, prepared, source, reporter, held_out=held_out)
            may_add = begun.settings.network_if_doubted and test is None
            if may_add and world.once(lambda: _doubt_labels(claimed, begun.settings)):
                settings, prepared = _add_network(claimed, begun.settings, prepared, options, source, reporter)
                tensors = _train(claimed, settings, prepared, source, reporter)
            elif begun.settings.heads_epochs:
                recorded = world.once(lambda: losses.recorded_epochs(claimed.heads.losses))
                if len(recorded) != begun.settings.heads_epochs:
                    _train_heads(claimed, begun.settings, prepared, source, reporter)
        mean, std = prepared.statistics
        world.once(lambda: begin.write_network(claimed.probe, tensors, prepared.catalogue.classes))
        world.once(lambda: begin.finish(claimed, normalization={"mean": mean, "std": std}))
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
    device: Device,
    held: contextlib.ExitStack,
    reporter: Reporter,
) -> tuple[RunFolder, _Begun | None]:
    """Hold the run folder, and return it and what is to be trained; None when the probe is trained already."""

    def require(known_run: RunFolder, known: documents.Description) -> TrainingSettings:
        """Return the settings of a run; raise a RunError where they are not those asked for."""
        if known.settings.get("kind") == documents.PREDICTIONS:
            raise RunError(f"{known_run.root} is an audit of predictions", fix="give another --run")
        settings = settings_from_json(known.settings, str(known_run.description))
        plan.agree(settings, options, str(known_run.root))
        return settings

    run, catalogue, relabelings = begin.find_run(data, given, require, reporter)
    settings = begin.begun(run, catalogue, require)
    if settings is not None and is_trained(run):  # nothing is written: the folder may be read-only
        reporter.say(f"The probe in {run.root} is trained already")
        begin.remember_place(data, run, reporter)
        return run, None
    # Before the folder is made: a mistyped option leaves nothing behind.
    planned = None if settings else plan.plan_probe(catalogue, options, device)
    decided = settings if planned is None else planned.settings
    if decided is not None and decided.takes_embeddings:
        read_embeddings(options.embeddings, catalogue, reporter)
    held.enter_context(run.writing("--run"))
    settings = begin.begun(run, catalogue, require)  # another process may have trained meanwhile
    if settings is not None:
        if is_trained(run):
            return run, None
        begin.remember_place(data, run, reporter, held=True)
        return run, _Begun(catalogue, settings, relabelings, is_new=False)
    planned = planned or plan.plan_probe(catalogue, options, device)
    begin.clear(run, follows=given is None)
    reporter.say(f"Probe: {planned.why}")
    return run, _Begun(catalogue, planned.settings, relabelings, is_new=True)


def _describe(
    data: Data, run: RunFolder, begun: _Begun, prepared: Prepared, device: Device, reporter: Reporter
) -> None:
    """Write what is trained on, or check that it is what was trained on before."""
    catalogue = prepared.catalogue
    begin.require_unmoved(data, catalogue, begun.relabelings, reporter)
    if not begun.is_new:
        before = read_catalogue(run)
        if len(changed := np.flatnonzero(before.used_N != catalogue.used_N)):
            name = before.paths[changed[0]]
            what = f"{name!r} is readable now but was not when {run.root} was started, or vice versa"
            raise RunError(what, fix="bring the file back, or audit into a new --run")
        return
    begin.describe(
        data,
        run,
        catalogue,
        device={
            "type": device.type,
            "name": torch.cuda.get_device_name(str(device)) if device.type == "cuda" else platform.machine(),
            "threads": count_threads(),
            "deterministic": device.type == "cpu" or torch.are_deterministic_algorithms_enabled(),
        },
        mirror_test=begun.mirror.as_json() if begun.mirror else None,
        recording=begun.settings.recording,
        settings=begun.settings.as_json(),
    )


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
    source.world.once(lambda: _write_images(run, prepared, embedded, reporter))
    _train(run.heads, own, embedded, source, reporter)


def _write_images(run: RunFolder, prepared: Prepared, embedded: Prepared, reporter: Reporter) -> None:
    """Write what images that were looked at are like, and by their embeddings, if there are any, how far from classes.

    Near duplicates are written last: where they are there, so is the rest.
    """
    images, feature_RD = prepared.image_table, None
    if images is None or run.near.exists():
        return
    if isinstance(embedded.inputs, FeatureInputs):
        feature_RD = embedded.inputs.feature_ND
        distance_R2 = class_distances(feature_RD, prepared.given_R, len(prepared.catalogue.classes))
        images = replace(images, distance_U2=distance_R2)
    begin.write_images(run, images, feature_RD, reporter)


def _doubt_labels(run: RunFolder, heads: TrainingSettings) -> bool:
    """Return True where the heads of a run expect to disagree with more labels than `DOUBTED`."""
    catalogue, course = read_catalogue(run), Course(epochs=heads.epochs, held_out=True)
    transition = read_curves(run, course, catalogue).result().transition
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
    from labelaudit.auditing.mirror import settle_flip

    settings, prepared, mirror = settle_flip(settings, prepared, source, reporter)

    def move() -> None:
        # Where this is interrupted, run.json has the old settings, and the heads are trained again.
        with storage_errors(run.heads.root):
            shutil.rmtree(run.heads.root, ignore_errors=True)
            run.heads.root.mkdir()
            run.losses.rename(run.heads.losses)
        run.update_description(settings=settings.as_json(), mirror_test=mirror.as_json() if mirror else None)

    source.world.once(move)
    return settings, prepared


def _train(
    run: RunFolder,
    settings: TrainingSettings,
    prepared: Prepared,
    source: Source,
    reporter: Reporter,
    *,
    held_out: Prepared | None = None,
) -> Tensors:
    """Train held-out heads or a network to the end, and record every loss; return the tensors of the last member."""
    if settings.has_folds:
        return source.world.once(lambda: _train_folds(run, settings, prepared, reporter, held_out))
    from labelaudit.auditing.members import train_recorded

    return train_recorded(run, settings, prepared, source, reporter, held_out=held_out)


def _features(prepared: Prepared) -> Float32Array:
    return cast(FeatureInputs, prepared.inputs).feature_ND


def _train_folds(
    run: RunFolder, settings: TrainingSettings, prepared: Prepared, reporter: Reporter, held_out: Prepared | None
) -> Tensors:
    """Train held-out heads to the end, and write each epoch while the next one is trained.

    A training that was interrupted begins again: it takes seconds, and the embeddings are cached.
    """
    feature_RD, classes, label_R = _features(prepared), len(prepared.catalogue.classes), prepared.given_R
    split_R = np.array(prepared.catalogue.split_N)[prepared.sample_R] if settings.apart else None
    fold_R = draw_folds(label_R, settings.folds, make_draws(settings.seed, "folds"), settings.apart, split_R)
    if len(prepared.catalogue.splits) > 1:
        nothing = "none, as each has over half of the images, or classes that are rare in the others"
        reporter.say(f"Splits that are judged by the others alone: {', '.join(settings.apart) or nothing}")
    for folder in (run.losses, run.test_losses):
        losses.discard_from(folder, 0)
    images = settings.recorded_epochs * len(feature_RD)
    pending: Future[None] | None = None
    with reporter.bar("Training the heads", images, "images") as advance, ThreadPoolExecutor(1) as pool:
        for member in range(settings.members):
            heads = Heads(feature_RD, label_R, fold_R, classes, settings.of_member(member))
            for epoch, found in enumerate(heads.run_epochs(advance), member * settings.epochs):
                if pending is not None:
                    pending.result()
                if held_out is not None:
                    seen = observe(heads.logits(_features(held_out)), held_out.given_R)
                    record = losses.EpochLosses.of(epoch, held_out.sample_R, seen)
                    losses.write_epoch(run.test_losses, record, recording=losses.TEST_PASS)
                record = losses.EpochLosses.of(epoch, prepared.sample_R, found)
                pending = pool.submit(losses.write_epoch, run.losses, record)
        if pending is not None:
            pending.result()
    return heads.mean()


def _require_same(one: Prepared, other: Prepared) -> None:
    if not np.array_equal(one.sample_R, other.sample_R):
        fix = "bring the file back, or audit into a new --run"
        raise RunError("an image that was trained on cannot be read any more", fix=fix)
