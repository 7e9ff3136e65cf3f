"""What robust training is worth: Table 1 of "Detecting label noise from loss curves", beside the paper's figures.

That is the test error of networks retrained on noisy labels, by method and seed; the paper's are in percent, mean and
deviation over 4 trials. Beside its rows are ``labelaudit``, ELR and DivideMix. The rows ``aul`` and ``labelaudit`` are
one method with the weights of two audits, see `AUDITS`.
"""

from __future__ import annotations

import hashlib
import math
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit import __version__
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.data.folder import scan
from labelaudit.detect.verdicts import FitSettings
from labelaudit.errors import TrainingError, UsageError
from labelaudit.methods.parameters import make_parameters
from labelaudit.methods.table import MethodEntry, find_method
from labelaudit.names import ScaleName
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import ExperimentOptions, runner
from labelaudit.reproduce.runner import Case, Cell, Row, Rows, Tables, grouped, number, spread
from labelaudit.reproduce.truth import OURS, audit
from labelaudit.retraining.recipe import RetrainOptions, presets_of, retrain
from labelaudit.run.files import write_text
from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_metrics

DIVERGED = "diverged"
NOISES = ("uniform:0.2", "uniform:0.4", "uniform:0.6", "uniform:0.8", "pair-flip:0.4")
Paper = tuple[float, float] | str
"""What the paper has in a cell: error and deviation, or a text instead."""

