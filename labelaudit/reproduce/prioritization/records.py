"""The tables of the measurement: a record is a row, a field a column."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import partial
from pathlib import Path

import pyarrow.parquet as pq

from labelaudit.reproduce.tables import to_table
from labelaudit.run.files import write_atomically


@dataclass(frozen=True, kw_only=True)
class EpochRow:
    """One epoch of one training; epochs count from 1, and costs from the training's beginning.

    Attributes:
        test_error: After the epoch.
        train_loss: Mean over the samples of which it was recorded; NaN where that is none.
        forwards, backpropagated: Samples so far.
        seconds: Wall time so far, without tests.
        selected_share: Share of samples that the corruption was done to among those back-propagated in this epoch.
        changed_share: The same of those that are other than before: a random label can be the right one.
    """

    data_set: str
    algorithm: str
    seed: int
    epoch: int
    test_error: float
    train_loss: float
    forwards: int
    backpropagated: int
    seconds: float
    selected_share: float
    changed_share: float


@dataclass(frozen=True, kw_only=True)
class ResultRow:
    """One training, or with seed −1 the mean curve of all of them, beside standard training on the same data.

    Attributes:
        best_error: The smallest test error.
        target: The error to reach: 1.2 times the best of standard training.
        speedup: By examples back-propagated until then; NaN for never.
        work_speedup: By forward passes, of which a backward pass counts as two.
        time_speedup: By wall time.
        forwards, backpropagated, seconds: Of the whole training.
        oversampling: Mean share of corrupted samples among those back-propagated, over their share in the data.
    """

    data_set: str
    algorithm: str
    seed: int
    best_error: float
    target: float
    speedup: float
    work_speedup: float
    time_speedup: float
    forwards: float
    backpropagated: float
    seconds: float
    oversampling: float


MEAN = -1
"""Stands for the seed of a mean curve."""


@dataclass(kw_only=True)
class Tables:
    """All that is measured so far."""

    epochs: list[EpochRow] = field(default_factory=list)
    results: list[ResultRow] = field(default_factory=list)

    def write(self, folder: Path) -> None:
        """Write ``epochs.parquet`` and ``results.parquet``.

        Raises:
            StorageError: the folder may not be written to, or is full.
        """
        for name, kind, rows in (("epochs", EpochRow, self.epochs), ("results", ResultRow, self.results)):
            write_atomically(folder / f"{name}.parquet", partial(pq.write_table, to_table(kind, rows)))
