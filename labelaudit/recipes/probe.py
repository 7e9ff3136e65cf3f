"""Training the probe: every sample's loss in every epoch goes to the run folder; interrupted work goes on."""

from __future__ import annotations

import platform
import time
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch

import labelaudit
from labelaudit.data.catalogue import Catalogue, require_trainable
from labelaudit.data.folder import scan
from labelaudit.engine.devices import choose_device
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.recorder import EpochRecord
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import RunError
from labelaudit.methods.standard import Standard
from labelaudit.progress import QUIET, Reporter
from labelaudit.recipes.options import TrainingOptions, agree, plan, settings_from_json
from labelaudit.recipes.prepare import Prepared, Source, make_network, prepare
from labelaudit.run.checkpoint import read_checkpoint, write_checkpoint, write_network
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, discard_from, recorded_epochs, write_epoch
from labelaudit.run.tables import read_samples, write_samples

TRAINED = "trained"
TRAINING = "training"


@dataclass(frozen=True, kw_only=True)
class Data:
    """Which pictures: a folder, and a labels file where the folder has no class folders."""

    root: Path
    labels_file: Path | None = None


def train_probe(data: Data, run: RunFolder, options: TrainingOptions | None = None, reporter: Reporter = QUIET) -> None:
    """Train a probe on a folder and record its losses; go on with a run that was interrupted.

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
    catalogue = scan(data.root, labels_file=data.labels_file, reporter=reporter)
    require_trainable(catalogue)
    # Before the folder is made: a mistyped option leaves nothing behind.
    planned = None if run.exists else plan(catalogue, options, device)
    with run.writing():
        if planned is None or run.exists:
            settings = _settings_to_resume(run, catalogue, options)
            if is_trained(run):
                reporter.say(f"The probe in {run.root} is trained already")
                return
        else:
            run.require_fresh()
            settings = planned.settings
            reporter.say(f"Probe: {planned.why}")
        source = Source(device=device, weights_file=options.weights_file, offline=options.offline)
        prepared = prepare(catalogue, settings, source, reporter)
        _tell_set_aside(prepared.catalogue, reporter)
        training = Training([make_network(settings, prepared, source)], settings.loop, device)
        if run.exists:
            _require_same_samples(run, prepared.catalogue)
        else:
            write_samples(run.samples, prepared.catalogue)
            run.write_description(_describe(data, prepared.catalogue, settings, device))
        _resume(run, training, reporter)
        _train(run, training, prepared, reporter)


def is_trained(run: RunFolder) -> bool:
    """True when the run's probe is trained to the end."""
    return bool(read_audit(run)["status"] == TRAINED)


def recorded_data(run: RunFolder) -> Data:
    """The data that a run was begun on."""
    data = read_audit(run)["data"]
    labels_file = data.get("labels_file")
    return Data(root=Path(data["root"]), labels_file=Path(labels_file) if labels_file else None)


def trained_settings(run: RunFolder) -> TrainingSettings:
    """The settings of a run whose probe is trained.

    Raises:
        RunError: there is no run, or its probe is not trained to the end.
    """
    description = read_audit(run)
    settings = settings_from_json(description["settings"], str(run.description))
    if description["status"] != TRAINED:
        raise RunError(
            f"the probe in {run.root} is not trained to the end "
            f"({len(recorded_epochs(run.losses))} of {settings.epochs} epochs)",
            fix="run labelaudit train-probe or score on the same data again: it goes on where it stopped",
        )
    return settings


def read_audit(run: RunFolder) -> dict[str, Any]:
    """The content of the run.json of an audit.

    Raises:
        RunError: there is none, or it lacks something that every audit writes there.
    """
    description = run.read_description()
    data = description.get("data")
    whole = isinstance(data, dict) and {"root", "fingerprint", "classes", "samples"} <= set(data)
    if not whole or description.get("status") not in (TRAINED, TRAINING) or "settings" not in description:
        raise RunError(
            f"{run.description} is not of an audit, or damaged",
            fix=f"give the --run of an audit, or delete {run.root} and audit again",
        )
    return description


def read_catalogue(run: RunFolder) -> Catalogue:
    """The samples of a run.

    Raises:
        RunError: samples.parquet is missing, damaged, or not the one that run.json describes.
    """
    data = read_audit(run)["data"]
    catalogue = read_samples(run.samples, root=Path(data["root"]), classes=data["classes"])
    if catalogue.fingerprint != data["fingerprint"]:
        raise RunError(f"{run.samples} and {run.description} are of different data", fix="audit into a new folder")
    return catalogue


