"""``labelaudit reproduce NAME``: the papers' measurements, and some of our own, on a data folder.

A command is made of the fields of its experiment's options, of training options, and of what all commands share.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, Optional, get_args, get_origin, get_type_hints

import typer

from labelaudit import reproduce
from labelaudit.cli import options as o
from labelaudit.reproduce import ExperimentOptions, Flag

_NETWORK = ("model", "image_size", "augment", "epochs", "batch_size", "lr", "weight_decay", "precision")
_AUDIT = ("probe", "preset", "pretrained", "weights_file", "offline", "fit", *_NETWORK, "controls", "members", "folds")
_SHARED: dict[str, tuple[Any, Any]] = {
    "probe": (o.Probe, None),
    "preset": (o.Preset, None),
    "model": (o.Model, None),
    "pretrained": (o.Pretrained, False),
    "weights_file": (o.NetworkWeights, None),
    "offline": (o.Offline, False),
    "image_size": (o.ImageSize, None),
    "fit": (o.Fit, None),
    "augment": (o.Augment, None),
    "epochs": (o.Epochs, None),
    "batch_size": (o.BatchSize, None),
    "lr": (o.Rate, None),
    "weight_decay": (o.WeightDecay, None),
    "schedule": (o.Schedule, None),
    "precision": (o.Precision, None),
    "controls": (o.Controls, None),
    "members": (o.Members, None),
    "folds": (o.Folds, None),
    "device": (o.Device, "auto"),
    "threads": (o.Threads, None),
    "quiet": (o.Quiet, False),
    "no_progress": (o.NoProgress, False),
}
"""Options that are as in other commands: annotation and default."""

app = typer.Typer(
    help="Repeat the papers' measurements on your own data.",
    invoke_without_command=True,
    rich_markup_mode="rich",
    context_settings={"help_option_names": ["-h", "--help"]},
)


@app.callback()
def _root(context: typer.Context) -> None:
    """Repeat the papers' measurements on your own data."""
    if context.invoked_subcommand is None:
        typer.echo(context.get_help())


def _add(name: str, options: type[ExperimentOptions], training: Sequence[str], *examples: str) -> None:
    """Add a command.

    Args:
        name: Of the command, and of the module whose ``measure`` takes the options and returns a page.
        options: Their docstring is the command's.
        training: Names of the training options.
        examples: What stands after the command.
    """
    keyword = inspect.Parameter.KEYWORD_ONLY
    hints = get_type_hints(options, localns={"TrainingOptions": object}, include_extras=True)
    flags = {name: hint for name, hint in hints.items() if get_origin(hint) is Annotated}
    parameters = [inspect.Parameter("context", keyword, annotation=typer.Context)]
    for field in fields(options):
        if field.name in flags:
            parameters.append(_parameter(field.name, *get_args(flags[field.name]), default=field.default))
    for shared in (*training, "device", "threads", "quiet", "no_progress"):
        annotation, default = _SHARED[shared]
        parameters.append(inspect.Parameter(shared, keyword, annotation=annotation, default=default))

    def command(context: typer.Context, **given: Any) -> None:
        o.refuse_torchrun("reproduce")
        o.set_threads(given["threads"])
        from labelaudit.cli.console import Terminal

        terminal = Terminal(quiet=given["quiet"], progress=not given["no_progress"])
        asked = {flag: _value(flags[flag], given[flag]) for flag in flags if given[flag] is not None}
        measure = importlib.import_module(f"{reproduce.__name__}.{name}").measure
        typer.echo(measure(options(**asked, training=o.training_options(context)), terminal), nl=False)
        terminal.say(f"Tables: {given['out']}")

    resumed = "What an earlier call finished is only read, so an interrupted experiment is resumed."
    command.__doc__ = f"{inspect.cleandoc(options.__doc__ or '')}\n\n{resumed}"
    command.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    app.command(name, epilog=o.examples(*(f"labelaudit reproduce {name} {line}" for line in examples)))(command)


def _parameter(name: str, kind: Any, flag: Flag, *, default: Any) -> inspect.Parameter:
    """Return the command's parameter of a field."""
    help_text = flag.help
    if get_origin(kind) is Sequence:
        if default:
            help_text += f" Default: {','.join(map(str, default))}."
        kind = Optional[str] if "," in (flag.metavar or "") else Optional[list[get_args(kind)[0]]]  # type: ignore[misc]
        default = None
    if default is MISSING:
        default = inspect.Parameter.empty
    panel = None if flag.name in ("--data", "--test", "--out") else "Measured"
    option = typer.Option(flag.name, help=help_text, metavar=flag.metavar, rich_help_panel=panel)
    return inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, annotation=Annotated[kind, option], default=default)


def _value(hint: Any, value: Any) -> Any:
    """Return the value of a field: a text with commas is several values."""
    if get_origin(get_args(hint)[0]) is not Sequence or not isinstance(value, str):
        return value
    if get_args(get_args(hint)[0]) == (int,):
        from labelaudit.retrain.recipe import parse_seeds

        return parse_seeds(value)
    return tuple(name.strip() for name in value.split(",") if name.strip())


_add(
    "detection",
    reproduce.DetectionOptions,
    _AUDIT,
    "--data photos --out results --noise uniform:0.2 --noise pair-flip:0.1",
    "--data photos --out results --noise one-class:0.3:cat --seeds 0,1 --peers",
    "--data photos --out results --noisy-labels given.csv",
)
_add(
    "kinds",
    reproduce.KindsOptions,
    _AUDIT,
    "--data photos --out results",
    "--data photos --out results --images 12000 --seeds 0,1 --controls",
)
_add(
    "prioritization",
    reproduce.PrioritizationOptions,
    _NETWORK,
    "--scale smoke --out results",
    "--data fashion/train --test fashion/test --out results --seeds 0,1",
    "--data a --test b --out c --data-set clean --data-set random-labels:0.5",
)
_add(
    "relabeling",
    reproduce.RelabelingOptions,
    _AUDIT,
    "--out results",
    "--data photos --out results --noise uniform:0.1 --noise pair-flip:0.1 --rounds 2",
)
_add(
    "retraining",
    reproduce.RetrainingOptions,
    ("preset", *_NETWORK, "schedule"),
    "--data fashion/train --test fashion/test --out results --noise uniform:0.4 --seeds 0,1,2",
    "--data a --test b --out c --methods standard,aul,dividemix --epochs 50",
)
_add(
    "table1",
    reproduce.Table1Options,
    ("epochs",),
    "--scale smoke --out results",
    "--data cifar10 --out results --noise uniform:0.4 --seeds 0,1",
    "--data cifar10 --out results --scale paper --cost",
)
