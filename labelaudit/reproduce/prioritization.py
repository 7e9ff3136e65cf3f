"""Is training on high losses safe: Table 1 and Figures 1 to 4 of "When does loss-based prioritization fail?".

Every data set, clean or corrupted, is trained on in the ordinary way and with samples chosen by their loss. Speedup is
the cost of standard training until its test error is at most 1.2 times its best, over the algorithm's until then.

Shapes: E epochs, S seeds, N samples, P samples of a pool.
"""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit import __version__
from labelaudit.auditing.model import Data
from labelaudit.auditing.plan import PAPER as PAPER_PROBE
from labelaudit.auditing.plan import Preset
from labelaudit.data.rendering import PLAIN
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.engine.draws import derive_seed
from labelaudit.methods.table import find
from labelaudit.names import CorruptionName, ScaleName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import ExperimentOptions, runner
from labelaudit.reproduce.curves import images
from labelaudit.reproduce.runner import Case, Figures, Panel, Row, Rows, Tables, grouped, number, spread
from labelaudit.reproduce.table1 import decides
from labelaudit.retraining.recipe import RetrainOptions, retrain
from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_metrics, read_picks, read_seconds

TARGET = 1.2  # the error to reach, as a multiple of the best of standard training
NEAR_GUESSING = 0.15
"""A target so near to the error of always naming the largest class says nothing. A choice, made after one example: 14
points away, half the labels random, 1,500 images of CIFAR-10."""
CLEAN, STANDARD = "clean", "standard"
ENTROPY = {STANDARD, "sb-50", "sbe-50"}  # the algorithms of Figure 4

_KINDS: tuple[CorruptionName, ...] = ("random-labels", "shuffle-pixels", "gaussian")
DATA_SETS: dict[str, Mapping[CorruptionName, float]] = {
    CLEAN: {},
    **{f"{kind}:{rate}": {kind: rate} for kind in _KINDS for rate in (0.25, 0.5)},
}

_SB, _SBE, _VR = "selective-backprop", "selective-backprop-entropy", "variance-reduction"
ALGORITHMS: dict[str, tuple[str, str, dict[str, object]]] = {
    STANDARD: ("Standard", "none", {}),
    "sb-50": ("SB, 50% selectivity", _SB, {"beta": 1}),
    "sb-33": ("SB, 33% selectivity", _SB, {"beta": 2}),
    "sbe-50": ("SBE, 50% selectivity", _SBE, {"beta": 1}),
    "vr-33": ("VR, max 33% selectivity", _VR, {"pool": 3}),
    "vr-50": ("VR, max 50% selectivity", _VR, {"pool": 2}),
}
"""Title, selector and its parameters."""

SHOWN = (CLEAN, "shuffle-pixels:0.25")  # the data sets of Figures 1 and 2
_POOL, _IMAGES, _COLUMNS = 2_000, 16, 4
"""Figures 1 and 2 show 16 images of a class, drawn from the 2,000 picked most or least often of CIFAR-10's 50,000."""

NAN = math.nan
PAPER: Mapping[str, Sequence[tuple[float, float]]] = {
    "standard": ((1, 4.28), (1, 8.53), (1, 13.27), (1, 4.98), (1, 6.88), (1, 5.27), (1, 6.72)),
    "sb-50": ((2.0, 4.26), (2.0, 9.03), (1.5, 14.66), (2.0, 5.48), (2.0, 7.71), (2.0, 5.68), (NAN, 8.47)),
    "sb-33": ((3.0, 4.39), (NAN, 12.28), (NAN, 33.73), (NAN, 6.31), (NAN, 9.95), (NAN, 7.18), (NAN, 17.92)),
    "vr-33": ((1.7, 4.81), (1.0, 8.65), (1.0, 13.20), (1.1, 5.71), (1.0, 6.95), (1.0, 5.35), (1.0, 6.89)),
    "vr-50": ((1.8, 4.87), (1.0, 8.74), (1.0, 13.14), (NAN, 6.27), (1.1, 7.69), (1.1, 6.30), (1.0, 6.70)),
}
"""Table 1: speedup, NaN for a dash, and best test error in percent, a column for each of `DATA_SETS`."""

