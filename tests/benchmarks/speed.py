"""How fast the parts of labelaudit are, against what one would write by hand.

    python tests/benchmarks/speed.py [--json FILE] NAME …

Every figure that counts is a ratio of two things measured in the same run, in turns, so that a machine that is slower
or busy changes both. docs/benchmarks.md has the commands and what came out.

Shapes: R rows that take part in the training, B batch, C classes or channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import json
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING, Annotated, Any, NamedTuple, Optional, cast
from unittest import mock

import numpy as np
import torch
import typer
from PIL import Image
from scale import figure, measure_scale
from torch import nn
from torch.nn import functional
from torch.utils.data import DataLoader, Dataset
from torchvision import transforms
from torchvision.datasets import ImageFolder

from labelaudit import __version__
from labelaudit.auditing.fit import fit
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.prepare import Prepared, Source, backbone_of, make_network, prepare
from labelaudit.auditing.probe import train_probe
from labelaudit.data.catalogue import Catalogue, in_parallel
from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat, decode_sample, load_pixels
from labelaudit.engine import loop as training_loop
from labelaudit.engine.devices import choose_device, single_threaded
from labelaudit.engine.features import BATCH, build_embedder, normalization
from labelaudit.engine.features import embed as embed_images
from labelaudit.engine.inputs import Inputs
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.optimizers import build_optimizer
from labelaudit.engine.settings import TrainingSettings
from labelaudit.progress import QUIET, Advance, Reporter
from labelaudit.reproduce.detection import CLEANLABS, out_of_fold_probabilities, require
from labelaudit.reproduce.runner import Row, Rows, noisy_data, parse_noise, table, take
from labelaudit.reproduce.truth import TrueAudit, rank_quality
from labelaudit.run.caches import CACHE_VARIABLE
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, write_epoch

if TYPE_CHECKING:
    from labelaudit.names import PresetName

Count = Annotated[int, typer.Option(min=1)]
Device = Annotated[str, typer.Option("--device", help="cuda, cuda:N or cpu.")]
OURS, UNRECORDED, BARE = "labelaudit", "labelaudit without recording", "bare step"
ORDINARY = "ImageFolder + DataLoader + aum"
WORKERS = 2
Contender = tuple[int, Callable[[], object]]
"""Work that is timed: the number of items that a call gets done, and the call."""


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
    training = Training([problem.build()], settings, problem.device, Task(problem.inputs, prepared.label_R))
    # Not a Mock, which would keep every tensor that it is given.
    nothing = SimpleNamespace(put=lambda *_step: None, take=lambda *_epoch: None)
    unrecorded = mock.patch.object(training_loop, "Recorder", return_value=nothing)

    def run() -> None:
        writing = []
        with ThreadPoolExecutor(1) as pool, contextlib.nullcontext() if recorded else unrecorded:
            for _ in range(epochs):
                record = training.run_epoch(lambda _finished: None)
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


def show(rows: Rows, json_file: Optional[Path], **_options: object) -> None:
    """Print the table, and write the figures with what they depend on."""
    cells = {}
    for row in rows:
        value = row["value"]
        shown = f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.4g}"
        cells[row["name"]] = {"value": shown, "unit": row["unit"], "note": row["note"]}
    print("\n".join(table("Speed", "", ("what",), cells)))
    if json_file is not None:
        found = {
            "arguments": sys.argv[1:],
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "labelaudit": __version__},
            "processor": platform.processor() or platform.machine(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "threads": torch.get_num_threads(),
            "rows": rows,
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(found, indent=2) + "\n")


app = typer.Typer(result_callback=show, help=__doc__)
app.command("scale")(measure_scale)


@app.callback()
def _settings(
    json_file: Annotated[Optional[Path], typer.Option("--json", help="Write the figures there too.")] = None,
) -> None:
    """See the docstring of the file."""


@app.command()
def loop(
    data: Path,
    limit: Annotated[Optional[int], typer.Option(min=1, help="Use so many images, evenly spaced.")] = None,
    where: Device = "cpu",
    rounds: Count = 5,
    epochs_a_turn: Count = 1,
    ordinary: Annotated[bool, typer.Option(help="With the ordinary loop.")] = True,
) -> list[Row]:
    """Images per second of an epoch: labelaudit's with and without recording, an ordinary loop's, and the bare step's.

    All train the same network with the same batch size, in turns; labelaudit's pixels are decoded beforehand. The
    ordinary loop has the aum package, decodes in each epoch (ImageFolder with two workers) and trains in float32.
    """
    options = TrainingOptions(probe="train", device=where)
    with empty_folder() as scratch:
        problem = prepare_folder(Data(root=data), options, limit)
        # The ordinary loop is first: its workers are forked in the warm-up, before anything else has threads.
        contenders = {ORDINARY: ordinary_epoch(problem)} if ordinary else {}
        # A training each: that of the other is not disturbed.
        for name in (OURS, UNRECORDED):
            contenders[name] = ours(problem, scratch / "losses", epochs_a_turn, recorded=name == OURS)
        contenders[BARE] = bare_steps(problem, epochs_a_turn)
        rows, ratios = _raced(contenders, rounds)
    return [
        *rows,
        *([figure(f"{OURS} / {ORDINARY}", ratios(OURS, ORDINARY), "×", str(problem))] if ordinary else []),
        figure(f"{OURS}, share of the bare step", [100 * of for of in ratios(OURS, BARE)], "%", str(problem)),
        figure("recording adds", [100 * (of - 1) for of in ratios(UNRECORDED, OURS)], "% of the time", str(problem)),
    ]


def _raced(contenders: Mapping[str, Contender], rounds: int) -> tuple[list[Row], Callable[[str, str], list[float]]]:
    """Return the rate of each contender, and how many times as fast as another one is, round by round."""
    rates = take_turns(contenders, rounds)
    rows = [figure(name, values, "images/s") for name, values in rates.items()]
    return rows, lambda one, other: [a / b for a, b in zip(rates[one], rates[other], strict=True)]


@app.command()
def decode(data: Path, image_size: Count = 64, rounds: Count = 5) -> list[Row]:
    """Images per second of the decoding pass, against ImageFolder, Resize and a DataLoader with two workers.

    labelaudit's pixel cache is empty each time. It decodes a JPEG at a reduced scale where that is enough, which is
    most of the difference. Decoding with reading and hashing the files before is a contender of its own.
    """
    catalogue, form = scan(data), PixelFormat(size=image_size, channels=3)
    batches = plain_batches(catalogue, image_size)

    def decode_all(*, again: bool) -> None:
        with empty_folder():
            load_pixels(scan(data) if again else catalogue, form)

    other, *names = "ImageFolder + Resize + DataLoader", "labelaudit decodes", "labelaudit scans and decodes"
    contenders: dict[str, Contender] = {other: (len(catalogue), lambda: sum(len(batch[0]) for batch in batches))}
    contenders |= {name: (len(catalogue), partial(decode_all, again="scans" in name)) for name in names}
    rows, ratios = _raced(contenders, rounds)
    note = f"{len(catalogue)} images of {catalogue.median_short_side} pixels, to {image_size} pixels"
    return [*rows, *(figure(f"{name} / {other}", ratios(name, other), "×", note) for name in names)]


@app.command()
def embed(data: Path, where: Device = "cpu", rounds: Count = 3) -> list[Row]:
    """Images per second from files to embeddings of the frozen backbone, and of decoding and the bare network alone.

    labelaudit's cache is empty each time; files are in the system's.
    """
    device, catalogue = choose_device(where), scan(data)
    settings = plan(catalogue, TrainingOptions(probe="frozen", device=where), device).settings
    backbone, form = backbone_of(settings, Source(device=device)), settings.pixel_format
    same: dict[str, Any] = {"statistics": normalization(settings.model, settings.weights), "device": device}
    same |= {"precision": settings.precision, "reporter": QUIET}
    network, samples = build_embedder(backbone, form.size, **same), list(range(len(catalogue)))
    batch, workers = BATCH[device.type], torch.get_num_threads() + 1
    fixed_BCHW = np.stack([decode_sample(catalogue, sample, form) for sample in samples[:batch]])

    def whole() -> None:
        with empty_folder():
            embed_images(catalogue, backbone, form, **same)

    def in_threads(work: Callable[[Sequence[int]], object]) -> Callable[[], None]:
        def run() -> None:
            with single_threaded():
                for _ in in_parallel(samples, work, batch, workers):
                    pass

        return run

    bare, decoding = "bare network", "decoding"
    contenders = {
        OURS: (len(samples), whole),
        bare: (len(samples), in_threads(lambda _some: network(fixed_BCHW))),
        decoding: (len(samples), in_threads(lambda some: [decode_sample(catalogue, one, form) for one in some])),
    }
    rows, ratios = _raced(contenders, rounds)
    note = f"{settings.model}, {len(samples)} images of {catalogue.median_short_side} pixels, seen at {form.size}"
    return [*rows, *(figure(f"{OURS} / {one}", ratios(OURS, one), "", note) for one in (bare, decoding))]


def _quality(name: str, auroc: float, average_precision: float) -> list[Row]:
    return [figure(f"{name}: AP", average_precision), figure(f"{name}: AUROC", auroc)]


@app.command()
def audit(
    data: Path,
    out: Annotated[Path, typer.Option(help="Gets the labels file with planted errors.")],
    rate: Annotated[float, typer.Option(min=1e-6, max=1 - 1e-6, help="Share of planted errors.")] = 0.2,
    seed: int = 0,
    own_epochs: Annotated[Optional[int], typer.Option("--epochs", min=1, help="Of labelaudit's probe.")] = None,
    epochs_cv: Annotated[str, typer.Option(help="Tried for cleanlab; nothing: without cleanlab.")] = "3,5,10,20",
    where: Device = "cpu",
    preset: Annotated[Optional[str], typer.Option(help="Of labelaudit's probe.")] = None,
    deterministic: bool = False,
) -> list[Row]:
    """A whole audit against cleanlab with cross-validation: how well each finds planted errors, and how long it takes.

    labelaudit's side is the default audit with an empty cache, from the folder to the CSV. cleanlab's side has the same
    network, decoded and trained by labelaudit's loop, five folds, and the epoch count and ranking that turn out best on
    the planted errors. Its time is that of the best count, from an empty cache. On a GPU the first audit pays for
    loading the libraries: run it twice.
    """
    clean = scan(data)
    case, folder = parse_noise(f"uniform:{rate:g}", clean.classes), out / f"uniform-{rate:g}-seed{seed}"
    folder.mkdir(parents=True, exist_ok=True)
    noisy = noisy_data(clean, case, folder, seed)
    options = TrainingOptions(epochs=own_epochs, seed=seed, device=where, preset=cast("PresetName", preset))
    options = replace(options, deterministic=deterministic)
    rows: list[Row] = []

    def cross_validate(count: int) -> float:
        """Add the figures of a count of epochs, and return its better average precision."""
        (ranks,) = require("cleanlab.rank")
        with empty_folder():
            problem = prepare_folder(noisy, options)
            label_R, settings = problem.prepared.label_R, replace(problem.settings, epochs=count)
            p_RK = out_of_fold_probabilities(problem.inputs, label_R, settings, problem.device, problem.build)
        wrong_R, best = (problem.prepared.catalogue.label_N != clean.label_N)[problem.prepared.sample_R], 0.0
        for ranking in CLEANLABS:
            suspicion_R = -ranks.get_label_quality_scores(label_R.numpy(), p_RK, method=ranking)
            found = _quality(f"cleanlab, {count} epochs, {ranking}", **rank_quality(wrong_R, suspicion_R))
            rows.extend(found)
            best = max(best, found[0]["value"])
        return best

    tried = {}
    for count in dict.fromkeys(int(count) for count in epochs_cv.split(",") if count):
        began = time.perf_counter()
        tried[count] = cross_validate(count), time.perf_counter() - began
    stages = Stages()
    with empty_folder() as scratch:
        began, run = time.perf_counter(), RunFolder(scratch / "run")
        train_probe(noisy, run, options, stages)
        fitted, ended = fit(run, None, stages), time.perf_counter()
        found = TrueAudit("", seed, run, fitted, clean)
    chosen = next(row for row in found.rankings() if row["chosen"])
    rows += _quality(OURS, chosen["auroc"], chosen["average_precision"])
    rows += [figure(f"{OURS}: {name[:1].lower()}{name[1:]}", taken, "s") for name, taken in stages.seconds.items()]
    rows.append(figure(f"{OURS}: whole", ended - began, "s"))
    rows += [figure(f"cleanlab, {count} epochs: whole", taken, "s") for count, (_, taken) in tried.items()]
    for best in sorted(tried, key=lambda count: tried[count][0])[-1:]:
        rows.append(figure(f"{OURS} / cleanlab, {best} epochs", tried[best][1] / (ended - began), "×"))
    return rows


if __name__ == "__main__":
    app()
