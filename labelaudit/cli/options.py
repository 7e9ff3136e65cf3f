"""Options that several commands share: one spelling, one help text."""

from __future__ import annotations

import os
import tomllib
from collections.abc import Sequence
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from labelaudit.errors import DataError, UsageError
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

if TYPE_CHECKING:
    from pathlib import Path

    from labelaudit.audit.options import TrainingOptions
    from labelaudit.progress import Reporter
    from labelaudit.run.layout import RunFolder


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


def given_parameters(pairs: Sequence[str], file: Path | None) -> dict[str, object]:
    """Values by name; what is given by ``-P`` takes the place of what the file says.

    Args:
        pairs: ``name=value`` each.
        file: TOML with ``name = value`` on its lines.

    Raises:
        UsageError: a pair without ``=``, or a name that is given twice.
        DataError: the file cannot be read.
    """
    return {**(_read(file) if file is not None else {}), **given_pairs(pairs, "-P")}


def given_pairs(pairs: Sequence[str], option: str) -> dict[str, object]:
    """Values by name from ``name=value``.

    Args:
        pairs: As they were given.
        option: By which, for errors.

    Raises:
        UsageError: a pair without ``=``, or a name that is given twice.
    """
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"{option} {pair} is no parameter", fix=f"give {option} name=value")
        if name in values:
            raise UsageError(f"{option} gives {name} twice", fix="give it once")
        values[name] = value.strip()
    return values


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {file}: {(error.strerror or '').lower()}", fix="check the path") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{file} is not TOML ({error})", fix="write name = value, one a line") from error


def is_helper() -> bool:
    """True in a process that torchrun started beside the first one: it trains along, and writes and says nothing."""
    return "MASTER_ADDR" in os.environ and os.environ.get("RANK", "0") != "0"


def refuse_torchrun(command: str) -> None:
    """Refuse to do in several processes what would get into each other's way there.

    Raises:
        UsageError: torchrun started this process.
    """
    if "MASTER_ADDR" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1":
        raise UsageError(
            f"labelaudit {command} does not run under torchrun",
            fix="start it in one process; several of them can share the work by their own --noise, --seed and --out",
        )


def set_threads(threads: int | None) -> None:
    """Use this many processor threads for arithmetic.

    Args:
        threads: None for torch's choice, but no more than a container's quota leaves to this process; where a variable
            of the environment names a number, as under torchrun, torch's choice is that.

    Raises:
        UsageError: fewer than one.
    """
    if threads is not None and threads < 1:
        raise UsageError(f"--threads {threads} is too few", fix="give at least 1")
    if threads is None and {"OMP_NUM_THREADS", "MKL_NUM_THREADS"} & set(os.environ):
        return
    import torch

    if threads is None:
        import joblib

        threads = min(torch.get_num_threads(), joblib.cpu_count())
    torch.set_num_threads(threads)


def set_deterministic(wanted: bool) -> None:
    """Have the same bits come out each time on a GPU too."""
    if wanted:
        from labelaudit.engine.devices import compute_deterministically

        compute_deterministically()


def run_folder(run: Path | None, data: Path, terminal: Reporter) -> RunFolder:
    """Where an audit of ``data`` goes: where it is said, or the default."""
    from labelaudit.audit.model import default_run
    from labelaudit.run.layout import RunFolder

    if run is not None:
        return RunFolder(run)
    place = default_run(data)
    if place.is_absolute():
        terminal.say(f"The run folder is {place}: nothing is written into the folder of the images")
    return RunFolder(place)


def training_options(context: typer.Context) -> TrainingOptions:
    """The training options among a command's parameters, which have the same names."""
    from labelaudit.audit.options import TrainingOptions

    names = {field.name for field in fields(TrainingOptions)}
    given = {name: value for name, value in context.params.items() if name in names}
    pairs = given_pairs(context.params.get("selector_pairs") or (), "-S")
    return TrainingOptions(**given, selector_parameters=pairs)
