"""What is timed, and how: labelaudit's epochs, the least that any epoch takes, and the loop that one writes by hand.

Shapes: R rows that take part in the training, B batch, C classes or channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import os
import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple
from unittest import mock

import numpy as np
import torch
from PIL import Image
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.prepare import Prepared, Source, make_network, prepare
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.engine import loop
from labelaudit.engine.devices import choose_device
from labelaudit.engine.inputs import Inputs
from labelaudit.engine.loop import Training
from labelaudit.engine.optimizers import build_optimizer
from labelaudit.engine.settings import TrainingSettings
from labelaudit.methods.standard import Standard
from labelaudit.progress import QUIET, Advance, Reporter
from labelaudit.reproduce.detection import require
from labelaudit.reproduce.runner import Row, take
from labelaudit.run.caches import CACHE_VARIABLE
from labelaudit.run.losses import EpochLosses, write_epoch

WORKERS = 2
Contender = tuple[int, Callable[[], object]]
"""Work that is timed: the number of items that a call gets done, and the call."""


def figure(name: str, values: float | Sequence[float], unit: str = "", note: str = "") -> Row:
    """Return a figure of a benchmark; of several rounds it is the median, and the note has their range."""
    if isinstance(values, Sequence):
        several = f"from {min(values):.4g} to {max(values):.4g} in {len(values)} rounds"
        note = "; ".join(filter(None, ["one round" if len(values) == 1 else several, note]))
        values = statistics.median(values)
    return {"name": name, "value": float(values), "unit": unit, "note": note}


def take_turns(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Return each contender's items per second in every round, after an untimed one; the order alternates.

    So a machine that gets steadily slower or faster favors no contender.
    """
    for _, work in contenders.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in contenders if number % 2 == 0 else reversed(contenders):
            items, work = contenders[name]
            began = time.perf_counter()
            work()
            rates[name].append(items / (time.perf_counter() - began))
    return rates


