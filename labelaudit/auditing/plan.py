"""From what is asked to settings: the rest comes from the preset, and what that leaves open from the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.splits import judged_apart
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.looks import look_size
from labelaudit.engine import pretrained
from labelaudit.engine.devices import Device, choose_device, choose_precision, compute_deterministically, set_threads
from labelaudit.engine.networks import is_ours, pretrained_config, require_known
from labelaudit.engine.settings import SCRATCH, ProbeKind, TrainingSettings
from labelaudit.errors import RunError, UsageError
from labelaudit.hyperparameters import AUL_PROBE, AUL_RETRAINING, LEAST, Hyperparameters
from labelaudit.methods.table import MethodEntry
from labelaudit.names import OptimizerName, Precision, PrecisionName, PresetName
from labelaudit.run.documents import OWN_EMBEDDINGS
from labelaudit.run.files import file_digest
from labelaudit.selectors.table import NONE, build_selector, describe_selector

if TYPE_CHECKING:
    from labelaudit.engine.selection import Selection

COARSE_FROM = 80


@dataclass(frozen=True, kw_only=True)
class Preset(Hyperparameters):
    """Default network and hyperparameters; ``coarse_model`` is for images of `COARSE_FROM` pixels on, if there is one.

    ``auto_precision`` is what ``--precision auto`` means.
    """

    model: str
    coarse_model: str | None = None
    auto_precision: PrecisionName = "auto"


PAPER = Preset(model="cifar_resnet32", auto_precision="float32", **vars(AUL_PROBE))
FAST = replace(
    PAPER,
    model="labelaudit_probe",
    coarse_model="labelaudit_probe_coarse",
    epochs=24,
    batch_size=256,
    lr=0.1,
    schedule="linear",
    crop_pad=2,
    border="reflect",
    auto_precision="auto",
)
BALANCED = replace(
    FAST, model="labelaudit_probe_pooled", coarse_model=None, epochs=16, lr=0.4, weight_decay=5e-4, schedule="one-cycle"
)
STRONG = replace(BALANCED, model="labelaudit_probe_pooled_wide", lr=0.4)
PRESETS: dict[PresetName, Preset] = {"fast": FAST, "balanced": BALANCED, "strong": STRONG, "paper": PAPER}

# Retraining needs a network that generalizes, not one that separates: the rate falls to nothing.
RETRAIN_PRESETS: dict[PresetName, Preset] = {
    **PRESETS,
    "fast": replace(FAST, lr=0.1, weight_decay=5e-4, schedule="one-cycle"),
    "paper": replace(PAPER, **vars(AUL_RETRAINING)),
}

USUAL_RATE: dict[OptimizerName, float] = {"sgd": 0.1, "adam": 0.001}
"""The learning rate of an optimizer that is not the preset's own."""

FINE_TUNED = replace(BALANCED, model="tf_efficientnet_lite0", epochs=6, batch_size=128, lr=0.04)
"""The preset of a network that starts from pretrained weights: fewer epochs, at a lower rate."""

HEAD = replace(
    FAST,
    model="linear",
    coarse_model=None,
    epochs=10,
    batch_size=64,
    lr=0.01,
    weight_decay=0.5,
    schedule="constant",
    augment="none",
    crop_pad=0,
)
"""The head on a frozen backbone. The large weight decay keeps a head with more parameters than there are images from
memorizing wrong labels (docs/accuracy.md)."""

HEAD_CLASSES = 64
"""The weight decay is for up to so many classes. Of more, each gets less of the gradient, so the decay falls with their
number. Worth (average precision, uniform and pair flip .10): 200 classes of 20 images .512 to .696 and .272 to .369,
100 classes .550 to .610 and .343 to .383. From 24 on, 38 classes of photographs lose .001 and .004.
Chosen on these."""

LARGE_HEAD_BATCH = 256
"""The batch of heads where an average class has as many images: better and faster there, worse for small classes."""

HEAD_FOLDS = 5
"""Heads that are trained side by side, each without its part of the data: one head on all of a few hundred images
memorizes their labels (docs/accuracy.md)."""

