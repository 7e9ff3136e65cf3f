"""One audit against the truth, from the labels to rows of the tables.

Shapes: N samples.
"""

from __future__ import annotations

import math
import time
from dataclasses import dataclass
from pathlib import Path

from labelaudit.audit.judge import Fitted
from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.score import score
from labelaudit.data.catalogue import Catalogue
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.detection.compare import Comparison
from labelaudit.reproduce.detection.curves import LossCurves, read_loss_curves
from labelaudit.reproduce.detection.labels import keep_noisy_labels
from labelaudit.reproduce.detection.records import (
    AuditRecord,
    ControlRecord,
    EpochRecord,
    EstimateRecord,
    RankingRecord,
    Tables,
)
from labelaudit.reproduce.detection.settings import Setting
from labelaudit.run.documents import read_description
from labelaudit.run.files import read_json, storage_errors, write_json
from labelaudit.run.layout import RunFolder

OURS = "labelaudit"


@dataclass(frozen=True, kw_only=True)
class Measured:
    """An audit and what it is worth.

    Attributes:
        run: Where it lies.
        model: The network.
        fitted: Its verdicts.
        comparison: With the truth.
        curves: The losses, and how well they tell wrong labels.
        tables: The rows that come from it.
    """

    run: RunFolder
    model: str
    fitted: Fitted
    comparison: Comparison
    curves: LossCurves
    tables: Tables


def plant(setting: Setting, truth: Catalogue, folder: Path, seed: int) -> Data:
    """The labels of a setting: written below the folder where they are planted, else where they are.

    Raises:
        RunError: the folder holds other labels.
        StorageError: the folder may not be written to, or is full.
    """
    if setting.planted is None:
        return Data(root=truth.root, labels_file=setting.labels_file)
    labels = folder / "labels.csv"
    noise = setting.planted
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    keep_noisy_labels(truth, labels, kind=noise.kind, rate=noise.rate, seed=seed, among=noise.among)
    return Data(root=truth.root, labels_file=labels)


def measure(
    setting: Setting,
    truth: Catalogue,
    folder: Path,
    options: TrainingOptions,
    *,
    run: RunFolder | None = None,
    reporter: Reporter = QUIET,
) -> Measured:
    """Plant errors, audit, compare; what is there already is only read.

    Args:
        setting: Which labels.
        truth: The right ones.
        folder: Of this setting and seed.
        options: Of the training; their seed plants the errors too.
        run: The run folder; default: ``run`` in the folder.
        reporter: Told about the progress.

    Raises:
        DataError: a label has no truth.
        LabelauditError: see `labelaudit.audit.score.score`.
    """
    seed = options.seed or 0
    data = plant(setting, truth, folder, seed)
    run = run or RunFolder(folder / "run")
    new, began = not run.exists, time.perf_counter()
    fitted = score(data, run, options, reporter=reporter)
    seconds = _seconds(run, time.perf_counter() - began if new else None)
    comparison = Comparison(fitted, truth)
    curves = read_loss_curves(run, comparison.wrong_N)
    model = str(read_description(run).settings["model"])
    rows = _Rows(setting.name, model, seed, fitted, comparison)
    tables = Tables(
        audits=[rows.audit(seconds)],
        ranking=rows.ranking(),
        estimates=rows.estimates(),
        controls=rows.controls(),
        epochs=[
            EpochRecord(noise=setting.name, model=model, seed=seed, epoch=number, loss_auroc=loss, aul_auroc=aul)
            for number, (loss, aul) in enumerate(zip(curves.loss_auroc, curves.aul_auroc, strict=True), start=1)
        ],
        networks=[],
    )
    return Measured(run=run, model=model, fitted=fitted, comparison=comparison, curves=curves, tables=tables)


def _seconds(run: RunFolder, taken: float | None) -> float:
    """What the audit took, kept beside it for whoever reads it later; NaN when it was done in several goes."""
    file = run.root.with_name(f"{run.root.name}-seconds.json")
    if taken is not None:
        write_json(file, {"seconds": taken})
    return float(read_json(file)["seconds"]) if file.exists() else math.nan


class _Rows:
    """The rows of one audit."""

    def __init__(self, noise: str, model: str, seed: int, fitted: Fitted, comparison: Comparison) -> None:
        self._noise, self._model, self._seed = noise, model, seed
        self._fitted, self._comparison = fitted, comparison

    def audit(self, seconds: float) -> AuditRecord:
        rate, interval = self._comparison.noise_rate, self._fitted.verdicts.interval
        low, high = interval or (math.nan, math.nan)
        return AuditRecord(
            noise=self._noise,
            model=self._model,
            seed=self._seed,
            samples=len(self._comparison.wrong_U),
            wrong=int(self._comparison.wrong_U.sum()),
            noise_rate=rate,
            low=low,
            high=high,
            held=math.nan if interval is None else float(low <= rate <= high),
            suggestion=self._comparison.suggestion,
            epochs=self._fitted.statistics.epochs,
            seconds=seconds,
        )

    def ranking(self) -> list[RankingRecord]:
        return [
            RankingRecord(
                noise=self._noise,
                model=self._model,
                seed=self._seed,
                source=OURS,
                statistic=name,
                chosen=name == self._fitted.noise.fit.rank_by,
                auroc=quality.auroc,
                average_precision=quality.average_precision,
            )
            for name, quality in self._comparison.rankings().items()
        ]

    def estimates(self) -> list[EstimateRecord]:
        true_rate = self._comparison.noise_rate
        return [
            EstimateRecord(
                noise=self._noise,
                model=self._model,
                seed=self._seed,
                source=OURS,
                estimator=name,
                chosen=name == self._fitted.noise.fit.estimator,
                true_rate=true_rate,
                noise_rate=found.noise_rate,
                error=found.noise_rate - true_rate,
                flagged=found.flags.share,
                precision=found.flags.precision,
                recall=found.flags.recall,
                f1=found.flags.f1,
                calibration_error=found.calibration_error,
            )
            for name, found in self._comparison.estimates().items()
        ]

    def controls(self) -> list[ControlRecord]:
        return [
            ControlRecord(
                noise=self._noise,
                model=self._model,
                seed=self._seed,
                kind=row.kind,
                planted=row.planted,
                found=row.found,
            )
            for row in self._fitted.noise.power.kinds
            if row.class_name is None
        ]