# The paper's schedule, with Nesterov and padding as in Selective Backprop's code. Little data gets smaller batches and
# rates: with few steps, a method that takes a third of them is behind for want of steps and not of examples.
_STEPS = ((0.6, 0.2), (0.8, 0.2**2))
_PRESET = replace(PAPER_PROBE, model="labelaudit_probe", epochs=30, lr=0.05, weight_decay=5e-4)
_PRESET = replace(_PRESET, schedule="milestones", milestones=_STEPS)

SCALES: dict[ScaleName, tuple[int | None, int | None, Preset]] = {
    # Digits lose their labels when mirrored.
    "smoke": (400, 200, replace(_PRESET, epochs=5, batch_size=32, augment="crop")),
    "small": (10_000, 5_000, _PRESET),
    "paper": (None, None, replace(_PRESET, model="wide_resnet28_10", epochs=100, batch_size=128, lr=0.1)),
}
"""Most images to train on and to test on (None: all), network and schedule."""

_REPLACED = ("model", "epochs", "batch_size", "optimizer", "lr")
"""What training options change of a scale's preset; the rest of them is up to `labelaudit.auditing.plan`."""


def measure(asked: ExperimentOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``prioritization.md``, the Parquet tables and the figures."""
    runner.check_experiment(asked)
    data_sets = [Case(name=name) for name in named("--data-set", DATA_SETS, asked.data_sets)]
    algorithms = [STANDARD, *(name for name in named("--algorithm", ALGORITHMS, asked.algorithms) if name != STANDARD)]
    most, most_test, preset = SCALES[asked.scale]
    most = asked.subset or most
    given = {name: value for name in _REPLACED if (value := getattr(asked.training, name)) is not None}
    preset = replace(preset, **given)
    source, test = runner.folders(asked)
    if most_test is not None:
        runner.corrupted_copy(test, asked.out / "test", {}, seed=0, most=most_test, reporter=reporter)
        test = asked.out / "test"
    tables = Tables("Prioritization")

    def measure_case(data_set: Case, seed: int, folder: Path) -> Iterator[dict[str, list[Row]]]:
        corruptions, data = DATA_SETS[data_set.name], Data(root=folder / "data")
        truth = runner.corrupted_copy(source, data.root, corruptions, seed=seed, most=most, reporter=reporter)
        tables.about = (
            f"Scale {asked.scale}: {len(truth):,} images, {preset.epochs} epochs of {preset.model}, batch "
            f"{preset.batch_size}, rate {preset.lr:g}; seeds {asked.seeds_text}; labelaudit {__version__}."
        )
        corrupted_N = np.array([row["selected"] == "1" for row in truth])
        guessing = 1 - max(Counter(row["observed_label"] for row in truth).values()) / len(truth)
        rows: dict[str, list[Row]] = {"epochs": [], "picks": []}
        for algorithm in algorithms:
            title, selector, parameters = ALGORITHMS[algorithm]
            reporter.say(f"{data_set.name}, seed {seed}: {title}")
            same, run = {"data_set": data_set.name, "algorithm": algorithm, "seed": seed}, RunFolder(folder / algorithm)
            augment = asked.training.augment or preset.augment
            training = replace(asked.training, probe="train", preset="paper", seed=seed, augment=augment)
            training = replace(training, selector=selector, selector_parameters=parameters)
            options = RetrainOptions(method="standard", validation=test, training=training, presets={"paper": preset})
            decided, train = decides(data, options), partial(_train, run, options, corrupted_N, same, reporter)
            trained = runner.remembered(folder / f"{algorithm}.json", decided, train)
            rows["epochs"] += [{**row, "guessing_error": guessing} for row in trained]
            if algorithm != STANDARD and data_set.name in SHOWN:
                rows["picks"] += picks(run, same, truth)
        yield rows

    drawn = partial(figures, out=asked.out)
    return runner.run_cases(asked, data_sets, tables, measure_case, page_tables, reporter, drawn)


def named(option: str, known: Iterable[str], names: Sequence[str]) -> list[str]:
    """Return the names in the table's order, all where none is named; raise UsageError for one that is not known."""
    entries = {name: name for name in known}
    wanted = {find(option, name, entries) for name in names}
    return [name for name in entries if not wanted or name in wanted]


def _train(run: RunFolder, options: RetrainOptions, corrupted_N: BoolArray, same: Row, reporter: Reporter) -> list[Row]:
    """Train, and return the rows of the epochs, which count from 1; costs count from the training's beginning.

    The share is that of samples that were selected for corruption, among those back-propagated in the epoch.
    """
    retrain(Data(root=run.root.parent / "data"), run, options, reporter)
    rows, total = list[Row](), dict.fromkeys(("forwards", "backpropagated", "seconds"), 0)
    for metrics, spent in zip(read_metrics(run.metrics), read_seconds(run.seconds), strict=True):
        share = corrupted_N.mean()
        if same["algorithm"] != STANDARD:
            sample, times = read_picks(run.picks, metrics["epoch"])
            share = np.average(corrupted_N[sample], weights=times) if len(sample) else math.nan
        total = {name: so_far + {**metrics, **spent}[name] for name, so_far in total.items()}
        loss = math.nan if metrics["train_loss"] is None else metrics["train_loss"]
        own = {"epoch": metrics["epoch"] + 1, "test_error": metrics["validation_error"], "train_loss": loss}
        rows.append({**same, **own, **total, "selected_share": float(share)})
    return rows


def picks(run: RunFolder, same: Row, truth: Sequence[Mapping[str, str]]) -> Iterator[Row]:
    """Yield the images of Figures 1 and 2 of a training, by the rows of ``truth.csv``; the seed draws them.

    They are of the first class, from the pool of those picked ``most`` or ``least``; ``pool_corrupted`` is the share of
    corrupted images in the pool, of every class.
    """
    times_N = np.zeros(len(truth), dtype=np.int64)
    for metrics in read_metrics(run.metrics):
        sample, times = read_picks(run.picks, metrics["epoch"])
        times_N[sample] += times
    corrupted_N = np.array([row["selected"] == "1" for row in truth])
    first = min(row["observed_label"] for row in truth)
    is_first_N = np.array([row["observed_label"] == first for row in truth])
    generator = np.random.default_rng(derive_seed(same["seed"], "picks"))
    for end, pool_P in pools(times_N, generator).items():
        of_pool = {**same, "end": end, "pool_corrupted": corrupted_N[pool_P].mean()}
        for sample in generator.permutation(pool_P[is_first_N[pool_P]])[:_IMAGES]:
            own = {"path": truth[sample]["path"], "times": times_N[sample], "corrupted": corrupted_N[sample]}
            yield {**of_pool, **own}


def pools(times_N: npt.NDArray[np.int64], generator: np.random.Generator) -> dict[str, npt.NDArray[np.int64]]:
    """Return the samples picked most often and least often: 2,000 of 50,000, at least one; equal ones at random."""
    count = max(1, min(_POOL, round(len(times_N) * _POOL / 50_000)))
    mixed_N = generator.permutation(len(times_N))
    order_N = mixed_N[np.argsort(times_N[mixed_N], kind="stable")]
    return {"most": order_N[-count:], "least": order_N[:count]}


def first_cost(error_E: FloatArray, cost_E: FloatArray, target: float) -> float:
    """Return the cost at the end of the first epoch whose error is at most ``target``; NaN if there is none."""
    reached_E = np.flatnonzero(error_E <= target)
    return float(cost_E[reached_E[0]]) if len(reached_E) else math.nan


def mean_curve(rows: Rows, name: str) -> FloatArray:
    """Return the mean over the seeds of a column in each epoch; ``work``: a backward pass is two forward passes."""
    if name == "work":
        return mean_curve(rows, "forwards") + 2 * mean_curve(rows, "backpropagated")
    by_seed = grouped(rows, "seed").values()
    mean_E: FloatArray = np.mean([[row[name] for row in of_seed] for of_seed in by_seed], axis=0)
    return mean_E


def results(epochs: Rows) -> Iterator[Row]:
    """Yield the results of each data set and algorithm, beside standard training on the same data.

    They are those of the mean curve of the seeds. Speedups are by examples back-propagated, by forward passes (a
    backward pass counts as two) and by wall time; NaN where the target is never reached, or NaN for being near
    guessing. Oversampling is the mean share of corrupted samples among those back-propagated, over their share in all.
    """
    trainings = grouped(epochs, "data_set", "algorithm")
    for (data_set, algorithm), own in trainings.items():
        standard = trainings[data_set, STANDARD]
        standard_E, own_E = mean_curve(standard, "test_error"), mean_curve(own, "test_error")
        target, rate = TARGET * float(standard_E.min()), standard[0]["selected_share"]
        if target > standard[0]["guessing_error"] - NEAR_GUESSING:
            target = math.nan
        speedups = {
            name: first_cost(standard_E, mean_curve(standard, cost), target)
            / first_cost(own_E, mean_curve(own, cost), target)
            for name, cost in (("speedup", "backpropagated"), ("work_speedup", "work"), ("time_speedup", "seconds"))
        }
        yield {
            **{"data_set": data_set, "algorithm": algorithm, "best_error": own_E.min(), "target": target, **speedups},
            **{name: mean_curve(own, name)[-1] for name in ("forwards", "backpropagated", "seconds")},
            "oversampling": runner.ratio(float(np.nanmean(mean_curve(own, "selected_share"))), rate),
        }


def page_tables(tables: Tables) -> Iterator[str]:
    """Fill the table of results, and yield the lines of the page: ours beside the paper's."""
    tables["results"] = list(results(tables["epochs"]))
    mean = {(row["data_set"], row["algorithm"]): row for row in tables["results"]}
    of_data, cells = {"data": "data_set", "algorithm": "algorithm"}, dict[str, dict[str, str]]()
    for (place, data_set), (algorithm, (title, _, _)) in itertools.product(enumerate(DATA_SETS), ALGORITHMS.items()):
        if (row := mean.get((data_set, algorithm))) is not None:
            ours = f"{number(row['speedup'], 2, '×')} ({100 * row['best_error']:.2f}%)"
            cells.setdefault(title, {})[data_set] = ours
            if algorithm in PAPER:
                speedup, error = PAPER[algorithm][place]
                cells.setdefault(f"*{title}, paper*", {})[data_set] = f"*{number(speedup, 1, '×')} ({error:.2f}%)*"
    yield from runner.table(
        "Table 1: speedup and error",
        "Examples that standard training back-propagates until its test error is at most 1.2 times its best, over "
        "those that the algorithm does, and in brackets the best test error. A dash: never, or 1.2 times the best "
        f"error of standard training is within {100 * NEAR_GUESSING:.0f} points of that of always naming the largest "
        "class. "
        "On the mean curve of the seeds, at the end of each pass over the data. The best error is chosen on the test "
        "data. The paper: WRN-28-10 on CIFAR-10, 5 seeds.",
        ("algorithm",),
        cells,
    )
    speedups = {"back-propagated": "speedup", "work": "work_speedup", "time": "time_speedup"}
    costs = {"examples back-propagated": "backpropagated", "forward": "forwards", "seconds": "seconds"}
    yield from runner.pivot(
        "Forward passes and wall time",
        "The speedup by what is counted: examples back-propagated, forward passes (a backward pass counts as two), "
        "wall time. Then what the whole training took.",
        tables["results"],
        of_data,
        {**{name: (column, 2) for name, column in speedups.items()}, **{name: (costs[name], 0) for name in costs}},
    )
    selecting = [row for row in tables["epochs"] if row["data_set"] != CLEAN and row["algorithm"] != STANDARD]
    last = max((row["epoch"] for row in selecting), default=1)
    shown = np.linspace(1, last, min(6, last)).astype(int)
    yield from runner.pivot(
        "Corrupted samples among those back-propagated",
        "Figure 3: the share of corrupted samples among those that are back-propagated.",
        [row for row in selecting if row["epoch"] in shown],
        of_data,
        {"epoch {}": partial(_percent, "selected_share")},
        across="epoch",
    )
    yield from runner.pivot(
        "Oversampling of corrupted samples",
        "The mean over all epochs of that share, as a multiple of their share in the data, which is standard "
        "training's.",
        [{**mean[key], "title": ALGORITHMS[key[1]][0]} for key in grouped(selecting, "data_set", "algorithm")],
        {"algorithm": "title"},
        {"{}": lambda rows: number(rows[0]["oversampling"], 2, "×")},
        across="data_set",
    )
    drawn = [row for row in tables["picks"] if row["data_set"] != CLEAN]
    yield from runner.pivot(
        "Corrupted samples among the most and the least picked",
        f"Figures 1 and 2 show images from these: {_POOL:,} of 50,000 samples, the same share of fewer.",
        [rows[0] for rows in grouped(drawn, "data_set", "algorithm", "seed", "end").values()],
        of_data,
        {"{}": partial(_percent, "pool_corrupted")},
        across="end",
    )


def _percent(column: str, rows: Rows) -> str:
    return number(100 * spread(row[column] for row in rows).mean, 1, "%")


def figures(tables: Tables, out: Path) -> Figures:
    """Return Figures 1 to 4 and S5 to S11; the images are those of the first seed, read from its copies in ``out``."""
    by_data = grouped(tables["epochs"], "data_set")
    target = {row["data_set"]: row["target"] for row in tables["results"]}
    return {
        "test-error": runner.in_lines([_errors(name, rows, target[name]) for name, rows in by_data.items()]),
        "corrupted-share": runner.in_lines([_shares(name, rows) for name, rows in by_data.items() if name != CLEAN]),
        "entropy-and-loss": runner.in_lines(
            [
                _errors(name, [row for row in rows if row["algorithm"] in ENTROPY], target[name])
                for name, rows in by_data.items()
                if name.endswith(":0.5") and {row["algorithm"] for row in rows} >= ENTROPY
            ]
        ),
        **{
            f"{end}-picked": [
                [_picked(rows, out) for rows in grouped(of_data, "algorithm").values()]
                for of_data in grouped(of_end, "data_set").values()
            ]
            for end, of_end in grouped(tables["picks"], "end").items()
        },
    }


def _picked(rows: Rows, out: Path) -> Panel:
    """Return a panel of Figures 1 and 2, with how often each image was picked, red where it is corrupted."""
    first = rows[0]
    data = out / f"{Case(name=first['data_set']).folder_name}-seed{first['seed']}" / "data"
    own = [row for row in rows if row["seed"] == first["seed"]]
    shown = [(data / row["path"], f"{row['times']}×", row["corrupted"]) for row in own]
    return images("{data_set}, {algorithm}: {end} picked".format(**first), shown, _COLUMNS, PLAIN)


def _line(algorithm: str, x: Any, y: Any) -> runner.Call:
    color = f"C{list(ALGORITHMS).index(algorithm)}"
    # On top, and broken: while a selector is off, its curve is this one.
    on_top = {"color": "black", "linestyle": "--", "zorder": 3} if algorithm == STANDARD else {}
    return runner.call("plot", x, y, label=algorithm, **{"color": color, **on_top})


def _errors(title: str, rows: Rows, target: float) -> Panel:
    """Return the test error over examples back-propagated, and the error that counts as reached."""
    calls = [
        _line(algorithm, mean_curve(own, "backpropagated") / 1000, 100 * mean_curve(own, "test_error"))
        for algorithm, own in grouped(rows, "algorithm").items()
    ]
    reached = runner.call("axhline", 100 * target, linestyle=":", color="grey")
    return Panel(title, "thousand examples back-propagated", "test error, %", [*calls, reached])


def _shares(title: str, rows: Rows) -> Panel:
    """Return Figure 3."""
    shares = {name: 100 * mean_curve(own, "selected_share") for name, own in grouped(rows, "algorithm").items()}
    calls = [_line(name, range(1, 1 + len(share_E)), share_E) for name, share_E in shares.items()]
    return Panel(title, "epoch", "corrupted among back-propagated, %", calls)
