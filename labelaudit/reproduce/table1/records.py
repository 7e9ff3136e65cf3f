"""The long tables: a record is a row, a field a column."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import asdict, dataclass, fields
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.run.files import write_atomically

_TYPES = {str: pa.string(), int: pa.int64(), float: pa.float64()}

TRAINED, DIVERGED = "trained", "diverged"


@dataclass(frozen=True, kw_only=True)
class Run:
    """One training of one method.

    Attributes:
        noise: The column.
        rate: Share of wrong labels.
        seed: Of images, noise and training.
        method: Its name.
        status: ``trained`` or ``diverged``.
        error: Test error after the last epoch, a share; of two networks see `labelaudit.reproduce.table1.cells`. NaN
            when it diverged.
        best_error: The least error after an epoch: what early stopping on the test data would have given; NaN likewise.
        train_error: Share of the given labels that the network disagrees with in its last epoch.
        epochs: That were trained.
        epoch_seconds: Mean time of one, without measuring the error.
        seconds: Of all of it, the cross-validation of INCV included, without measuring the error and the audit.
        noise_rate: What the method was told or found of the noise; NaN when it asks for none.
    """

    noise: str
    rate: float
    seed: int
    method: str
    status: str
    error: float
    best_error: float
    train_error: float
    epochs: int
    epoch_seconds: float
    seconds: float
    noise_rate: float


@dataclass(frozen=True, kw_only=True)
class Audit:
    """The audit of one column and seed, whose weights and noise rate the methods share.

    Attributes:
        noise_rate: Its estimate.
        precision, recall: Of the labels that it flags.
        seconds: What it took, NaN when it was done in several goes.
    """

    noise: str
    rate: float
    seed: int
    noise_rate: float
    precision: float
    recall: float
    seconds: float


@dataclass(frozen=True, kw_only=True)
class Cell:
    """One cell of the table, over all seeds, beside the paper's; errors in percent.

    Attributes:
        deviation: Sample standard deviation over the seeds; NaN for one.
        seeds, diverged: How many there are, and how many of them diverged.
        relative_epoch, relative_time: Time of an epoch and of all of it, as multiples of Standard's.
        paper_error, paper_deviation: NaN where the paper has no figure.
        paper_note: What it has instead.
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


def write_table(file: Path, kind: type, rows: Sequence[Any]) -> None:
    """Write records as Parquet, also when there are none.

    Raises:
        StorageError: the file cannot be written.
    """
    hints = get_type_hints(kind)
    schema = pa.schema([(field.name, _TYPES[hints[field.name]]) for field in fields(kind)])
    table = pa.Table.from_pylist([asdict(row) for row in rows], schema=schema)
    write_atomically(file, partial(pq.write_table, table))


def as_plain(record: Any) -> dict[str, Any]:
    """Values by name, None for NaN, which JSON does not have."""
    return {
        name: None if isinstance(value, float) and math.isnan(value) else value
        for name, value in asdict(record).items()
    }


def from_plain(kind: type, values: dict[str, Any]) -> Any:
    """The record of `as_plain`.

    Raises:
        KeyError, TypeError: it is of another kind.
    """
    hints = get_type_hints(kind)
    return kind(**{name: math.nan if values[name] is None else hints[name](values[name]) for name in hints})
