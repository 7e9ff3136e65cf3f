"""Measure time and peak memory of the commands that need no training, on made-up loss tables of many samples.

    python -m tests.benchmarks.commands --work FOLDER [--samples 1000000] [--epochs 24] [--only "10,000 classes"]

The shapes: 10,000 classes; one class with 99% of the samples among 100; two samples a class. Every command runs in a
process of its own; its peak is the kernel's count.
"""

import argparse
import hashlib
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Catalogue
from labelaudit.run.documents import TRAINED
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, write_epoch
from labelaudit.run.tables import write_samples

_WRONG = 0.05
LabelArray = npt.NDArray[np.int32]


def _lopsided(samples: int, generator: np.random.Generator) -> LabelArray:
    return np.where(generator.random(samples) < 0.99, np.int32(0), generator.integers(1, 100, samples, dtype=np.int32))


SHAPES: dict[str, Callable[[int, np.random.Generator], LabelArray]] = {
    "10,000 classes": lambda samples, generator: generator.integers(0, min(10_000, samples // 2), samples),
    "one class with 99%": _lopsided,
    "2 samples a class": lambda samples, _generator: np.arange(samples, dtype=np.int32) // 2,
}
COMMANDS = {
    "fit": "fit RUN",
    "score (only reads)": "score RUN -o list.csv",
    "report": "report RUN --write sarif=labels.sarif",
    "export --to croissant": "export RUN --to croissant",
    "export --to label-studio": "export RUN --to label-studio",
}


def write_large_run(run: RunFolder, *, label_N: LabelArray, epochs: int) -> None:
    """Write the run folder of a trained probe: 5% of the labels are wrong, and their losses stay high."""
    samples, classes = len(label_N), int(label_N.max()) + 1
    generator = np.random.default_rng(1)
    names = tuple(f"class-{number:06d}" for number in range(classes))
    side_N = np.full(samples, 32, dtype=np.int32)
    catalogue = Catalogue(
        root=Path("/made-up"),
        classes=names,
        paths=tuple(f"{names[label]}/{number:07d}.png" for number, label in enumerate(label_N.tolist())),
        label_N=label_N,
        width_N=side_N,
        height_N=side_N,
        grey_N=np.zeros(samples, dtype=bool),
        sha256=tuple(hashlib.sha256(b"%d" % number).hexdigest() for number in range(samples)),
        reasons=("",) * samples,
    )
    run.root.mkdir(parents=True)
    write_samples(run.samples, catalogue)
    wrong_N = generator.random(samples) < _WRONG
    other_N = (label_N + generator.integers(1, classes, samples, dtype=np.int32)) % classes
    for epoch in range(epochs):
        learned = np.float32(6 * np.sqrt((epoch + 1) / epochs))
        margin_N = np.where(wrong_N, -learned, learned) + generator.standard_normal(samples, dtype=np.float32)
        record = EpochLosses(
            epoch=epoch,
            sample_R=np.arange(samples, dtype=np.int32),
            loss_R=np.logaddexp(np.float32(0), -margin_N),
            margin_R=margin_N,
            predicted_R=np.where(margin_N > 0, label_N, other_N),
            alternative_R=other_N,
        )
        write_epoch(run.losses, record)
    data = {
        "root": str(catalogue.root),
        "labels_file": None,
        "fingerprint": catalogue.fingerprint,
        "classes": list(names),
        "samples": samples,
        "readable": samples,
    }
    run.write_description({"status": TRAINED, "data": data, "settings": {"epochs": epochs, "members": 1}})


def measure(words: list[str], work: Path) -> tuple[float, float]:
    """Run a command and return its seconds and its peak of resident memory in MB (10⁶ bytes)."""
    began = time.monotonic()
    command = [sys.executable, "-m", "labelaudit", *words, "--quiet"]
    process = subprocess.Popen(command, cwd=work, env={**os.environ, "OMP_NUM_THREADS": "1"})
    _, status, usage = os.wait4(process.pid, 0)
    if status:
        raise RuntimeError(f"{' '.join(words)} ended with {os.waitstatus_to_exitcode(status)}")
    return time.monotonic() - began, usage.ru_maxrss * 1024 / 1e6


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
        run = RunFolder(asked.work / "run")
        label_N = np.sort(SHAPES[shape](asked.samples, np.random.default_rng(0)))
        label_N = np.unique(label_N, return_inverse=True)[1].astype(np.int32)
        write_large_run(run, label_N=label_N, epochs=asked.epochs)
        for name, text in COMMANDS.items():
            seconds, megabytes = measure(
                [str(run.root) if word == "RUN" else word for word in text.split()], asked.work
            )
            print(f"| {shape} | {name} | {seconds:.0f} | {megabytes:.0f} |", flush=True)
        shutil.rmtree(run.root)


if __name__ == "__main__":
    _main()
