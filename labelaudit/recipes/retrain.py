"""Training a network that wrong labels do not ruin.

Shapes: R rows of the training data.
"""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.data.catalogue import Catalogue, require_trainable
from labelaudit.data.folder import scan
from labelaudit.data.labels_file import read_labels_csv
from labelaudit.engine.devices import choose_device
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.parallel import World, joined
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import DataError, RunError, UsageError
from labelaudit.methods.base import Ingredients, Method
from labelaudit.methods.table import MethodEntry, find_method
from labelaudit.progress import QUIET, Reporter
from labelaudit.recipes.audits import Data
from labelaudit.recipes.options import TrainingOptions
from labelaudit.recipes.plan import plan
from labelaudit.recipes.prepare import Prepared, Source, make_network, prepare
from labelaudit.recipes.presets import RETRAIN_PRESETS
from labelaudit.relabel.settled import require_settled
from labelaudit.run.background import BackgroundWriter
from labelaudit.run.checkpoint import read_checkpoint, write_checkpoint, write_network
from labelaudit.run.files import write_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_metrics, write_metrics
from labelaudit.run.weights import read_weights


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """What is asked of a retraining.

    Attributes:
        method: Its name in `labelaudit.methods.table`.
        weights_csv: Sample weights of an audit.
        truth_csv: True labels, as ``path,label``; only the oracle reads them.
        validation: A folder with one folder per class, on which the error is measured after every epoch.
        training: Network and schedule.
    """

    method: str = "aul"
    weights_csv: Path | None = None
    truth_csv: Path | None = None
    validation: Path | None = None
    training: TrainingOptions = field(default_factory=TrainingOptions)


def retrain(data: Data, out: RunFolder, options: RetrainOptions, reporter: Reporter = QUIET) -> dict[str, Any]:
    """Train a fresh network with a robust method; go on with a training that was interrupted.

    Args:
        data: The pictures and their noisy labels.
        out: Gets metrics.parquet, model.safetensors and result.json.
        options: What is asked.
        reporter: Told about the progress.

    Returns:
        The content of result.json: method, settings, and the errors after the last epoch.

    Raises:
        LabelauditError: see `labelaudit.errors`.
    """
    entry = find_method(options.method)
    _check_needs(entry, options)
    device = choose_device(options.training.device)
    with joined(device) as world, contextlib.ExitStack() as held:
        if not world.is_main:
            reporter = QUIET
        begun = world.once(lambda: _begin(data, out, entry, options, device, held, reporter))
        settings = begun.settings
        asked = options.training
        source = Source(device=device, weights_file=asked.weights_file, offline=asked.offline, world=world)
        prepared = prepare(begun.catalogue, settings, source, reporter)
        validation = None
        if begun.held_out is not None:
            validation = prepare(begun.held_out, settings, source, reporter, statistics=prepared.statistics)
        method = entry.build(_ingredients(begun, prepared, device))
        networks = [make_network(settings, prepared, source, number=number) for number in range(method.networks)]
        training = Training(networks, settings.loop, device, world)
        progress = world.once(lambda: _read_progress(out))
        metrics = _resume(out, training, progress, reporter)
        _train(out, entry, training, method, prepared, validation, metrics, world, reporter)
        return world.once(lambda: _finish(out, begun, training, metrics))


@dataclass(frozen=True, kw_only=True)
class _Begun:
    catalogue: Catalogue
    settings: TrainingSettings
    weight_N: npt.NDArray[np.float64] | None
    truth_N: npt.NDArray[np.int64] | None
    held_out: Catalogue | None
    about: dict[str, Any]


def _begin(
    data: Data,
    out: RunFolder,
    entry: MethodEntry,
    options: RetrainOptions,
    device: torch.device,
    held: contextlib.ExitStack,
    reporter: Reporter,
) -> _Begun:
    """What is to be trained, with the folder held."""
    require_settled(data.root)
    catalogue = scan(data.root, labels_file=data.labels_file, reporter=reporter)
    require_trainable(catalogue)
    weight_N = read_weights(options.weights_csv, catalogue) if options.weights_csv else None
    truth_N = _read_truth(options.truth_csv, catalogue) if options.truth_csv else None
    held_out = _scan_validation(options.validation, catalogue, reporter)
    planned = plan(catalogue, options.training, device, presets=RETRAIN_PRESETS)
    planned = replace(planned, settings=replace(planned.settings, folds=1))  # one network that has seen all images
    about = _about(entry, planned.settings, catalogue, options)
    held.enter_context(out.writing())
    _claim(out, about)
    reporter.say(f"Retraining with {entry.name}: {planned.why}")
    return _Begun(
        catalogue=catalogue,
        settings=planned.settings,
        weight_N=weight_N,
        truth_N=truth_N,
        held_out=held_out,
        about=about,
    )


def _ingredients(begun: _Begun, prepared: Prepared, device: torch.device) -> Ingredients:
    rows = prepared.sample_R
    weight_N, truth_N = begun.weight_N, begun.truth_N
    return Ingredients(
        label_R=prepared.label_R.to(device),
        weight_R=None if weight_N is None else torch.from_numpy(weight_N[rows]).float().to(device),
        truth_R=None if truth_N is None else torch.from_numpy(truth_N[rows]).to(device),
    )


