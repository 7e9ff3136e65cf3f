"""Training the probe: every sample's loss in every epoch goes to the run folder; interrupted work goes on."""

from __future__ import annotations

import contextlib
import platform
import re
from dataclasses import dataclass, replace
from datetime import UTC, datetime

import numpy as np
import timm
import torch
from torch import nn

import labelaudit
from labelaudit.audit.mirror import MirrorTest, settle_flip
from labelaudit.audit.model import (
    Data,
    is_bound,
    is_trained,
    pilot_course,
    read_catalogue,
    read_curves,
)
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import agree, check_probe, plan
from labelaudit.audit.prepare import Prepared, Source, make_network, prepare
from labelaudit.audit.recorded import read_state, recording_of, train_recorded
from labelaudit.data.catalogue import LONELY, Catalogue, trainable
from labelaudit.data.folder import require_outside
from labelaudit.detect.evidence import plant
from labelaudit.engine.devices import choose_device
from labelaudit.engine.order import derive_seed
from labelaudit.engine.parallel import joined
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.errors import RunError, StorageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.moves import Relabelings, require_settled
from labelaudit.run.checkpoint import write_network
from labelaudit.run.documents import (
    TRAINED,
    TRAINING,
    Description,
    RecordedData,
    as_json,
    read_description,
    write_description,
)
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import discard_from
from labelaudit.run.tables import read_controls, write_pictures, write_samples
from labelaudit.text import folded


def train_probe(data: Data, run: RunFolder, options: TrainingOptions | None = None, reporter: Reporter = QUIET) -> None:
    """Train a probe on a folder and record its losses; go on with a run that was interrupted.

    Under torchrun, all processes train it together; the first one writes and reports.

    Args:
        data: The pictures and their labels.
        run: Where everything is written.
        options: What is asked of the training.
        reporter: Told about the progress.

    Raises:
        DataError: the folder or labels file cannot be audited.
        RunError: the run folder is of other data or settings, damaged, or in use.
        ModelError, DeviceError, UsageError, StorageError, TrainingError: see `labelaudit.errors`.
    """
    options = options or TrainingOptions()
    device = choose_device(options.device)
    with joined(device) as world, contextlib.ExitStack() as held:
        if not world.is_main:
            reporter = QUIET
        begun = world.once(lambda: _begin(data, run, options, device, held, reporter))
        if begun is None:
            return
        world.once(lambda: read_state(run))  # before the pictures: a damaged one is told at once
        source = Source(device=device, weights_file=options.network_weights, offline=options.offline, world=world)
        prepared = prepare(
            begun.catalogue, begun.settings, source, reporter, look=begun.is_new and source.world.is_main
        )
        make_network(begun.settings, prepared, source)  # before anything is written: it may not be to be had
        if begun.is_new and options.augment is None:
            settings, prepared, mirror = settle_flip(begun.settings, prepared, source, reporter)
            begun = replace(begun, settings=settings, mirror=mirror)
        world.once(lambda: _settle(data, run, begun, prepared, device, reporter))
        with run.noting_divergence(is_main=world.is_main):
            if begun.settings.controls:
                prepared = _with_controls(run, begun.settings, prepared, source, reporter)
            network = train_recorded(run, begun.settings, prepared, source, reporter)
        world.once(lambda: _finish(run, network, prepared))


def _with_controls(
    run: RunFolder, settings: TrainingSettings, prepared: Prepared, source: Source, reporter: Reporter
) -> Prepared:
    """The same data with a few labels made wrong on purpose, chosen by a short training on the labels as they are."""
    world = source.world
    if not world.once(lambda: bool(run.read_description().get("controls_planted"))):
        train_recorded(run.pilot, settings.pilot, prepared, source, reporter, title="Training the pilot")
        world.once(lambda: _plant(run, settings, prepared, reporter))
    controls = world.once(lambda: read_controls(run.samples))
    if controls is None:
        return prepared
    return replace(prepared, label_R=torch.from_numpy(controls.label_N[prepared.sample_R].astype(np.int64)))


