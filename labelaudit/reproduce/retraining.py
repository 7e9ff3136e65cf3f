"""What robust training is worth: test error of networks retrained on noisy labels, by method and seed.

Table 1 of "Detecting label noise from loss curves" is made of the same trainings, with the paper's figures beside it:
those of CIFAR-10, test error in percent, mean and deviation over 4 trials. ELR and DivideMix are beside its rows.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit import __version__
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import TrainingError, UsageError
from labelaudit.methods.parameters import make_parameters
from labelaudit.methods.table import find_method
from labelaudit.names import ScaleName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import ExperimentOptions, RetrainingOptions, Table1Options, runner
from labelaudit.reproduce.runner import (
    NOTHING,
    NoisyLabels,
    Tables,
    grouped,
    number,
    pivot,
    remembered,
    spread,
    with_deviation,
)
from labelaudit.reproduce.truth import audit
from labelaudit.retraining.recipe import RetrainOptions, retrain
from labelaudit.run.files import write_text
from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_metrics, read_seconds

DIVERGED = "diverged"

Paper = Mapping[str, Mapping[str, tuple[float, float] | str]]

NOISES = ("uniform:0.2", "uniform:0.4", "uniform:0.6", "uniform:0.8", "pair-flip:0.4")
"""The columns."""

_CELLS: dict[str, tuple[tuple[float, float] | str, ...]] = {
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
PAPER: Paper = {method: dict(zip(NOISES, row, strict=True)) for method, row in _CELLS.items()}
"""Its cells: error and deviation, or what the paper has instead."""

METHODS = (*PAPER, "elr", "dividemix")
"""The rows."""


@dataclass(frozen=True, kw_only=True)
class TrainedRow:
    """One training of one method, trained or diverged. Errors are shares; NaN stands for what there is no figure of.

    Attributes:
        error: Test error after the last epoch, of the first of two networks, for DivideMix of both together.
        best_error: The least error after an epoch: what early stopping on the test data would have given.
        train_error: Share of the given labels that the network disagrees with in its last epoch.
        epoch_seconds, seconds: Mean wall time of an epoch without measuring the error, and of all of it but the audit.
        noise_rate: What the method was told or found of the noise.
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
class Scale:
    """How much is trained on noisy labels, and how.

    Attributes:
        audit, training: Options of the audit and of every method; their seeds are replaced.
        parameters: A method's own parameters, by its name.
        subset: Draw so many of the training images for each seed; None takes all.
        measure_every: Measure the test error after so many epochs and the last.
        noises: The columns of the table, when none are asked for.
        about: In words, for the heading.
    """

    audit: TrainingOptions
    training: TrainingOptions
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    subset: int | None = None
    measure_every: int = 1
    noises: Sequence[str] = NOISES
    about: str = ""


# A network that does not memorize wrong labels needs no robust training (docs/accuracy.md).
_MEMORIZING: dict[str, Any] = {"augment": "none", "weight_decay": 1e-4}
# Without augmentation a second view is the first one again.
_ONE_VIEW: dict[str, object] = {"views": 1}

