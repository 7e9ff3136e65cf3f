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
from functools import cached_property, partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from sklearn.model_selection import StratifiedKFold
from torch import nn

from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.prepare import Prepared, Source, make_network, prepare
from labelaudit.engine.devices import choose_device
from labelaudit.engine.inputs import Inputs, SomeRows
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.order import derive_seed
from labelaudit.engine.settings import settings_from_json
from labelaudit.errors import DataError, UsageError
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.methods.standard import Standard
from labelaudit.progress import Reporter
from labelaudit.reproduce.tables import Row, remembered
from labelaudit.reproduce.truth import BoolArray, EstimateRow, FloatArray, RankingRow, TrueAudit, rank_quality
from labelaudit.run.files import storage_errors

FOLDS = 5
RANKINGS = ("self_confidence", "normalized_margin")

_PERCENTILE = 99.0
_STAMP = b"labelaudit"


def require(*names: str) -> list[Any]:
    """Import modules of the packages that labelaudit is compared with.

    Raises:
        UsageError: some are not installed.
    """
    modules, missing = [], []
    for name in names:
        try:
            modules.append(importlib.import_module(name))
        except ModuleNotFoundError as error:
            if error.name is None or error.name.partition(".")[0] != name.partition(".")[0]:
                raise
            missing.append(name.partition(".")[0])
    if missing:
        raise UsageError(
            f"this compares with {' and '.join(dict.fromkeys(missing))}, not installed here",
            fix="pip install 'labelaudit[bench]'",
        )
    return modules


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
    trainings, label_N = _PeerTrainings(found, options, reporter), found.fitted.catalogue.label_N
    asked = {"fingerprint": found.fitted.catalogue.fingerprint, "settings": trainings.settings.as_json()}

    def rankings() -> Iterator[RankingRow]:
        for name in RANKINGS:
            suspicion_U = -ranks.get_label_quality_scores(label_N[found.used_N], trainings.p_UK, method=name)
            quality = rank_quality(found.wrong_U, suspicion_U)
            chosen = name == RANKINGS[0]
            yield RankingRow(**{**vars(found.row), **quality}, source="cleanlab", statistic=name, chosen=chosen)

    def estimates() -> Iterator[EstimateRow]:
        issue_U = filters.find_label_issues(label_N[found.used_N], trainings.p_UK, n_jobs=1)
        yield found.estimate("cleanlab", "find_label_issues", issue_U, float(issue_U.mean()))
        below_U = trainings.below_threshold()
        yield found.estimate("aum", "threshold", below_U, float(below_U.mean()))

    return [
        *remembered(folder / "ranking.parquet", asked, RankingRow, lambda: list(rankings())),
        *remembered(folder / "estimates.parquet", asked, EstimateRow, lambda: list(estimates())),
    ]


def aum_below_threshold(own_N: FloatArray, threshold_N: BoolArray, *, percentile: float = _PERCENTILE) -> BoolArray:
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
    found: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.float32]]] = []
    for taught_P, asked_P in folds.split(np.zeros(len(label_R)), label_R.numpy()):
        row_P = torch.from_numpy(taught_P)
        training = Training([build()], settings, device)
        for _ in run_epochs(training, SomeRows(inputs, row_P), label_R[row_P], Standard(), lambda _: None):
            pass
        found.append((asked_P, training.predict(SomeRows(inputs, torch.from_numpy(asked_P))).numpy()))
    p_RK = np.empty((len(label_R), found[0][1].shape[1]), dtype=np.float32)
    for asked_P, p_PK in found:
        p_RK[asked_P] = p_PK
    return p_RK


class _PeerTrainings:
    """The trainings of cleanlab and AUM; the images are prepared when the first of them begins."""

    def __init__(self, found: TrueAudit, options: TrainingOptions, reporter: Reporter) -> None:
        # Controls are the audit's own; the peers get the labels as they are given.
        settings = settings_from_json(found.settings, str(found.run.description))
        self.settings = replace(settings, controls=0, pilot_epochs=0)
        self._found, self._reporter = found, reporter
        device = choose_device(options.device)
        self._source = Source(device=device, weights_file=options.network_weights, offline=options.offline)

    @cached_property
    def _prepared(self) -> Prepared:
        return prepare(self._found.fitted.catalogue, self.settings, self._source, self._reporter)

    def _used(self, value_R: npt.NDArray[Any]) -> npt.NDArray[Any]:
        """Return the values of rows for the samples that have a verdict: [U, …]."""
        value_N = np.zeros((len(self._found.used_N), *value_R.shape[1:]), dtype=value_R.dtype)
        value_N[self._prepared.sample_R] = value_R
        return value_N[self._found.used_N]

    @cached_property
    def p_UK(self) -> npt.NDArray[np.float32]:
        """Cleanlab's class probabilities."""
        prepared, settings, source = self._prepared, self.settings, self._source
        self._reporter.say(f"cleanlab: {FOLDS} networks of {settings.epochs} epochs")
        build = partial(make_network, settings, prepared, source)
        return self._used(out_of_fold_probabilities(prepared.inputs, prepared.label_R, settings, source.device, build))

    def below_threshold(self) -> BoolArray:
        """Return what AUM's rule calls wrong: [U]."""
        prepared = self._prepared
        self._reporter.say(f"AUM: 2 networks of {self.settings.epochs} epochs, with threshold samples")
        rows, classes = len(prepared.label_R), len(prepared.catalogue.classes)
        generator = np.random.default_rng(derive_seed(self.settings.seed, "aum threshold"))
        drawn, count = generator.permutation(rows), rows // (classes + 1)
        first_R, second_R = (np.isin(np.arange(rows), part) for part in (drawn[:count], drawn[count : 2 * count]))
        below_R = aum_below_threshold(self._aum(prepared, first_R), first_R)
        again_R = aum_below_threshold(self._aum(prepared, second_R), second_R)
        return self._used(np.where(first_R, again_R, below_R))

    def _aum(self, prepared: Prepared, threshold_R: BoolArray) -> FloatArray:
        """Return the mean margin of a training in which these rows are of a class of their own: [R]."""
        classes = prepared.catalogue.classes
        label_R = torch.where(torch.from_numpy(threshold_R), len(classes), prepared.label_R)
        # One output more; its name is never seen.
        widened = replace(prepared, catalogue=replace(prepared.catalogue, classes=(*classes, "threshold")))
        network = make_network(self.settings, widened, self._source)
        training = Training([network], self.settings, self._source.device)
        margin_R = np.zeros(len(label_R))
        with self._reporter.bar("Training for AUM", self.settings.epochs * len(label_R), "images") as advance:
            for record in run_epochs(training, prepared.inputs, label_R, Standard(), advance):
                margin_R += record.margin_N
        return margin_R / self.settings.epochs
