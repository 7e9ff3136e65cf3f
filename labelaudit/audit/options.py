"""Selectors in a training: what goes with what, and from settings to a selection."""

from __future__ import annotations

import importlib
import math
import typing
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, field, fields
from pathlib import Path
from types import UnionType
from typing import Any, Literal, get_args, get_origin, get_type_hints

from labelaudit.engine.selection import Selection
from labelaudit.engine.settings import TrainingSettings
from labelaudit.engine.weights import file_digest
from labelaudit.errors import RunError, UsageError
from labelaudit.methods.base import Mixes, Plans
from labelaudit.methods.table import MethodEntry
from labelaudit.names import AugmentName, FitName, OptimizerName, PrecisionName, PresetName, ProbeName, ScheduleName
from labelaudit.selectors.table import NONE, build_selector, describe_selector


@dataclass(frozen=True, kw_only=True)
class TrainingOptions:
    """What was asked for; None leaves the choice to the preset and the data. See `TrainingSettings` for the meaning."""

    probe: ProbeName | None = None
    preset: PresetName | None = None
    model: str | None = None
    pretrained: bool = False
    weights_file: Path | None = None
    offline: bool = False
    image_size: int | None = None
    fit: FitName | None = None
    augment: AugmentName | None = None
    crop_pad: int | None = None
    epochs: int | None = None
    batch_size: int | None = None
    lr: float | None = None
    momentum: float | None = None
    weight_decay: float | None = None
    schedule: ScheduleName | None = None
    optimizer: OptimizerName | None = None
    precision: PrecisionName | None = None
    controls: bool | None = None
    members: int | None = None
    folds: int | None = None
    seed: int | None = None
    device: str = "auto"
    selector: str | None = None
    selector_parameters: Mapping[str, object] = field(default_factory=dict)

    @property
    def selector_description(self) -> str:
        """The selector with its settings, as `TrainingSettings` has it.

        Raises:
            UsageError: an unknown selector or parameter.
        """
        return describe_selector(self.selector or NONE, self.selector_parameters)


_LEAST = {
    "image_size": 4,
    "crop_pad": 0,
    "epochs": 1,
    "batch_size": 2,
    "lr": 1e-12,
    "members": 1,
    "folds": 1,
    "momentum": 0.0,
    "weight_decay": 0.0,
}


def agree(settings: TrainingSettings, options: TrainingOptions, where: str) -> None:
    """Refuse to go on with a run whose settings are not those asked for.

    Raises:
        RunError: naming every setting that differs.
    """
    asked = {
        name: value
        for name in (
            "preset",
            "model",
            "image_size",
            "fit",
            "augment",
            "crop_pad",
            "epochs",
            "batch_size",
            "lr",
            "momentum",
            "weight_decay",
            "schedule",
            "optimizer",
            "precision",
            "members",
            "folds",
            "seed",
        )
        if (value := getattr(options, name)) not in (None, "auto")
    }
    if options.controls is not None and options.controls != bool(settings.controls):
        there, wanted = ("has", "without") if settings.controls else ("has no", "with")
        raise RunError(
            f"{where} was begun with other settings: it {there} planted controls, {wanted} them is asked",
            fix="leave --controls and --no-controls out to go on with it, or give another --run",
        )
    if options.probe not in (None, "auto"):
        asked["kind"] = options.probe
    if options.weights_file is not None:
        asked["weights"] = file_digest(options.weights_file)
    elif options.pretrained and settings.weights != "embedded":
        asked["weights"] = "timm"
    if options.selector is not None or options.selector_parameters:
        asked["selector"] = options.selector_description
    stored = settings.as_json()
    differing = [
        f"{name} is {stored[name]} there, {value} asked" for name, value in asked.items() if stored[name] != value
    ]
    if differing:
        raise RunError(
            f"{where} was begun with other settings: {'; '.join(differing)}",
            fix="leave these options out to go on with it, or give another --run",
        )


