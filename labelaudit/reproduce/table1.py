"""Table 1 of "Detecting label noise from loss curves": every robust method on the same noisy labels.

The paper's cells are CIFAR-10's: test error in percent, mean and deviation over 4 trials. ELR and DivideMix stand
beside its nine rows.
"""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import PRESETS
from labelaudit.engine.devices import choose_device, choose_precision
from labelaudit.engine.weights import build_network
from labelaudit.errors import UsageError
from labelaudit.methods.table import find_method
from labelaudit.names import ScaleName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import Table1Options, runner
from labelaudit.reproduce.retraining import DIVERGED, Trainings, check_methods
from labelaudit.reproduce.runner import NoisyLabels
from labelaudit.retrain.recipe import presets_of

NOISES = ("uniform:0.2", "uniform:0.4", "uniform:0.6", "uniform:0.8", "pair-flip:0.4")
"""The columns."""

PAPER: dict[str, tuple[tuple[float, float] | str, ...]] = {
    "standard": ((23.2, 0.2), (40.3, 0.5), (57.1, 0.5), (75.3, 0.5), (40.3, 0.2)),
    "random": ((16.5, 0.7), (22.8, 1.6), (35.8, 2.8), (55.6, 5.5), (21.2, 0.1)),
    "reed-hard": ((22.4, 0.4), (37.4, 0.9), (52.0, 0.5), (68.8, 0.9), (37.2, 0.2)),
    "mentornet": ((13.3, 0.2), (18.1, 0.4), "", (66.0, 4.9), ""),
    "co-teaching": ((11.2, 0.2), (13.5, 0.2), (19.3, 0.2), (80.7, 1.2), (16.9, 0.6)),
    "d2l": ((12.3, 0.5), (15.6, 0.6), (27.3, 1.2), DIVERGED, (23.6, 3.0)),
    "incv": ((10.5, 0.2), (13.2, 0.2), (18.9, 0.5), (46.7, 3.8), (16.1, 1.0)),
    "aul": ((9.2, 0.1), (11.5, 0.2), (16.0, 0.3), (37.8, 2.4), (11.1, 0.3)),
    "oracle": ((9.0, 0.1), (9.7, 0.8), (10.8, 1.8), (12.6, 3.5), (10.8, 0.1)),
}
"""Its cells: error and deviation, or what the paper has instead."""

METHODS = (*PAPER, "elr", "dividemix")
"""The rows."""


@dataclass(frozen=True, kw_only=True)
class Table1Scale:
    """How large a measurement is; see `labelaudit.reproduce.retraining.Trainings`, whose fields these are.

    Attributes:
        noises: Which columns, when none are asked for.
        about: In words, for the heading.
    """

    noises: tuple[str, ...] = NOISES
    subset: int
    audit: TrainingOptions
    training: TrainingOptions
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    measure_every: int = 1
    about: str

    def parameters_for(self, method: str, rate: float) -> dict[str, object]:
        """Return the parameters of a method at a rate of wrong labels, with MentorNet's published percentile."""
        given = dict(self.parameters.get(method, {}))
        if method == "mentornet" and rate >= _MUCH_NOISE:
            given.setdefault("percentile", 0.5)
        return given


_MUCH_NOISE = 0.8
# A network that does not memorize wrong labels needs no robust training (docs/accuracy.md).
_MEMORIZING: dict[str, Any] = {"augment": "none", "weight_decay": 1e-4}
# Without augmentation a second view is the first one again.
_ONE_VIEW: dict[str, object] = {"views": 1}

SCALES: dict[ScaleName, Table1Scale] = {
    "smoke": Table1Scale(
        noises=("uniform:0.4",),
        subset=600,
        audit=TrainingOptions(probe="train", epochs=6),
        training=TrainingOptions(probe="train", epochs=6, **_MEMORIZING),
        parameters={
            "incv": {"iterations": 2, "selection_share": 1 / 3},
            "d2l": {"init_share": 1 / 6, "window": 2},
            "co-teaching": {"warm_up_epochs": 2},
            "dividemix": _ONE_VIEW,
        },
        about="too small to compare methods: it shows that all of them run",
    ),
    "small": Table1Scale(
        subset=5_000,
        audit=TrainingOptions(probe="train"),
        training=TrainingOptions(probe="train", epochs=25, batch_size=128, **_MEMORIZING),
        # Windows and ramps that are published in epochs, cut as the training is.
        parameters={"co-teaching": {"warm_up_epochs": 3}, "d2l": {"window": 2}, "dividemix": _ONE_VIEW},
        measure_every=5,
        about="a small network without augmentation, which can memorize, and a twelfth of the paper's epochs",
    ),
    "paper": Table1Scale(
        subset=45_000,
        audit=TrainingOptions(preset="paper"),
        training=TrainingOptions(preset="paper"),
        about="ResNet-32 and the settings that each method was published with",
    ),
}


