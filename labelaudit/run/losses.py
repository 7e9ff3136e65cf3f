"""Write and read every sample's loss in every epoch: one Parquet file per epoch.

Columns: ``sample`` (int32), ``epoch`` (int32), ``loss`` (float32, nats: cross-entropy against the given label),
``margin`` (float32: logit of the given label minus the largest other logit), ``predicted`` (int32 class number) and
``alternative`` (int32: the class of the largest other logit).
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from labelaudit.errors import RunError, TrainingError
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.files import storage_errors
from labelaudit.run.parquet import columns, read_table, write_table

TRAINING_FORWARD = "training forward: augmented view, train mode, before the update of that step"
SCORING_PASS = "scoring pass of a selector: augmented view, evaluation mode, before the sample was trained on"
TEST_PASS = "test images: no augmentation, evaluation mode, after the epoch"
GIVEN = "out-of-fold probabilities that the user gave: no network was trained here"
"""Values of ``recording`` in the files' metadata: the forward pass that the losses come from."""

SCHEMA = columns(
    "sample:int32 epoch:int32 loss:float32 margin:float32 predicted:int32 alternative:int32"
).with_metadata(
    {
        "recording": TRAINING_FORWARD,
        "loss": "cross-entropy in nats of the given label, from float32 logits",
        "margin": "logit of the given label minus the largest other logit",
    }
)
_NAME = re.compile(r"epoch-(\d+)\.parquet")


@dataclass(frozen=True, kw_only=True)
class EpochLosses:
    """The records of one epoch. Shapes: R recorded samples, all arrays [R]."""

    epoch: int
    sample_R: npt.NDArray[np.int32]
    loss_R: npt.NDArray[np.float32]
    margin_R: npt.NDArray[np.float32]
    predicted_R: npt.NDArray[np.int32]
    alternative_R: npt.NDArray[np.int32]

    @classmethod
    def of(cls, epoch: int, sample_R: npt.NDArray[np.int32], observed: Observed) -> EpochLosses:
        """Return the records of an epoch from the columns of each sample by name."""
        return cls(epoch=epoch, sample_R=sample_R, **{f"{name}_R": values_R for name, values_R in observed.items()})


Observed = dict[str, npt.NDArray[Any]]
"""The columns of an epoch that are recorded of each sample, by name."""


def require_finite(loss_R: npt.NDArray[np.floating[Any]], epoch: int) -> None:
    """Raise a TrainingError where a loss is not finite."""
    if bad := int((~np.isfinite(loss_R)).sum()):
        what = f"the training diverged in epoch {epoch}: {bad} of {len(loss_R)} losses are not finite"
        raise TrainingError(what, fix="try a lower --lr, or --precision float32")


def write_epoch(folder: Path, record: EpochLosses, *, recording: str = TRAINING_FORWARD) -> None:
    """Write the file of one epoch atomically; ``recording`` (where the losses come from) goes into its metadata."""
    schema = SCHEMA.with_metadata({**SCHEMA.metadata, b"recording": recording.encode()})
    column = {name: getattr(record, f"{name}_R") for name in SCHEMA.names if name != "epoch"}
    column["epoch"] = np.full(len(record.sample_R), record.epoch, dtype=np.int32)
    table = pa.table(column, schema=schema)
    encoding = {"sample": "DELTA_BINARY_PACKED", **dict.fromkeys(("loss", "margin"), "BYTE_STREAM_SPLIT")}
    coded = ["epoch", "predicted", "alternative"]
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    write_table(epoch_file(folder, record.epoch), table, use_dictionary=coded, column_encoding=encoding)


def recorded_epochs(folder: Path) -> list[int]:
    """Return the epochs that have a file, in order."""
    return sorted(int(match[1]) for path in folder.glob("*.parquet") if (match := _NAME.fullmatch(path.name)))


def discard_from(folder: Path, epoch: int) -> None:
    """Delete the files of this epoch and of later ones."""
    with storage_errors(folder):
        for recorded in recorded_epochs(folder):
            if recorded >= epoch:
                epoch_file(folder, recorded).unlink()


def read_epochs(
    folder: Path, reporter: Reporter = QUIET, *, samples: npt.NDArray[np.int64] | None = None
) -> Iterator[EpochLosses]:
    """Read every recorded epoch in order, one at a time.

    A file that is missing, damaged or of other ``samples`` than these is a RunError.
    """
    epochs, fix = recorded_epochs(folder), f"delete {folder.parent} and audit again"
    if missing := set(range(len(epochs))) - set(epochs):
        raise RunError(f"{folder} lacks epoch {min(missing)}", fix=fix)
    with reporter.bar("Reading losses", len(epochs), "epochs") as advance:
        for epoch in epochs:
            table = read_table(path := epoch_file(folder, epoch), SCHEMA, fix)
            arrays = {f"{name}_R": table.column(name).to_numpy() for name in SCHEMA.names}
            if any(column.null_count for column in table.columns) or (arrays.pop("epoch_R") != epoch).any():
                raise RunError(f"{path} does not hold the records of epoch {epoch}", fix=fix)
            if samples is not None and not np.array_equal(arrays["sample_R"], samples):
                raise RunError(f"{path} has other samples than the audit", fix=fix)
            yield EpochLosses(epoch=epoch, **arrays)
            advance(1)


def epoch_file(folder: Path, epoch: int) -> Path:
    """Return the file of an epoch in a folder that has one for each."""
    return folder / f"epoch-{epoch:04d}.parquet"
