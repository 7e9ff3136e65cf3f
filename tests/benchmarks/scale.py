"""Memory and time of the commands that need no training, at scale, and bytes per record of losses.

Run folders with made-up records (100 million of them: 0.8 GB) are read by commands, each in a process of its own.
Bytes per record are those of the run whose losses folder is given, else of the made-up one.

Shapes: N samples, R records of one epoch.
"""

from __future__ import annotations

import hashlib
import json
import statistics
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from io import BytesIO
from pathlib import Path
from typing import Annotated, Optional

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
import typer

from labelaudit.data.catalogue import Catalogue
from labelaudit.reproduce.runner import Row
from labelaudit.run.documents import TRAINED
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, read_epochs, recorded_epochs, write_epoch
from labelaudit.run.tables import write_samples

WRONG = 0.1  # the share of samples whose loss stays high for long
_MOST_EPOCHS = 10  # bytes per record are counted in at most so many epochs, evenly spaced
SHAPES: dict[str, Callable[[int, np.random.Generator], npt.NDArray[np.int64]]] = {
    "10,000 classes": lambda samples, generator: generator.integers(0, min(10_000, samples // 2), samples),
    "one class with 99%": lambda samples, generator: (
        (generator.random(samples) > 0.99) * generator.integers(1, 100, samples)
    ),
    "2 samples a class": lambda samples, _generator: np.arange(samples) // 2,
}
COMMANDS = (
    "fit RUN",
    "score RUN -o list.csv",
    "report RUN --write sarif=labels.sarif",
    "export RUN --to croissant",
    "export RUN --to label-studio",
)
_MEASURED = """
import json, sys, time
import labelaudit.auditing.score
from labelaudit.__main__ import main
began = time.perf_counter()
try:
    main()
finally:
    seconds = time.perf_counter() - began
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    print(json.dumps([seconds, peak]))
"""
"""Runs a command; prints seconds and peak bytes. Rusage would have the parent's peak in it."""


def figure(name: str, values: float | Sequence[float], unit: str = "", note: str = "") -> Row:
    """Return a figure of a benchmark; of several rounds it is the median, and the note has their range."""
    if isinstance(values, Sequence):
        several = f"from {min(values):.4g} to {max(values):.4g} in {len(values)} rounds"
        note = "; ".join(filter(None, ["one round" if len(values) == 1 else several, note]))
        values = statistics.median(values)
    return {"name": name, "value": float(values), "unit": unit, "note": note}


def measure_scale(
    work: Annotated[Path, typer.Option(help="Gets the made-up runs, which are deleted afterwards.")],
    samples: int = 1_000_000,
    epochs: int = 24,
    losses: Annotated[Optional[Path], typer.Option(help="Losses folder of a run, for bytes per record.")] = None,
) -> list[Row]:
    """Memory and time of the commands that need no training, on made-up losses of several shapes; bytes per record."""
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for shape, draw in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="made-up-", dir=work) as name:
            run = RunFolder(Path(name) / "run")
            label_N = np.sort(draw(samples, np.random.default_rng(0)))
            write_run(run, np.unique(label_N, return_inverse=True)[1].astype(np.int32), epochs)
            for command in COMMANDS:
                words = [sys.executable, "-c", _MEASURED, *command.replace("RUN", str(run.root.resolve())).split()]
                done = subprocess.run(words, cwd=name, stdout=subprocess.PIPE, text=True, check=True)
                seconds, peak_bytes = json.loads(done.stdout.splitlines()[-1])
                note = f"{seconds:.2f} s for {samples * epochs:,} records"
                rows.append(figure(f"{shape}: {command}", peak_bytes / 1e6, "MB", note))
            found = sizes(losses or run.losses, Path(name) / "sizes", "made up" if losses is None else f"of {losses}")
    return rows + found


def sizes(losses: Path, scratch: Path, whose: str) -> list[Row]:
    """Return bytes per record of our files, of Parquet with pyarrow's defaults, and of CSV: the same columns."""
    step = -(-len(recorded_epochs(losses)) // _MOST_EPOCHS)
    count, plain_bytes, csv_bytes = 0, 0, 0
    for record in read_epochs(losses):
        if record.epoch % step == 0:
            write_epoch(scratch, record)
            names = ("sample", "loss", "margin", "predicted", "alternative")
            columns = {name: getattr(record, f"{name}_R") for name in names}
            table = pa.table({"epoch": np.full(len(record.sample_R), record.epoch, dtype=np.int32), **columns})
            count += len(table)
            plain_bytes += _written(table, pq.write_table)
            csv_bytes += _written(table, pyarrow.csv.write_csv)
    ours = sum(file.stat().st_size for file in scratch.iterdir())
    found = {"as labelaudit writes it": ours, "in Parquet as pyarrow writes it": plain_bytes, "in CSV": csv_bytes}
    note = f"{count:,} records {whose}"
    return [figure(f"a record {how}", size / count, "bytes", note) for how, size in found.items()]


def _written(table: pa.Table, write: Callable[[pa.Table, BytesIO], object]) -> int:
    content = BytesIO()
    write(table, content)
    return content.tell()


def write_run(run: RunFolder, label_N: npt.NDArray[np.int32], epochs: int) -> None:
    """Write the run folder of a trained probe: distinct paths and contents, 10% wrong labels."""
    samples, classes = len(label_N), tuple(f"class-{number}" for number in range(int(label_N.max()) + 1))
    side_N = np.full(samples, 32, dtype=np.int32)
    catalogue = Catalogue(
        root=Path("/made-up"),
        classes=classes,
        paths=tuple(f"{classes[label]}/{number:08d}.png" for number, label in enumerate(label_N.tolist())),
        label_N=label_N,
        width_N=side_N,
        height_N=side_N,
        grey_N=np.zeros(samples, dtype=bool),
        sha256=tuple(hashlib.sha256(b"%d" % number).hexdigest() for number in range(samples)),
        reasons=("",) * samples,
    )
    run.root.mkdir(parents=True)
    write_samples(run.samples, catalogue)
    for record in _records(label_N, epochs):
        write_epoch(run.losses, record)
    counts = {"samples": samples, "readable": samples}
    data = {"root": str(catalogue.root), "fingerprint": catalogue.fingerprint, "classes": list(classes), **counts}
    run.write_description({"status": TRAINED, "data": data, "settings": {"epochs": epochs, "members": 1}})


def _records(label_N: npt.NDArray[np.int32], epochs: int) -> Iterator[EpochLosses]:
    """Yield margins that grow with the epochs, those of wrong labels after having fallen, and the losses from them."""
    samples, classes, generator = len(label_N), int(label_N.max()) + 1, np.random.default_rng([0, 1])
    wrong_N = generator.random(samples) < WRONG
    ease_N = generator.gamma(4.0, 0.25, samples).astype(np.float32)
    for epoch in range(epochs):
        generator = np.random.default_rng([0, 2, epoch])
        learned = np.sqrt((epoch + 1) / epochs)
        slope_N = np.where(wrong_N, np.float32(-5 * learned * (1 - learned**2 / 2)), np.float32(7 * learned))
        margin_N = ease_N * slope_N + np.float32(1.2) * generator.standard_normal(samples, dtype=np.float32)
        alternative_N = (label_N + generator.integers(1, classes, samples, dtype=np.int32)) % np.int32(classes)
        yield EpochLosses(
            epoch=epoch,
            sample_R=np.arange(samples, dtype=np.int32),
            loss_R=np.logaddexp(np.float32(0), -margin_N),
            margin_R=margin_N,
            predicted_R=np.where(margin_N > 0, label_N, alternative_N),
            alternative_R=alternative_N,
        )
