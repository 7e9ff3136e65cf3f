"""The folder of a retraining: what it was begun with, and how far it has come."""

from __future__ import annotations

import functools
import shutil
import time
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.engine.loop import Training
from labelaudit.engine.recorder import EpochRecord
from labelaudit.engine.selection import Selection
from labelaudit.engine.settings import settings_from_json
from labelaudit.errors import RunError
from labelaudit.methods.base import Method
from labelaudit.progress import Reporter
from labelaudit.run.checkpoint import read_checkpoint, write_checkpoint
from labelaudit.run.files import require_regular, storage_errors, write_atomically
from labelaudit.run.layout import RunFolder

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


METRICS_SCHEMA = pa.schema(
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
    table = pa.Table.from_pylist(metrics, schema=METRICS_SCHEMA)
    write_atomically(path, lambda partial: pq.write_table(table, partial))


def read_metrics(path: Path) -> list[dict[str, Any]]:
    """Read them again.

    Raises:
        OSError, ValueError: the file is missing, damaged, or of other columns.
    """
    return _read(path, METRICS_SCHEMA)


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


Progress = tuple[dict[str, Any], list[dict[str, Any]]]


def claim(out: RunFolder, about: Mapping[str, Any]) -> None:
    """Begin a retraining in a folder, or make sure that it is the one that was begun there.

    Args:
        out: Held for writing.
        about: What decides the outcome; values, or ``settings`` and ``parameters`` by name.

    Raises:
        RunError: epochs of something else are recorded there; says what differs.
    """
    there = out.read_description() if out.exists else None
    if there is None:
        out.require_fresh()
    elif there.get("diverged") or not any(file.exists() for file in (out.checkpoint, out.verified, out.result)):
        # Nothing holds the folder to what was begun there.
        for file in (out.checkpoint, out.verified, out.metrics, out.seconds):
            file.unlink(missing_ok=True)
        shutil.rmtree(out.picks, ignore_errors=True)
        there = None
    if there is None:
        out.write_description({"status": "training", **about})
        return
    if isinstance(there.get("settings"), dict):
        there["settings"] = settings_from_json(there["settings"], str(out.description)).as_json()
    before, now = _flat(there), _flat(about)
    differing = [
        f"{name} is {before.get(name)} there, {value} now" for name, value in now.items() if before.get(name) != value
    ]
    if differing:
        raise RunError(
            f"{out.root} was begun with other settings: {'; '.join(differing)}",
            fix="give the same options to go on with it, or another --out",
        )


def _flat(about: Mapping[str, Any]) -> dict[str, Any]:
    nested = ("settings", "parameters")
    plain = {name: value for name, value in about.items() if name not in nested}
    return plain | {name: value for group in nested for name, value in (about.get(group) or {}).items()}


def read_progress(out: RunFolder) -> Progress | None:
    """State and metrics after the last whole epoch; None before the first.

    Raises:
        RunError: they are damaged.
    """
    if not out.checkpoint.exists():
        return None
    try:
        return read_checkpoint(out.checkpoint), read_metrics(out.metrics)
    except (OSError, ValueError) as error:
        raise _damaged(out) from error


def resume(
    out: RunFolder,
    training: Training,
    method: Method,
    selection: Selection | None,
    progress: Progress | None,
    reporter: Reporter,
) -> list[dict[str, Any]]:
    """Bring a training to where it was.

    Returns:
        The metrics of the epochs that are finished.

    Raises:
        RunError: the state is damaged.
    """
    if progress is None:
        return []
    state, metrics = progress
    try:
        training.load(state, method, selection)
    except (KeyError, RuntimeError, ValueError, TypeError, AttributeError) as error:
        raise _damaged(out) from error
    reporter.say(f"Going on after {training.finished_epochs} of {training.settings.epochs} epochs")
    return metrics[: training.finished_epochs]


@dataclass(frozen=True, kw_only=True)
class Done:
    """An epoch that is over.

    Attributes:
        metrics: Of all epochs so far.
        seconds: Wall time of this one.
        sample_R: Sample number of each row of the training data.
        times_R: How often a selector back-propagated each; None without one.
        state: Of the training.
    """

    metrics: list[dict[str, Any]]
    seconds: float
    sample_R: npt.NDArray[np.int32]
    times_R: npt.NDArray[np.int32] | None
    state: dict[str, Any]


def write_epoch(out: RunFolder, done: Done) -> None:
    """Write metrics and checkpoint, in an order that a crash in between does not harm."""
    epoch = done.metrics[-1]["epoch"]
    if done.times_R is not None:
        write_picks(out.picks, epoch, done.sample_R, done.times_R)
    earlier = [row for row in read_seconds(out.seconds) if row["epoch"] < epoch]
    write_seconds(out.seconds, [*earlier, {"epoch": epoch, "seconds": done.seconds}])
    write_metrics(out.metrics, done.metrics)
    write_checkpoint(out.checkpoint, done.state)


def timed(records: Iterator[EpochRecord]) -> Iterator[tuple[EpochRecord, float]]:
    """Each record with the seconds that its epoch took; what is done with it in between does not count."""
    while True:
        began = time.perf_counter()
        record = next(records, None)
        if record is None:
            return
        yield record, time.perf_counter() - began


def _damaged(out: RunFolder) -> RunError:
    return RunError(f"{out.root} is damaged", fix="delete it to train from the start")
