"""How fast the parts of labelaudit are, against what one would write by hand.

    python tests/benchmarks/speed.py [--json FILE] [--threads N] NAME …

Every figure that counts is a ratio of two things measured in the same run, in turns, so that a machine that is slower
or busy changes both. docs/benchmarks.md has the commands and what came out.
"""

from __future__ import annotations

import importlib.metadata
import json
import platform
import sys
import time
from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Annotated, Any, Optional

import torch
import typer
from contenders import (
    BareStep,
    OrdinaryTraining,
    Problem,
    RecordedEpochs,
    empty_folder,
    plain_batches,
    prepare_folder,
    subset,
)
from scale import measure_scale
from timing import Contender, Measurement, Rates, Stages, median, ratios, rows_of, take_turns

from labelaudit.auditing.model import Data
from labelaudit.auditing.options import TrainingOptions
from labelaudit.auditing.score import score
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat, load_pixels
from labelaudit.errors import LabelauditError
from labelaudit.reproduce.detection import RANKINGS, out_of_fold_probabilities, require
from labelaudit.reproduce.runner import labels_text, parse_noise, pivot, planted_labels
from labelaudit.reproduce.truth import TrueAudit, rank_quality
from labelaudit.run.layout import RunFolder

OURS, BARE = "labelaudit", "bare step"
FOLDER = "ImageFolder + DataLoader + aum"
PACKAGES = "labelaudit torch torchvision timm numpy pillow pyarrow scikit-learn aum cleanlab"

Count = Annotated[int, typer.Option(min=1)]
OptionalCount = Annotated[Optional[int], typer.Option(min=1)]
Limit = Annotated[Optional[int], typer.Option(min=1, help="Use so many images, evenly spaced; default: all.")]
Rate = Annotated[float, typer.Option(min=1e-6, max=1 - 1e-6, help="Share of planted errors.")]


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
            "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
            "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES.split()}},
            "processor": platform.processor() or platform.machine(),
            "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
            "threads": torch.get_num_threads(),
            "rows": [row._asdict() for row in rows],
        }
        json_file.parent.mkdir(parents=True, exist_ok=True)
        json_file.write_text(json.dumps(found, indent=2) + "\n")


app = typer.Typer(result_callback=show, help=__doc__)


@app.callback()
def _settings(
    json_file: Annotated[Optional[Path], typer.Option("--json", help="Write the figures there too.")] = None,
    threads: Annotated[Optional[int], typer.Option(min=1, help="Of the processor; default: torch's choice.")] = None,
) -> None:
    if threads is not None:
        torch.set_num_threads(threads)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _options(model: str | None, image_size: int | None, batch_size: int | None) -> TrainingOptions:
    return TrainingOptions(probe="train", model=model, image_size=image_size, batch_size=batch_size, device="cpu")


@app.command()
def loop(
    data: Path,
    limit: Limit = None,
    model: Optional[str] = None,
    image_size: OptionalCount = None,
    batch_size: OptionalCount = None,
    rounds: Count = 5,
) -> list[Measurement]:
    """Images per second of an epoch: labelaudit's, an ordinary loop with the aum package, and the bare step.

    All train the same network with the same batch size, in turns, an epoch each. labelaudit's epoch has augmentation,
    recording and the Parquet file in it; its pixels are decoded beforehand, as in every epoch but the first. The
    ordinary loop decodes in each epoch (ImageFolder with two workers) and trains in float32. The bare step is forward,
    backward and optimizer on one batch that never changes, with labelaudit's precision and memory format: our share of
    it says what is left to win.
    """
    require("aum")
    with empty_folder() as scratch:
        problem = prepare_folder(Data(root=data), _options(model, image_size, batch_size), limit)
        # The one with workers is first: they are forked in the warm-up, before anything else has threads.
        ordinary = Contender(FOLDER, len(problem.inputs), OrdinaryTraining(problem).run)
        rates = take_turns([ordinary, *_own_contenders(problem, scratch)], rounds)
    return [*rows_of(rates), _ratio(rates, OURS, FOLDER, str(problem)), _share_of_bare_step(rates, problem)]