SCALES: dict[ScaleName, Scale] = {
    "smoke": Scale(
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
    "small": Scale(
        subset=5_000,
        audit=TrainingOptions(probe="train"),
        training=TrainingOptions(probe="train", epochs=25, batch_size=128, **_MEMORIZING),
        # Windows and ramps that are published in epochs, cut as the training is.
        parameters={"co-teaching": {"warm_up_epochs": 3}, "d2l": {"window": 2}, "dividemix": _ONE_VIEW},
        measure_every=5,
        about="a small network without augmentation, which can memorize, and a twelfth of the paper's epochs",
    ),
    "paper": Scale(
        subset=45_000,
        audit=TrainingOptions(preset="paper"),
        training=TrainingOptions(preset="paper"),
        about="ResNet-32 and the settings that each method was published with",
    ),
}


@dataclass(frozen=True, kw_only=True)
class Trainings:
    """What is trained on noisy labels: right labels, folder of the test images, names of the methods, and how much.

    ``paper`` has published errors by method and noise, in percent with their deviation; or a note.
    """

    clean: Catalogue
    test: Path
    methods: Sequence[str]
    scale: Scale
    paper: Paper = field(default_factory=dict)

    def run(
        self, name: str, asked: ExperimentOptions, cases: Sequence[NoisyLabels], about: str, reporter: Reporter
    ) -> str:
        """Train for every case and seed, and write ``<name>.md``, ``<name>``, ``runs`` and ``audits.parquet``."""
        tables = Tables(**{name: CellRow}, runs=TrainedRow, audits=SharedAuditRow)

        def page() -> list[str]:
            runs, audits = tables.of(TrainedRow), tables.of(SharedAuditRow)
            cells = cells_of(runs, self.paper)
            tables.put(CellRow, cells)
            heading = f"{about}, seeds {asked.seeds_text}; labelaudit {__version__}."
            title = f"# Robust training on noisy labels: {asked.data_name}"
            return [title, "", heading, "", *page_tables(runs, cells, audits)]

        return runner.run_cases(name, asked, cases, tables, partial(self.measure, reporter), page, reporter)

    def measure(self, reporter: Reporter, case: NoisyLabels, seed: int, folder: Path) -> Iterator[Sequence[object]]:
        """Plant errors, audit if a method needs it, and train every method; yield the row of each."""
        rows, scale = np.flatnonzero(self.clean.used_N), self.scale
        if scale.subset is not None:
            rows = np.sort(np.random.default_rng([seed, scale.subset]).permutation(rows)[: scale.subset])
        chosen = runner.take(self.clean, rows)
        data, rate = runner.noisy_data(chosen, case, folder, seed), round(case.rate * len(chosen)) / len(chosen)
        truth_csv, run = folder / "truth.csv", RunFolder(folder / "audit")
        if not truth_csv.exists():
            write_text(truth_csv, runner.labels_text(chosen, chosen.label_N))
        if {need for method in self.methods for need in find_method(method).needs} & {"weights", "noise_rate"}:
            found = audit(case.name, data, run, self.clean, replace(scale.audit, seed=seed), reporter)
            same: dict[str, Any] = {"noise": case.name, "rate": rate, "seed": seed}
            same |= {name: found.flags[name] for name in ("precision", "recall")}
            yield [SharedAuditRow(**same, noise_rate=found.noise_rate, seconds=found.seconds)]
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
                measure_every=scale.measure_every,
                training=replace(scale.training, seed=seed),
            )
            start = TrainedRow(noise=case.name, rate=rate, seed=seed, method=method, status=DIVERGED)
            yield train_method(start, data, options, folder, reporter)

    def parameters(self, method: str, rate: float) -> Mapping[str, object]:
        """Return the parameters of a method at a rate of wrong labels; in Table 1 with MentorNet's percentile."""
        published = {"percentile": 0.5} if method == "mentornet" and rate >= 0.8 and self.paper else {}
        return {**published, **self.scale.parameters.get(method, {})}


def train_method(
    start: TrainedRow, data: Data, options: RetrainOptions, folder: Path, reporter: Reporter
) -> list[TrainedRow]:
    """Train one method, or read what an earlier call finished; a training that diverges is a result too.

    ``start`` is what the row begins with; the folder gets ``<method>/`` and ``<method>.parquet``.
    """

    def train() -> Iterator[TrainedRow]:
        out = RunFolder(folder / start.method)
        began, is_new = time.perf_counter(), not out.exists
        try:
            result = retrain(data, out, options, reporter)
        except TrainingError as diverged:
            reporter.warn(f"{start.method} at {start.noise}, seed {start.seed}: {diverged.what}")
            yield start
            return
        seconds = time.perf_counter() - began if is_new else math.nan
        metrics, epochs = read_metrics(out.metrics), read_seconds(out.seconds)
        both = find_method(start.method).predicts_together
        known = {**result["parameters"], **result.get("found", {})}.get("noise_rate")
        yield replace(
            start,
            status="trained",
            error=result["validation_error_of_all_networks"] if both else result["metrics"]["validation_error"],
            best_error=min(row["validation_error"] for row in metrics if row["validation_error"] is not None),
            train_error=metrics[-1]["train_error"],
            epochs=len(metrics),
            epoch_seconds=sum(row["seconds"] for row in epochs) / len(epochs),
            seconds=seconds,
            noise_rate=math.nan if known is None else known,
        )

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


