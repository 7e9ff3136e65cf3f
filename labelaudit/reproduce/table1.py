"""Table 1 of "Detecting label noise from loss curves": every robust method on the same noisy labels.

The paper's cells are CIFAR-10's: test error in percent, mean and deviation over 4 trials. ELR and DivideMix stand
beside its nine rows.
"""

from __future__ import annotations

import itertools
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch

from labelaudit import __version__
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import PRESETS
from labelaudit.engine.devices import choose_device, choose_precision
from labelaudit.engine.weights import build_network
from labelaudit.errors import UsageError
from labelaudit.methods.table import find_method
from labelaudit.names import ScaleName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import Table1Options
from labelaudit.reproduce.retraining import (
    DIVERGED,
    SharedAuditRow,
    TrainedRow,
    Trainings,
    audit_table,
    check_methods,
)
from labelaudit.reproduce.runner import (
    NoisyLabels,
    check_experiment,
    digits,
    noise_cases,
    require_once,
    run_cases,
    scan_truth,
)
from labelaudit.reproduce.tables import NOTHING, Tables, grouped, number, pivot, spread, table
from labelaudit.retrain.recipe import presets_of

NOISES = ("uniform:0.2", "uniform:0.4", "uniform:0.6", "uniform:0.8", "pair-flip:0.4")
"""The columns."""

PAPER: dict[str, tuple[tuple[float, float] | str | None, ...]] = {
    "standard": ((23.2, 0.2), (40.3, 0.5), (57.1, 0.5), (75.3, 0.5), (40.3, 0.2)),
    "random": ((16.5, 0.7), (22.8, 1.6), (35.8, 2.8), (55.6, 5.5), (21.2, 0.1)),
    "reed-hard": ((22.4, 0.4), (37.4, 0.9), (52.0, 0.5), (68.8, 0.9), (37.2, 0.2)),
    "mentornet": ((13.3, 0.2), (18.1, 0.4), None, (66.0, 4.9), None),
    "co-teaching": ((11.2, 0.2), (13.5, 0.2), (19.3, 0.2), (80.7, 1.2), (16.9, 0.6)),
    "d2l": ((12.3, 0.5), (15.6, 0.6), (27.3, 1.2), DIVERGED, (23.6, 3.0)),
    "incv": ((10.5, 0.2), (13.2, 0.2), (18.9, 0.5), (46.7, 3.8), (16.1, 1.0)),
    "aul": ((9.2, 0.1), (11.5, 0.2), (16.0, 0.3), (37.8, 2.4), (11.1, 0.3)),
    "oracle": ((9.0, 0.1), (9.7, 0.8), (10.8, 1.8), (12.6, 3.5), (10.8, 0.1)),
}
"""Its cells: a note stands where the paper has one, None where it has no cell."""

METHODS = (*PAPER, "elr", "dividemix")
"""The rows."""

EXPECTATIONS = (("oracle", "aul", "standard"), ("aul", "random"), ("aul", "reed-hard"))
"""Methods in the order in which the paper has their errors, at every noise, least first."""

_TITLES = {
    "standard": "Standard",
    "random": "Random",
    "reed-hard": "Reed-Hard",
    "mentornet": "MentorNet-PD",
    "co-teaching": "Co-Teaching",
    "d2l": "D2L",
    "incv": "INCV",
    "aul": "AUL",
    "oracle": "Oracle",
    "elr": "ELR",
    "dividemix": "DivideMix with the AUL",
}