def _plant(run: RunFolder, settings: TrainingSettings, prepared: Prepared, reporter: Reporter) -> None:
    catalogue = prepared.catalogue
    found = read_curves(run.pilot, pilot_course(run), catalogue.label_N, len(catalogue.classes)).result()
    controls = plant(
        catalogue.label_N,
        found.beliefs,
        found.joint,
        per_kind=settings.controls,
        generator=np.random.default_rng(derive_seed(settings.seed, "controls")),
    )
    write_samples(run.samples, catalogue, controls)
    run.update_description(controls_planted=True)
    # The pilot's losses stay: they judge the given labels of the controls.
    run.pilot.checkpoint.unlink(missing_ok=True)
    planted = int(controls.planted_N.sum())
    reporter.say(
        f"Controls: {planted:,} labels are made wrong on purpose for the training, and never counted as errors"
    )


@dataclass(frozen=True, kw_only=True)
class _Begun:
    catalogue: Catalogue
    settings: TrainingSettings
    relabelings: Relabelings
    is_new: bool
    mirror: MirrorTest | None = None


def _begin(
    data: Data,
    run: RunFolder,
    options: TrainingOptions,
    device: torch.device,
    held: contextlib.ExitStack,
    reporter: Reporter,
) -> _Begun | None:
    """What is to be trained, with the run folder held; None when the probe is trained already."""
    relabelings = require_settled(data.root)
    require_outside(run.root, data.root, "--run")
    catalogue = trainable(data.scan(reporter))
    # Before the folder is made: a mistyped option leaves nothing behind.
    settings = _settings_to_resume(run, catalogue, options)
    if settings is not None and is_trained(run):  # nothing is written, so the folder may be read-only
        reporter.say(f"The probe in {run.root} is trained already")
        _remember_place(data, run, reporter)
        return None
    planned = None if settings else plan(catalogue, options, device)
    if planned is not None:
        check_probe(planned.settings)
    held.enter_context(run.writing())
    settings = _settings_to_resume(run, catalogue, options)
    if settings is None:
        planned = planned or plan(catalogue, options, device)
        _begin_anew(run)
        reporter.say(f"Probe: {planned.why}")
        return _Begun(catalogue=catalogue, settings=planned.settings, relabelings=relabelings, is_new=True)
    if is_trained(run):  # by another process, meanwhile
        return None
    _remember_place(data, run, reporter, held=True)
    return _Begun(catalogue=catalogue, settings=settings, relabelings=relabelings, is_new=False)


def _begin_anew(run: RunFolder) -> None:
    """Drop what a training has left whose settings do not hold."""
    if not run.exists:
        run.require_fresh()
        return
    for file in (run.checkpoint, run.pilot.checkpoint, run.pictures):
        file.unlink(missing_ok=True)
    discard_from(run.pilot.losses, 0)


def _settle(
    data: Data, run: RunFolder, begun: _Begun, prepared: Prepared, device: torch.device, reporter: Reporter
) -> None:
    """Write down what is trained on, or check that it is what was trained on before."""
    if require_settled(data.root) != begun.relabelings:
        raise RunError(f"{data.root} was relabeled while it was read", fix="run the command again")
    _tell_set_aside(prepared.catalogue, reporter)
    if begun.is_new:
        write_samples(run.samples, prepared.catalogue)
        if prepared.pictures is not None:
            write_pictures(run.pictures, prepared.pictures)
        write_description(run, _describe(data, prepared.catalogue, begun, device))
    else:
        _require_same_samples(run, prepared.catalogue)


def _finish(run: RunFolder, network: nn.Module, prepared: Prepared) -> None:
    write_network(run.probe, network, {"format": "pt", "classes": "\n".join(prepared.catalogue.classes)})
    mean, std = prepared.statistics
    run.update_description(status=TRAINED, finished=_now(), normalisation={"mean": mean, "std": std})


