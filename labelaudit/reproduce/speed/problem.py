"""The training that contenders are timed on, and a place of its own for what it writes.

Shapes: N samples, R rows that take part in the training.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch
from torch import nn

from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import plan
from labelaudit.audit.prepare import Source, Statistics, make_network, prepare
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.engine.devices import choose_device
from labelaudit.engine.inputs import Inputs
from labelaudit.engine.settings import TrainingSettings
from labelaudit.progress import QUIET
from labelaudit.reproduce.detection import write_truth
from labelaudit.reproduce.speed.arguments import positive
from labelaudit.run.caches import CACHE_VARIABLE


@dataclass(frozen=True, kw_only=True)
class Problem:
    """Rows to train on, and how.

    Attributes:
        inputs: R rows.
        label_R: int64 given labels.
        sample_R: Sample number of each row.
        settings: How to train.
        device: Where.
        build: Gives a fresh network, each time the same.
    """

    inputs: Inputs
    label_R: torch.Tensor
    sample_R: npt.NDArray[np.int32]
    settings: TrainingSettings
    device: torch.device
    build: Callable[[], nn.Module]


@dataclass(frozen=True, kw_only=True)
class FolderProblem:
    """A problem that came from a folder of images.

    Attributes:
        catalogue: The samples that take part.
        statistics: Mean and standard deviation by which pictures are normalised.
        problem: What is trained.
    """

    catalogue: Catalogue
    statistics: Statistics
    problem: Problem


def add_training_arguments(parser: argparse.ArgumentParser) -> None:
    """The folder, how much of it, and what is trained on it."""
    parser.add_argument("data", type=Path, help="a folder with a folder of images for each class")
    parser.add_argument("--limit", type=positive, default=None, help="use so many images, evenly spaced (default: all)")
    parser.add_argument("--image-size", type=positive, default=None, help="side, in pixels (default: labelaudit's)")
    parser.add_argument("--model", default=None, help="timm's name of the network (default: labelaudit's)")
    parser.add_argument("--batch-size", type=positive, default=None, help="(default: labelaudit's)")


def load_folder(asked: argparse.Namespace) -> FolderProblem:
    """The folder that the options name, for a network that is trained from scratch on the processor.

    Raises:
        LabelauditError: the folder cannot be audited, or the options contradict each other.
    """
    options = TrainingOptions(
        probe="train", model=asked.model, image_size=asked.image_size, batch_size=asked.batch_size, device="cpu"
    )
    return prepare_folder(Data(root=asked.data), options, limit=asked.limit)


def prepare_folder(data: Data, options: TrainingOptions, *, limit: int | None = None) -> FolderProblem:
    """Scan a folder, and decode or embed its pictures.

    The settings are those for the whole folder, also when only a part of it is used.

    Raises:
        LabelauditError: the folder cannot be audited, or the options contradict each other.
    """
    device = choose_device(options.device)
    whole = scan(data.root, labels_file=data.labels_file)
    settings = plan(whole, options, device).settings
    source = Source(device=device, weights_file=options.network_weights, offline=options.offline)
    prepared = prepare(subset(whole, limit), settings, source, QUIET)
    problem = Problem(
        inputs=prepared.inputs,
        label_R=prepared.label_R,
        sample_R=prepared.sample_R,
        settings=settings,
        device=device,
        build=lambda: make_network(settings, prepared, source),
    )
    return FolderProblem(catalogue=prepared.catalogue, statistics=prepared.statistics, problem=problem)


def subset(catalogue: Catalogue, most: int | None) -> Catalogue:
    """At most so many of the readable samples, evenly spaced: every class keeps its share."""
    readable = np.flatnonzero(catalogue.readable_N)
    count = len(readable) if most is None else min(most, len(readable))
    chosen = readable[np.arange(count) * len(readable) // max(count, 1)]
    return replace(
        catalogue,
        paths=tuple(catalogue.paths[number] for number in chosen),
        label_N=catalogue.label_N[chosen],
        width_N=catalogue.width_N[chosen],
        height_N=catalogue.height_N[chosen],
        grey_N=catalogue.grey_N[chosen],
        sha256=tuple(catalogue.sha256[number] for number in chosen),
        reasons=("",) * count,
    )


def only(catalogue: Catalogue, file: Path) -> Data:
    """What makes an audit see these samples only: a labels file, which is written."""
    write_truth(catalogue, file)
    return Data(root=catalogue.root, labels_file=file)


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """A temporary folder that holds labelaudit's cache too: it begins empty, and the user's is left alone."""
    before = os.environ.get(CACHE_VARIABLE)
    with tempfile.TemporaryDirectory(prefix="labelaudit-speed-") as name:
        os.environ[CACHE_VARIABLE] = str(Path(name) / "cache")
        try:
            yield Path(name)
        finally:
            if before is None:
                del os.environ[CACHE_VARIABLE]
            else:
                os.environ[CACHE_VARIABLE] = before
