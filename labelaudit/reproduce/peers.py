"""cleanlab and AUM on the same labels, with the network and the settings of an audit.

- **cleanlab** (Northcutt et al. 2021; the package, extra ``bench``): out-of-fold probabilities of five networks, each
  trained by labelaudit's loop on four fifths; its rankings ``self_confidence`` and ``normalized_margin``, and what
  ``find_label_issues`` calls wrong with its defaults.
- **AUM** (Pleiss et al. 2020): the ranking is the audit's statistic ``aum``. The flags follow the paper's rule, which
  the package ``aum`` leaves to its user: N / (K + 1) random samples get a class of their own, and what has an AUM below
  the 99th percentile of theirs is called wrong; a second training with other such samples judges the first ones.
  Unlike in the paper all epochs count, not those before the learning rate falls first.

Six trainings' worth of work beside the audit's one: four for cleanlab, two for AUM. Finished ones are only read.

Shapes: N samples, U of them with a verdict, R rows that are trained on, K classes, P rows of a part.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import cache, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedKFold
from torch import nn

from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.prepare import Prepared, Source, make_network, prepare
from labelaudit.data.catalogue import BoolArray
from labelaudit.engine.devices import choose_device
from labelaudit.engine.inputs import Inputs, SomeRows
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.order import derive_seed
from labelaudit.engine.settings import TrainingSettings, settings_from_json
from labelaudit.errors import DataError, UsageError
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.methods.standard import Standard
from labelaudit.progress import Reporter
from labelaudit.reproduce.tables import Row, remembered
from labelaudit.reproduce.truth import EstimateRow, FloatArray, RankingRow, TrueAudit
from labelaudit.run.files import storage_errors

FOLDS = 5
RANKINGS = ("self_confidence", "normalized_margin")


def require(*names: str) -> list[Any]:
    """Import modules of a package that labelaudit is compared with.

    Raises:
        UsageError: it is not installed.
    """
    try:
        return [importlib.import_module(name) for name in names]
    except ModuleNotFoundError as error:
        package = names[0].partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise UsageError(
            f"this compares with {package}, not installed here", fix="pip install 'labelaudit[bench]'"
        ) from error


def measure_peers(found: TrueAudit, folder: Path, options: TrainingOptions, reporter: Reporter) -> list[Row]:
    """Return the rows of cleanlab and AUM beside those of an audit.

    Args:
        found: The audit.
        folder: Keeps the rows.
        options: Those of the audit.
        reporter: Told about the progress.

    Raises:
        DataError: a class has too few samples for cleanlab's folds.
        RunError: the folder holds what was computed for another audit.
        UsageError: cleanlab is not installed.
    """
    filters, ranks = require("cleanlab.filter", "cleanlab.rank")
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    catalogue, used_N = found.fitted.catalogue, found.used_N
    label_U = catalogue.label_N[used_N]
    # Controls are the audit's own; the peers get the labels as they are given.
    settings = replace(settings_from_json(found.settings, str(found.run.description)), controls=0, pilot_epochs=0)
    source = Source(device=choose_device(options.device), weights_file=options.network_weights, offline=options.offline)

    @cache
    def prepared() -> Prepared:
        return prepare(catalogue, settings, source, reporter)

    def used(value_R: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values of rows for the samples that have a verdict: [U, …]."""
        value_N = np.zeros((len(used_N), *value_R.shape[1:]), dtype=value_R.dtype)
        value_N[prepared().sample_R] = value_R
        return value_N[used_N]

    @cache
    def p_UK() -> npt.NDArray[np.float32]:
        reporter.say(f"cleanlab: {FOLDS} networks of {settings.epochs} epochs")
        build, inputs, label_R = (
            partial(make_network, settings, prepared(), source),
            prepared().inputs,
            prepared().label_R,
        )
        return used(out_of_fold_probabilities(inputs, label_R, settings, source.device, build))

    def rankings() -> Iterator[RankingRow]:
        for name in RANKINGS:
            suspicion_U = -ranks.get_label_quality_scores(label_U, p_UK(), method=name)
            yield found.ranking("cleanlab", name, suspicion_U, chosen=name == RANKINGS[0])

    def estimates() -> Iterator[EstimateRow]:
        issue_U = filters.find_label_issues(label_U, p_UK(), n_jobs=1)
        yield found.estimate("cleanlab", "find_label_issues", issue_U, float(issue_U.mean()))
        reporter.say(f"AUM: 2 networks of {settings.epochs} epochs, with threshold samples")
        below_U = used(_below_threshold(prepared(), settings, source, reporter))
        yield found.estimate("aum", "threshold", below_U, float(below_U.mean()))

    asked = {"fingerprint": catalogue.fingerprint, "settings": settings.as_json()}
    return [
        *remembered(folder / "ranking.parquet", asked, RankingRow, rankings),
        *remembered(folder / "estimates.parquet", asked, EstimateRow, estimates),
    ]