SMALL_IMAGE_PIXELS = 64
"""Folders whose median short side is up to this are trained on; larger images go through a frozen backbone."""

HEADS_SIZE = 160
"""The side in pixels at which the backbone sees images of up to `SMALL_IMAGE_PIXELS`, for the heads beside a network:
half the time of 224. Its accuracy was not compared."""

MOST_EMBEDDED = 200_000
"""More small images get no heads beside the network unless they are asked for: their embeddings would need more than 1
GB of memory."""

DOUBTED = 0.25
"""A network is trained beside heads that expect to disagree with more of the labels, be they wrong or hard. Worth:
average precision on numerals .400 to .618, at .36; look-alikes (.16) gain nothing, caltech24 has .04. Chosen on
these."""

MOST_DOUBTED = 20_000
"""More images get no network beside doubting heads unless --probe both is given: it takes about 30 ms of one core for
each."""

_LARGEST_SIZE = 64
_LEAST_SIZE = 16
_STEPS_PER_EPOCH = 40
_SMALLEST_BATCH = 16
_PRETRAINED_SIZE = 224
_FINE_TUNED_LEAST_SIZE = 64
"""Pretrained networks halve the image five times."""


class ProbePlan(NamedTuple):
    """Settings, and in words why the data led to them."""

    settings: TrainingSettings
    why: str


def _check_options(options: TrainingOptions) -> None:
    """Raise UsageError for options that contradict each other or are out of range."""
    for name, least in LEAST.items():
        value, option = getattr(options, name), f"--{name.replace('_', '-')}"
        if value is not None and not value >= least:
            raise UsageError(f"{option} {value} is too small", fix=f"give at least {least:g}")
        if value == math.inf:
            raise UsageError(f"{option} is not finite", fix="give a number")
    _check_own(options)
    if options.momentum is not None and options.momentum >= 1:
        raise UsageError(f"--momentum {options.momentum:g} must be below 1", fix="give a smaller number")
    is_frozen = options.probe == "frozen"
    if options.preset == "paper" and (is_frozen or options.pretrained or options.network_weights):
        other = "--probe frozen or --preset paper" if is_frozen else "--pretrained and --network-weights"
        raise UsageError("the paper's probe is trained from scratch", fix=f"leave {other} out")
    if options.pretrained and options.network_weights:
        raise UsageError("--pretrained and --network-weights both name parameters", fix="give one of them")
    if options.network_weights and not options.model:
        raise UsageError("--network-weights needs the --model that the file was saved from", fix="add --model NAME")


def _check_own(options: TrainingOptions) -> None:
    """Raise UsageError for options that do not go with embeddings or predictions of the user's own."""
    if options.predictions is not None:
        raise UsageError("--predictions trains nothing", fix="give it to labelaudit score, or leave it out")
    if options.embeddings is None or options.probe == "both":
        return
    given = {
        "--model": options.model,
        "--network-weights": options.network_weights,
        "--pretrained": options.pretrained,
        "--image-size": options.image_size,
        "--preset paper": options.preset == "paper",
        "--probe train": options.probe == "train",
    }
    if other := [name for name, value in given.items() if value]:
        what = f"--embeddings takes the place of a network, and {other[0]} is about one"
        raise UsageError(what, fix=f"leave {other[0]} out, or give --probe both for a network beside the heads")


def set_up_device(options: TrainingOptions) -> Device:
    """Set up this process as the options ask, and return the device; raise UsageError or DeviceError."""
    _check_options(options)
    set_threads(options.threads)
    if options.deterministic:
        compute_deterministically()
    return choose_device(options.device)


