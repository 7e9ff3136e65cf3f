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
    ]
)


def write_metrics(path: Path, metrics: list[dict[str, Any]]) -> None:
    """Write all epochs so far: mean loss and error on the noisy labels, and the error on held-out data or None."""
    table = pa.Table.from_pylist(metrics, schema=SCHEMA)
    write_atomically(path, lambda partial: pq.write_table(table, partial))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read them again.

    Raises:
        OSError, ValueError: the file is missing, damaged, or of other columns.
    """
    try:
        rows: list[dict[str, Any]] = pq.read_table(require_regular(path).absolute(), schema=SCHEMA).to_pylist()
    except pa.ArrowException as error:
        raise ValueError(f"{path} cannot be read") from error
    return rows
