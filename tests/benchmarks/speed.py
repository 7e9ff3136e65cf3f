"""How fast the parts of labelaudit are, against what one would write by hand.

    python tests/benchmarks/speed.py [--json FILE] NAME …

Every figure that counts is a ratio of two things measured in the same run, in turns, so that a machine that is slower
or busy changes both. docs/benchmarks.md has the commands and what came out.
"""

from __future__ import annotations

import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Optional
from unittest import mock

import numpy as np
import torch
import typer
from contenders import (
    BARE,
    ORDINARY,
    OURS,
    UNRECORDED,
    bare_steps,
    empty_folder,
    ordinary_epoch,
    ours,
    plain_batches,
    prepare_folder,
)
from scale import measure_scale
from timing import Contender, Measurement, Rates, Stages, median, ratios, rows_of, take_turns

from labelaudit import __version__
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.score import score
from labelaudit.data.catalogue import in_parallel
from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat, load_pixels
from labelaudit.engine.embedder import build_embedder
from labelaudit.engine.features import embed, normalization
from labelaudit.engine.pretrained import build_network
from labelaudit.progress import QUIET
from labelaudit.reproduce.detection import RANKINGS, out_of_fold_probabilities, require
from labelaudit.reproduce.runner import labels_text, parse_noise, pivot, planted_labels
from labelaudit.reproduce.truth import TrueAudit, rank_quality
from labelaudit.run.layout import RunFolder

Count = Annotated[int, typer.Option(min=1)]
Device = Annotated[str, typer.Option("--device", help="cuda, cuda:N or cpu.")]