def check_options(options: TrainingOptions) -> None:
    """Refuse options that contradict each other or are out of range.

    Raises:
        UsageError: naming the option.
    """
    for name, least in _LEAST.items():
        value = getattr(options, name)
        if value is not None and not value >= least:
            raise UsageError(f"--{name.replace('_', '-')} {value} is too small", fix=f"give at least {least:g}")
    for name in ("lr", "weight_decay"):
        if getattr(options, name) == math.inf:
            raise UsageError(f"--{name.replace('_', '-')} is not finite", fix="give a number")
    if options.momentum is not None and options.momentum >= 1:
        raise UsageError(f"--momentum {options.momentum:g} never forgets a step", fix="give a number below 1")
    if options.probe == "frozen" and options.preset == "paper":
        raise UsageError("the paper's probe is trained from scratch", fix="leave --probe frozen or --preset paper out")
    if options.preset == "paper" and (options.pretrained or options.weights_file):
        raise UsageError("the paper's probe is trained from scratch", fix="leave --pretrained and --weights out")
    if options.pretrained and options.weights_file:
        raise UsageError("--pretrained and --weights both name parameters", fix="give one of them")
    if options.weights_file and not options.model:
        raise UsageError("--weights needs the --model that the file was saved from", fix="add --model NAME")


def settings_from_json(value: object, where: str) -> TrainingSettings:
    """The settings in a run.json.

    Raises:
        RunError: they are not what this version writes.
    """
    known = {entry.name for entry in fields(TrainingSettings)}
    needed = {entry.name for entry in fields(TrainingSettings) if entry.default is MISSING}
    if not isinstance(value, dict) or not needed <= set(value) <= known:
        raise RunError(f"{where} has settings that this version does not read", fix="audit into a new folder")
    hints = get_type_hints(TrainingSettings)
    wrong = [name for name, entry in value.items() if not _is_of(entry, hints[name], least=_LEAST.get(name, 0))]
    if wrong:
        raise RunError(
            f"{where} is damaged ({', '.join(wrong)} is not what labelaudit writes)", fix="audit into a new folder"
        )
    return TrainingSettings.from_json(value)


def _is_of(value: object, hint: Any, *, least: float) -> bool:
    """Whether an entry of a run.json has the type of its field, and a number is not too small."""
    if hint is int:
        return isinstance(value, int) and not isinstance(value, bool) and least <= value <= 1 << 53
    if hint is float:
        return isinstance(value, int | float) and not isinstance(value, bool) and least <= value <= 1 << 53
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Literal:
        return value in parts
    if origin is UnionType:
        return any(_is_of(value, part, least=least) for part in parts)
    if origin is tuple:
        return isinstance(value, list) and _are_of(value, parts, least=least)
    return isinstance(value, hint)


def _are_of(values: list[Any], parts: tuple[Any, ...], *, least: float) -> bool:
    """Whether the entries of a list have the types of a tuple's."""
    if parts[-1] is ...:
        parts = parts[:1] * len(values)
    return len(values) == len(parts) and all(_is_of(*pair, least=least) for pair in zip(values, parts, strict=True))


def build_selection(settings: TrainingSettings, rows: int, *, records_scores: bool = False) -> Selection | None:
    """The selection that the settings describe, before its first epoch; None for none.

    Args:
        settings: Of the training.
        rows: Of the training data.
        records_scores: See `Selection`.
    """
    selector = build_selector(settings.selector)
    return None if selector is None else Selection(selector, rows, records_scores=records_scores)


def check_method(entry: MethodEntry, selector: str) -> None:
    """Refuse a selector beside a method that has its own say in what is trained on.

    Raises:
        UsageError: it trains several networks, chooses the rows of its batches, or blends pictures.
    """
    if selector == NONE:
        return
    module, _, function = entry.factory.partition(":")
    made = typing.get_type_hints(getattr(importlib.import_module(module), function))["return"]
    reason = (
        f"{entry.networks} networks are trained"
        if entry.networks > 1
        else "the method chooses its batches itself"
        if issubclass(made, Plans)
        else "the method blends pictures"
        if issubclass(made, Mixes)
        else None
    )
    if reason is not None:
        raise UsageError(f"--selector does not go with --method {entry.name}: {reason}", fix="leave one of them out")


def check_probe(settings: TrainingSettings) -> None:
    """Refuse a selector that leaves an audit without the losses that it needs.

    Raises:
        UsageError: several heads are trained, or scores are used for several epochs.
    """
    selector = build_selector(settings.selector)
    if selector is None:
        return
    if settings.folds > 1:
        raise UsageError(f"--selector works on one network, not on {settings.folds} heads", fix="add --folds 1")
    if selector.stale_epochs > 1:
        raise UsageError(
            "an audit needs every sample's loss in every epoch, and stale scores have none",
            fix="leave -S stale_epochs out",
        )
