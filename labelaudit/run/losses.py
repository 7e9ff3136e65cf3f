"""Every sample's loss in every epoch: one Parquet file an epoch.

Columns: ``sample`` (int32), ``epoch`` (int32), ``loss`` (float32, nats: cross-entropy against the given label),
``margin`` (float32: logit of the given label minus the largest other logit), ``predicted`` (int32 class number) and
``alternative`` (int32: the class of the largest other logit).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.errors import RunError
from labelaudit.run.files import require_regular, storage_errors, write_atomically

TRAINING_FORWARD = "training forward: augmented view, train mode, before the update of that step"
SCORING_PASS = "scoring pass of a selector: augmented view, evaluation mode, before the sample was trained on"
"""What ``recording`` in the files' metadata says: of which forward pass the losses are."""

SCHEMA = pa.schema(
    [
        ("sample", pa.int32()),
        ("epoch", pa.int32()),
        ("loss", pa.float32()),
        ("margin", pa.float32()),
        ("predicted", pa.int32()),
        ("alternative", pa.int32()),
    ],
    metadata={
        "recording": TRAINING_FORWARD,
        "loss": "cross-entropy in nats of the given label, from float32 logits",
        "margin": "logit of the given label minus the largest other logit",
    },
)
_NAME = re.compile(r"epoch-(\d+)\.parquet")


@dataclass(frozen=True, kw_only=True)
class EpochLosses:
    """One epoch's records. Shapes: R recorded samples, all arrays [R]."""

    epoch: int
    sample_R: npt.NDArray[np.int32]
    loss_R: npt.NDArray[np.float32]
    margin_R: npt.NDArray[np.float32]
    predicted_R: npt.NDArray[np.int32]
    alternative_R: npt.NDArray[np.int32]


def write_epoch(folder: Path, record: EpochLosses, *, recording: str = TRAINING_FORWARD) -> None:
    """Write one epoch's file, whole or not at all.

    Args:
        folder: Of the files.
        record: What is written.
        recording: Of which forward pass the losses are; goes to the file's metadata.
    """
    schema = SCHEMA.with_metadata({**SCHEMA.metadata, b"recording": recording.encode()})
    epoch_R = np.full(len(record.sample_R), record.epoch, dtype=np.int32)
    columns = [record.sample_R, epoch_R, record.loss_R, record.margin_R, record.predicted_R, record.alternative_R]
    table = pa.Table.from_arrays([pa.array(column) for column in columns], schema=schema)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_atomically(folder / f"epoch-{record.epoch:04d}.parquet", lambda partial: _write(table, partial))


def recorded_epochs(folder: Path) -> list[int]:
    """The epochs that have a file, in order."""
    if not folder.is_dir():
        return []
    return sorted(int(match[1]) for path in folder.iterdir() if (match := _NAME.fullmatch(path.name)))


def discard_from(folder: Path, epoch: int) -> None:
    """Delete the files of this epoch and of later ones."""
    with storage_errors(folder):
        for recorded in recorded_epochs(folder):
            if recorded >= epoch:
                _file(folder, recorded).unlink()


def read_epochs(folder: Path) -> Iterator[EpochLosses]:
    """Every recorded epoch in order, one in memory at a time.

    Raises:
        RunError: a file is missing in the row, damaged, or has other columns.
    """
    epochs = recorded_epochs(folder)
    if epochs != list(range(len(epochs))):
        missing = next(epoch for epoch in range(len(epochs)) if epoch not in epochs)
        raise RunError(f"{folder} lacks epoch {missing}", fix=f"delete {folder.parent} and audit again")
    for epoch in epochs:
        yield _read(_file(folder, epoch), epoch)


def _file(folder: Path, epoch: int) -> Path:
    return folder / f"epoch-{epoch:04d}.parquet"


def _write(table: pa.Table, path: Path) -> None:
    pq.write_table(
        table,
        path,
        compression="zstd",
        use_dictionary=["epoch", "predicted", "alternative"],
        column_encoding={
            "sample": "DELTA_BINARY_PACKED",
            "loss": "BYTE_STREAM_SPLIT",
            "margin": "BYTE_STREAM_SPLIT",
        },
    )


def _read(path: Path, epoch: int) -> EpochLosses:
    try:
        table = pq.read_table(require_regular(path).absolute(), schema=SCHEMA)
        columns = {name: table.column(name).to_numpy() for name in SCHEMA.names}
    except (OSError, pa.ArrowException, ValueError, KeyError) as error:
        raise RunError(
            f"{path} is damaged ({' '.join(str(error).split())[:100]})",
            fix=f"delete {path.parent.parent} and audit again",
        ) from error
    if any(table.column(name).null_count for name in SCHEMA.names) or (columns["epoch"] != epoch).any():
        raise RunError(
            f"{path} does not hold the records of epoch {epoch}", fix=f"delete {path.parent.parent} and audit again"
        )
    return EpochLosses(
        epoch=epoch,
        sample_R=columns["sample"],
        loss_R=columns["loss"],
        margin_R=columns["margin"],
        predicted_R=columns["predicted"],
        alternative_R=columns["alternative"],
    )