class Stages(Reporter):
    """A reporter that draws nothing and notes how long each progress bar was open."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextlib.contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """Time what happens while the bar is open."""
        began = time.perf_counter()
        yield lambda _finished: None
        self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - began


class Problem(NamedTuple):
    """Rows to train on, their labels and sample numbers; how, where and what: a fresh network, each time the same."""

    prepared: Prepared
    settings: TrainingSettings
    device: torch.device
    build: Callable[[], nn.Module]

    @property
    def inputs(self) -> Inputs:
        return self.prepared.inputs

    def __str__(self) -> str:
        chosen = self.settings
        return (
            f"{chosen.model}, {len(self.inputs)} images of {chosen.image_size} pixels, "
            f"{'colour' if chosen.channels == 3 else 'grey'}, batch {chosen.batch_size}, ours in {chosen.precision}"
        )


def prepare_folder(data: Data, options: TrainingOptions, limit: int | None = None) -> Problem:
    """Scan a folder, and decode or embed its images, at most so many of them, evenly spaced."""
    device = choose_device(options.device)
    whole = scan(data.root, labels_file=data.labels_file)
    settings, source = plan(whole, options, device).settings, Source(device=device)
    readable = np.flatnonzero(whole.used_N)
    count = min(limit or len(readable), len(readable))
    some = take(whole, readable[np.arange(count) * len(readable) // count])
    prepared = prepare(some, settings, source, QUIET)
    return Problem(prepared, settings, torch.device(str(device)), partial(make_network, settings, prepared, source))


@contextlib.contextmanager
def empty_folder() -> Iterator[Path]:
    """Give a temporary folder that holds labelaudit's cache too: it begins empty, and the user's is left alone."""
    with (
        tempfile.TemporaryDirectory(prefix="labelaudit-speed-") as name,
        mock.patch.dict(os.environ, {CACHE_VARIABLE: str(Path(name) / "cache")}),
    ):
        yield Path(name)


def ours(problem: Problem, folder: Path, epochs: int = 1, *, recorded: bool = True) -> Contender:
    """labelaudit's own epochs at a constant rate, each with its Parquet file, written while the next one trains.

    Not ``recorded``, they train without computing or keeping records.
    """
    settings, prepared = replace(problem.settings, schedule="constant"), problem.prepared
    training = Training([problem.build()], settings, problem.device)
    # Not a Mock, which would keep every tensor that it is given.
    nothing = SimpleNamespace(put=lambda *_step: None, take=lambda *_epoch: None)
    unrecorded = mock.patch.object(loop, "Recorder", return_value=nothing)

    def run() -> None:
        writing = []
        with ThreadPoolExecutor(1) as pool, contextlib.nullcontext() if recorded else unrecorded:
            for _ in range(epochs):
                record = training.run_epoch(problem.inputs, prepared.label_R, Standard(), lambda _finished: None)
                if recorded:
                    names = ("loss", "margin", "predicted", "alternative")
                    columns = {f"{name}_R": getattr(record, f"{name}_N") for name in names}
                    losses = EpochLosses(epoch=record.epoch, sample_R=prepared.sample_R, **columns)
                    writing.append(pool.submit(write_epoch, folder, losses))
        for written in writing:
            written.result()
        wait_for(problem.device)

    return epochs * len(problem.inputs), run


def bare_steps(problem: Problem, epochs: int) -> Contender:
    """Forward, backward and optimizer of labelaudit's loop on one batch that never changes: what no loop can beat.

    The rate is tiny: a batch that is memorized would soon compute with numbers that no training has.
    """
    settings, device = problem.settings, problem.device
    batch_size = min(settings.batch_size, len(problem.inputs))
    steps = epochs * -(-len(problem.inputs) // batch_size)
    index_B = torch.arange(batch_size) * (len(problem.inputs) // batch_size)
    x_B, label_B = problem.inputs.batch(index_B, None), problem.prepared.label_R[index_B].to(device)
    network = problem.build().to(device).to(memory_format=torch.channels_last).train()
    optimizer = build_optimizer(network, replace(settings, lr=1e-4))

    def run() -> None:
        for _ in range(steps):
            with torch.autocast(device.type, dtype=torch.bfloat16, enabled=settings.precision == "bfloat16"):
                logits_BC = network(x_B)
            optimizer.zero_grad(set_to_none=True)
            functional.cross_entropy(logits_BC.float(), label_B).backward()
            optimizer.step()
        wait_for(device)

    return steps * batch_size, run


def wait_for(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)


def ordinary_epoch(problem: Problem) -> Contender:
    """An epoch of the plain float32 loop with the same network, batch size and optimizer, and the ``aum`` package."""
    device, settings, batches = problem.device, problem.settings, _folder_batches(problem)
    network = problem.build().to(device)
    same = {name: getattr(settings, name) for name in ("lr", "momentum", "nesterov", "weight_decay")}
    optimizer = torch.optim.SGD(network.parameters(), **same)
    calculator = require("aum")[0].AUMCalculator("")

    def run() -> None:
        network.train()
        for images_BCHW, labels_B, sample_B in batches:
            x_BCHW, label_B = images_BCHW.to(device), labels_B.to(device)
            logits_BC = network(x_BCHW)
            loss = functional.cross_entropy(logits_BC, label_B)
            calculator.update(logits_BC.detach(), label_B, sample_B.tolist())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    return len(problem.inputs), run


def _folder_batches(problem: Problem) -> DataLoader[Any]:
    settings, catalogue = problem.settings, problem.prepared.catalogue
    size, batch_size, steps = settings.image_size, settings.batch_size, []
    if (catalogue.width_N != size).any() or (catalogue.height_N != size).any():
        steps.append(transforms.Resize((size, size)))
    crop = transforms.RandomCrop(size, padding=min(settings.crop_pad, size - 1), padding_mode="reflect")
    steps += [crop, transforms.RandomHorizontalFlip()]  # as in the default preset
    steps += [transforms.ToTensor(), transforms.Normalize(*problem.prepared.statistics)]
    # A last batch of one sample can neither be taken by batch norm nor by aum.
    alone = len(problem.inputs) > batch_size and len(problem.inputs) % batch_size == 1
    return _batches(catalogue, settings.channels, steps, batch_size=batch_size, shuffle=True, drop_last=alone)


def plain_batches(catalogue: Catalogue, size: int) -> DataLoader[Any]:
    """Return ImageFolder with nothing but Resize and ToTensor, in colour."""
    return _batches(catalogue, 3, [transforms.Resize((size, size)), transforms.ToTensor()], batch_size=256)


def _batches(catalogue: Catalogue, channels: int, steps: list[Any], **options: Any) -> DataLoader[Any]:
    """Return batches of images [B, C, H, W], labels [B] and sample numbers [B], by two workers that stay."""
    images = _Numbered(catalogue, channels, transforms.Compose(steps))
    return DataLoader(images, num_workers=WORKERS, persistent_workers=True, **options)


class _Numbered(Dataset[Any]):
    """ImageFolder, less what is not in the catalogue, with the number of each image, which aum asks for."""

    def __init__(self, catalogue: Catalogue, channels: int, transform: Any) -> None:
        mode = "L" if channels == 1 else "RGB"
        self._images = ImageFolder(str(catalogue.root), transform=transform, loader=partial(_load, mode=mode))
        wanted = {str(catalogue.root / path) for path in catalogue.paths}
        self._index_N = [number for number, (path, _) in enumerate(self._images.samples) if path in wanted]

    def __len__(self) -> int:
        return len(self._index_N)

    def __getitem__(self, number: int) -> tuple[torch.Tensor, int, int]:
        image, label = self._images[self._index_N[number]]
        return image, label, number


def _load(path: str, mode: str) -> Image.Image:
    with open(path, "rb") as handle:
        return Image.open(handle).convert(mode)
