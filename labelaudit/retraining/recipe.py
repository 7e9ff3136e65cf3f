"""Retrain a network robustly on a noisy folder, with one seed or several, and keep its figures in a folder.

Shapes: N samples of the catalogue, R rows that take part in the training.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.auditing.begin import clear, earlier, write_network
from labelaudit.auditing.mirror import settle_flip, without_flips
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import RETRAIN_PRESETS, Preset, build_selection, check_method, plan, set_up_device
from labelaudit.auditing.prepare import Prepared, Source, make_network, numbered_as, prepare
from labelaudit.auditing.training import read_checkpoint, restore, tensors_of, train
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.data.folder import require_outside, scan
from labelaudit.data.labels_file import read_labels
from labelaudit.engine.devices import Device
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.engine.step import EpochRecord
from labelaudit.engine.world import joined
from labelaudit.errors import DataError, RunError
from labelaudit.methods.base import Ingredients
from labelaudit.methods.parameters import lacking, make_parameters
from labelaudit.methods.table import MethodEntry, find_method
from labelaudit.names import PresetName
from labelaudit.progress import QUIET, Reporter
from labelaudit.retraining.incv import cross_validate
from labelaudit.review.moves import require_settled
from labelaudit.run.documents import read_description, read_noise
from labelaudit.run.files import write_json
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import read_weights
from labelaudit.run.metrics import Row, read_metrics, write_metrics

Result = dict[str, Any]  # the content of result.json


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """What is asked of a retraining.

    Attributes:
        method: Its name in `labelaudit.methods.table`.
        parameters: The method's own, by name.
        weights_csv: Sample weights of an audit. They multiply the weights of a method that does not need them itself.
        truth_csv: True labels, as ``path,label``; only the oracle reads them.
        audit: Run folder of an audit of the same data, for the noise rate; default: the one beside ``weights_csv``.
        validation: A folder with one folder per class, on which the error is measured.
        measure_every: Measure it after so many epochs each, and after the last.
        training: Network and schedule.
        presets: What ``training.preset`` names; None for those of retraining, with the method's own as ``paper``.
    """

    method: str = "aul"
    parameters: Mapping[str, object] = field(default_factory=dict)
    weights_csv: Path | None = None
    truth_csv: Path | None = None
    audit: Path | None = None
    validation: Path | None = None
    measure_every: int = 1
    training: TrainingOptions = field(default_factory=TrainingOptions)
    presets: Mapping[PresetName, Preset] | None = None


def retrain_seeds(
    data: Data, folder_for: Mapping[int, RunFolder], options: RetrainOptions, reporter: Reporter = QUIET
) -> list[Result]:
    """Retrain once for each seed, into a folder of its own; see `retrain`. The seed in the options does not count."""
    results = []
    with joined(set_up_device(options.training)):  # once for all of them
        for seed, out in folder_for.items():
            if len(folder_for) > 1:
                reporter.say(f"Seed {seed}")
            own = replace(options, training=replace(options.training, seed=seed))
            results.append(retrain(data, out, own, reporter))
    return results


def retrain(data: Data, out: RunFolder, options: RetrainOptions, reporter: Reporter = QUIET) -> Result:
    """Train a fresh network with a robust method; resume a training that was interrupted.

    ``out`` gets metrics.parquet, model.safetensors and result.json, whose content is returned: method, settings, and
    the errors after the last epoch. Raises errors of `labelaudit.errors`.
    """
    entry, asked = find_method(options.method), options.training
    check_method(entry, asked)
    device = set_up_device(asked)
    with joined(device) as world, contextlib.ExitStack() as held:
        reporter = reporter if world.is_main else QUIET
        begun = world.once(lambda: _read_inputs(data, out, options, device, held, reporter))
        held.enter_context(out.noting_divergence(is_main=world.is_main))
        source = Source(device=device, weights_file=asked.network_weights, offline=asked.offline, world=world)
        prepared = prepare(begun.catalogue, begun.settings, source, reporter)
        if asked.augment is None:
            begun, prepared = _settle_flip(out, begun, prepared, source, reporter)
        settings, validation = begun.settings, None
        if begun.held_out is not None:
            validation = prepare(begun.held_out, settings, source, reporter, statistics=prepared.statistics)
        training = _training(out, entry, begun, prepared, source, reporter)
        metrics: list[Row] = []
        if world.once(out.checkpoint.exists):
            state, metrics = world.once(lambda: (read_checkpoint(out.checkpoint), read_metrics(out.metrics)))
            restore(training, state, out.checkpoint)
            metrics = metrics[: training.finished_epochs]
            reporter.say(f"Resuming after {training.finished_epochs} of {settings.epochs} epochs")

        def after(training: Training, record: EpochRecord, seconds: float) -> Callable[[], None]:
            done, error = record.epoch + 1, None
            if validation is not None and (done % options.measure_every == 0 or done == settings.epochs):
                error = _error(training.predict(validation.inputs, networks=1), validation.label_R)
            metrics.append(_measured(record, training.task.label_N, error))
            times_R = None if training.task.selection is None else record.times_N
            return functools.partial(write_metrics, out, metrics[:], seconds, prepared.sample_R, times_R)

        left = (settings.epochs - training.finished_epochs) * len(prepared.inputs)
        train(out, [training], after, reporter, title=f"Training ({entry.name})", images=left)
        result = {**begun.about, "status": "trained", "metrics": metrics[-1]}
        if validation is not None and training.task.method.networks > 1:
            result["validation_error_of_all_networks"] = _error(training.predict(validation.inputs), validation.label_R)
        if found := training.task.method.report():
            result["found"] = found
        world.once(lambda: write_network(out.model, tensors_of(training.networks[0]), begun.catalogue.classes))
        world.once(lambda: write_json(out.result, result))
        return result


@dataclass(frozen=True)
class _Given:
    """What is trained on; ``about`` has what decides the outcome, for run.json and result.json."""

    catalogue: Catalogue
    settings: TrainingSettings
    weight_N: npt.NDArray[np.float64] | None
    truth_N: npt.NDArray[np.int64] | None
    parameters: Any
    held_out: Catalogue | None
    about: Result


def _read_inputs(
    data: Data,
    out: RunFolder,
    options: RetrainOptions,
    device: Device,
    held: contextlib.ExitStack,
    reporter: Reporter,
) -> _Given:
    """Read everything but the images, hold the folder, and check what was begun in it."""
    entry = find_method(options.method)
    parameters, noise_rate_from = _choose_parameters(entry, options)
    require_settled(data.root)
    for folder in (data.root, options.validation):
        if folder is not None:
            require_outside(out.root, folder, "--out")
    catalogue = trainable(data.scan(reporter))
    if options.audit and read_description(RunFolder(options.audit)).data.fingerprint != catalogue.fingerprint:
        what = f"{options.audit} is an audit of other data, or of other labels, than {catalogue.root}"
        raise DataError(what, fix="give the --run of an audit of this folder")
    weight_N = read_weights(options.weights_csv, catalogue) if options.weights_csv else None
    truth_N = _read_truth(options.truth_csv, catalogue) if options.truth_csv else None
    held_out = None
    if options.validation is not None:
        held_out = numbered_as(scan(options.validation, reporter=reporter), catalogue)
    planned = plan(catalogue, options.training, device, presets=options.presets or presets_of(entry))
    settings = replace(planned.settings, folds=1, apart=())  # one network that has seen all images
    values = dataclasses.asdict(parameters)  # type: ignore[call-overload]
    about = {
        "method": entry.name,
        "fingerprint": catalogue.fingerprint,
        "weights_csv": str(options.weights_csv) if options.weights_csv else None,
        "truth_csv": str(options.truth_csv) if options.truth_csv else None,
        "noise_rate_from": noise_rate_from,
        "validation": str(options.validation) if options.validation else None,
        "parameters": values,
        "settings": settings.as_json(),
    }
    held.enter_context(out.writing("--out"))
    if earlier(out, lambda: _agrees(out, about)) is None:
        clear(out)
        out.write_description({"status": "training", **about})
    reporter.say(f"Retraining with {entry.name}: {planned.why}")
    if noise_rate_from is not None:
        reporter.say(f"Noise rate: {values['noise_rate']:.1%} ({noise_rate_from})")
    return _Given(catalogue, settings, weight_N, truth_N, parameters, held_out, about)


def _agrees(out: RunFolder, about: Mapping[str, Any]) -> bool:
    """Return True where the folder was begun with these values; raise a RunError that names what differs."""
    there = out.read_description()
    settings = settings_from_json(there.get("settings"), str(out.description)).as_json()
    before = {**there, **(there.get("parameters") or {}), **settings}
    now = {**about, **about["parameters"], **about["settings"]}
    differing = [
        f"{name} is {before.get(name)} there, {value} now"
        for name, value in now.items()
        if name not in ("parameters", "settings") and before.get(name) != value
    ]
    if differing:
        what = f"{out.root} was started with different settings: {'; '.join(differing)}"
        raise RunError(what, fix="give the same options to continue it, or another --out")
    return True


def _settle_flip(
    out: RunFolder, begun: _Given, prepared: Prepared, source: Source, reporter: Reporter
) -> tuple[_Given, Prepared]:
    """Leave flips out where they change labels, and remember it in the folder."""
    settings, once = begun.settings, source.world.once
    known = once(lambda: out.read_description().get("mirror_test"))
    if known is None:
        settings, prepared, found = settle_flip(settings, prepared, source, reporter)
        known = found and found.as_json()
        once(lambda: out.update_description(mirror_test=known))
    elif isinstance(known, dict) and known.get("flips") is False:
        settings, prepared = without_flips(settings, prepared)
    about = {**begun.about, "settings": settings.as_json(), "mirror_test": known}
    return replace(begun, settings=settings, about=about), prepared


def _training(
    out: RunFolder, entry: MethodEntry, begun: _Given, prepared: Prepared, source: Source, reporter: Reporter
) -> Training:
    """Build the method, from what cross-validation finds where it needs that, and its networks."""
    settings, device = begun.settings, source.device
    label_R = prepared.label_R
    weight_R, truth_R = (
        None if value_N is None else torch.from_numpy(value_N[prepared.sample_R]).to(dtype).to(str(device))
        for value_N, dtype in ((begun.weight_N, torch.float32), (begun.truth_N, torch.int64))
    )
    # A method that needs the sample weights applies them itself; for the others the loop does.
    sample_weight_R = None if "weights" in entry.needs else weight_R
    verified = None
    if entry.verifies:
        verified = cross_validate(
            out, settings, prepared, source, begun.parameters, reporter, sample_weight_R=sample_weight_R
        )
    method = entry.build(
        Ingredients(
            label_R=label_R.to(str(device)),
            classes=len(prepared.catalogue.classes),
            weight_R=weight_R,
            truth_R=truth_R,
            batch_size=settings.batch_size,
            verified=verified,
            parameters=begun.parameters,
        )
    )
    if settings.kind == "frozen" and method.mixes:
        reporter.warn(
            f"{entry.name} is made for augmented images, and a head on a frozen backbone has none: other methods "
            "have a much smaller error there. Take one of them, or give --probe train"
        )
    networks = [make_network(settings, prepared, source, number=number) for number in range(method.networks)]
    selection = build_selection(settings, len(prepared.inputs))
    task = Task(prepared.inputs, label_R, method, sample_weight_R, selection)
    return Training(networks, settings, device, task, source.world)


def _error(p_NC: torch.Tensor, label_N: torch.Tensor) -> float:
    return float((p_NC.argmax(dim=1) != label_N).double().mean())


def presets_of(entry: MethodEntry) -> dict[PresetName, Preset]:
    """Return the presets of retraining, with the method's published hyperparameters as ``paper``."""
    return {**RETRAIN_PRESETS, "paper": replace(RETRAIN_PRESETS["paper"], **vars(entry.published))}


