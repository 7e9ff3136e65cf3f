"""Write and read the figures of a retraining: metrics.parquet, seconds.parquet, and what a selector took.

Shapes: R rows that take part in the training.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import epoch_file
from labelaudit.run.parquet import columns, read_table, write_table

Row = dict[str, Any]
"""An epoch's row in metrics.parquet or seconds.parquet, by column."""

_FIX = "delete {} to train from the start"
_PICKS = columns("sample:int32 times:int32")
_METRICS = columns("epoch:int32 train_loss train_error validation_error forwards:int64 backpropagated:int64")
_SECONDS = columns("epoch:int32 seconds")


def write_metrics(
    out: RunFolder,
    metrics: list[Row],
    seconds: float,
    sample_R: npt.NDArray[np.int32],
    times_R: npt.NDArray[np.int32] | None,
) -> None:
    """Write the figures of all epochs so far, and which samples the last one back-propagated how often, if known.

    The wall time is kept apart: no two trainings have the same.
    """
    epoch = len(metrics) - 1
    if times_R is not None:
        with storage_errors(out.picks):
            out.picks.mkdir(parents=True, exist_ok=True)
        picked_R = times_R > 0
        picks = pa.table({"sample": sample_R[picked_R], "times": times_R[picked_R]}, schema=_PICKS)
        write_table(epoch_file(out.picks, epoch), picks)
    spent = [*read_seconds(out.seconds)[:epoch], {"epoch": epoch, "seconds": seconds}]
    for path, rows, schema in ((out.seconds, spent, _SECONDS), (out.metrics, metrics, _METRICS)):
        write_table(path, pa.Table.from_pylist(rows, schema=schema), compression="snappy")


def read_metrics(path: Path) -> list[Row]:
    """Read the rows of metrics.parquet; raise a RunError where it is missing or damaged."""
    rows: list[Row] = read_table(path, _METRICS, _FIX.format(path.parent)).to_pylist()
    return rows


def read_seconds(path: Path) -> list[Row]:
    """Read the rows of seconds.parquet, as `read_metrics`; none where there is no such file."""
    return read_table(path, _SECONDS, _FIX.format(path.parent)).to_pylist() if path.exists() else []


def read_picks(folder: Path, epoch: int) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.int32]]:
    """Return the samples that were back-propagated in an epoch, and how often; errors as in `read_metrics`."""
    table = read_table(epoch_file(folder, epoch), _PICKS, _FIX.format(folder.parent))
    return table["sample"].to_numpy(), table["times"].to_numpy()
