"""How well an audit finds wrong labels: every statistic and estimator, by noise and seed, against the truth.

The AUL paper's figures are drawn by `labelaudit.reproduce.curves`. With ``--peers``, on the same labels, with the
network and the settings of the audit:

- **cleanlab** (Northcutt et al. 2021; the package, extra ``bench``): out-of-fold probabilities of five networks, each
  trained by labelaudit's loop on four fifths; its rankings ``self_confidence`` and ``normalized_margin``, and what
  ``find_label_issues`` calls wrong with its defaults.
- **AUM** (Pleiss et al. 2020), by the paper's rule: N / (K + 1) random samples get a class of their own, and what has
  an AUM below the 99th percentile of theirs is called wrong; a second training with other such samples judges the first
  ones. The ranking is the AUM of these trainings. Unlike in the paper all epochs count.

Shapes: N samples, U of them with a verdict, R rows that are trained on, K classes, P rows of a part.
"""

from __future__ import annotations

import importlib
import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedKFold
from torch import nn

from labelaudit import __version__
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import set_up_device
from labelaudit.auditing.prepare import Prepared, Source, make_network, numbered_as, prepare
from labelaudit.data.catalogue import Catalogue, trainable
from labelaudit.data.folder import require_outside, scan
from labelaudit.detect import BoolArray, FloatArray
from labelaudit.engine.devices import Device
from labelaudit.engine.draws import derive_seed
from labelaudit.engine.inputs import Inputs, SomeRows
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.networks import require_known
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.errors import DataError, UsageError
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import ExperimentOptions, curves, runner
from labelaudit.reproduce.runner import NOTHING, Case, Row, Rows, Tables, grouped, pivot
from labelaudit.reproduce.truth import OURS, TrueAudit, audit
from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder

FOLDS = 5
CLEANLABS = ("self_confidence", "normalized_margin")
PAPER_NOISE = (*(f"uniform:0.{tenth}" for tenth in range(1, 10)), *(f"pair-flip:0.{tenth}" for tenth in range(1, 5)))
"""That of the AUL paper's Figures 7 and 9."""


def measure(asked: ExperimentOptions, reporter: Reporter = QUIET) -> str:
    """Measure everything that is asked for, and write ``detection.md``, the Parquet tables and the figures."""
    runner.check_experiment(asked)
    noises = (*asked.noises, *(PAPER_NOISE if asked.paper_noise else ()))
    if not (noises or asked.noisy_labels or asked.truth):
        fix = "give --noise KIND:RATE, or --noisy-labels FILE, or --truth FILE"
        raise UsageError("there is nothing to measure", fix=fix)
    if asked.peers:
        require("cleanlab.filter", "cleanlab.rank")
    for model in asked.also_models:
        require_known(model)
    if asked.data is None:
        raise UsageError("--data is missing", fix="give --data")
    test, truth = None, trainable(scan(asked.data, labels_file=asked.truth, reporter=reporter))
    cases = runner.noise_cases(noises, truth.classes, asked.noisy_labels) or [Case(name="given")]
    if asked.test is not None:
        require_outside(asked.out, asked.test, "--out")
        test = scan(asked.test, reporter=reporter)
        numbered_as(test, truth)  # other classes are refused before anything is trained
    tables = Tables("Detection of wrong labels")

    def measure_case(case: Case, seed: int, folder: Path) -> Iterator[dict[str, list[Row]]]:
        options, data = replace(asked.training, seed=seed), runner.noisy_data(truth, case, folder, seed)
        compared = list[tuple[Row, dict[str, FloatArray]]]()
        for model in dict.fromkeys((None, *asked.also_models)):
            run = RunFolder(folder / ("run" if model is None else f"run-{Case(name=model).folder_name}"))
            own = options if model is None else replace(options, model=model, network_weights=None)
            found = audit(case.name, data, run, truth, own, reporter, test=test)
            rows, signals = curves.measure_losses(found, tested=test is not None)
            rows |= _rows(found)
            if not compared:
                tables.about = _about(asked, truth, found)
                peers = measure_peers(found, folder / "peers", own, reporter) if asked.peers else {}
                rows |= {name: rows[name] + peer for name, peer in peers.items()}
            yield {**rows, "networks": [curves.compare(*one, found.row, signals) for one in compared]}
            compared.append((found.row, signals))

    figures = partial(curves.figures, truth=truth)
    return runner.run_cases(asked, cases, tables, measure_case, _page, reporter, figures)


def _about(asked: ExperimentOptions, truth: Catalogue, found: TrueAudit) -> str:
    settings, model = found.settings, found.row["model"]
    weights = "from scratch" if settings["weights"] == "scratch" else f"with {settings['weights']} weights"
    probe = f"{model} {weights}" if settings["kind"] == "train" else f"a head on frozen {model}"
    return (
        f"{int(truth.used_N.sum()):,} images of {len(truth.classes)} classes, seeds {asked.seeds_text}; "
        f"labelaudit {__version__}; the probe is {probe}, {settings['image_size']} pixels, {settings['epochs']} "
        "epochs.\n\n± is the standard deviation over the seeds (n − 1); a count in brackets says how many have the "
        "figure."
    )


