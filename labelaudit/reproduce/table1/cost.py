"""What a measurement would take: passes over images, and hours at the speed of this machine."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass

import torch

from labelaudit.audit.plan import PRESETS, Preset
from labelaudit.engine.devices import choose_device, choose_precision
from labelaudit.engine.inputs import Augment, ImageInputs
from labelaudit.engine.loop import Training
from labelaudit.engine.weights import build_network
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.methods.standard import Standard
from labelaudit.methods.table import find_method
from labelaudit.reproduce.table1.scales import Scale
from labelaudit.retrain.recipe import presets_of

_FORWARD = 1 / 3
"""Of a forward and backward pass."""

_TIMED_IMAGES, _SIDE = 512, 32


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What is to be measured.

    Attributes:
        scale: Its settings.
        images: Of the training.
        classes: Their classes.
        rates: Shares of wrong labels, one for each column.
        seeds: How many.
    """

    scale: Scale
    images: int
    classes: int
    rates: Sequence[float]
    seeds: int


def passes(cost: Cost, method: str, rate: float) -> float:
    """Images that go forward and backward through a network in one training of a method, or as much work.

    INCV's eight trainings on up to three quarters of the images count; DivideMix shows the believed images and as many
    suspicious ones in two views, to guess and to learn.
    """
    preset = _preset(cost, method)
    epochs = cost.scale.training.epochs or preset.epochs
    entry = find_method(method)
    if method == "dividemix":
        return entry.networks * epochs * 4 * (1 - rate) * cost.images * (1 + _FORWARD)
    if method == "incv":
        return (8 * 0.75 * epochs / 4 + entry.networks * epochs * (1 - rate)) * cost.images
    return float(entry.networks * epochs * cost.images)


def statement(cost: Cost, methods: Sequence[str], device: str) -> str:
    """A table of what each method would take, and the sum."""
    preset = _preset(cost, "standard")
    model = cost.scale.training.model or preset.model
    rate = images_per_second(model, preset.batch_size, cost.classes, device)
    audit = float((cost.scale.audit.epochs or PRESETS[cost.scale.audit.preset or "fast"].epochs) * cost.images)
    rows = [("audit", audit * len(cost.rates))]
    rows += [(method, sum(passes(cost, method, noise) for noise in cost.rates)) for method in methods]
    total = sum(count for _, count in rows) * cost.seeds
    lines = [
        f"{cost.images:,} images, {len(cost.rates)} noises, {cost.seeds} seeds; {model} on {choose_device(device)} "
        f"takes some {rate:,.0f} images of {_SIDE} pixels a second, forward and backward.",
        "",
        "| | million images | hours |",
        "|---|---|---|",
    ]
    lines += [
        f"| {name} | {cost.seeds * count / 1e6:,.1f} | {_hours(cost.seeds * count, rate)} |" for name, count in rows
    ]
    lines += [f"| all | {total / 1e6:,.1f} | {_hours(total, rate)} |"]
    return "\n".join(lines) + "\n"


def images_per_second(model: str, batch_size: int, classes: int, device: str) -> float:
    """How fast a network is trained here, on pictures of 32 pixels: the second of two passes over 512 of them."""
    where = choose_device(device)
    network = build_network(model, weights="scratch", weights_file=None, num_classes=classes, channels=3, seed=0)
    loop = Hyperparameters(
        epochs=2,
        batch_size=batch_size,
        lr=0.1,
        momentum=0.9,
        nesterov=True,
        weight_decay=1e-4,
        schedule="constant",
        precision=choose_precision("auto", where),
        seed=0,
    )
    training = Training([network], loop, where)
    generator = torch.Generator().manual_seed(0)
    pixels = torch.randint(256, (_TIMED_IMAGES, 3, _SIDE, _SIDE), dtype=torch.uint8, generator=generator)
    inputs = ImageInputs(pixels, mean_C=(0.5,) * 3, std_C=(0.25,) * 3, augment=Augment(), device=where)
    label_N = torch.randint(classes, (_TIMED_IMAGES,), generator=generator)
    began = 0.0
    for _ in range(2):
        began = time.perf_counter()
        training.run_epoch(inputs, label_N, Standard(), lambda _count: None)
    return _TIMED_IMAGES / (time.perf_counter() - began)


def _preset(cost: Cost, method: str) -> Preset:
    return presets_of(find_method(method))[cost.scale.training.preset or "fast"]


def _hours(images: float, rate: float) -> str:
    return f"{images / rate / 3600:,.1f}"
