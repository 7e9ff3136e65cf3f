"""Statistics at scale: memory and speed of scoring, a mixture of many scores, bytes per record, commands.

Run folders with made-up records (100 million of them: 0.8 GB) are read by the commands that need no training, each in a
process of its own. The mixture is fitted to scores of several shapes, and compared with expectation-maximization over
all of as many scores as ``--exact-scores`` says. Bytes per record are those of the run whose losses folder is given,
else of the made-up one.

Shapes: N samples or scores, R records of one epoch.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable, Iterator
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq
from timing import Measurement, stopwatch

from labelaudit.auditing.model import TRAINED
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.mixture import fit_gaussian_mixture
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, read_epochs, recorded_epochs, write_epoch
from labelaudit.run.tables import write_samples

FloatArray = npt.NDArray[np.float64]

CLASSES = 10
WRONG = 0.1
"""The share of samples whose loss stays high for long."""

_MOST_EPOCHS = 10
"""Bytes per record are counted in at most so many epochs, evenly spaced."""

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
began = time.perf_counter(), time.process_time()
try:
    main()
finally:
    seconds = time.perf_counter() - began[0], time.process_time() - began[1]
    lines = open("/proc/self/status").read().splitlines()
    peak = next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))
    print(json.dumps([*seconds, peak]))
"""
"""Runs a command; prints seconds, processor seconds and peak bytes. Rusage would have the parent's peak in it."""


def run_measured(command: str, run: RunFolder) -> tuple[float, float, float]:
    """Run a command on a run in a process of its own; return seconds, processor seconds and peak bytes."""
    words = [sys.executable, "-c", _MEASURED, *command.replace("RUN", str(run.root.resolve())).split()]
    done = subprocess.run(words, cwd=run.root.parent, stdout=subprocess.PIPE, text=True, check=True)
    seconds, cpu_seconds, peak_bytes = json.loads(done.stdout.splitlines()[-1])
    return seconds, cpu_seconds, peak_bytes


def measure_commands(work: Path, samples: int, epochs: int) -> list[Measurement]:
    """Return the peak memory of each command on each shape."""
    work.mkdir(parents=True, exist_ok=True)
    rows = []
    for shape, draw in SHAPES.items():
        with tempfile.TemporaryDirectory(prefix="made-up-", dir=work) as name:
            run = RunFolder(Path(name) / "run")
            label_N = np.sort(draw(samples, np.random.default_rng(0)))
            write_run(run, np.unique(label_N, return_inverse=True)[1].astype(np.int32), epochs)
            for command in COMMANDS:
                seconds, _, peak_bytes = run_measured(command, run)
                rows.append(Measurement(f"{shape}: {command}", peak_bytes / 1e6, "MB", f"{seconds:.0f} s"))
    return rows


def measure_scale(
    work: Path, samples: int, epochs: int, scores: int, exact_scores: int, losses: Path | None
) -> list[Measurement]:
    """Return all figures; takes minutes with the default options, most of them for the exact fits."""
    work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="made-up-", dir=work) as name:
        run = RunFolder(Path(name) / "run")
        label_N = np.sort(np.random.default_rng([0, 0]).integers(0, CLASSES, samples, dtype=np.int32))
        write_run(run, label_N, epochs)
        whose = "made up" if losses is None else f"of {losses}"
        return [
            *scoring(run, samples * epochs),
            *mixtures(scores, exact_scores),
            *sizes(losses or run.losses, Path(name) / "sizes", whose),
        ]


def scoring(run: RunFolder, records: int) -> list[Measurement]:
    """Return peak memory, records per second and the share of Parquet decoding, from a fresh process."""
    seconds, cpu_seconds, peak_bytes = run_measured("fit RUN", run)
    decoding = stopwatch(lambda: deque(read_epochs(run.losses), maxlen=0))
    note = f"{seconds:.2f} s, {cpu_seconds:.2f} s of processor time; files written included"
    share, alone = 100 * decoding / seconds, f"{decoding:.2f} s when nothing else is done"
    return [
        Measurement("scoring: peak memory", peak_bytes / 1e6, "MB", f"{records:,} records"),
        Measurement("scoring", records / seconds, "records/s", note),
        Measurement("scoring: decoding of Parquet", share, "% of the time", alone),
    ]


