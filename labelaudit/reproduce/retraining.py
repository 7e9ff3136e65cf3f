"""What robust training is worth: test error of networks retrained on noisy labels, by method and seed.

Table 1 is made of the same trainings, with the paper's figures beside it; see `labelaudit.reproduce.table1`.
"""

from __future__ import annotations

import hashlib
import itertools
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path

import numpy as np

from labelaudit import __version__
from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import TrainingError, UsageError
from labelaudit.methods.parameters import make_parameters
from labelaudit.methods.table import find_method
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import ExperimentOptions, RetrainingOptions, runner
from labelaudit.reproduce.runner import NoisyLabels
from labelaudit.reproduce.tables import NOTHING, Tables, grouped, number, pivot, remembered, spread
from labelaudit.reproduce.truth import audit
from labelaudit.retrain.recipe import RetrainOptions, read_metrics, read_seconds, retrain
from labelaudit.run.layout import RunFolder

DIVERGED = "diverged"

Paper = Mapping[str, Mapping[str, tuple[float, float] | str]]

EXPECTATIONS = (("oracle", "aul", "standard"), ("aul", "random"), ("aul", "reed-hard"))
"""Methods in the order in which the paper has their errors, at every noise, least first."""

TITLES = {
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

_BOTH_NETWORKS = ("dividemix",)
"""Published with the mean belief of both networks as its prediction; the others with that of one."""


@dataclass(frozen=True, kw_only=True)
class TrainedRow:
    """One training of one method.

    Attributes:
        status: ``trained`` or ``diverged``.
        error: Test error after the last epoch, a share; of the first of two networks, for DivideMix of both together.
        best_error: The least error after an epoch: what early stopping on the test data would have given.
        train_error: Share of the given labels that the network disagrees with in its last epoch.
        epoch_seconds, seconds: Mean wall time of an epoch without measuring the error, and of all of it but the audit.
        noise_rate: What the method was told or found of the noise; NaN when it asks for none.
    """

    noise: str
    rate: float
    seed: int
    method: str
    status: str
    error: float = math.nan
    best_error: float = math.nan
    train_error: float = math.nan
    epochs: int = 0
    epoch_seconds: float = math.nan
    seconds: float = math.nan
    noise_rate: float = math.nan


@dataclass(frozen=True, kw_only=True)
class SharedAuditRow:
    """The audit whose weights and noise rate the methods share: its estimate, and the quality of its flags."""

    noise: str
    rate: float
    seed: int
    noise_rate: float
    precision: float
    recall: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class CellRow:
    """One cell of the table, over all seeds, beside the paper's; errors in percent, times as multiples of Standard's.

    The paper's error is NaN where it has no figure, and the note says what it has instead.
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


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What is trained on noisy labels.

    Attributes:
        clean: Training images with right labels.
        test: Folder of the test images.
        methods: Their names.
        audit, training: Options of the audit and of every method; their seeds are replaced.
        parameters: Returns a method's own parameters, by its name and the rate of wrong labels.
        subset: Draw so many of the training images for each seed; None takes all.
        measure_every: Measure the test error after so many epochs and the last.
        paper: Published errors by method and noise, in percent with their deviation; or a note.
    """

    clean: Catalogue
    test: Path
    methods: Sequence[str]
    audit: TrainingOptions
    training: TrainingOptions
    parameters: Callable[[str, float], Mapping[str, object]] = lambda _method, _rate: {}
    subset: int | None = None
    measure_every: int = 1
    paper: Paper = field(default_factory=dict)

    def run(
        self, name: str, asked: ExperimentOptions, cases: Sequence[NoisyLabels], about: str, reporter: Reporter
    ) -> str:
        """Train for every case and seed, and write ``<name>.md``, ``<name>``, ``runs`` and ``audits.parquet``."""
        tables = Tables(**{name: CellRow}, runs=TrainedRow, audits=SharedAuditRow)

        def page() -> str:
            runs, audits = tables.of(TrainedRow), tables.of(SharedAuditRow)
            cells = cells_of(runs, self.paper)
            tables.put(CellRow, cells)
            title = f"# Robust training on noisy labels: {asked.data_name}"
            heading = f"{about}, seeds {asked.seeds_text}; labelaudit {__version__}."
            return "\n".join([title, "", heading, "", *page_tables(runs, cells, audits)])

        return runner.run_cases(name, asked, cases, tables, partial(self.measure, reporter), page, reporter)

    def measure(self, reporter: Reporter, case: NoisyLabels, seed: int, folder: Path) -> Iterator[Sequence[object]]:
        """Plant errors, audit if a method needs it, and train every method; yield the row of each.

        Raises:
            RunError: the folder holds other labels or trainings.
            LabelauditError: see `labelaudit.audit.score.score` and `labelaudit.retrain.recipe.retrain`.
        """
        rows = np.flatnonzero(self.clean.readable_N)
        if self.subset is not None:
            rows = np.sort(np.random.default_rng([seed, self.subset]).permutation(rows)[: self.subset])
        chosen = runner.take(self.clean, rows)
        data, rate = runner.noisy_data(chosen, case, folder, seed), round(case.rate * len(chosen)) / len(chosen)
        truth_csv, run = folder / "truth.csv", RunFolder(folder / "audit")
        if not truth_csv.exists():
            runner.write_labels(chosen, chosen.label_N, truth_csv)
        if {need for method in self.methods for need in find_method(method).needs} & {"weights", "noise_rate"}:
            found = audit(case.name, data, run, self.clean, replace(self.audit, seed=seed), reporter)
            yield [
                SharedAuditRow(
                    noise=case.name,
                    rate=rate,
                    seed=seed,
                    noise_rate=found.noise_rate,
                    precision=found.flags["precision"],
                    recall=found.flags["recall"],
                    seconds=found.seconds,
                )
            ]
        for method in self.methods:
            reporter.say(f"{case.name}, seed {seed}: {method}")
            needs = find_method(method).needs
            options = RetrainOptions(
                method=method,
                parameters=self.parameters(method, rate),
                weights_csv=run.weights_csv if "weights" in needs else None,
                truth_csv=truth_csv if "truth" in needs else None,
                audit=run.root if "noise_rate" in needs else None,
                validation=self.test,
                measure_every=self.measure_every,
                training=replace(self.training, seed=seed),
            )
            start = TrainedRow(noise=case.name, rate=rate, seed=seed, method=method, status=DIVERGED)
            yield train_method(start, data, options, folder, reporter)


def train_method(
    start: TrainedRow, data: Data, options: RetrainOptions, folder: Path, reporter: Reporter
) -> list[TrainedRow]:
    """Train one method, or read what an earlier call finished; a training that diverges is a result too.

    Args:
        start: What the row begins with.
        data: Images and noisy labels.
        options: Of the training.
        folder: Gets ``<method>/`` and ``<method>.parquet``.
        reporter: Told about the progress.
    """

    def train() -> list[TrainedRow]:
        out = RunFolder(folder / start.method)
        began, is_new = time.perf_counter(), not out.exists
        try:
            result = retrain(data, out, options, reporter)
        except TrainingError as diverged:
            reporter.warn(f"{start.method} at {start.noise}, seed {start.seed}: {diverged.what}")
            return [start]
        seconds = time.perf_counter() - began if is_new else math.nan
        metrics, epochs = read_metrics(out.metrics), read_seconds(out.seconds)
        both = start.method in _BOTH_NETWORKS
        error = result["validation_error_of_all_networks"] if both else result["metrics"]["validation_error"]
        known = {**result["parameters"], **result.get("found", {})}.get("noise_rate")
        trained = replace(
            start,
            status="trained",
            error=float(error),
            best_error=min(row["validation_error"] for row in metrics if row["validation_error"] is not None),
            train_error=float(metrics[-1]["train_error"]),
            epochs=len(metrics),
            epoch_seconds=sum(row["seconds"] for row in epochs) / len(epochs),
            seconds=seconds,
            noise_rate=math.nan if known is None else float(known),
        )
        return [trained]

    return remembered(folder / f"{start.method}.parquet", decides(data, options), TrainedRow, train)


def decides(data: Data, options: RetrainOptions) -> dict[str, object]:
    """Return all that decides the outcome of a training, in plain values."""
    labels = b"" if data.labels_file is None else data.labels_file.read_bytes()
    training = asdict(replace(options.training, device="auto"))
    return {
        "labels": hashlib.sha256(labels).hexdigest(),
        "test": str(options.validation and options.validation.resolve()),
        "parameters": options.parameters,
        "training": {name: value for name, value in training.items() if value is not None},
        "preset": options.presets,
    }


def check_methods(methods: Sequence[str], parameters: Callable[[str], Mapping[str, object]] = lambda _: {}) -> None:
    """Refuse methods or parameters that do not exist.

    Raises:
        UsageError: naming them.
    """
    if not methods:
        raise UsageError("--methods names none", fix="see labelaudit methods")
    runner.require_once("--methods", methods)
    for method in methods:
        make_parameters(method, find_method(method).parameters, parameters(method))


def cells_of(runs: Sequence[TrainedRow], paper: Paper) -> list[CellRow]:
    """Return mean and deviation over the seeds, and times as multiples of Standard's with the same noise and seed."""
    base = {(run.noise, run.seed): run for run in runs if run.method == "standard"}

    def relative(group: Sequence[TrainedRow], name: str) -> float:
        standard = [getattr(base.get((run.noise, run.seed)), name, math.nan) for run in group]
        return spread(getattr(run, name) / time for run, time in zip(group, standard, strict=True)).mean

    cells = []
    for (method, noise), group in grouped(runs, lambda run: (run.method, run.noise)).items():
        found, published = spread(100 * run.error for run in group), paper.get(method, {}).get(noise, "")
        error, deviation = (math.nan, math.nan) if isinstance(published, str) else published
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
                paper_note=published if isinstance(published, str) else "",
            )
        )
    return cells


