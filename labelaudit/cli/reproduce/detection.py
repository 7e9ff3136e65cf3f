"""``labelaudit reproduce detection``: how well wrong labels are found, against the truth."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.names import PlotFormatName

_MEASURED = "Measured"

EPILOG = o.examples(
    "labelaudit reproduce detection --data photos --out results --noise uniform:0.2 --noise pair-flip:0.1",
    "labelaudit reproduce detection --data photos --out results --noise one-class:0.3:cat --seed 0 --seed 1 --peers",
    "labelaudit reproduce detection --data photos --out results --labels given.csv",
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
    out: Annotated[Path, typer.Option("--out", help="Gets the labels, the audits and the tables.")],
    noise: Annotated[
        Optional[list[str]],
        typer.Option(
            "--noise",
            metavar="KIND:RATE[:CLASSES]",
            help="Errors to plant; uniform:0.2, pair-flip:0.1, asymmetric:0.3:cat,dog, one-class:0.3:cat. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    paper_noise: Annotated[
        bool,
        typer.Option(
            "--paper-noise",
            help="The noise of the AUL paper's Figures 7 and 9: uniform 10 to 90%, pair flip 10 to 40%.",
            rich_help_panel=_MEASURED,
        ),
    ] = False,
    labels: Annotated[
        Optional[list[Path]],
        typer.Option(
            "--labels",
            metavar="PATH",
            help="CSV with the columns path,label: given labels, audited as they are. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    truth: Annotated[
        Optional[Path],
        typer.Option(
            "--truth",
            help="CSV with the columns path,label: the right labels; default: the class folders.",
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
    peers: Annotated[
        bool,
        typer.Option(
            "--peers", help="cleanlab and AUM beside it: six more trainings an audit.", rich_help_panel=_MEASURED
        ),
    ] = False,
    also_models: Annotated[
        Optional[list[str]],
        typer.Option(
            "--also-model",
            metavar="NAME",
            help="Audit the same labels with this network too, and correlate. Repeatable.",
            rich_help_panel=_MEASURED,
        ),
    ] = None,
    plots: Annotated[
        Optional[PlotFormatName],
        typer.Option("--plots", help="Figures; default: svg where matplotlib is there.", rich_help_panel=_MEASURED),
    ] = None,
) -> None:
    """Measure how well wrong labels are found: every statistic and estimator, by noise and seed, against the truth.

    What an earlier call finished is only read, so an interrupted table goes on where it stopped.
    """
    from labelaudit.reproduce.detection.experiment import DetectionOptions, detect

    o.refuse_torchrun("reproduce")
    asked = DetectionOptions(
        data=data,
        out=out,
        noises=noise or (),
        paper_noise=paper_noise,
        labels=labels or (),
        truth=truth,
        seeds=seeds or (0,),
        peers=peers,
        also_models=also_models or (),
        plots=plots,
        training=training,
    )
    typer.echo(detect(asked, terminal), nl=False)
    terminal.say(f"Tables: {out}")