def measure(asked: Table1Options, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``table1.md`` and the Parquet tables; with ``only_cost`` return what it would take."""
    runner.check_experiment(asked)
    scale = SCALES[asked.scale]
    methods = asked.methods or METHODS
    check_methods(methods, lambda method: scale.parameters_for(method, 0.0))
    runner.require_once("--noise", asked.noises)
    if asked.subset is not None and asked.subset < 2:
        raise UsageError(f"--subset {asked.subset} is too small", fix="give at least 2")
    data, test = _folders(asked)
    clean = runner.scan_truth(data, None, reporter)
    cases = runner.noise_cases(asked.noises or scale.noises, clean.classes)
    device, epochs = asked.training.device, asked.training.epochs or scale.training.epochs
    trainings = Trainings(
        clean=clean,
        test=test,
        methods=methods,
        audit=replace(scale.audit, device=device),
        training=replace(scale.training, epochs=epochs, device=device),
        parameters=scale.parameters_for,
        subset=asked.subset or scale.subset,
        measure_every=scale.measure_every,
        paper={method: dict(zip(NOISES, row, strict=True)) for method, row in PAPER.items()},
    )
    images = min(asked.subset or scale.subset, int(clean.readable_N.sum()))
    if asked.scale == "paper" or asked.only_cost:
        told = cost(trainings, images, cases, len(asked.seeds))
        if asked.only_cost:
            return told
        reporter.say(told)
    about = f"{images:,} training images of {len(clean.classes)} classes, scale {asked.scale} ({scale.about})"
    return trainings.run("table1", asked, cases, about, reporter)


def _folders(asked: Table1Options) -> tuple[Path, Path]:
    """Return the folders of the training and of the test images."""
    if asked.data is None:
        if asked.scale != "smoke":
            raise UsageError(f"--scale {asked.scale} needs images", fix="give --data DIR")
        return runner.digits(asked.out)
    train, test = asked.data / "train", asked.data / "test"
    if asked.test is None and not (train.is_dir() and test.is_dir()):
        raise UsageError(
            f"there are no test images for {asked.data}", fix="give --test DIR, or a --data with train/ and test/"
        )
    return (train, test) if asked.test is None else (asked.data, asked.test)


def passes(training: TrainingOptions, images: int, method: str, rate: float) -> float:
    """Return the images that go forward and backward through a network in one training, or as much work.

    INCV's eight trainings on up to three quarters of the images count; DivideMix shows the believed images and as many
    suspicious ones in two views, to guess (a third of the work of a step) and to learn.
    """
    entry = find_method(method)
    epochs = training.epochs or presets_of(entry)[training.preset or "fast"].epochs
    if method == "dividemix":
        return entry.networks * epochs * 4 * (1 - rate) * images * 4 / 3
    if method == "incv":
        return (8 * 0.75 * epochs / 4 + entry.networks * epochs * (1 - rate)) * images
    return float(entry.networks * epochs * images)


def cost(trainings: Trainings, images: int, cases: Sequence[NoisyLabels], seeds: int) -> str:
    """Return a table of what each method would take: passes over images, and hours at the speed of this machine."""
    training = trainings.training
    preset, device = presets_of(find_method("standard"))[training.preset or "fast"], choose_device(training.device)
    model = training.model or preset.model
    rate = _images_per_second(model, preset.batch_size, len(trainings.clean.classes), device)
    epochs = trainings.audit.epochs or PRESETS[trainings.audit.preset or "fast"].epochs
    counts = {"audit": float(epochs * len(cases) * images * seeds)}
    for method in trainings.methods:
        counts[method] = seeds * sum(passes(training, images, method, case.rate) for case in cases)
    counts["all"] = sum(counts.values())
    lines = [
        f"{images:,} images, {len(cases)} noises, {seeds} seeds; {model} on {device} takes some {rate:,.0f} images of "
        "32 pixels a second, forward and backward.\n",
        "| | million images | hours |",
        "|---|---|---|",
        *(f"| {name} | {count / 1e6:,.1f} | {count / rate / 3600:,.1f} |" for name, count in counts.items()),
    ]
    return "\n".join(lines) + "\n"


def _images_per_second(model: str, batch_size: int, classes: int, device: torch.device) -> float:
    """Measure how fast a network goes forward and backward here: the second of two passes over some batches."""
    network = build_network(model, weights="scratch", weights_file=None, num_classes=classes, channels=3, seed=0)
    network = network.to(device).train()
    x_BCHW, batches, seconds = torch.rand(batch_size, 3, 32, 32, device=device), -(-512 // batch_size), 0.0
    precise = choose_precision("auto", device) == "float32"
    for _ in range(2):
        began = time.perf_counter()
        for _ in range(batches):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=not precise):
                loss = network(x_BCHW).float().logsumexp(1).mean()
            loss.backward()
        loss.item()  # waits for the device
        seconds = time.perf_counter() - began
    return batches * batch_size / seconds
