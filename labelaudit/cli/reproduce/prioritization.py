"""``labelaudit reproduce prioritization``: whether training on the samples of large loss is safe."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.names import PlotFormatName, ScaleName

_MEASURED = "Measured"

EPILOG = o.examples(
    "labelaudit reproduce prioritization --scale smoke --out results",
    "labelaudit reproduce prioritization --data fashion/train --test fashion/test --out results --seed 0 --seed 1",
    "labelaudit reproduce prioritization --data a --test b --out c --data-set clean --data-set random-labels:0.5",
)


@o.screen_options
@o.training_options(without=("seed",))
def command(
    *,
    training: TrainingOptions,
    terminal: Terminal,
    out: Annotated[Path, typer.Option("--out", help="Gets the corrupted data, the trainings and the tables.")],
    data: Annotated[
        Optional[Path], typer.Option("--data", help="Folder with one folder of rightly labelled images per class.")
    ] = None,
    test: Annotated[Optional[Path], typer.Option("--test", help="The same, to measure errors on.")] = None,
    scale: Annotated[
        ScaleName,
        typer.Option(
            "--scale",
            help="smoke: embedded digits, a minute or two; small: up to 10,000 images and a small network; paper: all "
            "images, WRN-28-10, 100 epochs.",
            rich_help_panel=_MEASURED,
        ),
    ] = "small",
    data_sets: Annotated[
        Optional[list[str]],
        typer.Option(
            "--data-set",
            metavar="NAME",
            help="clean, or random-labels, shuffle-pixels or gaussian with :0.25 or :0.5; default: all. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    algorithms: Annotated[
        Optional[list[str]],
        typer.Option(
            "--algorithm",
            metavar="NAME",
            help="standard, sb-50, sb-33, sbe-50, vr-33 or vr-50; default: all. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    seeds: Annotated[
        Optional[list[int]],
        typer.Option(
            "--seed",
            metavar="N",
            help="For the corruption and the trainings; default: 0. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    plots: Annotated[
        Optional[PlotFormatName],
        typer.Option("--plots", help="Figures; default: svg where matplotlib is there.", rich_help_panel=_MEASURED),
    ] = None,
) -> None:
    """Measure what Selective Backprop and variance reduction gain on clean data and lose on corrupted data.

    What an earlier call finished is only read, so an interrupted table goes on where it stopped.
    """
    from labelaudit.reproduce.prioritization.experiment import PrioritizationOptions, prioritize

    o.refuse_torchrun("reproduce")
    asked = PrioritizationOptions(
        data=data,
        test=test,
        out=out,
        scale=scale,
        seeds=seeds or (0,),
        data_sets=data_sets or (),
        algorithms=algorithms or (),
        plots=plots,
        training=training,
    )
    typer.echo(prioritize(asked, terminal), nl=False)
    terminal.say(f"Tables: {out}")