def _train(run: RunFolder, training: Training, prepared: Prepared, reporter: Reporter) -> None:
    settings, rows = training.settings, len(prepared.inputs)
    left = settings.epochs - training.finished_epochs
    began = time.perf_counter()
    with reporter.bar("Training the probe", left * rows, "images") as advance:
        for record in run_epochs(training, prepared.inputs, prepared.label_R, Standard(), advance):
            # The checkpoint comes second: a crash in between repeats the epoch and writes the same file again.
            write_epoch(run.losses, _losses(record, prepared))
            write_checkpoint(run.checkpoint, training.state())
    seconds = time.perf_counter() - began
    write_network(run.probe, training.networks[0], {"format": "pt", "classes": "\n".join(prepared.catalogue.classes)})
    mean, std = prepared.statistics
    run.update_description(
        status=TRAINED,
        finished=_now(),
        normalisation={"mean": mean, "std": std},
        last_session={"epochs": left, "train_seconds": round(seconds, 3)},
    )


def _losses(record: EpochRecord, prepared: Prepared) -> EpochLosses:
    return EpochLosses(
        epoch=record.epoch,
        sample_R=prepared.sample_R,
        loss_R=record.loss_N,
        margin_R=record.margin_N,
        predicted_R=record.predicted_N,
        alternative_R=record.alternative_N,
    )


def _settings_to_resume(run: RunFolder, catalogue: Catalogue, options: TrainingOptions) -> TrainingSettings:
    description = read_audit(run)
    data = description["data"]
    if data["fingerprint"] != catalogue.fingerprint:
        raise RunError(
            f"{run.root} is the audit of other data: {_difference(data, catalogue)}",
            fix="give another --run, or delete that folder",
        )
    settings = settings_from_json(description["settings"], str(run.description))
    agree(settings, options, str(run.root))
    return settings


def _difference(data: dict[str, Any], catalogue: Catalogue) -> str:
    if data["samples"] != len(catalogue):
        return f"{data['samples']} images in {data['root']} there, {len(catalogue)} in {catalogue.root} here"
    if data["classes"] != list(catalogue.classes):
        return f"classes {', '.join(data['classes'][:4])}… there, {', '.join(catalogue.classes[:4])}… here"
    return f"images or labels of {catalogue.root} have changed since"


def _require_same_samples(run: RunFolder, catalogue: Catalogue) -> None:
    before = read_catalogue(run)
    if not np.array_equal(before.readable_N, catalogue.readable_N):
        changed = before.paths[int(np.flatnonzero(before.readable_N != catalogue.readable_N)[0])]
        raise RunError(
            f"{changed!r} could be read when {run.root} was begun and cannot now, or the other way round",
            fix="bring the file back, or audit into a new --run",
        )


def _resume(run: RunFolder, training: Training, reporter: Reporter) -> None:
    if run.checkpoint.exists():
        state = read_checkpoint(run.checkpoint)
        try:
            training.load(state)
        except (KeyError, RuntimeError, ValueError, TypeError) as error:
            raise RunError(
                f"{run.checkpoint} is of another network", fix="delete it to train from the start"
            ) from error
        reporter.say(f"Going on after {training.finished_epochs} of {training.settings.epochs} epochs")
    discard_from(run.losses, training.finished_epochs)
    if recorded_epochs(run.losses) != list(range(training.finished_epochs)):
        raise RunError(f"{run.losses} lacks epochs that the checkpoint has", fix="delete the checkpoint to train again")


def _describe(data: Data, catalogue: Catalogue, settings: TrainingSettings, device: torch.device) -> dict[str, Any]:
    return {
        "status": TRAINING,
        "created": _now(),
        "versions": {
            "labelaudit": labelaudit.__version__,
            "python": platform.python_version(),
            "torch": torch.__version__,
            "timm": timm.__version__,
        },
        "device": {
            "type": device.type,
            "name": torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine(),
            "threads": torch.get_num_threads(),
        },
        "data": {
            "root": str(data.root.resolve()),
            "labels_file": str(data.labels_file.resolve()) if data.labels_file else None,
            "fingerprint": catalogue.fingerprint,
            "classes": list(catalogue.classes),
            "samples": len(catalogue),
            "readable": int(catalogue.readable_N.sum()),
        },
        "settings": settings.as_json(),
    }


def _tell_set_aside(catalogue: Catalogue, reporter: Reporter) -> None:
    bad = np.flatnonzero(~catalogue.readable_N)
    if len(bad):
        first = f"{catalogue.paths[bad[0]]}: {catalogue.reasons[bad[0]]}"
        reporter.warn(f"{len(bad)} of {len(catalogue)} images cannot be read and are set aside ({first})")
    if catalogue.skipped_files:
        reporter.say(f"{catalogue.skipped_files} files that are no images by their name are left out")


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
