"""What robust training is worth: test error of networks retrained on noisy labels, by method and seed.

Table 1 is made of the same trainings, with the paper's figures beside it; see `labelaudit.reproduce.table1`.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit import __version__
from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import TrainingError, UsageError
from labelaudit.methods.parameters import make_parameters
from labelaudit.methods.table import find_method
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import RetrainingOptions
from labelaudit.reproduce.runner import (
    NoisyLabels,
    check_experiment,
    noise_cases,
    noisy_data,
    remembered,
    require_once,
    run_cases,
    scan_truth,
    take,
    write_labels,
)
from labelaudit.reproduce.tables import Tables, figure, grouped, number, pivot, table
from labelaudit.reproduce.truth import audit
from labelaudit.retrain.recipe import RetrainOptions, read_metrics, read_seconds, retrain
from labelaudit.run.layout import RunFolder

DIVERGED = "diverged"

_BOTH_NETWORKS = ("dividemix",)
"""Published with the mean belief of both networks as its prediction; the others with that of one."""


@dataclass(frozen=True, kw_only=True)
class TrainedRow:
    """One training of one method.

    Attributes:
        rate: Share of wrong labels.
        seed: Of images, noise and training.
        status: ``trained`` or ``diverged``.
        error: Test error after the last epoch, a share; of the first of two networks, for DivideMix of both together.
        best_error: The least error after an epoch: what early stopping on the test data would have given.
        train_error: Share of the given labels that the network disagrees with in its last epoch.
        epoch_seconds: Mean wall time of an epoch, without measuring the error.
        seconds: Wall time of all of it but the audit; NaN if it was interrupted.
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
    """

    clean: Catalogue
    test: Path
    methods: Sequence[str]
    audit: TrainingOptions
    training: TrainingOptions
    parameters: Callable[[str, float], Mapping[str, object]] = lambda _method, _rate: {}
    subset: int | None = None
    measure_every: int = 1

    def measure(self, reporter: Reporter, case: NoisyLabels, seed: int, folder: Path) -> Iterator[list[object]]:
        """Plant errors, audit if a method needs it, and train every method; yield the row of each.

        Raises:
            RunError: the folder holds other labels or trainings.
            LabelauditError: see `labelaudit.audit.score.score` and `labelaudit.retrain.recipe.retrain`.
        """
        rows = np.flatnonzero(self.clean.readable_N)
        if self.subset is not None:
            rows = np.sort(np.random.default_rng([seed, self.subset]).permutation(rows)[: self.subset])
        chosen = take(self.clean, rows)
        data, rate = noisy_data(chosen, case, folder, seed), round(case.rate * len(chosen)) / len(chosen)
        truth_csv, run = folder / "truth.csv", RunFolder(folder / "audit")
        if not truth_csv.exists():
            write_labels(chosen, chosen.label_N, truth_csv)
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
            yield [train_method(start, data, options, folder, reporter)]


def train_method(
    start: TrainedRow, data: Data, options: RetrainOptions, folder: Path, reporter: Reporter
) -> TrainedRow:
    """Train one method, or read what an earlier call finished; a training that diverges is a result too.

    Args:
        start: What the row begins with.
        data: Images and noisy labels.
        options: Of the training.
        folder: Gets ``<method>/`` and ``<method>.json``.
        reporter: Told about the progress.

    Raises:
        RunError: the folder holds a training with other settings.
    """
    labels = b"" if data.labels_file is None else data.labels_file.read_bytes()
    training = {
        name: value for name, value in asdict(options.training).items() if name != "device" and value is not None
    }
    asked: dict[str, Any] = {
        "labels": hashlib.sha256(labels).hexdigest(),
        "test": str(options.validation and options.validation.resolve()),
        "parameters": dict(options.parameters),
        "training": {name: str(value) if isinstance(value, Path) else value for name, value in training.items()},
    }
    out = RunFolder(folder / start.method)
    return remembered(
        folder / f"{start.method}.json", asked, TrainedRow, lambda: _train(start, data, out, options, reporter)
    )


def _train(start: TrainedRow, data: Data, out: RunFolder, options: RetrainOptions, reporter: Reporter) -> TrainedRow:
    began, is_new = time.perf_counter(), not out.exists
    try:
        result = retrain(data, out, options, reporter)
    except TrainingError as error:
        reporter.warn(f"{start.method} at {start.noise}, seed {start.seed}: {error.what}")
        return start
    seconds = time.perf_counter() - began if is_new else math.nan
    metrics, epochs = read_metrics(out.metrics), read_seconds(out.seconds)
    both = start.method in _BOTH_NETWORKS
    known = {**result["parameters"], **result.get("found", {})}.get("noise_rate")
    return replace(
        start,
        status="trained",
        error=float(result["validation_error_of_all_networks"] if both else result["metrics"]["validation_error"]),
        best_error=min(row["validation_error"] for row in metrics if row["validation_error"] is not None),
        train_error=float(metrics[-1]["train_error"]),
        epochs=len(metrics),
        epoch_seconds=sum(row["seconds"] for row in epochs) / len(epochs),
        seconds=seconds,
        noise_rate=math.nan if known is None else float(known),
    )


def measure(asked: RetrainingOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``retraining.md`` and the Parquet tables.

    Returns:
        The page.

    Raises:
        LabelauditError: see `labelaudit.errors`.
    """
    check_experiment(asked)
    check_methods(asked.methods)
    clean = scan_truth(asked.data, None, reporter)
    trainings = Trainings(
        clean=clean,
        test=asked.test,
        methods=asked.methods,
        audit=TrainingOptions(probe="train", epochs=asked.audit_epochs, device=asked.training.device),
        training=replace(asked.training, probe="train"),
    )
    tables = Tables(runs=TrainedRow, audits=SharedAuditRow)

    def page() -> str:
        rows = grouped(tables.of(TrainedRow), lambda row: row.method)
        cells = {
            method: {
                noise: figure((100 * row.error for row in group), 2)
                for noise, group in grouped(group, lambda row: row.noise).items()
            }
            for method, group in rows.items()
        }
        note = "In percent, after the last epoch, ± the standard deviation over the seeds (n − 1)."
        about = f"{int(clean.readable_N.sum()):,} images, seeds {asked.seeds_text}; labelaudit {__version__}."
        lines = [f"# Retraining on noisy labels: {asked.data_name}", "", about, ""]
        lines += pivot("Test error", note, ("method",), cells)
        return "\n".join([*lines, *audit_table(tables.of(SharedAuditRow))])

    cases = noise_cases(asked.noises, clean.classes)
    return run_cases("retraining", asked, cases, tables, partial(trainings.measure, reporter), page, reporter)


def check_methods(methods: Sequence[str], parameters: Callable[[str], Mapping[str, object]] = lambda _: {}) -> None:
    """Refuse methods or parameters that do not exist.

    Raises:
        UsageError: naming them.
    """
    if not methods:
        raise UsageError("--methods names none", fix="see labelaudit methods")
    require_once("--methods", methods)
    for method in methods:
        make_parameters(method, find_method(method).parameters, parameters(method))


def audit_table(rows: Sequence[SharedAuditRow]) -> list[str]:
    """Return the Markdown table of the audits that methods share."""
    lines = [
        [
            row.noise,
            str(row.seed),
            number(row.rate, 3),
            number(row.noise_rate, 3),
            f"{number(row.precision, 2)} / {number(row.recall, 2)}",
            number(row.seconds, 0),
        ]
        for row in rows
    ]
    note = "One for each noise and seed; AUL, DivideMix and Co-Teaching have their weights or noise rate from it."
    header = ("noise", "seed", "rate", "estimate", "precision / recall", "seconds")
    return table("Audits", note, header, lines)