def plan(
    catalogue: Catalogue, options: TrainingOptions, device: Device, presets: Mapping[PresetName, Preset] = PRESETS
) -> ProbePlan:
    """Resolve every setting of options that `set_up_device` has checked; errors are a UsageError or a ModelError."""
    preset = presets[options.preset or "fast"]
    kind, model, weights, why = _choose_network(catalogue, options, preset)
    usable = int(catalogue.used_N.sum())
    if kind == "frozen":  # the preset's hyperparameters are not used
        classes = len(catalogue.classes)
        preset = replace(
            HEAD,
            batch_size=LARGE_HEAD_BATCH if usable >= LARGE_HEAD_BATCH * classes else HEAD.batch_size,
            weight_decay=HEAD.weight_decay * min(1.0, HEAD_CLASSES / classes),
        )
    elif options.folds not in (None, 1):
        raise UsageError("--folds is for heads on a frozen backbone", fix="leave it out, or add --probe frozen")
    elif weights != SCRATCH and options.preset is None:
        preset = FINE_TUNED
    size = options.image_size or _image_size(catalogue, kind, model, weights)
    if options.image_size is None and kind == "train" and size == pretrained.fixed_size(model):
        why = f"{why}, seen at {size} pixels, which {model} is built for"
    precision = choose_precision(_precision(options, kind, model, device, preset), device)
    hyper = _hyperparameters(options, preset, usable, precision)
    apart = judged_apart(catalogue) if kind == "frozen" and options.folds is None else ()
    drawn = 0 if apart and len(apart) == len(catalogue.splits) else HEAD_FOLDS
    settings = TrainingSettings(
        kind=kind,
        model=model,
        weights=weights,
        preset=options.preset or "fast",
        image_size=size,
        channels=1 if catalogue.is_grey and (weights == SCRATCH or (kind == "train" and is_ours(model))) else 3,
        resize=options.resize or "stretch",
        members=options.members or 1,
        folds=options.folds or (len(apart) + drawn if kind == "frozen" else 1),
        apart=apart,
        selector=_selector(options),
        **vars(hyper),
    )
    return ProbePlan(settings, why)


def plan_probe(catalogue: Catalogue, options: TrainingOptions, device: Device) -> ProbePlan:
    """Resolve every setting of an audit: as `plan` does, and whether it has heads and a network beside each other.

    A selector that leaves the audit without the losses that it needs is a UsageError, and Adam for held-out heads.
    """
    planned = plan(catalogue, options, device)
    _check_selector(planned.settings)
    if planned.settings.has_folds and planned.settings.optimizer == "adam":
        raise UsageError("--optimizer adam is not for held-out heads", fix="leave it out, or add --folds 1")
    usable, is_auto = int(catalogue.used_N.sum()), options.probe in (None, "auto")
    if planned.settings.kind == "frozen":
        # Options that are meant for heads would not fit a network.
        is_plain = replace(options.deciding, probe=None, seed=None, resize=None) == TrainingOptions()
        wanted = is_auto and is_plain and planned.settings.weights == "embedded" and usable <= MOST_DOUBTED
        return planned._replace(settings=replace(planned.settings, network_if_doubted=wanted))
    wanted = usable <= MOST_EMBEDDED and options.preset != "paper" if is_auto else options.probe == "both"
    if not wanted:
        return planned
    if options.embeddings is not None:
        heads: dict[str, Any] = {"heads_epochs": HEAD.epochs, "heads_weights": file_digest(options.embeddings)}
        return ProbePlan(replace(planned.settings, **heads), f"{planned.why}, and heads on {options.embeddings}")
    settings = replace(planned.settings, heads_epochs=HEAD.epochs)
    return ProbePlan(settings, f"{planned.why}, and heads on frozen {pretrained.EMBEDDED_MODEL}")


def network_beside(
    heads: TrainingSettings, catalogue: Catalogue, options: TrainingOptions, device: Device
) -> TrainingSettings:
    """Return the settings of a network that is trained beside heads which are trained already."""
    options = replace(options, probe="both", seed=heads.seed, resize=heads.resize)
    return plan_probe(catalogue, options, device).settings


