"""Statistics at scale: memory and speed of scoring, a mixture of many scores, bytes per record.

    python -m labelaudit.reproduce.speed scale --work FOLDER --samples 1000000 --epochs 100

A run folder with made-up records is written below FOLDER (100 million records: 0.8 GB; deleted afterwards) and scored
as ``labelaudit fit`` does it, in a process of its own, so that the memory is that of scoring alone. The mixture is
fitted to scores of several shapes, and compared with expectation-maximisation over all of as many scores as
``--exact-scores`` says. Bytes per record are those of the run whose losses folder is given, else of the made-up one.

Shapes: N scores, R records of one epoch.
"""

from __future__ import annotations

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from collections import deque
from collections.abc import Callable
from functools import partial
from io import BytesIO
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.csv
import pyarrow.parquet as pq

from labelaudit.audit.judge import fit
from labelaudit.detect.mixture import fit_gaussian_mixture
from labelaudit.reproduce.speed.arguments import positive
from labelaudit.reproduce.speed.made_up import SCORE_SHAPES, FloatArray, write_run
from labelaudit.reproduce.speed.timing import Row, stopwatch
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, read_epochs, recorded_epochs, write_epoch

_MOST_EPOCHS = 10
"""Bytes per record are counted in at most so many epochs, evenly spaced."""


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    parser.add_argument("--samples", type=positive, default=1_000_000, help="of the made-up run (default: 1000000)")
    parser.add_argument("--epochs", type=positive, default=100, help="of the made-up run (default: 100)")
    parser.add_argument("--scores", type=positive, default=10_000_000, help="in a mixture (default: 10000000)")
    parser.add_argument(
        "--exact-scores", type=positive, default=1_000_000, help="compared with the exact fit (default: 1000000)"
    )
    parser.add_argument("--losses", type=Path, default=None, help="the losses folder of a run, for bytes per record")
    parser.add_argument("--work", type=Path, required=True, help="where the made-up run is written")


def measure(asked: argparse.Namespace) -> list[Row]:
    """All figures; takes minutes with the default options, most of them for the exact fits.

    Raises:
        LabelauditError: ``--losses`` holds no whole run, or the disk is full.
    """
    asked.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="made-up-", dir=asked.work) as name:
        run = RunFolder(Path(name) / "run")
        write_run(run, samples=asked.samples, epochs=asked.epochs)
        rows = scoring_rows(run, records=asked.samples * asked.epochs)
        rows += mixture_rows(asked.scores, most_exact=asked.exact_scores)
        if asked.losses is None:
            return rows + size_rows(run.losses, Path(name) / "sizes", whose="made up")
        return rows + size_rows(asked.losses, Path(name) / "sizes", whose=f"of {asked.losses}")


def scoring_rows(run: RunFolder, *, records: int) -> list[Row]:
    """Peak memory, records per second and the share of Parquet decoding, from a fresh process."""
    found = subprocess.run(
        [sys.executable, "-m", __name__, str(run.root)], stdout=subprocess.PIPE, text=True, check=True
    )
    figures = json.loads(found.stdout)
    seconds, cpu_seconds = figures["seconds"], figures["cpu_seconds"]
    return [
        Row(name="scoring: peak memory", value=figures["peak_bytes"] / 1e6, unit="MB", note=f"{records:,} records"),
        Row(
            name="scoring",
            value=records / seconds,
            unit="records/s",
            note=f"{seconds:.2f} s, {cpu_seconds:.2f} s of processor time; files written included",
        ),
        Row(
            name="scoring: decoding of Parquet",
            value=100 * figures["decoding_seconds"] / seconds,
            unit="% of the time",
            note=f"{figures['decoding_seconds']:.2f} s when nothing else is done",
        ),
    ]


def mixture_rows(scores: int, *, most_exact: int) -> list[Row]:
    """Time of a fit for each shape, and how far it is from the exact fit."""
    rows = []
    for number, (shape, draw) in enumerate(SCORE_SHAPES.items()):
        score_N = draw(scores, np.random.default_rng([number, scores]))
        seconds = stopwatch(partial(fit_gaussian_mixture, score_N), clock=time.process_time)
        few = min(scores, most_exact)
        weight, mean = deviation(score_N[:few])
        rows += [
            Row(name=f"mixture, {shape}", value=seconds, unit="s of processor time", note=f"{scores:,} scores"),
            Row(
                name=f"mixture, {shape}: off the exact fit",
                value=max(weight, mean),
                unit="weight or std",
                note=f"weights by {weight:.1e}, means by {mean:.1e} standard deviations; {few:,} scores",
            ),
        ]
    return rows


def deviation(score_N: FloatArray) -> tuple[float, float]:
    """How far the fit to a histogram is from the one that sums over all scores.

    Returns:
        The largest difference of weights, and of means in standard deviations of the scores.
    """
    quick = fit_gaussian_mixture(score_N, exact_up_to=0)
    exact = fit_gaussian_mixture(score_N, exact_up_to=len(score_N))
    if quick is None or exact is None:
        return float("nan"), float("nan")
    weight_2 = np.abs(quick.weight_2 - exact.weight_2)
    mean_2 = np.abs(quick.mean_2 - exact.mean_2) / score_N.std()
    return float(weight_2.max()), float(mean_2.max())


def size_rows(losses: Path, scratch: Path, *, whose: str) -> list[Row]:
    """Bytes per record of our files, of Parquet with pyarrow's defaults, and of CSV: the same columns."""
    step = -(-len(recorded_epochs(losses)) // _MOST_EPOCHS)
    count, plain_bytes, csv_bytes = 0, 0, 0
    for record in read_epochs(losses):
        if record.epoch % step == 0:
            write_epoch(scratch, record)
            table = _plain_table(record)
            count += len(table)
            plain_bytes += _written(table, pq.write_table)
            csv_bytes += _written(table, pyarrow.csv.write_csv)
    sizes = {
        "as labelaudit writes it": sum(file.stat().st_size for file in scratch.iterdir()),
        "in Parquet as pyarrow writes it": plain_bytes,
        "in CSV": csv_bytes,
    }
    note = f"{count:,} records {whose}"
    return [Row(name=f"a record {how}", value=size / count, unit="bytes", note=note) for how, size in sizes.items()]


def _plain_table(record: EpochLosses) -> pa.Table:
    return pa.table(
        {
            "sample": record.sample_R,
            "epoch": np.full(len(record.sample_R), record.epoch, dtype=np.int32),
            "loss": record.loss_R,
            "margin": record.margin_R,
            "predicted": record.predicted_R,
            "alternative": record.alternative_R,
        }
    )


def _written(table: pa.Table, write: Callable[[pa.Table, BytesIO], object]) -> int:
    content = BytesIO()
    write(table, content)
    return content.tell()


def _score(run: RunFolder) -> dict[str, float]:
    began, cpu_began = time.perf_counter(), time.process_time()
    fit(run)
    seconds, cpu_seconds = time.perf_counter() - began, time.process_time() - cpu_began
    return {
        "seconds": seconds,
        "cpu_seconds": cpu_seconds,
        "peak_bytes": _peak_bytes(),
        "decoding_seconds": stopwatch(lambda: deque(read_epochs(run.losses), maxlen=0)),
    }


def _peak_bytes() -> int:
    """The most memory that this process has held.

    On Linux, a new process inherits the peak of the one that started it, and only the kernel's own count leaves it out.
    """
    if sys.platform == "linux":
        line = next(line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:"))
        return int(line.split()[1]) * 1024
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss  # bytes on macOS


if __name__ == "__main__":
    print(json.dumps(_score(RunFolder(Path(sys.argv[1])))))