def show(rows: Sequence[Measurement], json_file: Optional[Path], **_options: object) -> None:
    """Print the table, and write the figures with what they depend on."""
    cells = {
        row.name: {
            "value": f"{row.value:,.0f}" if abs(row.value) >= 1000 else f"{row.value:.4g}",
            "unit": row.unit,
            "note": row.note,
        }
        for row in rows
    }
    print("\n".join(pivot("Speed", "", ("what",), cells)))
    if json_file is not None:
        found = {
            "arguments": sys.argv[1:],
            "versions": {"python": platform.python_version(), "torch": torch.__version__, "labelaudit": __version__},
            "processor": platform.processor() or platform.machine(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "threads": torch.get_num_threads(),
            "rows": [row._asdict() for row in rows],
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
) -> list[Measurement]:
    """Images per second of an epoch: labelaudit's with and without recording, an ordinary loop's, and the bare step's.

    All train the same network with the same batch size, in turns. labelaudit's epoch has augmentation, recording and
    the Parquet file in it; its pixels are decoded beforehand, as in every epoch but the first. Without recording,
    nothing is computed, kept or written beside the training. The ordinary loop has the aum package, decodes in each
    epoch (ImageFolder with two workers) and trains in float32. The bare step is forward, backward and optimizer on one
    batch that never changes, with labelaudit's precision and memory format: our share of it says what is left to win.
    """
    options = TrainingOptions(probe="train", device=where)
    with empty_folder() as scratch:
        problem = prepare_folder(Data(root=data), options, limit)
        # The ordinary loop is first: its workers are forked in the warm-up, before anything else has threads.
        contenders = [ordinary_epoch(problem)] if ordinary else []
        # A training each: that of the other is not disturbed.
        for recorded in (True, False):
            contenders.append(ours(problem, scratch / "losses", epochs_a_turn, recorded=recorded))
        contenders.append(bare_steps(problem, epochs_a_turn))
        rates = take_turns(contenders, rounds)
    cost = [100 * (ratio - 1) for ratio in ratios(rates, UNRECORDED, OURS)]
    shares = [100 * ratio for ratio in ratios(rates, OURS, BARE)]
    return [
        *rows_of(rates),
        *([_ratio(rates, OURS, ORDINARY, str(problem))] if ordinary else []),
        median(f"{OURS}, share of the bare step", shares, "%", str(problem)),
        median("recording adds", cost, "% of the time", str(problem)),
    ]


def _ratio(rates: Rates, name: str, other: str, note: str = "") -> Measurement:
    return median(f"{name} / {other}", ratios(rates, name, other), "×", note)


@app.command()
def decode(data: Path, image_size: Count = 64, rounds: Count = 5) -> list[Measurement]:
    """Images per second of the decoding pass, against ImageFolder, Resize and a DataLoader with two workers.

    Each round decodes every image from its file into labelaudit's pixel cache, which is empty each time; the other side
    goes through its loader once and keeps nothing. labelaudit decodes a JPEG at a reduced scale where that is enough;
    this is most of the difference. Reading and hashing the files, which labelaudit does before, is a contender of its
    own together with the decoding.
    """
    catalogue, form = scan(data), PixelFormat(size=image_size, channels=3)
    batches = plain_batches(catalogue, image_size)

    def decode_all(*, again: bool) -> None:
        with empty_folder():
            load_pixels(scan(data) if again else catalogue, form)

    other, *names = "ImageFolder + Resize + DataLoader", "labelaudit decodes", "labelaudit scans and decodes"
    contenders = [Contender(other, len(catalogue), lambda: sum(len(batch[0]) for batch in batches))]
    contenders += [Contender(name, len(catalogue), partial(decode_all, again="scans" in name)) for name in names]
    rates = take_turns(contenders, rounds)
    note = f"{len(catalogue)} images of {catalogue.median_short_side} pixels, to {image_size} pixels"
    return [*rows_of(rates), *(_ratio(rates, name, other, note) for name in names)]


@app.command("embed")
def embedding(
    data: Path,
    model: Annotated[Optional[str], typer.Option(help="Default: the bundled backbone.")] = None,
    image_size: Annotated[Optional[int], typer.Option(min=1)] = None,
    rounds: Count = 3,
) -> list[Measurement]:
    """Images per second of embedding a folder on the processor, and of the bare network on one batch of pixels.

    Each round embeds every image from its file, with an empty cache; loading the network is in it. The bare network is
    that of OpenVINO, which as many threads call with eight images each, and torch's, with all threads in each step and
    batches of 64.
    """
    options = TrainingOptions(probe="frozen", model=model, image_size=image_size)
    catalogue, device, threads = scan(data), torch.device("cpu"), torch.get_num_threads()
    settings = plan(catalogue, options, device).settings
    how = {"statistics": normalization(settings.model, settings.weights), "device": device}
    network = build_network(settings.model, weights=settings.weights, num_classes=0, channels=3, seed=0)
    pixels_BCHW = np.random.default_rng(0).integers(0, 256, (64, 3, *[settings.image_size] * 2), dtype=np.uint8)
    bare = partial(build_embedder, network, settings.image_size, precision=settings.precision, reporter=QUIET, **how)
    engine = bare()
    with mock.patch("importlib.util.find_spec", return_value=None):
        by_torch = bare()

    def embed_all() -> None:
        with empty_folder():
            embed(catalogue, network, settings.pixel_format, precision=settings.precision, **how)

    def run_engine() -> None:
        for _ in in_parallel(range(16 * threads), lambda _one: engine(pixels_BCHW[:8]), 1, threads):
            pass

    contenders = [
        Contender("labelaudit embeds", len(catalogue), embed_all),
        Contender("the bare network", 16 * threads * 8, run_engine),
        Contender("the bare network by torch", 64, lambda: by_torch(pixels_BCHW)),
    ]
    rates = take_turns(contenders, rounds)
    note = f"{settings.model} at {settings.image_size} pixels, {settings.precision}, {threads} threads"
    ours, engines, torchs = rates
    return [*rows_of(rates), _ratio(rates, ours, engines, note), _ratio(rates, engines, torchs, note)]


def _quality(name: str, auroc: float, average_precision: float) -> list[Measurement]:
    return [Measurement(f"{name}: AP", average_precision), Measurement(f"{name}: AUROC", auroc)]


@app.command()
def audit(
    data: Path,
    out: Annotated[Path, typer.Option(help="Gets the labels file with planted errors.")],
    rate: Annotated[float, typer.Option(min=1e-6, max=1 - 1e-6, help="Share of planted errors.")] = 0.2,
    seed: int = 0,
    own_epochs: Annotated[Optional[int], typer.Option("--epochs", min=1, help="Of labelaudit's probe.")] = None,
    epochs_cv: Annotated[str, typer.Option(help="Tried for cleanlab; nothing: without cleanlab.")] = "3,5,10,20",
    where: Device = "cpu",
) -> list[Measurement]:
    """A whole audit against cleanlab with cross-validation: how well each finds planted errors, and how long it takes.

    labelaudit's side is the default audit with an empty cache, from the folder to the CSV. cleanlab's side gets every
    advantage that can be given to it: the same network, decoded and trained by labelaudit's own loop, five folds, and
    the epoch count and the ranking (self-confidence or normalized margin) that turn out best on the planted errors
    themselves, which are not known outside of a benchmark. Each epoch count is a training of its own with labelaudit's
    default settings: the learning rate falls over just these epochs, as it would for a user who had chosen that count.

    Its time is that of the best count, with scanning and decoding from an empty cache. On a GPU the first audit pays
    for loading the libraries: run it twice.
    """
    clean = scan(data)
    case, labels = parse_noise(f"uniform:{rate:g}", clean.classes), out / f"uniform-{rate:g}-seed{seed}.csv"
    out.mkdir(parents=True, exist_ok=True)
    labels.write_text(labels_text(clean, planted_labels(clean, case, seed)))
    noisy = Data(root=clean.root, labels_file=labels)
    options = TrainingOptions(epochs=own_epochs, seed=seed, device=where)
    rows: list[Measurement] = []

    def cross_validate(count: int) -> float:
        """Add the figures of a count of epochs, and return its better average precision."""
        (ranks,) = require("cleanlab.rank")
        with empty_folder():
            problem = prepare_folder(noisy, options)
            label_R, settings = problem.prepared.label_R, replace(problem.settings, epochs=count)
            p_RK = out_of_fold_probabilities(problem.inputs, label_R, settings, problem.device, problem.build)
        wrong_R, best = (problem.prepared.catalogue.label_N != clean.label_N)[problem.prepared.sample_R], 0.0
        for ranking in RANKINGS:
            suspicion_R = -ranks.get_label_quality_scores(label_R.numpy(), p_RK, method=ranking)
            found = _quality(f"cleanlab, {count} epochs, {ranking}", **rank_quality(wrong_R, suspicion_R))
            rows.extend(found)
            best = max(best, found[0].value)
        return best

    tried = {}
    for count in dict.fromkeys(int(count) for count in epochs_cv.split(",") if count):
        began = time.perf_counter()
        tried[count] = cross_validate(count), time.perf_counter() - began
    stages = Stages()
    with empty_folder() as scratch:
        began, run = time.perf_counter(), RunFolder(scratch / "run")
        fitted, ended = score(noisy, run, options, reporter=stages), time.perf_counter()
        found = TrueAudit("", seed, run, fitted, clean, 0.0)
    chosen = next(row for row in found.rankings() if row.chosen)
    rows += [*_quality(OURS, chosen.auroc, chosen.average_precision), *stages.measurements()]
    rows.append(Measurement(f"{OURS}: whole", ended - began, "s"))
    rows += [Measurement(f"cleanlab, {count} epochs: whole", taken, "s") for count, (_, taken) in tried.items()]
    for best in sorted(tried, key=lambda count: tried[count][0])[-1:]:
        rows.append(Measurement(f"{OURS} / cleanlab, {best} epochs", tried[best][1] / (ended - began), "×"))
    return rows


if __name__ == "__main__":
    app()
