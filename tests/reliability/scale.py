"""Statistics of a large audit: time and peak memory of ``fit``, ``report`` and ``export`` on generated loss tables.

    python -m tests.reliability.scale --work FOLDER [--samples 1000000] [--epochs 24] [--only "10,000 classes"]

The shapes: 10,000 classes; one class with 99% of the samples among 100; two samples a class. Every command runs in a
process of its own; its peak is the kernel's count.
"""

import argparse
import hashlib
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Catalogue
from labelaudit.run.documents import TRAINED
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, write_epoch
from labelaudit.run.tables import write_samples
from tests.reliability.memory import run_measured

_WRONG = 0.05
LabelArray = npt.NDArray[np.int32]


def _ten_thousand(samples: int, generator: np.random.Generator) -> LabelArray:
    return np.sort(generator.integers(0, min(10_000, samples // 2), samples, dtype=np.int32))


def _lopsided(samples: int, generator: np.random.Generator) -> LabelArray:
    rare_N = generator.integers(1, 100, samples, dtype=np.int32)
    return np.sort(np.where(generator.random(samples) < 0.99, np.int32(0), rare_N))


def _pairs(samples: int, _generator: np.random.Generator) -> LabelArray:
    return np.arange(samples, dtype=np.int32) // 2


SHAPES: dict[str, Callable[[int, np.random.Generator], LabelArray]] = {
    "10,000 classes": _ten_thousand,
    "one class with 99%": _lopsided,
    "2 samples a class": _pairs,
}
COMMANDS: dict[str, tuple[str, ...]] = {
    "fit": ("fit", "RUN"),
    "score (only reads)": ("score", "RUN", "-o", "list.csv"),
    "report": ("report", "RUN", "--write", "sarif=labels.sarif"),
    "export --to croissant": ("export", "RUN", "--to", "croissant"),
    "export --to label-studio": ("export", "RUN", "--to", "label-studio"),
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """What a command took."""

    shape: str
    command: str
    seconds: float
    peak_megabytes: float


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
        write_epoch(
            run.losses,
            EpochLosses(
                epoch=epoch,
                sample_R=np.arange(samples, dtype=np.int32),
                loss_R=np.logaddexp(np.float32(0), -margin_N),
                margin_R=margin_N,
                predicted_R=np.where(margin_N > 0, label_N, other_N),
                alternative_R=other_N,
            ),
        )
    data = {
        "root": str(catalogue.root),
        "labels_file": None,
        "fingerprint": catalogue.fingerprint,
        "classes": list(names),
        "samples": samples,
        "readable": samples,
    }
    run.write_description({"status": TRAINED, "data": data, "settings": {"epochs": epochs, "members": 1}})


def measure(shape: str, work: Path, *, samples: int, epochs: int) -> list[Figure]:
    """Run every command on one shape.

    Raises:
        AssertionError: a command fails.
    """
    run = RunFolder(work / "run")
    label_N = SHAPES[shape](samples, np.random.default_rng(0))
    label_N = np.unique(label_N, return_inverse=True)[1].astype(np.int32)
    write_large_run(run, label_N=label_N, epochs=epochs)
    figures = []
    for command, words in COMMANDS.items():
        asked = [str(run.root) if word == "RUN" else word for word in words]
        done = run_measured(*asked, environment={}, cwd=work, timeout=3600)
        assert done.outcome.code == 0, done.outcome.err
        figures.append(Figure(shape=shape, command=command, seconds=done.seconds, peak_megabytes=done.peak_megabytes))
    shutil.rmtree(run.root)
    return figures


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
        for figure in measure(shape, asked.work, samples=asked.samples, epochs=asked.epochs):
            print(f"| {shape} | {figure.command} | {figure.seconds:.0f} | {figure.peak_megabytes:.0f} |", flush=True)


if __name__ == "__main__":
    _main()