@dataclass(frozen=True, kw_only=True)
class Table1Scale:
    """How large a measurement is.

    Attributes:
        noises: Which columns, when none are asked for.
        subset: How many training images; all of them when there are fewer.
        audit: The probe's training.
        training: Of every method; what it leaves open is as ``labelaudit retrain`` has it.
        parameters: Of some methods, by their names.
        measure_every: The test error, after so many epochs and the last.
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


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """One cell of the table, over all seeds, beside the paper's; errors in percent.

    Attributes:
        deviation: Sample standard deviation over the seeds; NaN for one.
        seeds, diverged: How many there are, and how many of them diverged.
        relative_epoch, relative_time: Time of an epoch and of all of it, as multiples of Standard's.
        paper_error, paper_deviation, paper_note: NaN where the paper has no figure, and what it has instead.
    """

    method: str
    noise: str
    error: float
    deviation: float
    seeds: int
    diverged: int
    relative_epoch: float
    relative_time: float
    paper_error: float
    paper_deviation: float
    paper_note: str


def measure(asked: Table1Options, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``table1.md``, ``table1.parquet``, ``runs.parquet`` and ``audits.parquet``.

    Returns:
        The page.

    Raises:
        LabelauditError: see `labelaudit.errors`.
    """
    check_experiment(asked)
    scale = SCALES[asked.scale]
    methods = asked.methods or METHODS
    check_methods(methods, lambda method: scale.parameters_for(method, 0.0))
    require_once("--noise", asked.noises)
    if asked.subset is not None and asked.subset < 2:
        raise UsageError(f"--subset {asked.subset} is too small", fix="give at least 2")
    data, test = _folders(asked)
    clean = scan_truth(data, None, reporter)
    cases = noise_cases(asked.noises or scale.noises, clean.classes)
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
    )
    images = min(asked.subset or scale.subset, int(clean.readable_N.sum()))
    if asked.scale == "paper" or asked.only_cost:
        told = cost(trainings, images, cases, len(asked.seeds))
        if asked.only_cost:
            return told
        reporter.say(told)
    tables = Tables(table1=CellRow, runs=TrainedRow, audits=SharedAuditRow)

    def page() -> str:
        tables.put(CellRow, cells_of(tables.of(TrainedRow)))
        about = (
            f"{images:,} training images of {len(clean.classes)} classes, seeds {asked.seeds_text}, scale "
            f"{asked.scale}: {scale.about}. labelaudit {__version__}."
        )
        title = f"# Robust training on noisy labels: {asked.data_name}"
        return "\n".join([title, "", about, "", *page_tables(tables)])

    def measure_case(case: NoisyLabels, seed: int, folder: Path) -> Iterator[list[object]]:
        shared: list[object] = []
        for rows in trainings.measure(reporter, case, seed, folder):
            if isinstance(rows[0], SharedAuditRow):  # the page has no cell before the first training
                shared = rows
            else:
                yield [*shared, *rows]
                shared = []

    return run_cases("table1", asked, cases, tables, measure_case, page, reporter)


def _folders(asked: Table1Options) -> tuple[Path, Path]:
    """Return the folders of the training and of the test images."""
    if asked.data is None:
        if asked.scale != "smoke":
            raise UsageError(f"--scale {asked.scale} needs images", fix="give --data DIR")
        return digits(asked.out)
    train, test = asked.data / "train", asked.data / "test"
    if asked.test is None and not (train.is_dir() and test.is_dir()):
        raise UsageError(
            f"there are no test images for {asked.data}", fix="give --test DIR, or a --data with train/ and test/"
        )
    return (train, test) if asked.test is None else (asked.data, asked.test)


def cells_of(runs: Sequence[TrainedRow]) -> list[CellRow]:
    """Return mean and deviation over the seeds, and times as multiples of Standard's with the same noise and seed."""
    base = {(run.noise, run.seed): run for run in runs if run.method == "standard"}

    def relative(group: Sequence[TrainedRow], name: str) -> float:
        ratios = [getattr(run, name) / getattr(base.get((run.noise, run.seed)), name, math.nan) for run in group]
        return spread(ratios).mean

    cells = []
    for (method, noise), group in grouped(runs, lambda run: (run.method, run.noise)).items():
        found = spread(100 * run.error for run in group)
        paper = PAPER[method][NOISES.index(noise)] if method in PAPER and noise in NOISES else None
        error, deviation = paper if isinstance(paper, tuple) else (math.nan, math.nan)
        cells.append(
            CellRow(
                method=method,
                noise=noise,
                error=found.mean,
                deviation=found.deviation,
                seeds=len(group),
                diverged=sum(run.status == DIVERGED for run in group),
                relative_epoch=relative(group, "epoch_seconds"),
                relative_time=relative(group, "seconds"),
                paper_error=error,
                paper_deviation=deviation,
                paper_note=paper if isinstance(paper, str) else "",
            )
        )
    return cells