def _train(
    out: RunFolder,
    entry: MethodEntry,
    training: Training,
    method: Method,
    prepared: Prepared,
    validation: Prepared | None,
    metrics: list[dict[str, Any]],
    world: World,
    reporter: Reporter,
) -> None:
    left = (training.settings.epochs - training.finished_epochs) * len(prepared.inputs)
    with reporter.bar(f"Training ({entry.name})", left, "images") as advance, BackgroundWriter() as writer:
        for record in run_epochs(training, prepared.inputs, prepared.label_R, method, advance):
            metrics.append(
                {
                    "epoch": record.epoch,
                    "train_loss": float(record.loss_N.mean()),
                    "train_error": float((record.predicted_N != prepared.label_R.numpy()).mean()),
                    "validation_error": None if validation is None else _error(training, validation),
                }
            )
            if world.is_main:
                writer.submit(functools.partial(_write_epoch, out, list(metrics), training.state()))


def _write_epoch(out: RunFolder, metrics: list[dict[str, Any]], state: dict[str, Any]) -> None:
    write_metrics(out.metrics, metrics)
    write_checkpoint(out.checkpoint, state)


def _finish(out: RunFolder, begun: _Begun, training: Training, metrics: list[dict[str, Any]]) -> dict[str, Any]:
    write_network(out.model, training.networks[0], {"format": "pt", "classes": "\n".join(begun.catalogue.classes)})
    result = {**begun.about, "status": "trained", "metrics": metrics[-1]}
    write_json(out.result, result)
    return result


def _check_needs(entry: MethodEntry, options: RetrainOptions) -> None:
    if "weights" in entry.needs and options.weights_csv is None:
        raise UsageError(
            f"the method {entry.name} needs sample weights", fix="give --weights RUN/weights.csv of an audit"
        )
    if "truth" in entry.needs and options.truth_csv is None:
        raise UsageError(
            f"the method {entry.name} needs the true labels", fix="give --truth FILE.csv with the columns path,label"
        )


def _read_truth(file: Path, catalogue: Catalogue) -> Any:
    truth = read_labels_csv(file)
    missing = [
        path for path, fine in zip(catalogue.paths, catalogue.readable_N, strict=True) if fine and path not in truth
    ]
    if missing:
        raise DataError(
            f"{file} belongs to other data: it has no label for {missing[0]!r} ({len(missing)} such files)",
            fix=f"give the true label of every image in {catalogue.root}",
        )
    number_of: Mapping[str, int] = {name: number for number, name in enumerate(catalogue.classes)}
    return np.array([number_of.get(truth.get(path, ""), -1) for path in catalogue.paths], dtype=np.int64)


def _about(
    entry: MethodEntry, settings: TrainingSettings, catalogue: Catalogue, options: RetrainOptions
) -> dict[str, Any]:
    return {
        "method": entry.name,
        "fingerprint": catalogue.fingerprint,
        "weights_csv": str(options.weights_csv) if options.weights_csv else None,
        "truth_csv": str(options.truth_csv) if options.truth_csv else None,
        "validation": str(options.validation) if options.validation else None,
        "settings": settings.as_json(),
    }


def _claim(out: RunFolder, about: dict[str, Any]) -> None:
    if not out.exists:
        out.require_fresh()
        out.write_description({"status": "training", **about})
        return
    before = out.read_description()
    differing = [
        f"{name} is {before.get(name)} there, {value} now"
        for name, value in about.items()
        if name != "settings" and before.get(name) != value
    ]
    stored = before.get("settings") or {}
    differing += [
        f"{name} is {stored.get(name)} there, {value} now"
        for name, value in about["settings"].items()
        if stored.get(name) != value
    ]
    if differing:
        raise RunError(
            f"{out.root} was begun with other settings: {'; '.join(differing)}",
            fix="give the same options to go on with it, or another --out",
        )


_Progress = tuple[dict[str, Any], list[dict[str, Any]]]


def _read_progress(out: RunFolder) -> _Progress | None:
    """State and metrics after the last whole epoch."""
    if not out.checkpoint.exists():
        return None
    try:
        return read_checkpoint(out.checkpoint), read_metrics(out.metrics)
    except (OSError, ValueError) as error:
        raise _damaged(out) from error


def _resume(out: RunFolder, training: Training, progress: _Progress | None, reporter: Reporter) -> list[dict[str, Any]]:
    if progress is None:
        return []
    state, metrics = progress
    try:
        training.load(state)
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(out) from error
    reporter.say(f"Going on after {training.finished_epochs} of {training.settings.epochs} epochs")
    return metrics[: training.finished_epochs]


def _damaged(out: RunFolder) -> RunError:
    return RunError(f"{out.root} is damaged", fix="delete it to train from the start")


def _scan_validation(folder: Path | None, training: Catalogue, reporter: Reporter) -> Catalogue | None:
    """The held-out pictures, with labels numbered as in the training data."""
    if folder is None:
        return None
    catalogue = scan(folder, reporter=reporter)
    foreign = sorted(set(catalogue.classes) - set(training.classes))
    if foreign:
        raise DataError(
            f"{folder} has a class that the training data lacks: {foreign[0]!r}", fix="use the same class folders"
        )
    number_of = {name: number for number, name in enumerate(training.classes)}
    label_N = np.array([number_of[catalogue.classes[label]] for label in catalogue.label_N], dtype=np.int32)
    return replace(catalogue, classes=training.classes, label_N=label_N)


def _error(training: Training, validation: Prepared) -> float:
    predicted = training.predict(validation.inputs).argmax(dim=1)
    return float((predicted != validation.label_R).double().mean())
