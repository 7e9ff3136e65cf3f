"""The long tables of a measurement: a record is a row, a field a column."""

from __future__ import annotations

from dataclasses import dataclass, fields
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from labelaudit.reproduce.tables import to_table
from labelaudit.run.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class Record:
    """What every row begins with.

    Attributes:
        noise: Name of the setting.
        model: The network.
        seed: Of the planted errors and the probe.
    """

    noise: str
    model: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class AuditRecord(Record):
    """One audit.

    Attributes:
        samples, wrong: Labels with a verdict, and those of them that are wrong.
        noise_rate: The true one.
        low, high: The audit's interval; NaN without one.
        held: 1 where the interval held the truth, 0 where not, NaN without one.
        suggestion: Share of the wrong labels whose suggested label is the true one.
        epochs: Of the probe.
        seconds: Wall time of the audit; NaN when it was done in several goes.
    """

    samples: int
    wrong: int
    noise_rate: float
    low: float
    high: float
    held: float
    suggestion: float
    epochs: int
    seconds: float


@dataclass(frozen=True, kw_only=True)
class RankingRecord(Record):
    """One ranking of one audit.

    Attributes:
        source: ``labelaudit`` or ``cleanlab``.
        statistic: Which ranks.
        chosen: True for the statistic that ranks in the audit's own list.
    """

    source: str
    statistic: str
    chosen: bool
    auroc: float
    average_precision: float


@dataclass(frozen=True, kw_only=True)
class EstimateRecord(Record):
    """One estimator in one audit.

    Attributes:
        source: ``labelaudit``, ``cleanlab`` or ``aum``.
        estimator: Which.
        chosen: True for the estimator of the audit's own verdicts.
        true_rate, noise_rate: The share of wrong labels, and what it is estimated to be.
        error: noise_rate − true_rate.
        flagged: Share of the samples that are called wrong: P(mislabeled) > .5, or the peer's own rule.
        precision, recall, f1: Of those.
        calibration_error: See `labelaudit.reproduce.detection.quality.calibration_error`; NaN without a probability.
    """

    source: str
    estimator: str
    chosen: bool
    true_rate: float
    noise_rate: float
    error: float
    flagged: float
    precision: float
    recall: float
    f1: float
    calibration_error: float


@dataclass(frozen=True, kw_only=True)
class ControlRecord(Record):
    """The planted controls of one kind in one audit, and how many of them are above the cut."""

    kind: str
    planted: int
    found: int


@dataclass(frozen=True, kw_only=True)
class EpochRecord(Record):
    """AUROC of the loss of one epoch, and of the AUL up to it; epochs count from 1."""

    epoch: int
    loss_auroc: float
    aul_auroc: float


@dataclass(frozen=True, kw_only=True)
class NetworkRecord(Record):
    """Pearson's correlation over the samples of what two networks record: the AUL, and the loss of the last epoch."""

    other_model: str
    aul: float
    last_loss: float


@dataclass(kw_only=True)
class Tables:
    """All that is measured so far."""

    audits: list[AuditRecord]
    ranking: list[RankingRecord]
    estimates: list[EstimateRecord]
    controls: list[ControlRecord]
    epochs: list[EpochRecord]
    networks: list[NetworkRecord]

    @classmethod
    def empty(cls) -> Tables:
        """Nothing measured yet."""
        return cls(audits=[], ranking=[], estimates=[], controls=[], epochs=[], networks=[])

    def add(self, more: Tables) -> None:
        """Append the rows of another measurement."""
        for field in fields(self):
            getattr(self, field.name).extend(getattr(more, field.name))

    def write(self, folder: Path) -> None:
        """Write ``<table>.parquet`` for each table.

        Raises:
            StorageError: the folder may not be written to, or is full.
        """
        kinds = (AuditRecord, RankingRecord, EstimateRecord, ControlRecord, EpochRecord, NetworkRecord)
        for field, kind in zip(fields(self), kinds, strict=True):
            table = to_table(kind, getattr(self, field.name))
            write_atomically(folder / f"{field.name}.parquet", partial(pq.write_table, table))
