"""Seconds from a folder to a number of recorded epochs, on large pictures that have to be decoded first.

    python -m labelaudit.reproduce.speed epochs PICTURES --make 3000 --image-size 64 --model resnet18

labelaudit's side is the whole of ``labelaudit train-probe`` with an empty cache: reading and hashing the files, one
decoding pass, and all epochs with recording, Parquet files and checkpoints. The other side is ImageFolder with a
DataLoader of two workers, a plain float32 loop and ``aum``, with the same network and batch size: it decodes in every
epoch. Of it only some epochs are run, half of them before and half after ours, and the rest is extrapolated from their
median.
"""

from __future__ import annotations

import argparse

from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.probe import train_probe
from labelaudit.reproduce.speed.arguments import positive
from labelaudit.reproduce.speed.extras import require
from labelaudit.reproduce.speed.loop import describe
from labelaudit.reproduce.speed.ordinary import OrdinaryTraining, folder_batches
from labelaudit.reproduce.speed.pictures import add_make_argument, make_asked
from labelaudit.reproduce.speed.problem import add_training_arguments, empty_folder, load_folder, only
from labelaudit.reproduce.speed.stages import Stages
from labelaudit.reproduce.speed.timing import Row, spread, stopwatch
from labelaudit.run.layout import RunFolder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The options of this benchmark."""
    add_training_arguments(parser)
    add_make_argument(parser)
    parser.add_argument("--epochs", type=positive, default=10, help="how many are compared (default: 10)")
    parser.add_argument(
        "--measured", type=positive, default=2, help="how many of the ordinary loop's epochs are run (default: 2)"
    )


def measure(asked: argparse.Namespace) -> list[Row]:
    """Time some of the ordinary epochs, labelaudit's whole training, and the ordinary ones that are left.

    Raises:
        LabelauditError: the folder cannot be trained on, or ``aum`` is not installed.
    """
    require("aum")
    make_asked(asked)
    with empty_folder() as scratch:
        folder = load_folder(asked)
        data = only(folder.catalogue, scratch / "labels.csv")
        ordinary = OrdinaryTraining(folder.problem, folder_batches(folder))
        settings = folder.problem.settings
        options = TrainingOptions(
            probe="train",
            model=settings.model,
            image_size=settings.image_size,
            batch_size=settings.batch_size,
            epochs=asked.epochs,
            device="cpu",
        )
        before = (asked.measured + 1) // 2
        seconds = [stopwatch(ordinary.run) for _ in range(before)]
        stages = Stages()
        with empty_folder() as empty:
            ours = stopwatch(lambda: train_probe(data, RunFolder(empty / "run"), options, stages))
        seconds += [stopwatch(ordinary.run) for _ in range(asked.measured - before)]
    epoch = spread(seconds)
    theirs = asked.epochs * epoch.median
    extrapolated = f"extrapolated from {epoch.rounds} measured epochs of {epoch.low:.4g} to {epoch.high:.4g} s"
    return [
        Row(name="labelaudit, from the folder", value=ours, unit="s", note=f"{asked.epochs} epochs, measured whole"),
        *stages.rows("labelaudit"),
        Row(name="ImageFolder + DataLoader + aum", value=theirs, unit="s", note=extrapolated),
        Row(name="labelaudit is faster by", value=theirs / ours, unit="×", note=describe(folder.problem)),
    ]