def heads_beside(
    settings: TrainingSettings, catalogue: Catalogue, device: Device, embeddings: Path | None = None
) -> TrainingSettings:
    """Return the settings of the heads that are trained beside a network, on the user's embeddings if there are any."""
    size = HEADS_SIZE if catalogue.median_short_side <= SMALL_IMAGE_PIXELS and embeddings is None else None
    options = TrainingOptions(
        probe="frozen",
        embeddings=embeddings,
        epochs=settings.heads_epochs,
        image_size=size,
        resize=settings.resize,
        seed=settings.seed,
    )
    return plan(catalogue, options, device).settings


def _hyperparameters(options: TrainingOptions, preset: Preset, usable: int, precision: Precision) -> Hyperparameters:
    """Return the preset's hyperparameters, with those asked for and what follows from them."""
    values: dict[str, Any] = {each.name: getattr(preset, each.name) for each in fields(Hyperparameters)}
    if options.preset != "paper":
        values["batch_size"] = fitting_batch_size(usable, preset.batch_size)
    if options.optimizer not in (None, preset.optimizer):
        values["lr"] = USUAL_RATE[options.optimizer]
    values |= {name: value for name, value in vars(options).items() if name in values and value is not None}
    hyper = Hyperparameters(**{**values, "precision": precision})
    if hyper.schedule == "milestones" and not hyper.milestones:
        raise UsageError("--schedule milestones is only for methods published with milestones", fix="choose another")
    return replace(
        hyper,
        nesterov=hyper.nesterov and hyper.momentum > 0 and hyper.optimizer == "sgd",
        milestones=hyper.milestones if hyper.schedule == "milestones" else (),
        late_momentum=hyper.late_momentum if hyper.schedule == "late-linear" else None,
    )


def _selector(options: TrainingOptions) -> str:
    """Return the selector with its settings, as `TrainingSettings` has it."""
    if options.selector in (None, NONE) and not options.selector_parameters:
        return NONE
    return describe_selector(options.selector or NONE, options.selector_parameters)


def _choose_network(catalogue: Catalogue, options: TrainingOptions, preset: Preset) -> tuple[ProbeKind, str, str, str]:
    if (file := options.embeddings) is not None and options.probe != "both":
        return "frozen", OWN_EMBEDDINGS, file_digest(file), f"heads on the embeddings in {file}"
    if options.model is not None:
        require_known(options.model)
    side = catalogue.median_short_side
    size = options.image_size or _scratch_size(side)
    own_model = preset.coarse_model if preset.coarse_model and size >= COARSE_FROM else preset.model
    is_small = side <= SMALL_IMAGE_PIXELS
    if options.probe in ("train", "both") or options.preset == "paper" or (options.probe != "frozen" and is_small):
        weights = _named_weights(options)
        model = options.model or (FINE_TUNED.model if weights != SCRATCH else own_model)
        how = "from scratch" if weights == SCRATCH else "fine-tuned"
        why = f"images of {side} pixels" if options.probe is None and options.preset != "paper" else "as asked"
        return "train", model, weights, f"training {model} {how} ({why})"
    reason = "as asked" if options.probe == "frozen" else f"images of {side} pixels, above {SMALL_IMAGE_PIXELS}"
    model, weights, source = _frozen_backbone(options)
    return "frozen", model, weights, f"a head on frozen {model}, {source} ({reason})"


def _named_weights(options: TrainingOptions) -> str:
    if options.network_weights is not None:
        return file_digest(options.network_weights)
    if not options.pretrained:
        return SCRATCH
    return "embedded" if pretrained.is_embedded(options.model or FINE_TUNED.model) else "timm"


def _precision(options: TrainingOptions, kind: ProbeKind, model: str, device: Device, preset: Preset) -> PrecisionName:
    if options.precision not in (None, "auto"):
        return options.precision
    if kind == "train" and model.startswith("tf_efficientnet_lite") and device.type == "cpu":
        # Their convolutions of one channel each take 2.5 times as long in bfloat16 at 64 pixels, 1.1 times at 128.
        return "float32"
    return preset.auto_precision


