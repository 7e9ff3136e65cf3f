"""``labelaudit reproduce NAME``: the papers' measurements, and some of our own, on a data folder.

A command is made of the fields of its experiment's options, of training options, and of what all commands share.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, Field, fields
from typing import Any, Optional, get_args, get_origin, get_type_hints

import typer

from labelaudit import reproduce
from labelaudit.auditing.options import TrainingOptions
from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, is_distributed
from labelaudit.errors import UsageError
from labelaudit.reproduce import ExperimentOptions

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
    name: str,
    options: type[ExperimentOptions],
    kept: Callable[[o.Command], o.Command],
    *examples: str,
    measure: str = "",
) -> None:
    """Add a command with these options, whose docstring is the command's; ``kept`` adds the training options.

    ``measure`` is the module and its function that takes the options and returns a page; default: ``NAME.measure``.
    """
    hints = get_type_hints(options)
    module, function = (measure or f"{name}.measure").split(".")

    def command(*, training: TrainingOptions, terminal: Terminal, **given: Any) -> None:
        if is_distributed():  # several processes would disturb each other
            fix = "start it in one process; several of them can share the work by their own --noise, --seeds and --out"
            raise UsageError("labelaudit reproduce does not run under torchrun", fix=fix)
        told = {field: _split(field, value) for field, value in given.items() if value is not None}
        measure = getattr(importlib.import_module(f"{reproduce.__name__}.{module}"), function)
        typer.echo(measure(options(**told, training=training), terminal), nl=False)
        terminal.say(f"Tables: {given['out']}")

    built = inspect.signature(command).parameters
    own = [_parameter(field, hints[field.name]) for field in fields(options) if field.name in reproduce.FLAGS]
    command.__signature__ = inspect.Signature([*own, built["training"], built["terminal"]])  # type: ignore[attr-defined]
    resumed = "What an earlier call finished is only read, so an interrupted experiment is resumed."
    command.__doc__ = f"{inspect.cleandoc(options.__doc__ or '')}\n\n{resumed}"
    epilog = o.examples(*(f"labelaudit reproduce {name} {line}" for line in examples))
    app.command(name, epilog=epilog)(kept(o.screen_options(command)))


def _parameter(field: Field[Any], kind: Any) -> inspect.Parameter:
    """Return the command's parameter of a field of the options."""
    flag, meaning, metavar = reproduce.FLAGS[field.name]
    default: Any = inspect.Parameter.empty if field.default is MISSING else field.default
    if get_origin(kind) in (Sequence, Mapping):
        if field.default not in (MISSING, ()):
            meaning += f" Default: {','.join(map(str, default))}."
        kind, default = Optional[str] if "," in (metavar or "") else Optional[list[get_args(kind)[0]]], None  # type: ignore[misc]
    panel = None if field.name in ("data", "test", "out") else "Measured"
    option = typer.Option(flag, help=meaning, metavar=metavar, rich_help_panel=panel)
    return o.keyword(field.name, kind, option, default)


def _split(field: str, value: Any) -> Any:
    """Return the values in a text with commas, or by name; any other value as it is."""
    if field == "parameters":
        return o.given_pairs(value, reproduce.FLAGS[field][0])
    if "," not in (reproduce.FLAGS[field][2] or ""):
        return value
    return o.parse_seeds(value) if field == "seeds" else tuple(filter(None, map(str.strip, value.split(","))))


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
    "--data a --test b --out c --methods standard,labelaudit,dividemix --epochs 50",
)
_add(
    "table1",
    reproduce.Table1Options,
    o.training_options(only=("epochs", "device", "threads", "deterministic")),
    "--scale smoke --out results",
    "--data cifar10 --out results --noise uniform:0.4 --seeds 0,1",
    "--data cifar10 --out results --scale paper",
    "--scale smoke --out results --methods standard,mentornet -P mentornet.percentile=0.5",
    measure="retraining.measure_table1",
)
