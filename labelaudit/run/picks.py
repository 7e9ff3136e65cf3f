"""Which samples a selector back-propagated: one Parquet file an epoch.

Columns: ``sample`` (int32) and ``times`` (int32: in how many steps of the epoch), for the samples that were.
"""

from __future__ import annotations

import functools
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.errors import RunError
from labelaudit.run.files import storage_errors, write_atomically

SCHEMA = pa.schema([("sample", pa.int32()), ("times", pa.int32())])

Int32Array = npt.NDArray[np.int32]


def write_picks(folder: Path, epoch: int, sample_R: Int32Array, times_R: Int32Array) -> None:
    """Write one epoch's file, whole or not at all.

    Args:
        folder: Of the files.
        epoch: From 0.
        sample_R: Sample number of each row that takes part in the training.
        times_R: How often each was back-propagated.
    """
    picked_R = times_R > 0
    table = pa.Table.from_arrays([pa.array(sample_R[picked_R]), pa.array(times_R[picked_R])], schema=SCHEMA)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(_file(folder, epoch), functools.partial(pq.write_table, table, compression="zstd"))


def read_picks(folder: Path, epoch: int) -> tuple[Int32Array, Int32Array]:
    """Samples that were back-propagated in an epoch, and how often.

    Raises:
        RunError: the file is missing or damaged.
    """
    file = _file(folder, epoch)
    try:
        table = pq.read_table(file.absolute(), schema=SCHEMA)
        return table["sample"].to_numpy(), table["times"].to_numpy()
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise RunError(
            f"{file} is missing or damaged ({' '.join(str(error).split())[:100]})",
            fix=f"delete {folder.parent} and train again",
        ) from error


def _file(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}.parquet"
