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
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Optional, cast

import numpy as np
import torch
import typer
from contenders import (
    Contender,
    Stages,
    bare_steps,
    empty_folder,
    figure,
    ordinary_epoch,
    ours,
    plain_batches,
    prepare_folder,
    take_turns,
)
from scale import measure_scale

from labelaudit import __version__
from labelaudit.auditing.fit import fit
from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.plan import plan
from labelaudit.auditing.prepare import Source, backbone_of
from labelaudit.auditing.probe import train_probe
from labelaudit.data.catalogue import in_parallel
from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat, decode_sample, load_pixels
from labelaudit.engine.devices import choose_device, single_threaded
from labelaudit.engine.features import BATCH, build_embedder, normalization
from labelaudit.engine.features import embed as embed_images
from labelaudit.progress import QUIET
from labelaudit.reproduce.detection import CLEANLABS, out_of_fold_probabilities, require
from labelaudit.reproduce.runner import Row, Rows, noisy_data, parse_noise, table
from labelaudit.reproduce.truth import TrueAudit, rank_quality
from labelaudit.run.layout import RunFolder

if TYPE_CHECKING:
    from labelaudit.names import PresetName

Count = Annotated[int, typer.Option(min=1)]
Device = Annotated[str, typer.Option("--device", help="cuda, cuda:N or cpu.")]
OURS, UNRECORDED, BARE = "labelaudit", "labelaudit without recording", "bare step"
ORDINARY = "ImageFolder + DataLoader + aum"


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
