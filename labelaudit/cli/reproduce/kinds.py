"""``labelaudit reproduce kinds``: how well wrong labels and corrupted pictures are told apart, against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal

_SPOILED = "Spoiled"

EPILOG = o.examples(
    "labelaudit reproduce kinds --data photos --out results",
    "labelaudit reproduce kinds --data photos --out results --images 12000 --seed 0 --seed 1 --controls",
)


@o.screen_options
@o.training_options(without=("seed",))
def command(
    *,
    training: TrainingOptions,
    terminal: Terminal,
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
) -> None:
    """Measure how well wrong labels, corrupted pictures and clean samples are told apart, against the truth.

    What an earlier call finished is only read, so an interrupted table goes on where it stopped.
    """
    from labelaudit.reproduce.kinds import KindsOptions, Rates, measure_kinds

    o.refuse_torchrun("reproduce")
    asked = KindsOptions(
        data=data,
        out=out,
        rates=Rates(mislabeled=mislabeled, shuffled=shuffled, gaussian=gaussian),
        images=images,
        seeds=seeds or (0,),
        training=training,
    )
    typer.echo(measure_kinds(asked, terminal), nl=False)
    terminal.say(f"Tables: {out}")
