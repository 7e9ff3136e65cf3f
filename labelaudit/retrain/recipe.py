"""The same training with several seeds: one is an anecdote."""

from __future__ import annotations

import contextlib
import functools
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from labelaudit.audit.mirror import settle_flip, without_flips
from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import RETRAIN_PRESETS, Preset, build_selection, check_method, plan
from labelaudit.audit.prepare import Prepared, Source, make_network, prepare
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.data.folder import require_outside
from labelaudit.engine.devices import choose_device
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.parallel import joined
from labelaudit.engine.recorder import EpochRecord
from labelaudit.engine.selection import Selection
from labelaudit.engine.settings import TrainingSettings
from labelaudit.methods.base import Method, Mixes, Reports
from labelaudit.methods.table import MethodEntry, find_method
from labelaudit.names import PresetName
from labelaudit.progress import QUIET, Reporter
from labelaudit.retrain.folder import Done, claim, read_progress, resume, timed, write_epoch
from labelaudit.retrain.given import Given, Sources, check_sources, parameter_values, read_given, scan_validation
from labelaudit.retrain.incv import cross_validate
from labelaudit.review.moves import require_settled
from labelaudit.run.checkpoint import write_network
from labelaudit.run.files import BackgroundWriter, write_json
from labelaudit.run.layout import RunFolder

Mark = Callable[[Literal["prepared", "begun", "trained", "measured"]], None]
"""Told where a retraining is: pictures are decoded, the first epoch begins, an epoch is trained, its error is known."""