def _below_threshold(prepared: Prepared, settings: TrainingSettings, source: Source, reporter: Reporter) -> BoolArray:
    """Return what AUM's rule calls wrong: [R]."""
    rows, classes = len(prepared.label_R), prepared.catalogue.classes
    generator = np.random.default_rng(derive_seed(settings.seed, "aum threshold"))
    drawn, count = generator.permutation(rows), rows // (len(classes) + 1)
    # One output more, for the class of the threshold samples; its name is never seen.
    widened = replace(prepared, catalogue=replace(prepared.catalogue, classes=(*classes, "threshold")))
    first_R, second_R = (np.isin(np.arange(rows), part) for part in (drawn[:count], drawn[count : 2 * count]))
    below = []
    for threshold_R in (first_R, second_R):
        label_R = torch.where(torch.from_numpy(threshold_R), len(classes), prepared.label_R)
        training = Training([make_network(settings, widened, source)], settings, source.device)
        margin_R = np.zeros(rows)
        with reporter.bar("Training for AUM", settings.epochs * rows, "images") as advance:
            for record in run_epochs(training, prepared.inputs, label_R, Standard(), advance):
                margin_R += record.margin_N
        below.append(aum_below_threshold(margin_R / settings.epochs, threshold_R))
    return np.where(first_R, below[1], below[0])


def aum_below_threshold(own_N: FloatArray, threshold_N: BoolArray, *, percentile: float = 99.0) -> BoolArray:
    """Return AUM's rule: which samples lie below the percentile of the threshold samples; never one of these.

    Args:
        own_N: AUM of each sample against the label that it was trained with.
        threshold_N: Which were trained as the class of their own.
        percentile: Of theirs, in [0, 100].
    """
    below_N: BoolArray = (own_N < np.percentile(own_N[threshold_N], percentile)) & ~threshold_N
    return below_N


def out_of_fold_probabilities(
    inputs: Inputs,
    label_R: torch.Tensor,
    settings: Hyperparameters,
    device: torch.device,
    build: Callable[[], nn.Module],
) -> npt.NDArray[np.float32]:
    """Train five networks, each on four fifths of the rows, and return their probabilities on the rest: [R, K].

    Raises:
        DataError: a class has too few samples for five folds.
    """
    if int(label_R.bincount().min()) < FOLDS:
        raise DataError(f"a class has fewer than {FOLDS} samples", fix="cross-validation needs one for each fold")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=settings.seed)
    p_RK = torch.empty(0)
    for taught_P, asked_P in folds.split(label_R, label_R):
        row_P = torch.from_numpy(taught_P)
        training = Training([build()], settings, device)
        for _ in run_epochs(training, SomeRows(inputs, row_P), label_R[row_P], Standard(), lambda _: None):
            pass
        p_PK = training.predict(SomeRows(inputs, torch.from_numpy(asked_P)))
        p_RK = p_RK if len(p_RK) else p_PK.new_empty(len(label_R), p_PK.shape[1])
        p_RK[asked_P] = p_PK
    return p_RK.numpy()
