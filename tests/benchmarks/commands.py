"""Measure time and peak memory of the commands that need no training, on made-up loss tables of many samples.

    python tests/benchmarks/commands.py --work FOLDER [--samples 1000000] [--epochs 24] [--only "10,000 classes"]

The shapes: 10,000 classes; one class with 99% of the samples among 100; two samples a class.
"""

from __future__ import annotations

import argparse
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt
from scale import write_run

from labelaudit.run.layout import RunFolder

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
import sys
from labelaudit.__main__ import main
try:
    main()
finally:
    lines = open("/proc/self/status").read().splitlines()
    print(next(line.split()[1] for line in lines if line.startswith("VmHWM:")))
"""
"""Prints the peak of a command's own memory in KiB; rusage would count that of the process that started it too."""


def _main() -> None:
    parser = argparse.ArgumentParser(description=str(__doc__).partition("\n")[0])
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--epochs", type=int, default=24)
    parser.add_argument("--only", choices=list(SHAPES), action="append")
    parser.add_argument("--work", type=Path, required=True)
    asked = parser.parse_args()
    asked.work.mkdir(parents=True, exist_ok=True)
    print(f"{asked.samples:,} samples, {asked.epochs} epochs\n")
    print("| shape | command | seconds | peak memory, MB |\n|---|---|---|---|")
    for shape in asked.only or SHAPES:
        run = RunFolder(asked.work.resolve() / "run")
        label_N = np.sort(SHAPES[shape](asked.samples, np.random.default_rng(0)))
        write_run(run, np.unique(label_N, return_inverse=True)[1].astype(np.int32), asked.epochs)
        for command in COMMANDS:
            words, began = command.replace("RUN", str(run.root)).split(), time.monotonic()
            done = subprocess.run(
                [sys.executable, "-c", _MEASURED, *words], cwd=asked.work, stdout=subprocess.PIPE, text=True, check=True
            )
            peak = int(done.stdout.splitlines()[-1]) * 1024 / 1e6
            print(f"| {shape} | {command} | {time.monotonic() - began:.0f} | {peak:.0f} |", flush=True)
        shutil.rmtree(run.root)


if __name__ == "__main__":
    _main()
