"""``labelaudit methods`` and ``labelaudit selectors``: what there is to choose from, and the parameters of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from labelaudit.cli import options as o
from labelaudit.cli.console import print_table
from labelaudit.methods.parameters import describe_parameters
from labelaudit.names import PlanFormatName

if TYPE_CHECKING:
    from labelaudit.methods.table import MethodEntry
    from labelaudit.selectors.table import SelectorEntry

EPILOG = o.examples("labelaudit methods", "labelaudit methods co-teaching", "labelaudit methods --format json")
EPILOG_SELECTORS = o.examples("labelaudit selectors", "labelaudit selectors variance-reduction")

_Name = Annotated[str | None, Argument(metavar="[NAME]", help="Only this one, with its parameters.")]
_Format = Annotated[PlanFormatName, Option("--format", help="How to print them.")]


def command(name: _Name = None, output: _Format = "table") -> None:
    """List the robust-training methods: what each does, needs, can be set, and where it is from."""
    from labelaudit.methods.table import METHODS, find_method

    entries = METHODS if name is None else [find_method(name)]
    if output == "json":
        told = [{"needs": each.needs, "networks": each.networks, "published": each.differences} for each in entries]
        _print_json([_as_json(entry) | more for entry, more in zip(entries, told, strict=True)], one=name is not None)
    elif name is None:
        columns = ("method", "what it does", "needs", "parameters", "source")
        print_table(columns, [_row(entry, _needs(entry)) for entry in entries], whole=("method",))
    else:
        published = [f"{each.replace('_', ' ')} {_worded(value)}" for each, value in entries[0].differences.items()]
        lines = _lines(entries[0], "-P", f"  needs     {_needs(entries[0])}")
        typer.echo("\n".join(lines + ([f"  --preset paper  {', '.join(published)}"] if published else [])))


def command_selectors(name: _Name = None, output: _Format = "table") -> None:
    """List the selectors that train on a part of the samples: what each does, can be set, and where it is from."""
    from labelaudit.selectors.table import SELECTORS, find_selector

    entries = SELECTORS if name is None else [find_selector(name)]
    if output == "json":
        _print_json([_as_json(entry) for entry in entries], one=name is not None)
    elif name is None:
        columns = ("selector", "what it does", "parameters", "source")
        print_table(columns, [_row(entry) for entry in entries], whole=("selector", "parameters"))
    else:
        typer.echo("\n".join(_lines(entries[0], "-S")))


def _print_json(described: Sequence[dict[str, object]], *, one: bool) -> None:
    typer.echo(json.dumps(described[0] if one else described, indent=2))


def _as_json(entry: MethodEntry | SelectorEntry) -> dict[str, object]:
    parameters = [
        vars(info) | {"limits": {name: limit for name, limit in info.limits.items() if limit is not None}}
        for info in describe_parameters(entry.parameters)
    ]
    return {"name": entry.name, "summary": entry.summary, "source": entry.source, "parameters": parameters}


def _parameters(entry: MethodEntry | SelectorEntry) -> list[tuple[str, str]]:
    """Return ``name=default`` of each parameter, and what it is."""
    none = "(from the audit)" if hasattr(entry, "needs") else "auto"
    return [
        (f"{info.name}={none if info.default is None else str(info.default).lower()}", f"{info.kind}: {info.what}")
        for info in describe_parameters(entry.parameters)
    ]


def _row(entry: MethodEntry | SelectorEntry, *more: str) -> tuple[str, ...]:
    defaults = "\n".join(setting for setting, _ in _parameters(entry)) or "-"
    return entry.name, entry.summary, *more, defaults, entry.source


def _lines(entry: MethodEntry | SelectorEntry, option: str, *more: str) -> list[str]:
    """Return all there is to say of an entry, with each parameter as it is given on the command line."""
    settings = [f"  {option} {setting}  {meaning}" for setting, meaning in _parameters(entry)]
    return [f"{entry.name}: {entry.summary}", f"  source    {entry.source}", *more, *settings]


def _needs(entry: MethodEntry) -> str:
    words = [need.replace("_", " ") for need in entry.needs] + ["two networks"] * (entry.networks == 2)
    return ", ".join(words) or "-"


def _worded(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{factor:g} from {start:.3g}" for start, factor in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