def mixtures(scores: int, most_exact: int) -> list[Measurement]:
    """Return the time of a fit for each shape, and how far it is from the exact fit."""
    rows = []
    for number, (shape, draw) in enumerate(SCORE_SHAPES.items()):
        score_N = draw(scores, np.random.default_rng([number, scores]))
        seconds = stopwatch(partial(fit_gaussian_mixture, score_N), clock=time.process_time)
        few_N = score_N[: min(scores, most_exact)]
        quick, exact = (fit_gaussian_mixture(few_N, exact_up_to=most) for most in (0, len(few_N)))
        weight = float(np.abs(quick.weight_2 - exact.weight_2).max())
        mean = float((np.abs(quick.mean_2 - exact.mean_2) / few_N.std()).max())
        note = f"weights by {weight:.1e}, means by {mean:.1e} standard deviations; {len(few_N):,} scores"
        rows.append(Measurement(f"mixture, {shape}", seconds, "s of processor time", f"{scores:,} scores"))
        rows.append(Measurement(f"mixture, {shape}: off the exact fit", max(weight, mean), "weight or std", note))
    return rows


def sizes(losses: Path, scratch: Path, whose: str) -> list[Measurement]:
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
    return [Measurement(f"a record {how}", size / count, "bytes", note) for how, size in found.items()]


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
    usual_N = _other_class(label_N, classes, generator)
    for epoch in range(epochs):
        generator = np.random.default_rng([0, 2, epoch])
        learned = np.sqrt((epoch + 1) / epochs)
        slope_N = np.where(wrong_N, np.float32(-5 * learned * (1 - learned**2 / 2)), np.float32(7 * learned))
        margin_N = ease_N * slope_N + np.float32(1.2) * generator.standard_normal(samples, dtype=np.float32)
        # p_y = 1 / (1 + e^−m (1 + s)), where s is what the other classes have beside the strongest of them.
        rest_N = generator.random(samples, dtype=np.float32)
        usual = generator.random(samples, dtype=np.float32) < 0.85  # mostly the same class
        alternative_N = np.where(usual, usual_N, _other_class(label_N, classes, generator))
        yield EpochLosses(
            epoch=epoch,
            sample_R=np.arange(samples, dtype=np.int32),
            loss_R=np.logaddexp(np.float32(0), np.log1p(rest_N) - margin_N),
            margin_R=margin_N,
            predicted_R=np.where(margin_N > 0, label_N, alternative_N),
            alternative_R=alternative_N,
        )


def _other_class(label_N: npt.NDArray[np.int32], classes: int, generator: np.random.Generator) -> npt.NDArray[np.int32]:
    return (label_N + generator.integers(1, classes, len(label_N), dtype=np.int32)) % np.int32(classes)


def _two_normals(share: float, gap: float, std: float) -> Callable[[int, np.random.Generator], FloatArray]:
    def draw(count: int, generator: np.random.Generator) -> FloatArray:
        high_N = generator.random(count) < share
        return generator.standard_normal(count) * np.where(high_N, std, 1.0) + np.where(high_N, gap, 0.0)

    return draw


def _loss_sums(count: int, generator: np.random.Generator) -> FloatArray:
    low_N, high_N = generator.gamma(0.5, 2.0, count), generator.gamma(20.0, 2.0, count)
    return np.where(generator.random(count) < WRONG, high_N, low_N)


SCORE_SHAPES: dict[str, Callable[[int, np.random.Generator], FloatArray]] = {
    "well apart": _two_normals(0.2, 6.0, 1.5),
    "overlapping": _two_normals(0.4, 2.5, 1.2),
    "1% high": _two_normals(0.01, 6.0, 1.0),
    "sums of losses": _loss_sums,
    "gamma": lambda count, generator: generator.gamma(2.0, 1.0, count),
    "exponential": lambda count, generator: generator.exponential(1.0, count),
}
"""Draws so many scores of a shape."""