def _choose_parameters(entry: MethodEntry, options: RetrainOptions) -> tuple[object, str | None]:
    """Return the method's parameters, and where their noise rate is from; read no images.

    Raises UsageError where something is not given or wrong, RunError for an audit without a noise rate.
    """
    parameters = make_parameters(entry.name, entry.parameters, options.parameters)
    given = {"weights": options.weights_csv, "truth": options.truth_csv}
    for need in entry.needs:
        if given.get(need, True) is None:
            raise lacking(entry.name, need)
    if "noise_rate" not in entry.needs:
        return parameters, None
    if getattr(parameters, "noise_rate", None) is not None:
        return parameters, "-P noise_rate"
    audit = options.audit or (options.weights_csv and options.weights_csv.parent)
    run = RunFolder(audit) if audit else None
    if run is None or not (options.audit or run.noise.exists()):
        raise lacking(entry.name, "noise_rate")
    rate = read_noise(run).best_rate
    if rate is None:
        raise RunError(f"{run.noise} has no noise rate", fix="give -P noise_rate=0.2")
    return replace(parameters, noise_rate=rate), str(run.noise)


def _read_truth(file: Path, catalogue: Catalogue) -> npt.NDArray[np.int64]:
    truth = read_labels(file).label_of
    missing = [path for path, fine in zip(catalogue.paths, catalogue.used_N, strict=True) if fine and path not in truth]
    if missing:
        what = f"{file} belongs to other data: it has no label for {missing[0]!r} ({len(missing)} such files)"
        raise DataError(what, fix=f"give the true label of every image in {catalogue.root}")
    number_of = {name: number for number, name in enumerate(catalogue.classes)}
    return np.array([number_of.get(truth.get(path, ""), -1) for path in catalogue.paths], dtype=np.int64)


def _measured(record: EpochRecord, label_R: torch.Tensor, error: float | None) -> Row:
    """Return an epoch's row in metrics.parquet: loss and error on the noisy labels, held-out error, and effort.

    The effort is how many samples went forward, without the looks of a method between steps, and were back-propagated.
    """
    taken_R = record.predicted_N >= 0  # with stale scores there are epochs in which no sample has a loss
    wrong_R = record.predicted_N != label_R.numpy()
    loss, train_error = (
        float(values_R[taken_R].mean()) if taken_R.any() else None for values_R in (record.loss_N, wrong_R)
    )
    figures = {"train_loss": loss, "train_error": train_error, "validation_error": error}
    counts = {"forwards": record.forwards, "backpropagated": int(record.times_N.sum())}
    return {"epoch": record.epoch, **figures, **counts}