def _own_contenders(problem: Problem, scratch: Path, epochs: int = 1) -> list[Contender]:
    """Return epochs as labelaudit trains them, so many in a turn, and as many bare steps."""
    ours, bare = RecordedEpochs(problem, scratch / "losses", epochs), BareStep(problem)
    steps = epochs * -(-len(problem.inputs) // bare.batch_size)
    return [Contender(OURS, ours.items, ours.run), Contender(BARE, steps * bare.batch_size, partial(bare.run, steps))]


def _ratio(rates: Rates, name: str, other: str, note: str = "") -> Measurement:
    return median(f"{name} / {other}", ratios(rates, name, other), "×", note)


def _share_of_bare_step(rates: Rates, problem: Problem) -> Measurement:
    shares = [100 * ratio for ratio in ratios(rates, OURS, BARE)]
    return median(f"{OURS}, share of the bare step", shares, "%", str(problem))


@app.command()
def recording(
    data: Path,
    limit: Limit = None,
    model: Optional[str] = None,
    image_size: OptionalCount = None,
    batch_size: OptionalCount = None,
    rounds: Count = 15,
) -> list[Measurement]:
    """What recording costs: labelaudit's epoch with it against the same epoch without, in turns.

    With: every sample's loss, margin, prediction and strongest alternative in each step, and the epoch's Parquet file.
    Without: the same loop, in which nothing is computed, kept or written beside the training.
    """
    with empty_folder() as scratch:
        problem = prepare_folder(Data(root=data), _options(model, image_size, batch_size), limit)
        return _recording_cost(problem, scratch, rounds)


def _recording_cost(problem: Problem, scratch: Path, rounds: int, epochs: int = 1) -> list[Measurement]:
    # A training each: that of the other is not disturbed.
    on, off = (RecordedEpochs(problem, scratch / name, epochs) for name in ("recorded", "unused"))
    with_it, without = "with recording", "without recording"
    rates = take_turns(
        [Contender(with_it, on.items, on.run), Contender(without, off.items, off.run_unrecorded)], rounds
    )
    cost = [100 * (ratio - 1) for ratio in ratios(rates, without, with_it)]
    return [*rows_of(rates), median("recording adds", cost, "% of the time", str(problem))]


@app.command()
def decode(
    data: Path, limit: Limit = None, image_size: Count = 64, channels: int = 3, rounds: Count = 5
) -> list[Measurement]:
    """Images per second of the decoding pass, against ImageFolder, Resize and a DataLoader with two workers.

    Each round decodes every image from its file into labelaudit's pixel cache, which is empty each time; the other side
    goes through its loader once and keeps nothing. labelaudit decodes a JPEG at a reduced scale where that is enough;
    this is most of the difference. Reading and hashing the files, which labelaudit does before, is a contender of its
    own together with the decoding.
    """
    form = PixelFormat(size=image_size, channels=channels)
    with empty_folder() as scratch:
        catalogue, labels = subset(scan(data), limit), scratch / "labels.csv"
        labels.write_text(labels_text(catalogue, catalogue.label_N))
        batches = plain_batches(catalogue, image_size, channels)

        def decode_all(*, again: bool) -> None:
            with empty_folder():
                load_pixels(scan(data, labels_file=labels) if again else catalogue, form)

        names = ("ImageFolder + Resize + DataLoader", "labelaudit decodes", "labelaudit scans and decodes")
        runs = (lambda: sum(len(batch[0]) for batch in batches), partial(decode_all, again=False))
        works = zip(names, (*runs, partial(decode_all, again=True)), strict=True)
        rates = take_turns([Contender(name, len(catalogue), run) for name, run in works], rounds)
    note = f"{len(catalogue)} images of {catalogue.median_short_side} pixels, to {image_size} pixels"
    return [*rows_of(rates), *(_ratio(rates, name, names[0], note) for name in names[1:])]


def _planted(clean: Catalogue, folder: Path, noise: str, seed: int) -> Data:
    """Plant errors into right labels."""
    case, labels = parse_noise(noise, clean.classes), folder / f"{noise.replace(':', '-')}-seed{seed}.csv"
    folder.mkdir(parents=True, exist_ok=True)
    labels.write_text(labels_text(clean, planted_labels(clean, case, seed)))
    return Data(root=clean.root, labels_file=labels)


def _audit(data: Data, clean: Catalogue, options: TrainingOptions) -> tuple[Stages, float, list[Measurement]]:
    """Audit with an empty cache; return the stages, when it ended, and how well wrong labels are found."""
    stages = Stages()
    with empty_folder() as scratch:
        run = RunFolder(scratch / "run")
        fitted, ended = score(data, run, options, reporter=stages), time.perf_counter()
        found = TrueAudit("", options.seed or 0, run, fitted, clean, 0.0)
    chosen = next(row for row in found.rankings() if row.chosen)
    return stages, ended, _quality(chosen.auroc, chosen.average_precision)


def _quality(auroc: float, average_precision: float) -> list[Measurement]:
    return [Measurement("AP", average_precision), Measurement("AUROC", auroc)]


def _named(name: str, rows: Sequence[Measurement]) -> list[Measurement]:
    return [row._replace(name=f"{name}: {row.name}") for row in rows]


@app.command()
def audit(
    data: Path,
    out: Annotated[Path, typer.Option(help="Gets the labels file with planted errors.")],
    rate: Rate = 0.2,
    kind: str = "uniform",
    seed: int = 0,
    limit: Limit = None,
    model: Optional[str] = None,
    own_epochs: Annotated[Optional[int], typer.Option("--epochs", min=1, help="Of labelaudit's probe.")] = None,
    epochs_cv: Annotated[str, typer.Option(help="Tried for cleanlab.")] = "3,5,10,20",
) -> list[Measurement]:
    """A whole audit against cleanlab with cross-validation: how well each finds planted errors, and how long it takes.

    labelaudit's side is the default audit with an empty cache, from the folder to the CSV. cleanlab's side gets every
    advantage that can be given to it: the same network, decoded and trained by labelaudit's own loop, five folds, and
    the epoch count and the ranking (self-confidence or normalized margin) that turn out best on the planted errors
    themselves, which are not known outside of a benchmark. Each epoch count is a training of its own with labelaudit's
    default settings: the learning rate falls over just these epochs, as it would for a user who had chosen that count.

    Its time is that of the best count, with scanning and decoding from an empty cache.
    """
    (ranks,) = require("cleanlab.rank")
    clean = subset(scan(data), limit)
    noisy = _planted(clean, out, f"{kind}:{rate:g}", seed)
    options = TrainingOptions(model=model, epochs=own_epochs, seed=seed, device="cpu")
    rows: list[Measurement] = []

    def cross_validate(count: int) -> float:
        """Add the figures of a count of epochs, and return its better average precision."""
        with empty_folder():
            problem = prepare_folder(noisy, options)
            label_R, settings = problem.prepared.label_R, replace(problem.settings, epochs=count)
            p_RK = out_of_fold_probabilities(problem.inputs, label_R, settings, problem.device, problem.build)
        wrong_R, best = (problem.prepared.catalogue.label_N != clean.label_N)[problem.prepared.sample_R], 0.0
        for ranking in RANKINGS:
            suspicion_R = -ranks.get_label_quality_scores(label_R.numpy(), p_RK, method=ranking)
            found = _quality(**rank_quality(wrong_R, suspicion_R))
            rows.extend(_named(f"cleanlab, {count} epochs, {ranking}", found))
            best = max(best, found[0].value)
        return best

    tried = {}
    for count in dict.fromkeys(int(count) for count in epochs_cv.split(",")):
        began = time.perf_counter()
        tried[count] = cross_validate(count), time.perf_counter() - began
    best = max(tried, key=lambda count: tried[count][0])
    began = time.perf_counter()
    stages, _, quality = _audit(noisy, clean, options)
    seconds = time.perf_counter() - began
    rows += [*_named(OURS, quality), *stages.measurements(), Measurement(f"{OURS}: whole", seconds, "s")]
    rows += [Measurement(f"cleanlab, {count} epochs: whole", taken, "s") for count, (_, taken) in tried.items()]
    return [*rows, Measurement(f"{OURS} / cleanlab, {best} epochs", tried[best][1] / seconds, "×")]


@app.command()
def scale(
    work: Annotated[Path, typer.Option(help="Gets the made-up runs, which are deleted afterwards.")],
    samples: Count = 1_000_000,
    count: Annotated[int, typer.Option("--epochs", min=1)] = 24,
    losses: Annotated[Optional[Path], typer.Option(help="Losses folder of a run, for bytes per record.")] = None,
) -> list[Measurement]:
    """Memory and time of the commands that need no training, on made-up losses of several shapes; bytes per record."""
    return measure_scale(work, samples, count, losses)


@app.command()
def device(
    data: Path,
    where: Annotated[str, typer.Option("--device", help="cuda, cuda:N or cpu.")] = "cuda",
    rate: Rate = 0.2,
    seed: int = 0,
    limit: Limit = None,
    settings: Annotated[
        str, typer.Option(metavar="MODEL:EPOCHS:BATCH,…", help="Audits to time.")
    ] = "labelaudit_probe:10:512,labelaudit_probe:30:256,labelaudit_probe_full:30:256",
    rounds: Count = 5,
    epochs_a_turn: Count = 3,
) -> list[Measurement]:
    """On a GPU: seconds from decoded pixels to scores, images per second, share of the bare step, cost of recording.

    The clock of an audit starts when the last image is decoded and stops when the CSV is written: moving the pixels to
    the GPU and building the network are in it. A short audit comes before, untimed: it pays for loading the GPU's
    libraries.
    """
    probes = []
    for model, count, batch in (text.split(":") for text in settings.split(",")):
        chosen: dict[str, Any] = {"model": model, "epochs": int(count), "batch_size": int(batch)}
        probes.append(TrainingOptions(probe="train", seed=seed, device=where, **chosen))
    rows: list[Measurement] = []
    with empty_folder() as scratch:
        clean = subset(scan(data), limit)
        noisy = _planted(clean, scratch, f"uniform:{rate:g}", seed)
        _audit(noisy, clean, replace(probes[0], epochs=1))
        for options in probes:
            stages, ended, quality = _audit(noisy, clean, options)
            seconds = Measurement("from decoded pixels to scores", ended - stages.ended["Decoding images"], "s")
            name = f"{options.model}, {options.epochs} epochs, batch {options.batch_size}"
            rows += _named(name, [seconds, *quality])
        problem = prepare_folder(noisy, probes[0])
        rates = take_turns(_own_contenders(problem, scratch, epochs_a_turn), rounds)
        rows += [median(f"{OURS}, epochs", rates[OURS], "images/s"), _share_of_bare_step(rates, problem)]
        return rows + _recording_cost(problem, scratch, rounds, epochs_a_turn)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run a benchmark; return the exit code."""
    try:
        app(arguments, standalone_mode=False)
    except LabelauditError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


if __name__ == "__main__":
    sys.exit(main())
