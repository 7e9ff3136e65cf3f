"""cleanlab and AUM on the same labels, with the network and the settings of an audit.

- **cleanlab** (Northcutt et al. 2021; the package, extra ``bench``): probabilities out of fold from five networks, each
  trained by labelaudit's loop on four fifths; its own rankings ``self_confidence`` and ``normalized_margin``, and what
  ``find_label_issues`` calls wrong with its defaults.
- **AUM** (Pleiss et al. 2020): the ranking is the audit's statistic ``aum``. The flags follow the paper's rule, which
  the package ``aum`` leaves to its user: N / (K + 1) random samples are given a class of their own, and what has an AUM
  below the 99th percentile of theirs is called wrong; a second training with other such samples judges the first ones.
  Unlike in the paper all epochs count, not those before the learning rate falls first.

Six networks' worth of training beside the audit's one: four of cleanlab's, two of AUM's. What is trained already is
only read.

Shapes: N samples, R rows that are trained on, K classes, T threshold samples.
"""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from labelaudit.audit.model import read_catalogue
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.prepare import Prepared, Source, make_network, prepare
from labelaudit.engine.devices import choose_device
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.order import derive_seed
from labelaudit.engine.settings import settings_from_json
from labelaudit.errors import RunError
from labelaudit.methods.standard import Standard
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.detection.audits import Measured
from labelaudit.reproduce.detection.quality import FlagQuality, flag_quality, rank_quality
from labelaudit.reproduce.detection.records import EstimateRecord, RankingRecord, Record, Tables
from labelaudit.reproduce.speed.crossvalidation import FOLDS, RANKINGS, out_of_fold_probabilities
from labelaudit.reproduce.speed.extras import require
from labelaudit.reproduce.speed.problem import Problem
from labelaudit.run.documents import read_description
from labelaudit.run.files import storage_errors, write_atomically
from labelaudit.run.layout import RunFolder

BoolArray = npt.NDArray[np.bool_]
FloatArray = npt.NDArray[np.float64]

_PERCENTILE = 99.0
_STAMP = b"labelaudit"


def require_peers() -> None:
    """Refuse to begin without the packages that `measure_peers` needs.

    Raises:
        UsageError: one is not installed.
    """
    require("cleanlab.filter", "cleanlab.rank")


def measure_peers(measured: Measured, folder: Path, options: TrainingOptions, reporter: Reporter = QUIET) -> Tables:
    """Rows of cleanlab and AUM beside those of an audit.

    Args:
        measured: The audit.
        folder: Where what they computed is kept.
        options: Those of the audit.
        reporter: Told about the progress.

    Raises:
        DataError: a class has too few samples for cleanlab's folds.
        RunError: the folder holds what was computed for another audit.
        UsageError: cleanlab is not installed.
        LabelauditError: see `labelaudit.audit.prepare.prepare`.
    """
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    peers = _Peers(measured.run, folder, options, reporter)
    p_NK, below_N = peers.out_of_fold(), peers.below_threshold()
    filters, ranks = require("cleanlab.filter", "cleanlab.rank")
    seen_N = np.isfinite(p_NK[:, 0]) & measured.comparison.used_N
    label_U, p_UK = measured.fitted.catalogue.label_N[seen_N], p_NK[seen_N]
    wrong_U = measured.comparison.wrong_N[seen_N]
    first = measured.tables.audits[0]
    row = Record(noise=first.noise, model=first.model, seed=first.seed)
    tables = Tables.empty()
    for name in RANKINGS:
        found = rank_quality(wrong_U, -ranks.get_label_quality_scores(label_U, p_UK, method=name))
        tables.ranking.append(
            RankingRecord(
                noise=row.noise,
                model=row.model,
                seed=row.seed,
                source="cleanlab",
                statistic=name,
                chosen=name == RANKINGS[0],
                auroc=found.auroc,
                average_precision=found.average_precision,
            )
        )
    issue_U = filters.find_label_issues(label_U, p_UK, n_jobs=1)
    tables.estimates += [
        _estimate(row, "cleanlab", "find_label_issues", wrong_U, issue_U),
        _estimate(row, "aum", "threshold", wrong_U, below_N[seen_N]),
    ]
    return tables


def aum_below_threshold(
    own_N: FloatArray, threshold_N: BoolArray, *, percentile: float = _PERCENTILE
) -> tuple[BoolArray, float]:
    """AUM's rule: which samples lie below the percentile of the threshold samples; never one of these.

    Args:
        own_N: AUM of each sample against the label that it was trained with.
        threshold_N: Which were trained as the class of their own.
        percentile: Of theirs, in [0, 100].

    Returns:
        The samples, and the threshold.
    """
    threshold = float(np.percentile(own_N[threshold_N], percentile))
    below_N: BoolArray = (own_N < threshold) & ~threshold_N
    return below_N, threshold


