"""Data sets × algorithms × seeds on one data folder: corrupts, trains, and writes the tables.

Shapes: E epochs, S seeds.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from labelaudit.audit.options import TrainingOptions, check_options
from labelaudit.errors import UsageError
from labelaudit.names import PlotFormatName, ScaleName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.figures import has_matplotlib, require_matplotlib
from labelaudit.reproduce.prioritization.estimate import what_it_takes
from labelaudit.reproduce.prioritization.markdown import as_markdown
from labelaudit.reproduce.prioritization.plots import draw
from labelaudit.reproduce.prioritization.records import MEAN, EpochRow, ResultRow, Tables
from labelaudit.reproduce.prioritization.settings import (
    ALGORITHMS,
    DATA_SETS,
    SCALES,
    STANDARD,
    Algorithm,
    DataSet,
    named,
)
from labelaudit.reproduce.prioritization.speedup import TARGET, FloatArray, oversampling, speedup
from labelaudit.reproduce.prioritization.trainings import Asked, corrupted, digits, part_of, train
from labelaudit.run.files import storage_errors, write_text
from labelaudit.run.layout import RunFolder


@dataclass(frozen=True, kw_only=True)
class PrioritizationOptions:
    """What is to be measured.

    Attributes:
        data, test: Folders with one folder of rightly labelled images per class; None for the embedded digits.
        out: Where data, trainings and tables go.
        scale: Its name in `SCALES`.
        seeds: Of the corruption and the trainings.
        data_sets, algorithms: Their names; none for all. Standard training is always among them.
        plots: How figures are drawn; None draws SVG where matplotlib is there.
        training: What takes the place of the scale's own settings.
    """

    data: Path | None
    test: Path | None
    out: Path
    scale: ScaleName = "small"
    seeds: Sequence[int] = (0,)
    data_sets: Sequence[str] = ()
    algorithms: Sequence[str] = ()
    plots: PlotFormatName | None = None
    training: TrainingOptions


def prioritize(asked: PrioritizationOptions, reporter: Reporter = QUIET) -> str:
    """Measure everything that is asked for, and write ``prioritization.md``, the Parquet tables and the plots.

    Trainings that are finished are only read, and those that were interrupted go on: the same call finishes a table.

    Args:
        asked: What.
        reporter: Told about the progress.

    Returns:
        The content of prioritization.md.

    Raises:
        UsageError: options that contradict each other, or a package that is not installed.
        LabelauditError: see `labelaudit.retrain.recipe.retrain`.
    """
    data_sets, algorithms = _check(asked)
    scale, out = SCALES[asked.scale].with_options(asked.training), asked.out
    with storage_errors(out):
        out.mkdir(parents=True, exist_ok=True)
    data, test = (asked.data, asked.test) if asked.data and asked.test else digits(out / "digits")
    test = part_of(test, out / "test", scale.test, reporter)
    trainings = Asked(scale=scale, training=asked.training, test=test)
    tables, text = Tables(), ""
    several = len(asked.seeds) * len(data_sets) * len(algorithms)
    count = itertools.count(1)
    for data_set, seed in itertools.product(data_sets, asked.seeds):
        folder = out / f"{data_set.folder_name}-seed{seed}"
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
        made = corrupted(data, folder / "data", data_set, seed, scale.train, reporter)
        if next(count) == 1:
            reporter.say(what_it_takes(scale, len(made.selected_N), several))
        for algorithm in algorithms:
            reporter.say(f"{data_set.name}, seed {seed}: {algorithm.title}")
            run = RunFolder(folder / algorithm.name)
            tables.epochs += train(trainings, made, data_set, algorithm, seed, run, reporter)
        tables.results = results(tables.epochs)
        # After each data set and seed: who looks in, or stops here, has the table so far.
        tables.write(out)
        text = as_markdown(tables, asked.data.resolve().name if asked.data else "digits", scale, len(made.selected_N))
        write_text(out / "prioritization.md", text)
    if asked.plots or has_matplotlib():
        for file in draw(tables, out, asked.plots or "svg"):
            reporter.say(f"Figure: {file}")
    else:
        reporter.say("No figures are drawn: pip install 'labelaudit[plots]' for these")
    return text


def results(epochs: Sequence[EpochRow]) -> list[ResultRow]:
    """The results of every training, and of the mean curve of the seeds of each data set and algorithm."""
    rows = []
    for data_set in dict.fromkeys(row.data_set for row in epochs):
        of_set = [row for row in epochs if row.data_set == data_set]
        curves = {
            (algorithm, seed): [row for row in of_set if row.algorithm == algorithm and row.seed == seed]
            for algorithm, seed in dict.fromkeys((row.algorithm, row.seed) for row in of_set)
        }
        for algorithm in dict.fromkeys(row.algorithm for row in of_set):
            seeds = [seed for name, seed in curves if name == algorithm]
            for seed in seeds:
                rows.append(_result([curves[algorithm, seed]], [curves[STANDARD.name, seed]], seed))
            own, standard = ([curves[name, seed] for seed in seeds] for name in (algorithm, STANDARD.name))
            rows.append(_result(own, standard, MEAN))
    return rows


def _result(curves: Sequence[Sequence[EpochRow]], standard: Sequence[Sequence[EpochRow]], seed: int) -> ResultRow:
    """Of the mean of some curves, beside the mean of standard training's."""

    def mean(of: Sequence[Sequence[EpochRow]], name: str) -> FloatArray:
        values_SE = np.array([[float(getattr(row, name)) for row in curve] for curve in of])
        found_E: FloatArray = values_SE.mean(axis=0)
        return found_E

    def work(of: Sequence[Sequence[EpochRow]]) -> FloatArray:
        work_E: FloatArray = mean(of, "forwards") + 2 * mean(of, "backpropagated")
        return work_E

    error_E, own_E = mean(standard, "test_error"), mean(curves, "test_error")
    costs = {
        name: speedup((error_E, mean(standard, name)), (own_E, mean(curves, name)))
        for name in ("backpropagated", "seconds")
    }
    rate = standard[0][0].selected_share
    return ResultRow(
        data_set=curves[0][0].data_set,
        algorithm=curves[0][0].algorithm,
        seed=seed,
        best_error=float(own_E.min()),
        target=TARGET * float(error_E.min()),
        speedup=costs["backpropagated"],
        work_speedup=speedup((error_E, work(standard)), (own_E, work(curves))),
        time_speedup=costs["seconds"],
        forwards=float(mean(curves, "forwards")[-1]),
        backpropagated=float(mean(curves, "backpropagated")[-1]),
        seconds=float(mean(curves, "seconds")[-1]),
        oversampling=oversampling(mean(curves, "selected_share"), rate),
    )