def unmarked(_where: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A retraining that is under way.

    Attributes:
        training: Networks and optimizers.
        method: What weighs the samples.
        selection: What chooses those that are back-propagated; None for all.
        prepared: The training data.
        prior_R: Weights by which those of the method are multiplied; None for none.
        validation: Held-out pictures, on which errors are measured; None for none.
        measure_every: Only after every so many epochs, and after the last.
    """

    training: Training
    method: Method
    selection: Selection | None
    prepared: Prepared
    prior_R: torch.Tensor | None
    validation: Prepared | None
    measure_every: int

    def measure(self, record: EpochRecord) -> dict[str, Any]:
        """The row of an epoch in metrics.parquet."""
        taken_R = record.predicted_N >= 0
        wrong_R = record.predicted_N != self.prepared.label_R.numpy()
        effort = record.effort
        # With stale scores there are epochs in which no sample has a loss.
        loss, error = (
            float(values_R[taken_R].mean()) if taken_R.any() else None for values_R in (record.loss_N, wrong_R)
        )
        return {
            "epoch": record.epoch,
            "train_loss": loss,
            "train_error": error,
            "validation_error": self._error_after(record.epoch),
            "forwards": None if effort is None else effort.forwards,
            "backpropagated": None if effort is None else effort.backpropagated,
        }

    def done(self, record: EpochRecord, seconds: float, metrics: list[dict[str, Any]]) -> Done:
        """What is kept of an epoch that is over."""
        return Done(
            metrics=list(metrics),
            seconds=seconds,
            sample_R=self.prepared.sample_R,
            times_R=None if self.selection is None or record.effort is None else record.effort.times_N,
            state=self.training.state(self.method, self.selection),
        )

    def error_of_all(self) -> float | None:
        """Held-out error of several networks together; None for one network, or with nothing held out."""
        if self.validation is None or self.method.networks == 1:
            return None
        return _error(self.training.predict(self.validation.inputs), self.validation)

    def _error_after(self, epoch: int) -> float | None:
        """Of the first network; None where there is nothing to measure on, or it is not the time."""
        done = epoch + 1
        if self.validation is None or (done % self.measure_every and done < self.training.settings.epochs):
            return None
        return _error(self.training.predict_each(self.validation.inputs, networks=1)[0], self.validation)


def train(
    out: RunFolder, running: Running, metrics: list[dict[str, Any]], title: str, reporter: Reporter, mark: Mark
) -> None:
    """Train the epochs that are left, and write each down while the next one is trained.

    Args:
        out: Gets metrics, picks and checkpoint.
        running: The retraining.
        metrics: Of the epochs that are finished; those of the others are added.
        title: Of the progress bar.
        reporter: Told about the progress.
        mark: Told when an epoch is trained, and when it is measured.
    """
    training, prepared = running.training, running.prepared
    left = (training.settings.epochs - training.finished_epochs) * len(prepared.inputs)
    with reporter.bar(title, left, "images") as advance, BackgroundWriter() as writer:
        epochs = run_epochs(
            training,
            prepared.inputs,
            prepared.label_R,
            running.method,
            advance,
            prior_N=running.prior_R,
            selection=running.selection,
        )
        for record, seconds in timed(epochs):
            mark("trained")
            metrics.append(running.measure(record))
            if training.world.is_main:
                writer.submit(functools.partial(write_epoch, out, running.done(record, seconds, metrics)))
            mark("measured")


def _error(p_NC: torch.Tensor, validation: Prepared) -> float:
    return float((p_NC.argmax(dim=1) != validation.label_R).double().mean())


@dataclass(frozen=True, kw_only=True)
class RetrainOptions:
    """What is asked of a retraining.

    Attributes:
        method: Its name in `labelaudit.methods.table`.
        parameters: The method's own, by name.
        weights_csv: Sample weights of an audit. A method that does not need them has its own multiplied by them.
        truth_csv: True labels, as ``path,label``; only the oracle reads them.
        audit: Run folder of an audit of the same data, for the noise rate; else that beside ``weights_csv`` is taken.
        validation: A folder with one folder per class, on which the error is measured after every epoch.
        measure_every: Only after every so many epochs, and after the last.
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

    @property
    def sources(self) -> Sources:
        """Those of what the method is given."""
        return Sources(
            weights_csv=self.weights_csv, truth_csv=self.truth_csv, audit=self.audit, parameters=self.parameters
        )


def retrain(
    data: Data,
    out: RunFolder,
    options: RetrainOptions,
    reporter: Reporter = QUIET,
    *,
    mark: Mark = unmarked,
) -> dict[str, Any]:
    """Train a fresh network with a robust method; go on with a training that was interrupted.

    Args:
        data: The pictures and their noisy labels.
        out: Gets metrics.parquet, model.safetensors and result.json.
        options: What is asked.
        reporter: Told about the progress.
        mark: For whoever wants to know how long its parts take.

    Returns:
        The content of result.json: method, settings, and the errors after the last epoch.

    Raises:
        LabelauditError: see `labelaudit.errors`.
    """
    entry = find_method(options.method)
    check_sources(entry, options.sources)
    check_method(entry, options.training.selector_description)
    device = choose_device(options.training.device)
    with joined(device) as world, contextlib.ExitStack() as held:
        if not world.is_main:
            reporter = QUIET
        begun = world.once(lambda: _begin(data, out, entry, options, device, held, reporter))
        held.enter_context(out.noting_divergence(is_main=world.is_main))
        settings = begun.settings
        asked = options.training
        source = Source(device=device, weights_file=asked.network_weights, offline=asked.offline, world=world)
        prepared = prepare(begun.catalogue, settings, source, reporter)
        if asked.augment is None:
            begun, prepared = _settle_flip(out, begun, prepared, source, reporter)
            settings = begun.settings
        validation = None
        if begun.held_out is not None:
            validation = prepare(begun.held_out, settings, source, reporter, statistics=prepared.statistics)
        mark("prepared")
        prior_R = None if "weights" in entry.needs else begun.given.prior(prepared, device)
        verified = None
        if entry.verifies:
            verified = cross_validate(
                out, settings, prepared, source, begun.given.parameters, reporter, prior_R=prior_R
            )
        made_of = begun.given.ingredients(prepared, device, batch_size=settings.batch_size, verified=verified)
        method = entry.build(made_of)
        if settings.kind == "frozen" and isinstance(method, Mixes):
            reporter.warn(
                f"{entry.name} is made for augmented images, and a head on a frozen backbone has none: other methods "
                "have a much smaller error there. Take one of them, or give --probe train"
            )
        networks = [make_network(settings, prepared, source, number=number) for number in range(method.networks)]
        training = Training(networks, settings, device, world)
        progress = world.once(lambda: read_progress(out))
        selection = build_selection(settings, len(prepared.inputs))
        metrics = resume(out, training, method, selection, progress, reporter)
        mark("begun")
        running = Running(
            training=training,
            method=method,
            selection=selection,
            prepared=prepared,
            prior_R=prior_R,
            validation=validation,
            measure_every=options.measure_every,
        )
        train(out, running, metrics, f"Training ({entry.name})", reporter, mark)
        together = running.error_of_all()
        return world.once(lambda: _finish(out, begun, running, metrics, together))


@dataclass(frozen=True, kw_only=True)
class _Begun:
    catalogue: Catalogue
    settings: TrainingSettings
    given: Given
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
    for folder in (data.root, options.validation):
        if folder is not None:
            require_outside(out.root, folder, "--out")
    catalogue = trainable(data.scan(reporter))
    given = read_given(entry, options.sources, catalogue)
    held_out = scan_validation(options.validation, catalogue, reporter)
    planned = plan(catalogue, options.training, device, presets=options.presets or presets_of(entry))
    planned = replace(planned, settings=replace(planned.settings, folds=1))  # one network that has seen all images
    about = _about(entry, planned.settings, catalogue, given, options)
    held.enter_context(out.writing())
    claim(out, about)
    reporter.say(f"Retraining with {entry.name}: {planned.why}")
    if given.noise_rate_from is not None:
        rate = parameter_values(given.parameters)["noise_rate"]
        reporter.say(f"Noise rate: {rate:.1%} ({given.noise_rate_from})")
    return _Begun(catalogue=catalogue, settings=planned.settings, given=given, held_out=held_out, about=about)


def _settle_flip(
    out: RunFolder, begun: _Begun, prepared: Prepared, source: Source, reporter: Reporter
) -> tuple[_Begun, Prepared]:
    """Leave flips out where they change labels. The folder remembers it."""
    world = source.world
    known = world.once(lambda: out.read_description().get("mirror_test"))
    if known is None:
        settings, prepared, found = settle_flip(begun.settings, prepared, source, reporter)
        known = found and found.as_json()
        world.once(lambda: out.update_description(mirror_test=known))
    elif isinstance(known, dict) and known.get("flips") is False:
        settings, prepared = without_flips(begun.settings, prepared)
    else:
        settings = begun.settings
    about = {**begun.about, "settings": settings.as_json(), "mirror_test": known}
    return replace(begun, settings=settings, about=about), prepared


def presets_of(entry: MethodEntry) -> dict[PresetName, Preset]:
    """Return the presets of retraining, with the method's published hyperparameters as ``paper``."""
    return {**RETRAIN_PRESETS, "paper": replace(RETRAIN_PRESETS["paper"], **vars(entry.published))}


def _finish(
    out: RunFolder,
    begun: _Begun,
    running: Running,
    metrics: list[dict[str, Any]],
    together: float | None,
) -> dict[str, Any]:
    write_network(
        out.model, running.training.networks[0], {"format": "pt", "classes": "\n".join(begun.catalogue.classes)}
    )
    extra: dict[str, Any] = {} if together is None else {"validation_error_of_all_networks": together}
    if isinstance(running.method, Reports):
        extra["found"] = running.method.report()
    result = {**begun.about, "status": "trained", "metrics": metrics[-1], **extra}
    write_json(out.result, result)
    return result


def _about(
    entry: MethodEntry, settings: TrainingSettings, catalogue: Catalogue, given: Given, options: RetrainOptions
) -> dict[str, Any]:
    return {
        "method": entry.name,
        "fingerprint": catalogue.fingerprint,
        "weights_csv": str(options.weights_csv) if options.weights_csv else None,
        "truth_csv": str(options.truth_csv) if options.truth_csv else None,
        "noise_rate_from": given.noise_rate_from,
        "validation": str(options.validation) if options.validation else None,
        "parameters": parameter_values(given.parameters),
        "settings": settings.as_json(),
    }


def retrain_seeds(
    data: Data,
    folder_for: Mapping[int, RunFolder],
    options: RetrainOptions,
    reporter: Reporter = QUIET,
) -> list[dict[str, Any]]:
    """`retrain` once for each seed, into a folder of its own.

    Args:
        data: See `retrain`.
        folder_for: The folder of each seed.
        options: See `retrain`; their own seed does not count.
        reporter: Told about the progress.

    Returns:
        The content of each result.json.
    """
    results = []
    with joined(choose_device(options.training.device)):  # once for all of them
        for seed, out in folder_for.items():
            if len(folder_for) > 1:
                reporter.say(f"Seed {seed}")
            wanted = replace(options, training=replace(options.training, seed=seed))
            results.append(retrain(data, out, wanted, reporter))
    return results
