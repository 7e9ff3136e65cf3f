"""``labelaudit reproduce relabeling``: what a review is worth, from audit to audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.cli import options as o

_MEASURED = "Measured"

EPILOG = o.examples(
    "labelaudit reproduce relabeling --out results",
    "labelaudit reproduce relabeling --data photos --out results --noise uniform:0.1 --noise pair-flip:0.1 --rounds 2",
)


def command(
    context: typer.Context,
    out: Annotated[Path, typer.Option("--out", help="Gets the images, the audits and the table.")],
    data: Annotated[
        Optional[Path],
        typer.Option(
            "--data",
            help="Folder with one folder of rightly labelled images per class; default: 1,797 digits that come along.",
        ),
    ] = None,
    noise: Annotated[
        Optional[list[str]],
        typer.Option(
            "--noise",
            metavar="KIND:RATE[:CLASSES]",
            help="Errors to plant, as for reproduce detection; default: uniform:0.1. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    seeds: Annotated[
        Optional[list[int]],
        typer.Option(
            "--seed",
            metavar="N",
            help="For the planted errors and the trainings; default: 0. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    rounds: Annotated[
        int, typer.Option("--rounds", help="Reviews, with an audit after each.", rich_help_panel=_MEASURED)
    ] = 1,
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
    weight_decay: o.WeightDecay = None,
    precision: o.Precision = None,
    controls: o.Controls = None,
    members: o.Members = None,
    folds: o.Folds = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Measure what a review is worth: plant errors, audit, answer the suspicious list with the truth, relabel, audit.

    The data folder stays as it is: --out gets copies of hard links. What an earlier call finished is only read, so an
    interrupted measurement goes on where it stopped.
    """
    from labelaudit.cli.console import Terminal
    from labelaudit.cli.options import refuse_torchrun, set_threads, training_options
    from labelaudit.reproduce.relabeling.experiment import DEFAULT_NOISE, RelabelingOptions, relabel_and_audit

    refuse_torchrun("reproduce")
    set_threads(threads)
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    asked = RelabelingOptions(
        data=data,
        out=out,
        noises=noise or (DEFAULT_NOISE,),
        seeds=seeds or (0,),
        rounds=rounds,
        training=training_options(context),
    )
    typer.echo(relabel_and_audit(asked, terminal), nl=False)
    terminal.say(f"Table: {out}")