_CIFAR10: dict[str, tuple[Paper, ...]] = {
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
_CIFAR100: dict[str, tuple[Paper, ...]] = {
    "standard": ((50.3, 0.3), (62.0, 0.7), (76.0, 0.1), (91.1, 0.7), (61.8, 0.6)),
    "random": ((43.0, 0.1), (51.2, 0.5), (63.5, 0.9), (83.7, 1.8), (51.4, 0.4)),
    "reed-hard": ((48.6, 0.3), (58.9, 0.5), (70.3, 0.4), (89.8, 1.6), (58.8, 0.7)),
    "mentornet": ((35.8, 0.6), (42.5, 0.4), "", (75.7, 1.4), ""),
    "co-teaching": ((35.9, 0.2), (39.8, 0.4), (52.0, 0.5), (89.1, 1.4), (51.7, 0.4)),
    "d2l": ((46.0, 2.0), (70.3, 3.6), DIVERGED, DIVERGED, (83.1, 2.3)),
    "incv": ((41.4, 0.9), (44.6, 0.4), (56.3, 0.6), (76.3, 1.1), (52.0, 0.6)),
    "aul": ((34.2, 0.4), (39.9, 0.6), (50.5, 1.0), (76.5, 0.9), (40.2, 0.2)),
    "oracle": ((35.5, 0.1), (39.0, 0.4), (44.8, 1.0), (55.1, 0.7), (38.6, 0.7)),
}
PAPERS = {10: _CIFAR10, 100: _CIFAR100}
"""The paper's halves of the table, by the number of classes: a row's cells at each of the `NOISES`."""

ROWS = (*_CIFAR10, OURS, "elr", "dividemix")
"""The rows: methods, and ``labelaudit``: the method ``aul`` with the weights of the default audit."""

AUDITS: Mapping[str, FitSettings] = {
    "paper": FitSettings.chosen(estimator="gmm", raw_weights=True),
    "default": FitSettings(),
}
"""The row ``aul`` has the paper's weights: w = 1 − z, z the posterior of a Gaussian mixture on the AUL of a training at
a constant rate. The other rows that need weights or a noise rate have those of a default audit."""


def method_of(row: str) -> MethodEntry:
    """Return the method of a row."""
    return find_method("aul" if row == OURS else row)


def audit_of(row: str) -> str | None:
    """Return which of the `AUDITS` a row needs."""
    if row == "aul":
        return "paper"
    return "default" if {"weights", "noise_rate"} & set(method_of(row).needs) else None


def published(row: str, noise: Case, classes: int) -> tuple[dict[str, object], Mapping[str, Any]]:
    """Return the parameters, and hyperparameters of preset ``paper``, that a row has for some noise or data only.

    They are from the authors' READMEs and code (ELR: config_cifar10_asym.json, config_cifar100.json). Not set: on
    CIFAR-100 Co-Teaching's rate falls from epoch 100, here from 80; INCV and DivideMix keep their CIFAR-10 settings.
    """
    is_asymmetric = noise.kind in ("pair-flip", "asymmetric")
    match row:
        case "mentornet" if noise.rate >= 0.8:
            return {"percentile": 0.5}, {}
        case "d2l" if classes == 100:
            steps = (80 / 200, 0.1), (120 / 200, 0.01)
            return {"init_share": 60 / 200}, {"epochs": 200, "milestones": steps}
        case "elr" if classes == 100:
            steps = (80 / 150, 0.01), (120 / 150, 0.0001)
            return {"beta": 0.9, "strength": 7.0}, {"schedule": "milestones", "milestones": steps}
        case "elr" if is_asymmetric:
            return {"beta": 0.9, "strength": 1.0}, {"schedule": "milestones", "epochs": 120}
        case "dividemix" if is_asymmetric:
            return {"noise_type": "asymmetric"}, {}
    return {}, {}


_NO_FIGURES = dict.fromkeys(("error", "best_error", "train_error", "seconds", "noise_rate"), math.nan)


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is trained on noisy labels, and how.

    Attributes:
        audits, training: Options of each of the `AUDITS` and of every method; their seeds are replaced.
        parameters: The parameters of each row's method.
        subset: Draw at most so many of the training images for each seed.
        measure_every: Measure the test error after so many epochs and the last.
        noises, about: The columns when none are asked for, and what the heading says.
    """

    audits: Mapping[str, TrainingOptions]
    training: TrainingOptions
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    subset: int
    measure_every: int = 1
    noises: Sequence[str] = NOISES
    about: str


# A network that does not memorize wrong labels needs no robust training (docs/accuracy.md).
_MEMORIZING: dict[str, Any] = {"augment": "none", "weight_decay": 1e-4}
# The fast probe has the paper's rate, and on 5,000 images its batch.
_SMALL_AUDITS = {"default": TrainingOptions(), "paper": TrainingOptions(probe="train", schedule="constant")}
# Without augmentation a second view is the first one again.
_ONE_VIEW: dict[str, object] = {"views": 1}

SCALES: dict[ScaleName, Scale] = {
    "smoke": Scale(
        noises=("uniform:0.4",),
        subset=600,
        audits={name: replace(options, probe="train", epochs=6) for name, options in _SMALL_AUDITS.items()},
        training=TrainingOptions(probe="train", epochs=6, **_MEMORIZING),
        parameters={
            "incv": {"iterations": 2, "selection_share": 1 / 3},
            "d2l": {"init_share": 1 / 6, "window": 2},
            "co-teaching": {"warm_up_epochs": 2},
            "dividemix": _ONE_VIEW,
        },
        about="which shows that all methods run, and compares none",
    ),
    "small": Scale(
        subset=5_000,
        audits=_SMALL_AUDITS,
        training=TrainingOptions(probe="train", epochs=25, batch_size=128, **_MEMORIZING),
        # Windows and ramps that are published in epochs, cut as the training is.
        parameters={"co-teaching": {"warm_up_epochs": 3}, "d2l": {"window": 2}, "dividemix": _ONE_VIEW},
        measure_every=5,
        about="a small network without augmentation, which can memorize",
    ),
    "paper": Scale(
        subset=45_000,
        audits={**_SMALL_AUDITS, "paper": TrainingOptions(preset="paper")},
        training=TrainingOptions(preset="paper"),
        about="ResNet-32, and else the settings that each method was published with",
    ),
}


def train_rows(
    clean: Catalogue,
    test: Path,
    rows: Sequence[str],
    scale: Scale,
    reporter: Reporter,
    case: Case,
    seed: int,
    folder: Path,
) -> Iterator[dict[str, list[Row]]]:
    """Plant errors, do the audits that are needed, and train every method; yield the row of each."""
    used = np.flatnonzero(clean.used_N)
    drawn = np.random.default_rng([seed, scale.subset]).permutation(used)[: scale.subset]
    chosen = runner.take(clean, np.sort(drawn))
    data = replace(runner.noisy_data(chosen, case, folder, seed), is_part=True)
    rate = round(case.rate * len(chosen)) / len(chosen)
    truth_csv = folder / "truth.csv"
    if not truth_csv.exists():
        write_text(truth_csv, runner.labels_text(chosen, chosen.label_N))
    same, runs = {"noise": case.name, "rate": rate, "seed": seed}, {}
    for name in sorted(AUDITS):
        runs[name] = RunFolder(folder / f"audit-{name}")
        if name in map(audit_of, rows):
            options = replace(scale.audits[name], seed=seed)
            found = audit(case.name, data, runs[name], clean, options, reporter, AUDITS[name])
            yield {"audits": [{**same, **found.flags, "audit": name, "noise_rate": found.noise_rate}]}
    for row in dict.fromkeys(rows):
        reporter.say(f"{case.name}, seed {seed}: {row}")
        method, run = method_of(row), runs[audit_of(row) or "default"]
        needs, presets = method.needs, presets_of(method)
        own, hyperparameters = published(row, case, len(clean.classes))
        if row == "aul":
            own = {"cut": 0.0}  # in the paper all labels count
        presets["paper"] = replace(presets["paper"], **hyperparameters)
        asked = RetrainOptions(
            method=method.name,
            parameters={**own, **scale.parameters.get(row, {})},
            weights_csv=run.weights_csv if "weights" in needs else None,
            truth_csv=truth_csv if "truth" in needs else None,
            audit=run.root if "noise_rate" in needs else None,
            validation=test,
            measure_every=scale.measure_every,
            training=replace(scale.training, seed=seed),
            presets=presets if hyperparameters and scale.training.preset == "paper" else None,
        )
        start = {**same, "method": row, "status": DIVERGED, "epochs": 0, **_NO_FIGURES}
        yield {"runs": train_method(start, data, asked, folder, reporter)}


def train_method(start: Row, data: Data, options: RetrainOptions, folder: Path, reporter: Reporter) -> list[Row]:
    """Train one method into ``<method>/``, or read ``<method>.json``; a training that diverges is a result too.

    The row has shares, NaN where there is no figure: the test error after the last epoch, of the first of two networks,
    for DivideMix of both together; the least error after an epoch, which early stopping on the test data would have
    given; the share of the given labels that the network disagrees with in its last epoch; and what the method was told
    or found of the noise. Seconds are the wall time of all of it but the audit.
    """
    name: str = start["method"]

    def train() -> list[Row]:
        out = RunFolder(folder / name)
        began, is_new = time.perf_counter(), not out.exists
        try:
            result = retrain(data, out, options, reporter)
        except TrainingError as diverged:
            reporter.warn(f"{name} at {start['noise']}, seed {start['seed']}: {diverged.what}")
            return [start]
        seconds = time.perf_counter() - began if is_new else math.nan
        metrics = read_metrics(out.metrics)
        both = find_method(options.method).predicts_together
        known = {**result["parameters"], **result.get("found", {})}.get("noise_rate")
        trained = {
            **start,
            "status": "trained",
            "error": result["validation_error_of_all_networks"] if both else result["metrics"]["validation_error"],
            "best_error": min(row["validation_error"] for row in metrics if row["validation_error"] is not None),
            "train_error": metrics[-1]["train_error"],
            "epochs": len(metrics),
            "seconds": seconds,
            "noise_rate": math.nan if known is None else known,
        }
        return [trained]

    asked = decides(data, options)
    if options.weights_csv is not None:
        asked["weights"] = options.weights_csv.parent.name
    rows: list[Row] = runner.remembered(folder / f"{name}.json", asked, train)
    return rows


def decides(data: Data, options: RetrainOptions) -> dict[str, object]:
    """Return all that decides the outcome of a training, in plain values."""
    labels = b"" if data.labels_file is None else data.labels_file.read_bytes()
    training = asdict(options.training.deciding)
    return {
        "labels": hashlib.sha256(labels).hexdigest(),
        "test": str(options.validation and options.validation.resolve()),
        "parameters": options.parameters,
        "training": {name: value for name, value in training.items() if value is not None},
        "preset": options.presets,
    }


def with_parameters(scale: Scale, rows: Sequence[str], given: Mapping[str, object]) -> Scale:
    """Return the scale with parameters given as ``row.name``; raise UsageError for rows or names that do not exist."""
    parameters = {row: dict(own) for row, own in scale.parameters.items()}
    for name, value in given.items():
        row, _, own = name.rpartition(".")
        if row not in rows:
            raise UsageError(f"-P {name} is of no row", fix=f"give -P ROW.NAME=VALUE with one of {', '.join(rows)}")
        parameters.setdefault(row, {})[own] = value
    for row in rows:
        make_parameters(row, method_of(row).parameters, parameters.get(row, {}))
    return replace(scale, parameters=parameters)


def cells_of(runs: Rows, paper: int) -> Iterator[Row]:
    """Yield mean and deviation over the seeds in percent, beside the paper's.

    The paper's error is NaN where it has no figure, and the note says what it has instead.
    """
    for (method, noise), group in grouped(runs, "method", "noise").items():
        mean, deviation, _ = spread(100 * run["error"] for run in group)
        theirs = dict(zip(NOISES, PAPERS[paper].get(method, ()), strict=False)).get(noise, "")
        error, paper_deviation = (math.nan, math.nan) if isinstance(theirs, str) else theirs
        yield {
            **{"method": method, "noise": noise, "error": mean, "deviation": deviation},
            **{"seeds": len(group), "diverged": sum(run["status"] == DIVERGED for run in group)},
            **{"paper_error": error, "paper_deviation": paper_deviation},
            "paper_note": theirs if isinstance(theirs, str) else "",
        }


def page_tables(paper: int, measure_every: int, tables: Tables) -> Iterator[str]:
    """Fill the table of cells, and yield the lines of the page; the test error is known every so many epochs."""
    runs = tables["runs"]
    cells = tables["table1"] = list(cells_of(runs, paper))
    has_paper = any(math.isfinite(cell["paper_error"]) for cell in cells)
    note = "Test error in percent after the last epoch, ± the standard deviation over the seeds (n − 1)."
    if has_paper:
        note += (
            f" Beside it the AUL paper's Table 1, CIFAR-{paper} with ResNet-32 and 300 epochs: the orders compare, the "
            "figures do not."
        )
    errors: dict[str, Cell] = {"{}": _error, **({"paper, {}": _published} if has_paper else {})}
    yield from runner.pivot("Test error", note, cells, _METHOD, errors, across="noise")
    best = {"{}": partial(_mean, "best_error", 100)}
    measured = "after every epoch" if measure_every == 1 else f"every {measure_every} epochs and after the last"
    note = (
        f"The least test error of the first network, measured {measured}: what one would have with the test images to "
        "stop by. Far below the table above means that wrong labels were memorized in the end."
    )
    yield from runner.pivot("With early stopping on the test images", note, runs, _METHOD, best, across="noise")
    yield from runner.pivot("Time", _TIME, runs, _METHOD, {"seconds": partial(_mean, "seconds", 1)})
    keys = {name: name for name in ("noise", "seed", "audit")}
    found: dict[str, Cell] = {"rate": ("rate", 3), "estimate": ("noise_rate", 3)}
    found |= {"precision": ("precision", 2), "recall": ("recall", 2)}
    yield from runner.pivot("Audits", _AUDITS, tables["audits"], keys, found)


_METHOD = {"method": "method"}
_TIME = "Wall time of a training, with INCV's cross-validation and without an audit. None where it was interrupted."
_AUDITS = (
    "paper: a training at a constant rate, the AUL, a Gaussian mixture; it gives the weights of the row AUL. default: "
    "labelaudit's own audit; it gives the weights of labelaudit and DivideMix, and the noise rate of Co-Teaching."
)


def _mean(column: str, times: float, rows: Rows) -> str:
    return number(spread(times * row[column] for row in rows).mean, 2)


def _error(cells: Rows) -> str:
    (cell,) = cells
    if not (trained := cell["seeds"] - cell["diverged"]):
        return DIVERGED
    others = f" ({trained} of {cell['seeds']}, others diverged)" if cell["diverged"] else ""
    return runner.with_deviation(cell["error"], cell["deviation"], 2) + others


def _published(cells: Rows) -> str:
    (cell,) = cells
    return cell["paper_note"] or runner.with_deviation(cell["paper_error"], cell["paper_deviation"], 1)


def measure(asked: ExperimentOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``table1.md`` and the Parquet tables."""
    runner.check_experiment(asked)
    rows, device = asked.methods or ROWS, asked.training.device
    scale = with_parameters(SCALES[asked.scale], rows, asked.parameters)
    data, test = runner.folders(asked)
    clean = trainable(scan(data, reporter=reporter))
    cases = runner.noise_cases(asked.noises or scale.noises, clean.classes)
    images, classes = int(clean.used_N.sum()), len(clean.classes)
    scale = replace(
        scale,
        audits={name: replace(options, device=device) for name, options in scale.audits.items()},
        training=replace(scale.training, device=device, epochs=asked.training.epochs or scale.training.epochs),
        subset=min(asked.subset or scale.subset, images),
    )
    epochs = "" if scale.training.epochs is None else f"{scale.training.epochs} epochs (the paper: 300), "
    given = "".join(f", {name}={value}" for name, value in asked.parameters.items())
    about = (
        f"{scale.subset:,} training images of {classes} classes, {epochs}scale {asked.scale} ({scale.about}), seeds "
        f"{asked.seeds_text}{given}; labelaudit {__version__}."
    )
    paper = 100 if classes == 100 else 10
    tables = Tables("Robust training on noisy labels", about)
    measure_case = partial(train_rows, clean, test, rows, scale, reporter)
    return runner.run_cases(
        asked, cases, tables, measure_case, partial(page_tables, paper, scale.measure_every), reporter
    )
