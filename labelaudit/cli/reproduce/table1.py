"""``labelaudit reproduce table1``: every robust-training method on the same noisy labels."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.names import ScaleName

_MEASURED = "Measured"

EPILOG = o.examples(
    "labelaudit reproduce table1 --scale smoke --out results",
    "labelaudit reproduce table1 --data cifar10 --out results --noise uniform:0.4 --seeds 0,1",
    "labelaudit reproduce table1 --data cifar10 --out results --scale paper --cost",
)


@o.screen_options
@o.training_options(only=("epochs", "device"))
def command(
    *,
    training: TrainingOptions,
    terminal: Terminal,
    out: Annotated[Path, typer.Option("--out", help="Gets the labels, the audits, the trainings and the tables.")],
    data: Annotated[
        Optional[Path],
        typer.Option(
            "--data", help="Rightly labelled images, one folder per class; or train/ and test/ with such folders."
        ),
    ] = None,
    test: Annotated[Optional[Path], typer.Option("--test", help="Test images, one folder per class.")] = None,
    scale: Annotated[
        ScaleName,
        typer.Option(
            "--scale",
            help="smoke: digits, under two minutes; small: 5,000 images, a small network; paper: its own settings.",
            rich_help_panel=_MEASURED,
        ),
    ] = "small",
    noise: Annotated[
        Optional[list[str]],
        typer.Option(
            "--noise",
            metavar="KIND:RATE",
            help="Errors to plant: uniform:0.2, pair-flip:0.4; default: the paper's. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    methods: Annotated[
        Optional[str],
        typer.Option(
            "--methods",
            metavar="NAME,NAME",
            help="Rows, see labelaudit methods; default: the paper's, ELR and DivideMix.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    seeds: Annotated[
        str,
        typer.Option(
            "--seeds", metavar="N,N", help="For images, errors and trainings alike.", rich_help_panel=_MEASURED
        ),
    ] = "0",
    subset: Annotated[
        Optional[int],
        typer.Option("--subset", help="Training images, drawn at random for each seed.", rich_help_panel=_MEASURED),
    ] = None,
    cost: Annotated[
        bool, typer.Option("--cost", help="Only say what it would take.", rich_help_panel=_MEASURED)
    ] = False,
) -> None:
    """Train every robust method on the same noisy labels, and put the errors beside the AUL paper's Table 1.

    What an earlier call finished is only read, so an interrupted table goes on where it stopped.
    """
    from labelaudit.reproduce.table1.experiment import METHODS, Table1Options, reproduce_table1

    o.refuse_torchrun("reproduce")
    asked = Table1Options(
        data=data,
        out=out,
        test=test,
        scale=scale,
        noises=noise or (),
        methods=METHODS if methods is None else tuple(name.strip() for name in methods.split(",") if name.strip()),
        seeds=o.parse_seeds(seeds),
        subset=subset,
        epochs=training.epochs,
        device=training.device,
        only_cost=cost,
    )
    typer.echo(reproduce_table1(asked, terminal), nl=False)
    if not cost:
        terminal.say(f"Tables: {out}")