def _frozen_backbone(options: TrainingOptions) -> tuple[str, str, str]:
    """Return model, weights and their source in words."""
    if options.network_weights is not None and options.model is not None:
        return options.model, file_digest(options.network_weights), f"weights from {options.network_weights}"
    model = options.model or pretrained.EMBEDDED_MODEL
    if pretrained.is_embedded(model):
        return model, "embedded", "embedded weights"
    pretrained.require_pretrained(model, offline=options.offline)
    return model, "timm", "weights of timm's hub"


def fitting_batch_size(rows: int, most: int) -> int:
    """Return the largest power of two up to ``most`` that still makes 40 steps an epoch."""
    while most > _SMALLEST_BATCH and rows < most * _STEPS_PER_EPOCH:
        most //= 2
    return most


def _image_size(catalogue: Catalogue, kind: ProbeKind, model: str, weights: str) -> int:
    if model == OWN_EMBEDDINGS:
        return look_size(catalogue)
    if kind == "frozen" and model == pretrained.EMBEDDED_MODEL:
        return pretrained.EMBEDDED_SIZE
    side = catalogue.median_short_side
    config = pretrained_config(model)
    if config is None:
        from_probe = weights == SCRATCH or is_ours(model)
        return _scratch_size(side) if kind == "train" and from_probe else _PRETRAINED_SIZE
    own = int(config.input_size[-1])
    least = int(config.min_input_size[-1]) if config.min_input_size else 0
    if kind == "frozen" or config.fixed_input_size:
        return own
    if weights == SCRATCH:
        return max(_scratch_size(side), least)
    return min(own, max(side, _FINE_TUNED_LEAST_SIZE, least))


def _scratch_size(side: int) -> int:
    # A network that halves the image three times sees nothing in eight pixels: tiny images are enlarged.
    return max(_LEAST_SIZE, min(side, _LARGEST_SIZE))


def agree(settings: TrainingSettings, options: TrainingOptions, where: str) -> None:
    """Raise RunError, which names every setting of a run that is not as asked for."""
    begun, out = f"{where} was started with different settings", "out to continue it, or give another --run"
    stored = {**settings.as_json(), "probe": settings.probe}
    asked = {name: value for name, value in vars(options).items() if name in stored}
    asked["selector"] = _selector(options) if options.selector or options.selector_parameters else None
    if options.network_weights is not None:
        asked["weights"] = file_digest(options.network_weights)
    elif options.pretrained and settings.weights != "embedded":
        asked["weights"] = "timm"
    if options.embeddings is not None:
        asked["weights" if settings.kind == "frozen" else "heads_weights"] = file_digest(options.embeddings)
    if differing := [name for name, value in asked.items() if value not in (None, "auto", stored[name])]:
        different = "; ".join(f"{name} is {stored[name]} there, {asked[name]} asked" for name in differing)
        raise RunError(f"{begun}: {different}", fix=f"leave these options {out}")


def build_selection(settings: TrainingSettings, rows: int, *, records_scores: bool = False) -> Selection | None:
    """Return the `Selection` that settings describe, for so many rows of training data; None for none."""
    if settings.selector == NONE:
        return None
    from labelaudit.engine.selection import Selection

    return Selection(build_selector(settings.selector), rows, records_scores=records_scores)


def check_method(entry: MethodEntry, options: TrainingOptions) -> None:
    """Raise UsageError for heads beside a network, and for a selector that the method leaves no place for."""
    if options.probe == "both":
        raise UsageError("--probe both is for audits", fix="leave it out, or give --probe train or frozen")
    several = entry.networks > 1
    if _selector(options) != NONE and (several or entry.plans):
        reason = f"{entry.networks} networks are trained" if several else "the method chooses its batches itself"
        raise UsageError(f"--selector does not go with --method {entry.name}: {reason}", fix="leave one of them out")


def _check_selector(settings: TrainingSettings) -> None:
    if settings.selector == NONE:
        return
    if settings.folds > 1:
        raise UsageError(f"--selector works on one network, not on {settings.folds} heads", fix="add --folds 1")
    if build_selector(settings.selector).stale_epochs > 1:
        what = "an audit needs every sample's loss in every epoch, and stale scores have none"
        raise UsageError(what, fix="leave -S stale_epochs out")
