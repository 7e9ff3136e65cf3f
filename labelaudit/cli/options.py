"""Options that several commands share: one spelling, one help text."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Optional

import typer

from labelaudit.errors import UsageError
from labelaudit.names import (
    AugmentName,
    EstimatorName,
    FitName,
    OptimizerName,
    PrecisionName,
    PresetName,
    ProbeName,
    ScheduleName,
    StatisticName,
)

_DATA = "Data"
_TRAINING = "Training"
_VERDICTS = "Verdicts"
_SCREEN = "Screen"

DataArgument = Annotated[Path, typer.Argument(metavar="DATA", help="Folder with one folder of images per class.")]
RunArgument = Annotated[Path, typer.Argument(metavar="RUN", help="Run folder of an audit.")]

Run = Annotated[
    Optional[Path],
    typer.Option(
        "--run",
        help="Run folder, outside DATA; default: labelaudit-runs/NAME, with the name of DATA.",
        rich_help_panel=_DATA,
    ),
]
Labels = Annotated[
    Optional[Path],
    typer.Option("--labels", help="CSV with the columns path,label, instead of class folders.", rich_help_panel=_DATA),
]
Split = Annotated[
    Optional[str],
    typer.Option(
        "--split",
        metavar="FOLDER,…",
        help="Folders in DATA that hold the class folders, as train,val: one data set; . is DATA itself.",
        rich_help_panel=_DATA,
    ),
]
Probe = Annotated[
    Optional[ProbeName],
    typer.Option(
        "--probe",
        help="Train a network, or a head on a frozen pretrained backbone; auto: train up to 64 pixels, else frozen.",
        rich_help_panel=_TRAINING,
    ),
]
Preset = Annotated[
    Optional[PresetName],
    typer.Option("--preset", help="Settings that belong together; default: fast.", rich_help_panel=_TRAINING),
]
Model = Annotated[
    Optional[str], typer.Option("--model", help="Any timm model, by its name.", rich_help_panel=_TRAINING)
]
Pretrained = Annotated[
    bool,
    typer.Option(
        "--pretrained",
        help="Fine-tune pretrained weights: those that come along, or those of --model (downloaded once).",
        rich_help_panel=_TRAINING,
    ),
]
NetworkWeights = Annotated[
    Optional[Path],
    typer.Option(
        "--weights", help="Network weights for --model: safetensors or a state dict.", rich_help_panel=_TRAINING
    ),
]
Offline = Annotated[bool, typer.Option("--offline", help="Never download anything.", rich_help_panel=_TRAINING)]
ImageSize = Annotated[
    Optional[int],
    typer.Option("--image-size", help="Side in pixels at which images are seen.", rich_help_panel=_TRAINING),
]
Fit = Annotated[
    Optional[FitName],
    typer.Option("--fit", help="What happens to images that are not square.", rich_help_panel=_TRAINING),
]
Augment = Annotated[
    Optional[AugmentName],
    typer.Option(
        "--augment",
        help="Changes to training images; default: shifts, and flips where they keep the labels.",
        rich_help_panel=_TRAINING,
    ),
]
Epochs = Annotated[Optional[int], typer.Option("--epochs", help="Passes over the data.", rich_help_panel=_TRAINING)]
BatchSize = Annotated[Optional[int], typer.Option("--batch-size", help="Images in a step.", rich_help_panel=_TRAINING)]
Rate = Annotated[Optional[float], typer.Option("--lr", help="Learning rate.", rich_help_panel=_TRAINING)]
Momentum = Annotated[Optional[float], typer.Option("--momentum", help="Momentum of SGD.", rich_help_panel=_TRAINING)]
WeightDecay = Annotated[
    Optional[float], typer.Option("--weight-decay", help="Weight decay.", rich_help_panel=_TRAINING)
]
Schedule = Annotated[
    Optional[ScheduleName],
    typer.Option("--schedule", help="How the learning rate changes.", rich_help_panel=_TRAINING),
]
Optimizer = Annotated[
    Optional[OptimizerName],
    typer.Option("--optimizer", help="SGD, or Adam with the momentum as its β₁.", rich_help_panel=_TRAINING),
]
Precision = Annotated[
    Optional[PrecisionName],
    typer.Option("--precision", help="auto: bfloat16 where the processor has it.", rich_help_panel=_TRAINING),
]
Seed = Annotated[
    Optional[int], typer.Option("--seed", help="Equal seeds give equal results; default: 0.", rich_help_panel=_TRAINING)
]
Device = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.", rich_help_panel=_TRAINING)]
Threads = Annotated[
    Optional[int],
    typer.Option(
        "--threads", help="Processor threads; default: as many as this process may use.", rich_help_panel=_TRAINING
    ),
]
Deterministic = Annotated[
    bool,
    typer.Option(
        "--deterministic",
        help="On a GPU: only steps that give the same bits each time; slower. A processor's always do.",
        rich_help_panel=_TRAINING,
    ),
]
Controls = Annotated[
    Optional[bool],
    typer.Option(
        "--controls/--no-controls",
        help="Make a few labels wrong on purpose, to measure how well wrong labels are found.",
        rich_help_panel=_TRAINING,
    ),
]
Members = Annotated[
    Optional[int],
    typer.Option(
        "--members", help="Trainings with seeds of their own, all recorded; default: 1.", rich_help_panel=_TRAINING
    ),
]
Folds = Annotated[
    Optional[int],
    typer.Option(
        "--folds",
        help="Heads on a frozen backbone, each recorded on the part of the data that it is not trained on; default: 5.",
        rich_help_panel=_TRAINING,
    ),
]
Selector = Annotated[
    Optional[str],
    typer.Option(
        "--selector",
        help="Back-propagate only a part of the samples; see labelaudit selectors.",
        rich_help_panel=_TRAINING,
    ),
]
SelectorPairs = Annotated[
    Optional[list[str]],
    typer.Option(
        "-S",
        metavar="NAME=VALUE",
        help="A parameter of the selector; may be given several times.",
        rich_help_panel=_TRAINING,
    ),
]
RankBy = Annotated[
    Optional[StatisticName],
    typer.Option(
        "--rank-by", help="Statistic that ranks the samples; default: that of the estimator.", rich_help_panel=_VERDICTS
    ),
]
Estimator = Annotated[
    Optional[EstimatorName],
    typer.Option(
        "--estimator", help="How P(mislabeled) is estimated; default: confident-joint.", rich_help_panel=_VERDICTS
    ),
]
Quiet = Annotated[
    bool, typer.Option("--quiet", "-q", help="Only warnings and errors on stderr.", rich_help_panel=_SCREEN)
]
NoProgress = Annotated[bool, typer.Option("--no-progress", help="No progress bars.", rich_help_panel=_SCREEN)]


def split_names(text: str | None) -> tuple[str, ...]:
    """The folders that --split names.

    Raises:
        UsageError: it names none.
    """
    names = tuple(dict.fromkeys(name for part in (text or "").split(",") if (name := part.strip())))
    if text is not None and not names:
        raise UsageError("--split names no folder", fix="give one or more, as train,val")
    return names


def examples(*lines: str) -> str:
    """An epilog with one example a line."""
    return "Examples:\n\n" + "\n\n".join(f"  $ {line}" for line in lines)
