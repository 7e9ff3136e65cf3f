"""``labelaudit reproduce NAME``: the papers' measurements, and some of our own, on a data folder.

A command is made of the fields of its experiment's options, of training options, and of what all commands share.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Sequence
from dataclasses import MISSING, fields
from typing import Annotated, Any, Optional, get_args, get_origin, get_type_hints

import typer

from labelaudit import reproduce
from labelaudit.audit.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.reproduce import ExperimentOptions, Flag

_SEED = ("seed",)  # --seeds is the experiments' own
_AUDIT_ONLY = ("preset", "probe", "pretrained", "network_weights", "offline", "controls", "members", "folds")
_SELECTOR = ("selector", "selector_parameters")

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


def _add(
    name: str, options: type[ExperimentOptions], training: Callable[[o.Command], o.Command], *examples: str
) -> None:
    """Add a command.

    Args:
        name: Of the command, and of the module whose ``measure`` takes the options and returns a page.
        options: Their docstring is the command's.
        training: Adds the training options; see `labelaudit.cli.options.training_options`.
        examples: What stands after the command.
    """
    hints = get_type_hints(options, include_extras=True)
    flags = {field: hint for field, hint in hints.items() if get_origin(hint) is Annotated}

    def command(*, training: TrainingOptions, terminal: Terminal, **given: Any) -> None:
        o.refuse_torchrun("reproduce")
        asked = {field: _value(flags[field], given[field]) for field in flags if given[field] is not None}
        measure = importlib.import_module(f"{reproduce.__name__}.{name}").measure
        typer.echo(measure(options(**asked, training=training), terminal), nl=False)
        terminal.say(f"Tables: {given['out']}")

    shown = [field for field in fields(options) if field.name in flags]
    own = [_parameter(field.name, *get_args(flags[field.name]), default=field.default) for field in shown]
    built = inspect.signature(command).parameters
    command.__signature__ = inspect.Signature([*own, built["training"], built["terminal"]])  # type: ignore[attr-defined]
    resumed = "What an earlier call finished is only read, so an interrupted experiment is resumed."
    command.__doc__ = f"{inspect.cleandoc(options.__doc__ or '')}\n\n{resumed}"
    epilog = o.examples(*(f"labelaudit reproduce {name} {line}" for line in examples))
    app.command(name, epilog=epilog)(training(o.screen_options(command)))


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
        return o.parse_seeds(value)
    return tuple(name.strip() for name in value.split(",") if name.strip())


_add(
    "detection",
    reproduce.DetectionOptions,
    o.training_options(without=_SEED),
    "--data photos --out results --noise uniform:0.2 --noise pair-flip:0.1",
    "--data photos --out results --noise one-class:0.3:cat --seeds 0,1 --peers",
    "--data photos --out results --noisy-labels given.csv",
)
_add(
    "kinds",
    reproduce.KindsOptions,
    o.training_options(without=_SEED),
    "--data photos --out results",
    "--data photos --out results --images 12000 --seeds 0,1 --controls",
)
_add(
    "prioritization",
    reproduce.PrioritizationOptions,
    o.training_options(without=(*_SEED, *_AUDIT_ONLY, *_SELECTOR)),
    "--scale smoke --out results",
    "--data fashion/train --test fashion/test --out results --seeds 0,1",
    "--data a --test b --out c --data-set clean --data-set random-labels:0.5",
)
_add(
    "relabeling",
    reproduce.RelabelingOptions,
    o.training_options(without=_SEED),
    "--out results",
    "--data photos --out results --noise uniform:0.1 --noise pair-flip:0.1 --rounds 2",
)
_add(
    "retraining",
    reproduce.RetrainingOptions,
    o.training_options(without=(*_SEED, *_AUDIT_ONLY[1:], *_SELECTOR)),
    "--data fashion/train --test fashion/test --out results --noise uniform:0.4 --seeds 0,1,2",
    "--data a --test b --out c --methods standard,aul,dividemix --epochs 50",
)
_add(
    "table1",
    reproduce.Table1Options,
    o.training_options(only=("epochs", "device")),
    "--scale smoke --out results",
    "--data cifar10 --out results --noise uniform:0.4 --seeds 0,1",
    "--data cifar10 --out results --scale paper --cost",
)
