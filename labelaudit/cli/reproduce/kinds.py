"""``labelaudit reproduce kinds``: how well wrong labels and corrupted pictures are told apart, against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.cli import options as o

_SPOILED = "Spoiled"

EPILOG = o.examples(
    "labelaudit reproduce kinds --data photos --out results",
    "labelaudit reproduce kinds --data photos --out results --images 12000 --seed 0 --seed 1 --controls",
)


def command(
    context: typer.Context,
    data: Annotated[
        Path,
        typer.Option("--data", help="Folder with one folder of rightly labelled images per class."),
    ],
    out: Annotated[Path, typer.Option("--out", help="Gets the spoiled copies, the audits and the tables.")],
    mislabeled: Annotated[
        float, typer.Option("--mislabeled", help="Share of wrong labels.", rich_help_panel=_SPOILED)
    ] = 0.1,
    shuffled: Annotated[
        float, typer.Option("--shuffled", help="Share of pictures with shuffled pixels.", rich_help_panel=_SPOILED)
    ] = 0.05,
    gaussian: Annotated[
        float, typer.Option("--gaussian", help="Share of pictures of Gaussian noise.", rich_help_panel=_SPOILED)
    ] = 0.05,
    images: Annotated[
        Optional[int], typer.Option("--images", help="Take only so many images.", rich_help_panel=_SPOILED)
    ] = None,
    seeds: Annotated[
        Optional[list[int]],
        typer.Option(
            "--seed",
            metavar="N",
            help="For the spoiling and the trainings; default: 0. Repeatable.",
            rich_help_panel=_SPOILED,
        ),
    ] = None,
    probe: o.Probe = None,
    preset: o.Preset = None,
    model: o.Model = None,
    pretrained: o.Pretrained = False,
    weights_file: o.NetworkWeights = None,
    offline: o.Offline = False,
    image_size: o.ImageSize = None,
    epochs: o.Epochs = None,
    batch_size: o.BatchSize = None,
    lr: o.Rate = None,
    precision: o.Precision = None,
    controls: o.Controls = None,
    device: o.Device = "auto",
    threads: o.Threads = None,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Measure how well wrong labels, corrupted pictures and clean samples are told apart, against the truth.

    What an earlier call finished is only read, so an interrupted table goes on where it stopped.
    """
    from labelaudit.cli.console import Terminal
    from labelaudit.cli.options import refuse_torchrun, set_threads, training_options
    from labelaudit.reproduce.kinds import KindsOptions, Rates, measure_kinds

    refuse_torchrun("reproduce")
    set_threads(threads)
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    asked = KindsOptions(
        data=data,
        out=out,
        rates=Rates(mislabeled=mislabeled, shuffled=shuffled, gaussian=gaussian),
        images=images,
        seeds=seeds or (0,),
        training=training_options(context),
    )
    typer.echo(measure_kinds(asked, terminal), nl=False)
    terminal.say(f"Tables: {out}")