def _rows(found: TrueAudit) -> dict[str, list[Row]]:
    """Return the rows of an audit; ``held``: whether the interval contains the truth, NaN for none."""
    rate, (low, high) = found.true_rate, found.interval
    held = math.nan if math.isnan(low) else float(low <= rate <= high)
    audited = {"samples": len(found.wrong_U), "wrong": int(found.wrong_U.sum()), "noise_rate": rate, "held": held}
    audited |= {"low": low, "high": high, "suggestion": found.suggestion}
    audited |= {**found.row, "epochs": found.fitted.statistics.epochs}
    rankings, estimates = list(found.rankings()), list(found.estimates())
    return {"audits": [audited], "ranking": rankings, "estimates": estimates}


def _page(tables: Tables) -> Iterator[str]:
    several = len({row["model"] for row in tables["audits"]}) > 1
    bold = {row["statistic"] for row in tables["ranking"] if row["chosen"] and row["source"] == OURS}

    def labeled(name: str, more: Callable[[Row], Row] = lambda _row: {}) -> list[Row]:
        label = "{noise} ({model})" if several else "{noise}"
        return [{**row, "label": label.format(**row), **more(row)} for row in tables[name]]

    rankings = labeled("ranking", lambda row: {"name": _named(row, "statistic", row["statistic"] in bold)})
    for heading, field in (("AUROC", "auroc"), ("Average precision", "average_precision")):
        note = "Bold: the statistic that ranks in the audit."
        yield from pivot(f"Ranking: {heading}", note, rankings, {"noise": "label"}, {"{}": (field, 4)}, across="name")
    columns = {name: (name.replace(" ", "_"), 3) for name in ("true rate", "noise rate", "error", "flagged")}
    columns |= {name: (name.lower(), 3) for name in ("precision", "recall", "F1")}
    yield from pivot(
        "Noise rate and suspicious labels",
        "*Error* is the estimated less the true noise rate. Precision, recall and F1 are those of P(mislabeled) > .5, "
        "or of the peer's own rule; *flagged* is the share that it calls wrong. ECE: 15 equal bins. "
        f"Bold: the audit's estimator. {curves.PAPER_ESTIMATOR} is the AUL paper's, on the AUL.",
        labeled("estimates", lambda row: {"name": _named(row, "estimator", row["chosen"])}),
        {"noise": "label", "estimator": "name"},
        {**columns, "ECE": ("calibration_error", 3)},
    )
    yield from pivot(
        "The audit's interval",
        "*Suggestion*: the share of wrong labels whose suggested label is right.",
        labeled("audits"),
        {"noise": "label"},
        {
            **{"true rate": ("noise_rate", 3), "low": ("low", 3), "high": ("high", 3), "held the truth": _held},
            "suggestion": ("suggestion", 3),
        },
    )
    by_epoch = []
    for rows in grouped(labeled("epochs"), "label").values():
        known = curves.known_epochs(rows)
        for epoch in np.linspace(1, len(known), min(len(known), 8)).round().astype(int).tolist():
            for name in ("loss", "AUL"):
                by_epoch += [{**row, "quantity": name, "auroc": row[f"{name.lower()}_auroc"]} for row in known[epoch]]
    yield from pivot(
        "The loss of an epoch against the AUL up to it",
        "AUROC; the AUL paper's Figure 2.",
        by_epoch,
        {"noise": "label", "": "quantity"},
        {"epoch {}": ("auroc", 4)},
        across="epoch",
    )
    measured = curves.measured(tables)
    without = "" if "test_loss" in measured else " Held-out losses are correlated with --test."
    yield from pivot(
        "Agreement of networks",
        f"Pearson's correlation over the samples; the AUL paper's Figure 5.{without}",
        tables["networks"],
        {"noise": "noise", "network": "model", "other network": "other_model"},
        {title: (name, 3) for name, title in measured.items()},
    )


def _named(row: Row, column: str, chosen: bool) -> str:
    name: str = row[column]
    return f"{row['source']}: {name}" if row["source"] != OURS else f"**{name}**" if chosen else name


def _held(rows: Rows) -> str:
    held = [row["held"] for row in rows if not math.isnan(row["held"])]
    return f"{sum(held):.0f} of {len(held)}" if held else NOTHING


def require(*names: str) -> list[Any]:
    """Import modules of a package that labelaudit is compared with; raise UsageError if it is not installed."""
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        what = f"this compares with {names[0].partition('.')[0]}, not installed here"
        raise UsageError(what, fix="pip install 'labelaudit[bench]'") from error