def _check(asked: PrioritizationOptions) -> tuple[list[DataSet], list[Algorithm]]:
    """Everything that can be refused before the pictures are looked at."""
    check_options(asked.training)
    if asked.scale != "smoke" and not (asked.data and asked.test):
        raise UsageError(
            f"--scale {asked.scale} needs pictures", fix="give --data DIR and --test DIR, or --scale smoke for digits"
        )
    if bool(asked.data) != bool(asked.test):
        raise UsageError("--data and --test go together", fix="give both, or none of them for the embedded digits")
    for name, folder in (("--data", asked.data), ("--test", asked.test)):
        if folder is not None and asked.out.resolve().is_relative_to(folder.resolve()):
            raise UsageError(f"--out {asked.out} lies in {name} {folder}", fix="give a folder elsewhere")
    if len(set(asked.seeds)) < len(asked.seeds) or any(seed < 0 for seed in asked.seeds):
        raise UsageError("--seed is given twice, or negative", fix="give different numbers from 0 on")
    if asked.plots:
        require_matplotlib()
    algorithms = named("--algorithm", ALGORITHMS, asked.algorithms)
    wanted = algorithms if STANDARD in algorithms else [STANDARD, *algorithms]
    return named("--data-set", DATA_SETS, asked.data_sets), wanted