def page_tables(tables: Tables) -> Iterator[str]:
    """Yield the lines of the page."""
    runs, cells = tables.of(TrainedRow), tables.of(CellRow)
    noises = list(dict.fromkeys(cell.noise for cell in cells))
    by_method = grouped(cells, lambda cell: (title_of(cell.method),))
    columns = [name for noise in noises for name in (noise, f"paper, {noise}")]
    yield from pivot(
        "Test error",
        "Test error in percent after the last epoch, ± the standard deviation over the seeds (n − 1). Beside it the "
        "AUL paper's Table 1, CIFAR-10 with ResNet-32 and 300 epochs: the orders compare, the figures do not.",
        ("method",),
        {
            method: dict.fromkeys(columns, NOTHING)
            | {cell.noise: _ours(cell) for cell in group}
            | {f"paper, {cell.noise}": _paper(cell) for cell in group}
            for method, group in by_method.items()
        },
    )
    yield from table(
        "Do the paper's orders come out?",
        "Of the means over the seeds.",
        ("noise", "order", "errors", "came out"),
        [
            [
                noise,
                " < ".join(map(title_of, order)),
                " < ".join(number(error, 2) for error in errors),
                {True: "yes", False: "**no**", None: "no figure"}[came_out],
            ]
            for noise, order, errors, came_out in orders(cells)
        ],
    )
    best = grouped(runs, lambda run: (run.method, run.noise))
    yield from pivot(
        "With early stopping on the test images",
        "The least test error after any epoch, of the first network: what one would have with the test images to stop "
        "by. Far below the table above means that wrong labels were memorized in the end.",
        ("method",),
        {
            method: {
                cell.noise: number(spread(100 * run.best_error for run in best[cell.method, cell.noise]).mean, 2)
                for cell in group
            }
            for method, group in by_method.items()
        },
    )
    seconds = {
        (title_of(method),): spread(run.epoch_seconds for run in group).mean
        for method, group in grouped(runs, lambda run: run.method).items()
    }
    yield from pivot(
        "Time",
        "Wall time, of an epoch without measuring the error, of the whole training with all but the audit: INCV's "
        "cross-validation counts in the last column alone. An epoch of DivideMix is a pass over the believed images, "
        "in all views, with as many suspicious ones.",
        ("method",),
        {
            method: {
                "seconds an epoch": number(seconds[method], 2),
                "epoch / Standard's": number(spread(cell.relative_epoch for cell in group).mean, 2),
                "whole training / Standard's": number(spread(cell.relative_time for cell in group).mean, 2),
            }
            for method, group in by_method.items()
        },
    )
    yield from audit_table(tables.of(SharedAuditRow))


def title_of(method: str) -> str:
    """Return the method's name as the paper writes it."""
    return _TITLES.get(method, method)


def _ours(cell: CellRow) -> str:
    trained = cell.seeds - cell.diverged
    text = _with_deviation(cell.error, cell.deviation, 2) if trained else DIVERGED
    return f"{text} ({trained} of {cell.seeds}, others diverged)" if trained and cell.diverged else text


def _paper(cell: CellRow) -> str:
    if math.isnan(cell.paper_error):
        return cell.paper_note or NOTHING
    return _with_deviation(cell.paper_error, cell.paper_deviation, 1)


def _with_deviation(value: float, deviation: float, digits: int) -> str:
    return number(value, digits) + ("" if math.isnan(deviation) else f" ± {deviation:.{digits}f}")


def orders(cells: Sequence[CellRow]) -> Iterator[tuple[str, tuple[str, ...], list[float], bool | None]]:
    """Yield noise, methods, errors, and whether these rise strictly, for each of `EXPECTATIONS` that can be checked.

    The last is None where one of the methods has no figure.
    """
    error_of = {(cell.method, cell.noise): cell.error for cell in cells}
    for noise, order in itertools.product(dict.fromkeys(cell.noise for cell in cells), EXPECTATIONS):
        errors = [error_of[method, noise] for method in order if (method, noise) in error_of]
        if len(errors) == len(order):
            known = all(map(math.isfinite, errors))
            yield noise, order, errors, all(a < b for a, b in itertools.pairwise(errors)) if known else None


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