def measure_peers(found: TrueAudit, folder: Path, options: TrainingOptions, reporter: Reporter) -> dict[str, list[Row]]:
    """Return the rows of cleanlab and AUM beside those of an audit with the same options; the folder keeps them.

    Raises RunError where the folder holds those of another audit; for others see `require` and the folds below.
    """
    filters, ranks = require("cleanlab.filter", "cleanlab.rank")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    catalogue, used_N = found.fitted.catalogue, found.used_N
    label_U = catalogue.label_N[used_N]
    settings = replace(settings_from_json(found.settings, str(found.run.description)), heads_epochs=0)
    source = Source(device=set_up_device(options), weights_file=options.network_weights, offline=options.offline)

    def compute() -> dict[str, list[Row]]:
        prepared = prepare(catalogue, settings, source, reporter)

        def used(value_R: npt.NDArray[Any]) -> npt.NDArray[Any]:
            """Return the values of rows for the samples that have a verdict: [U, …]."""
            value_N = np.zeros((len(used_N), *value_R.shape[1:]), dtype=value_R.dtype)
            value_N[prepared.sample_R] = value_R
            return value_N[used_N]

        reporter.say(f"cleanlab: {FOLDS} networks of {settings.epochs} epochs")
        inputs, build = prepared.inputs, partial(make_network, settings, prepared, source)
        p_UK = used(out_of_fold_probabilities(inputs, prepared.label_R, settings, source.device, build))
        reporter.say(f"AUM: 2 networks of {settings.epochs} epochs, with threshold samples")
        aum_U, below_U = map(used, _threshold_trainings(prepared, settings, source, reporter))
        suspicions = {name: -ranks.get_label_quality_scores(label_U, p_UK, method=name) for name in CLEANLABS}
        rankings = [found.ranking("cleanlab", *of, chosen=of[0] == CLEANLABS[0]) for of in suspicions.items()]
        issue_U = filters.find_label_issues(label_U, p_UK, n_jobs=1)
        return {
            "ranking": [*rankings, found.ranking("aum", "aum", -aum_U, chosen=True)],
            "estimates": [
                found.estimate("cleanlab", "find_label_issues", issue_U, float(issue_U.mean())),
                found.estimate("aum", "threshold", below_U, float(below_U.mean())),
            ],
        }

    asked = {"fingerprint": catalogue.fingerprint, "settings": settings.as_json()}
    rows: dict[str, list[Row]] = runner.remembered(folder / "peers.json", asked, compute)
    return rows


def _threshold_trainings(
    prepared: Prepared, settings: TrainingSettings, source: Source, reporter: Reporter
) -> tuple[FloatArray, BoolArray]:
    """Return the AUM of each sample in a training in which it has its given label, and what AUM's rule calls wrong."""
    rows, classes = len(prepared.label_R), prepared.catalogue.classes
    drawn = np.random.default_rng(derive_seed(settings.seed, "aum threshold")).permutation(rows)
    count = rows // (len(classes) + 1)
    # One output more, for the class of the threshold samples; its name is never seen.
    widened = replace(prepared, catalogue=replace(prepared.catalogue, classes=(*classes, "threshold")))
    first_R, second_R = (np.isin(np.arange(rows), part) for part in (drawn[:count], drawn[count : 2 * count]))
    aums, below = [], []
    for threshold_R in (first_R, second_R):
        label_R = torch.where(torch.from_numpy(threshold_R), len(classes), prepared.label_R)
        task = Task(prepared.inputs, label_R)
        training = Training([make_network(settings, widened, source)], settings, source.device, task)
        margin_R = np.zeros(rows)
        with reporter.bar("Training for AUM", settings.epochs * rows, "images") as advance:
            for record in training.run_epochs(advance):
                margin_R += record.margin_N
        aums.append(margin_R / settings.epochs)
        below.append(aum_below_threshold(aums[-1], threshold_R))
    return np.where(first_R, *aums[::-1]), np.where(first_R, *below[::-1])


def aum_below_threshold(own_N: FloatArray, threshold_N: BoolArray, *, percentile: float = 99.0) -> BoolArray:
    """Return AUM's rule: which samples lie below the percentile of the threshold samples; never one of these.

    ``own_N`` is the AUM against the label that a sample was trained with.
    """
    below_N: BoolArray = (own_N < np.percentile(own_N[threshold_N], percentile)) & ~threshold_N
    return below_N


def out_of_fold_probabilities(
    inputs: Inputs,
    label_R: torch.Tensor,
    settings: Hyperparameters,
    device: Device,
    build: Callable[[], nn.Module],
) -> npt.NDArray[np.float32]:
    """Train five networks, each on four fifths of the rows, and return their probabilities on the rest: [R, K].

    Raises DataError where a class has too few samples for five folds.
    """
    if int(label_R.bincount().min()) < FOLDS:
        raise DataError(f"a class has fewer than {FOLDS} samples", fix="cross-validation needs one for each fold")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=settings.seed)
    p_RK = torch.empty(0)
    for taught_P, asked_P in folds.split(label_R, label_R):
        row_P = torch.from_numpy(taught_P)
        training = Training([build()], settings, device, Task(SomeRows(inputs, row_P), label_R[row_P]))
        for _ in training.run_epochs(lambda _: None):
            pass
        p_PK = training.predict(SomeRows(inputs, torch.from_numpy(asked_P)))
        p_RK = p_RK if len(p_RK) else p_PK.new_empty(len(label_R), p_PK.shape[1])
        p_RK[asked_P] = p_PK
    return p_RK.numpy()
