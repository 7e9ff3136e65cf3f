"""The figures of a retraining: a Parquet file with one row an epoch."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.run.files import require_regular, write_atomically

SCHEMA = pa.schema(
    [
        ("epoch", pa.int32()),
        ("train_loss", pa.float64()),
        ("train_error", pa.float64()),
        ("validation_error", pa.float64()),
        ("forwards", pa.int64()),
        ("backpropagated", pa.int64()),
    ]
)
SECONDS_SCHEMA = pa.schema([("epoch", pa.int32()), ("seconds", pa.float64())])


def write_metrics(path: Path, metrics: list[dict[str, Any]]) -> None:
    """Write all epochs so far.

    Mean loss and error on the noisy labels, the error on held-out data or None, and how many samples went forward
    through the network and were back-propagated, looks that a method takes between the steps not counted.
    """
    table = pa.Table.from_pylist(metrics, schema=SCHEMA)
    write_atomically(path, lambda partial: pq.write_table(table, partial))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read them again.

    Raises:
        OSError, ValueError: the file is missing, damaged, or of other columns.
    """
    return _read(path, SCHEMA)


def write_seconds(path: Path, seconds: list[dict[str, Any]]) -> None:
    """Write the wall time of all epochs so far, without validation; apart, since no two trainings have the same."""
    table = pa.Table.from_pylist(seconds, schema=SECONDS_SCHEMA)
    write_atomically(path, lambda partial: pq.write_table(table, partial))


def read_seconds(path: Path) -> list[dict[str, Any]]:
    """Read them again; none where there is no such file.

    Raises:
        OSError, ValueError: the file is damaged, or of other columns.
    """
    return _read(path, SECONDS_SCHEMA) if path.exists() else []


def _read(path: Path, schema: pa.Schema) -> list[dict[str, Any]]:
    try:
        rows: list[dict[str, Any]] = pq.read_table(require_regular(path).absolute(), schema=schema).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(f"{path} cannot be read") from error
    return rows