class _Peers:
    """What cleanlab and AUM need to have trained; the pictures are prepared when the first of it is missing."""

    def __init__(self, run: RunFolder, folder: Path, options: TrainingOptions, reporter: Reporter) -> None:
        self._folder, self._reporter = folder, reporter
        description = read_description(run)
        # Controls are the audit's own; the peers get the labels as they are given.
        settings = settings_from_json(description.settings, str(run.description))
        self._settings = replace(settings, controls=0, pilot_epochs=0)
        self._catalogue = read_catalogue(run)
        self._source = Source(
            device=choose_device(options.device), weights_file=options.network_weights, offline=options.offline
        )
        self._stamp = json.dumps(
            {"fingerprint": description.data.fingerprint, **self._settings.as_json()}, sort_keys=True
        )
        self._prepared: Prepared | None = None

    def out_of_fold(self) -> npt.NDArray[np.float32]:
        """Class probabilities from networks that were trained without the sample: [N, K], NaN without a record."""
        file = self._folder / "out-of-fold.parquet"
        classes = len(self._catalogue.classes)
        if not file.exists():
            prepared = self._prepare()
            problem = Problem(
                inputs=prepared.inputs,
                label_R=prepared.label_R,
                sample_R=prepared.sample_R,
                settings=self._settings,
                device=self._source.device,
                build=lambda: make_network(self._settings, prepared, self._source),
            )
            self._reporter.say(f"cleanlab: {FOLDS} networks of {self._settings.epochs} epochs")
            p_RK = out_of_fold_probabilities(problem, self._settings.epochs)
            column = pa.FixedSizeListArray.from_arrays(pa.array(p_RK.ravel()), classes)
            self._write(file, {"sample": pa.array(prepared.sample_R), "p": column})
        table = self._read(file)
        p_NK = np.full((len(self._catalogue), classes), np.nan, dtype=np.float32)
        p_NK[table["sample"].to_numpy()] = table["p"].combine_chunks().flatten().to_numpy().reshape(-1, classes)
        return p_NK

    def below_threshold(self) -> BoolArray:
        """What AUM's rule calls wrong: [N]."""
        file = self._folder / "aum-threshold.parquet"
        if not file.exists():
            prepared = self._prepare()
            self._reporter.say(f"AUM: 2 networks of {self._settings.epochs} epochs, with threshold samples")
            below_R = self._judge(prepared)
            self._write(file, {"sample": pa.array(prepared.sample_R), "below": pa.array(below_R)})
        table = self._read(file)
        below_N = np.zeros(len(self._catalogue), dtype=bool)
        below_N[table["sample"].to_numpy()] = table["below"].to_numpy()
        return below_N

    def _judge(self, prepared: Prepared) -> BoolArray:
        rows, classes = len(prepared.label_R), len(prepared.catalogue.classes)
        generator = np.random.default_rng(derive_seed(self._settings.seed, "aum threshold"))
        drawn, count = generator.permutation(rows), rows // (classes + 1)
        first_R, second_R = (np.isin(np.arange(rows), part) for part in (drawn[:count], drawn[count : 2 * count]))
        below_R, _ = aum_below_threshold(self._aum(prepared, first_R), first_R)
        again_R, _ = aum_below_threshold(self._aum(prepared, second_R), second_R)
        return np.where(first_R, again_R, below_R)

    def _aum(self, prepared: Prepared, threshold_R: BoolArray) -> FloatArray:
        """The mean margin of a training in which these rows are of a class of their own: [R]."""
        classes = prepared.catalogue.classes
        label_R = torch.where(torch.from_numpy(threshold_R), len(classes), prepared.label_R)
        # One output more; its name is never seen.
        widened = replace(prepared, catalogue=replace(prepared.catalogue, classes=(*classes, "threshold")))
        network = make_network(self._settings, widened, self._source)
        training = Training([network], self._settings, self._source.device)
        margin_R = np.zeros(len(label_R))
        with self._reporter.bar("Training for AUM", self._settings.epochs * len(label_R), "images") as advance:
            for record in run_epochs(training, prepared.inputs, label_R, Standard(), advance):
                margin_R += record.margin_N
        return margin_R / self._settings.epochs

    def _prepare(self) -> Prepared:
        if self._prepared is None:
            self._prepared = prepare(self._catalogue, self._settings, self._source, self._reporter)
        return self._prepared

    def _write(self, file: Path, columns: dict[str, Any]) -> None:
        table = pa.table(columns).replace_schema_metadata({_STAMP: self._stamp.encode()})
        write_atomically(file, lambda partial: pq.write_table(table, partial))

    def _read(self, file: Path) -> Any:
        fix = f"delete {file.parent} to compute it again"
        try:
            table = pq.read_table(file.absolute())
        except (OSError, pa.ArrowException) as error:
            raise RunError(f"{file} is damaged ({' '.join(str(error).split())[:100]})", fix=fix) from error
        if (table.schema.metadata or {}).get(_STAMP) != self._stamp.encode():
            raise RunError(f"{file} is of other labels or settings than the audit beside it", fix=fix)
        return table


def _estimate(row: Record, source: str, name: str, wrong_U: BoolArray, flagged_U: BoolArray) -> EstimateRecord:
    """A peer that calls samples wrong without a probability: its noise rate is their share."""
    found: FlagQuality = flag_quality(wrong_U, flagged_U)
    true_rate = float(wrong_U.mean())
    return EstimateRecord(
        noise=row.noise,
        model=row.model,
        seed=row.seed,
        source=source,
        estimator=name,
        chosen=False,
        true_rate=true_rate,
        noise_rate=found.share,
        error=found.share - true_rate,
        flagged=found.share,
        precision=found.precision,
        recall=found.recall,
        f1=found.f1,
        calibration_error=float("nan"),
    )
