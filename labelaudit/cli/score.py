"""``labelaudit score``: the whole audit."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.cli import options as o
from labelaudit.errors import UsageError

EPILOG = o.examples(
    "labelaudit score photos",
    "labelaudit score photos -o suspicious.csv --run audit",
    "labelaudit score photos -o - --top 100 | cut -d, -f2",
    "labelaudit score birds --split train,val      (birds/train/CLASS/… and birds/val/CLASS/…)",
    "labelaudit score audit -o -      (a run folder: only reads)",
)


def command(
    context: typer.Context,
    data: Annotated[
        Path, typer.Argument(metavar="DATA", help="Folder with one folder of images per class; or a run folder.")
    ],
    out: Annotated[
        Optional[Path], typer.Option("--out", "-o", help="Write the ranked CSV here too; - is stdout.")
    ] = None,
    top: Annotated[
        Optional[int],
        typer.Option("--top", help="This many rows in --out, suspicious or not; default: the suspicious."),
    ] = None,
    run: o.Run = None,
    labels: o.Labels = None,
    split: o.Split = None,
    probe: o.Probe = None,
    preset: o.Preset = None,
    model: o.Model = None,
    pretrained: o.Pretrained = False,
    weights_file: o.NetworkWeights = None,
    offline: o.Offline = False,
    image_size: o.ImageSize = None,
    fit: o.Fit = None,
    augment: o.Augment = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    lr: o.Rate = None,
    momentum: o.Momentum = None,
    weight_decay: o.WeightDecay = None,
    schedule: o.Schedule = None,
    precision: o.Precision = None,
    controls: o.Controls = None,
    members: o.Members = None,
    folds: o.Folds = None,
    seed: o.Seed = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    deterministic: o.Deterministic = False,
    rank_by: o.RankBy = None,
    estimator: o.Estimator = None,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Audit a folder of images: a ranked CSV of suspicious labels, a weight per sample, a noise rate.

    What an earlier call left unfinished is finished; what is done is only read.
    """
    if top is not None and top < 1:
        raise UsageError(f"--top {top} is too few", fix="give at least 1")
    if top is not None and out is None:
        raise UsageError(f"--top {top} says how many rows --out gets", fix="add -o FILE, or -o - for stdout")

    from labelaudit.audit.model import Data
    from labelaudit.audit.options import TrainingOptions
    from labelaudit.audit.probe import train_probe
    from labelaudit.audit.score import finish_probe, score, score_run
    from labelaudit.cli.console import Terminal
    from labelaudit.cli.options import is_helper, run_folder, set_deterministic, set_threads, training_options
    from labelaudit.detect.verdicts import FitSettings
    from labelaudit.report.console import show_summary
    from labelaudit.run.files import behind_links, write_text
    from labelaudit.run.layout import RunFolder

    set_threads(threads)
    set_deterministic(deterministic)
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    chosen = None
    if rank_by or estimator:
        chosen = FitSettings.chosen(rank_by=rank_by, estimator=estimator)
    folder, asked = RunFolder(data), training_options(context)
    if folder.exists:
        if run or labels or split or asked != TrainingOptions(device=device, offline=offline):
            raise UsageError(
                f"{data} is a run folder: its data and training are settled",
                fix="leave these options out, or give the data",
            )
        if is_helper():
            finish_probe(folder, asked, terminal)
            return
        fitted = score_run(folder, asked, chosen, terminal, keep=out is None)
    else:
        folder = run_folder(run, data, terminal)
        pictures = Data(root=data, labels_file=labels, split=o.split_names(split))
        if is_helper():
            train_probe(pictures, folder, asked, terminal)
            return
        fitted = score(pictures, folder, asked, chosen, terminal)
    if not quiet:
        show_summary(terminal.console, fitted.noise)
    if out is not None and str(out) == "-":
        typer.echo(fitted.csv(top=top).encode(), nl=False)  # bytes: UTF-8 everywhere, and names are not changed
    elif out is not None:
        write_text(behind_links(out), fitted.csv(top=top))
    listed = out if out is not None and str(out) != "-" else folder.suspicious
    terminal.say(f"Ranked list: {listed}   Run folder: {folder.root}")
    terminal.say(f"To look at them and correct them: {shlex.join(['labelaudit', 'report', str(folder.root)])}")