def page_tables(runs: Sequence[TrainedRow], cells: Sequence[CellRow], audits: Sequence[SharedAuditRow]) -> list[str]:
    """Return the lines of the page."""
    noises, by_method = list(dict.fromkeys(cell.noise for cell in cells)), grouped(cells, lambda cell: cell.method)
    of_cell = grouped(runs, lambda run: (run.method, run.noise))
    has_paper = any(math.isfinite(cell.paper_error) for cell in cells)
    errors, best, times = dict[str, dict[str, str]](), dict[str, dict[str, str]](), dict[str, dict[str, str]]()
    for method, group in by_method.items():
        title = TITLES.get(method, method)
        errors[title] = {name: NOTHING for noise in noises for name in (noise, *[f"paper, {noise}"] * has_paper)}
        for cell in group:
            trained = cell.seeds - cell.diverged
            text = _with_deviation(cell.error, cell.deviation, 2) if trained else DIVERGED
            errors[title][cell.noise] = text + f" ({trained} of {cell.seeds}, others diverged)" * (
                0 < trained < cell.seeds
            )
            if has_paper:
                published = _with_deviation(cell.paper_error, cell.paper_deviation, 1)
                errors[title][f"paper, {cell.noise}"] = cell.paper_note or published
        best[title] = {
            cell.noise: number(spread(100 * run.best_error for run in of_cell[method, cell.noise]).mean, 2)
            for cell in group
        }
        seconds = spread(run.epoch_seconds for run in runs if run.method == method).mean
        times[title] = {
            "seconds an epoch": number(seconds, 2),
            "epoch / Standard's": number(spread(cell.relative_epoch for cell in group).mean, 2),
            "whole training / Standard's": number(spread(cell.relative_time for cell in group).mean, 2),
        }
    outcomes = {
        (noise, " < ".join(TITLES[method] for method in order)): {
            "errors": " < ".join(number(error, 2) for error in found),
            "came out": {True: "yes", False: "**no**", None: "no figure"}[came_out],
        }
        for noise, order, found, came_out in orders(cells)
    }
    shared = {
        (row.noise, str(row.seed)): {
            "rate": number(row.rate, 3),
            "estimate": number(row.noise_rate, 3),
            "precision / recall": f"{number(row.precision, 2)} / {number(row.recall, 2)}",
            "seconds": number(row.seconds, 0),
        }
        for row in audits
    }
    note = "Test error in percent after the last epoch, ± the standard deviation over the seeds (n − 1)."
    compared = (
        " Beside it the AUL paper's Table 1, CIFAR-10 with ResNet-32 and 300 epochs: the orders compare, the figures "
        "do not."
    )
    return [
        *pivot("Test error", note + compared * has_paper, ("method",), errors),
        *pivot("Do the paper's orders come out?", "Of the means over the seeds.", ("noise", "order"), outcomes),
        *pivot(
            "With early stopping on the test images",
            "The least test error after any epoch, of the first network: what one would have with the test images to "
            "stop by. Far below the table above means that wrong labels were memorized in the end.",
            ("method",),
            best,
        ),
        *pivot(
            "Time",
            "Wall time, of an epoch without measuring the error, of the whole training with all but the audit: INCV's "
            "cross-validation counts in the last column alone. An epoch of DivideMix is a pass over the believed "
            "images, in all views, with as many suspicious ones.",
            ("method",),
            times,
        ),
        *pivot(
            "Audits",
            "One for each noise and seed; AUL, DivideMix and Co-Teaching have their weights or noise rate from it.",
            ("noise", "seed"),
            shared,
        ),
    ]


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


def measure(asked: RetrainingOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``retraining.md`` and the Parquet tables."""
    runner.check_experiment(asked)
    check_methods(asked.methods)
    clean = runner.scan_truth(asked.data, None, reporter)
    trainings = Trainings(
        clean=clean,
        test=asked.test,
        methods=asked.methods,
        audit=TrainingOptions(probe="train", epochs=asked.audit_epochs, device=asked.training.device),
        training=replace(asked.training, probe="train"),
    )
    cases = runner.noise_cases(asked.noises, clean.classes)
    return trainings.run("retraining", asked, cases, f"{int(clean.readable_N.sum()):,} images", reporter)