def _settings_to_resume(run: RunFolder, catalogue: Catalogue, options: TrainingOptions) -> TrainingSettings | None:
    """The settings to go on with; None where nothing holds a training to earlier ones.

    Raises:
        RunError: epochs are recorded with other settings or of other data.
    """
    if not run.exists:
        return None
    description = read_description(run)
    if description.diverged:
        return None
    try:
        if description.data.fingerprint != catalogue.fingerprint:
            raise RunError(
                f"{run.root} is the audit of other data: {_difference(description.data, catalogue)}",
                fix="give another --run, or delete that folder",
            )
        settings = settings_from_json(description.settings, str(run.description))
        agree(settings, options, str(run.root))
    except RunError:
        if is_bound(run):
            raise
        return None
    return settings


def _remember_place(data: Data, run: RunFolder, reporter: Reporter, *, held: bool = False) -> None:
    """Write to run.json where the images of a run are now, if they have moved since."""
    known, place = read_description(run).data, _place(data)
    if all(getattr(known, name) == value for name, value in place.items()):
        return
    try:
        with contextlib.nullcontext() if held else run.writing():
            run.update_description(data={**as_json(known), **place})
    except StorageError as error:
        reporter.warn(f"{run.root} still looks for its images in {known.root}: {error.what}")
    else:
        reporter.say(f"{run.root} now looks for its images in {place['root']}; before, in {known.root}")


def _place(data: Data) -> dict[str, str | None]:
    labels_file = str(data.labels_file.resolve()) if data.labels_file else None
    return {"root": str(data.root.resolve()), "labels_file": labels_file}


def _difference(data: RecordedData, catalogue: Catalogue) -> str:
    if data.samples != len(catalogue):
        return f"{data.samples} images in {data.root} there, {len(catalogue)} in {catalogue.root} here"
    if data.classes != catalogue.classes:
        return f"classes {', '.join(data.classes[:4])}… there, {', '.join(catalogue.classes[:4])}… here"
    return f"images or labels of {catalogue.root} have changed since"


def _require_same_samples(run: RunFolder, catalogue: Catalogue) -> None:
    before = read_catalogue(run)
    if not np.array_equal(before.readable_N, catalogue.readable_N):
        changed = before.paths[int(np.flatnonzero(before.readable_N != catalogue.readable_N)[0])]
        raise RunError(
            f"{changed!r} could be read when {run.root} was begun and cannot now, or the other way round",
            fix="bring the file back, or audit into a new --run",
        )


def _describe(data: Data, catalogue: Catalogue, begun: _Begun, device: torch.device) -> Description:
    return Description(
        status=TRAINING,
        created=_now(),
        versions={
            "labelaudit": labelaudit.__version__,
            "python": platform.python_version(),
            "torch": str(torch.__version__),
            "timm": timm.__version__,
        },
        device={
            "type": device.type,
            "name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
            "deterministic": device.type == "cpu" or torch.are_deterministic_algorithms_enabled(),
        },
        data=RecordedData.of(catalogue, data.labels_file),
        mirror_test=begun.mirror.as_json() if begun.mirror else None,
        recording=recording_of(begun.settings),
        settings=begun.settings.as_json(),
    )


def _tell_set_aside(catalogue: Catalogue, reporter: Reporter) -> None:
    bad = [i for i, reason in enumerate(catalogue.reasons) if reason not in ("", LONELY)]
    if bad:
        first = f"{catalogue.paths[bad[0]]}: {catalogue.reasons[bad[0]]}"
        reporter.warn(f"{len(bad)} of {len(catalogue)} images cannot be read and are set aside ({first})")
    for text in catalogue.warnings:
        reporter.warn(text)
    if catalogue.left_out:
        files = sum(row.files for row in catalogue.left_out)
        reporter.say(f"Files in the folder that are not in the audit: {files:,} (run.json says which and why)")
    seen: dict[str, str] = {}
    for name in catalogue.classes:
        if (twin := seen.setdefault(_alike(name), name)) != name:
            reporter.warn(f"the classes {twin!r} and {name!r} differ in their form only; are they one?")


def _alike(name: str) -> str:
    """Equal for names that differ in case, Unicode form, or as ``1`` and ``1.0`` do."""
    plain = folded(name)
    return plain.rstrip("0").rstrip(".") if re.fullmatch(r"\d+\.0*", plain) else plain


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