def check_methods(methods: Sequence[str], scale: Scale) -> list[str]:
    """Return the methods, each once; raise UsageError for methods or parameters that do not exist."""
    if not methods:
        raise UsageError("--methods names none", fix="see labelaudit methods")
    for method in methods:
        make_parameters(method, find_method(method).parameters, scale.parameters.get(method, {}))
    return list(dict.fromkeys(methods))


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
    has_paper = any(math.isfinite(cell.paper_error) for cell in cells)
    note = "Test error in percent after the last epoch, ± the standard deviation over the seeds (n − 1)."
    if has_paper:
        note += (
            " Beside it the AUL paper's Table 1, CIFAR-10 with ResNet-32 and 300 epochs: the orders compare, the "
            "figures do not."
        )
    best = {
        _title(method): {
            noise: _mean(100 * run.best_error for run in members)
            for noise, members in grouped(own, lambda run: run.noise).items()
        }
        for method, own in grouped(runs, lambda run: run.method).items()
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
    return [
        *pivot("Test error", note, ("method",), _errors(cells, has_paper=has_paper)),
        *pivot("With early stopping on the test images", _BEST, ("method",), best),
        *pivot("Time", _TIME, ("method",), _times(runs, cells)),
        *pivot("Audits", _AUDITS, ("noise", "seed"), shared),
    ]


_BEST = (
    "The least test error after any epoch, of the first network: what one would have with the test images to stop by. "
    "Far below the table above means that wrong labels were memorized in the end."
)
_TIME = (
    "Wall time, of an epoch without measuring the error, of the whole training with all but the audit: INCV's "
    "cross-validation counts in the last column alone. An epoch of DivideMix is a pass over the believed images, in "
    "all views, with as many suspicious ones."
)
_AUDITS = "One for each noise and seed; AUL, DivideMix and Co-Teaching have their weights or noise rate from it."


def _title(method: str) -> str:
    return find_method(method).title


def _mean(values: Iterable[float]) -> str:
    return number(spread(values).mean, 2)


def _errors(cells: Sequence[CellRow], *, has_paper: bool) -> dict[str, dict[str, str]]:
    """Return the error of each method at each noise, with the paper's beside it."""
    noises, errors = dict.fromkeys(cell.noise for cell in cells), dict[str, dict[str, str]]()
    for cell in cells:
        columns = {name: NOTHING for noise in noises for name in (noise, *[f"paper, {noise}"] * has_paper)}
        line, trained = errors.setdefault(_title(cell.method), columns), cell.seeds - cell.diverged
        line[cell.noise] = with_deviation(cell.error, cell.deviation, 2) if trained else DIVERGED
        if 0 < trained < cell.seeds:
            line[cell.noise] += f" ({trained} of {cell.seeds}, others diverged)"
        if has_paper:
            published = with_deviation(cell.paper_error, cell.paper_deviation, 1)
            line[f"paper, {cell.noise}"] = cell.paper_note or published
    return errors


def _times(runs: Sequence[TrainedRow], cells: Sequence[CellRow]) -> dict[str, dict[str, str]]:
    """Return the times of each method."""
    return {
        _title(method): {
            "seconds an epoch": _mean(run.epoch_seconds for run in runs if run.method == method),
            "epoch / Standard's": _mean(cell.relative_epoch for cell in group),
            "whole training / Standard's": _mean(cell.relative_time for cell in group),
        }
        for method, group in grouped(cells, lambda cell: cell.method).items()
    }


def measure(asked: RetrainingOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``retraining.md`` and the Parquet tables."""
    runner.check_experiment(asked)
    audit_options = TrainingOptions(probe="train", epochs=asked.audit_epochs, device=asked.training.device)
    scale = Scale(audit=audit_options, training=replace(asked.training, probe="train"))
    methods, clean = check_methods(asked.methods, scale), runner.scan_truth(asked.data, None, reporter)
    trainings = Trainings(clean=clean, test=asked.test, methods=methods, scale=scale)
    cases = runner.noise_cases(asked.noises, clean.classes)
    return trainings.run("retraining", asked, cases, f"{int(clean.used_N.sum()):,} images", reporter)


def measure_table1(asked: Table1Options, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``table1.md`` and the Parquet tables."""
    runner.check_experiment(asked)
    if asked.subset is not None and asked.subset < 2:
        raise UsageError(f"--subset {asked.subset} is too small", fix="give at least 2")
    scale, device = SCALES[asked.scale], asked.training.device
    methods = check_methods(asked.methods or METHODS, scale)
    data, test = runner.folders(asked)
    clean = runner.scan_truth(data, None, reporter)
    cases = runner.noise_cases(asked.noises or scale.noises, clean.classes)
    epochs, images = asked.training.epochs or scale.training.epochs, int(clean.used_N.sum())
    scale = replace(
        scale,
        audit=replace(scale.audit, device=device),
        training=replace(scale.training, epochs=epochs, device=device),
        subset=min(asked.subset or scale.subset or images, images),
    )
    trainings = Trainings(clean=clean, test=test, methods=methods, scale=scale, paper=PAPER)
    about = f"{scale.subset:,} training images of {len(clean.classes)} classes, scale {asked.scale} ({scale.about})"
    return trainings.run("table1", asked, cases, about, reporter)
