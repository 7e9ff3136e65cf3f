"""``labelaudit reproduce relabeling``: what a review is worth, from audit to audit."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal

_MEASURED = "Measured"

EPILOG = o.examples(
    "labelaudit reproduce relabeling --out results",
    "labelaudit reproduce relabeling --data photos --out results --noise uniform:0.1 --noise pair-flip:0.1 --rounds 2",
)


@o.screen_options
@o.training_options(without=("seed",))
def command(
    *,
    training: TrainingOptions,
    terminal: Terminal,
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
) -> None:
    """Measure what a review is worth: plant errors, audit, answer the suspicious list with the truth, relabel, audit.

    The data folder stays as it is: --out gets copies of hard links. What an earlier call finished is only read, so an
    interrupted measurement goes on where it stopped.
    """
    from labelaudit.reproduce.relabeling.experiment import DEFAULT_NOISE, RelabelingOptions, relabel_and_audit

    o.refuse_torchrun("reproduce")
    asked = RelabelingOptions(
        data=data,
        out=out,
        noises=noise or (DEFAULT_NOISE,),
        seeds=seeds or (0,),
        rounds=rounds,
        training=training,
    )
    typer.echo(relabel_and_audit(asked, terminal), nl=False)
    terminal.say(f"Table: {out}")
