"""``labelaudit methods`` and ``labelaudit selectors``: what there is to choose from, and the parameters of each."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Annotated

import typer
from typer import Argument, Option

from labelaudit.cli import options as o
from labelaudit.cli.console import print_table
from labelaudit.methods.parameters import describe_parameters
from labelaudit.methods.table import METHODS, MethodEntry, find_method
from labelaudit.names import PlanFormatName
from labelaudit.selectors.table import SELECTORS, SelectorEntry, find_selector

EPILOG = o.examples("labelaudit methods", "labelaudit methods co-teaching", "labelaudit methods --format json")
EPILOG_SELECTORS = o.examples("labelaudit selectors", "labelaudit selectors variance-reduction")

_Name = Annotated[str | None, Argument(metavar="[NAME]", help="Only this one, with its parameters.")]
_Format = Annotated[PlanFormatName, Option("--format", help="How to print them.")]
Entry = MethodEntry | SelectorEntry


def command(name: _Name = None, output: _Format = "table") -> None:
    """List the robust-training methods: what each does, needs, can be set, and where it is from."""
    _show(find_method(name) if name is not None else None, METHODS, output)


def command_selectors(name: _Name = None, output: _Format = "table") -> None:
    """List the selectors that train on a part of the samples: what each does, can be set, and where it is from."""
    _show(find_selector(name) if name is not None else None, SELECTORS, output)


def _show(one: Entry | None, entries: Sequence[Entry], output: PlanFormatName) -> None:
    if output == "json":
        typer.echo(json.dumps(_as_json(one) if one else [_as_json(entry) for entry in entries], indent=2))
    elif one:
        typer.echo("\n".join(_lines(one)))
    else:
        whole = ("method",) if entries is METHODS else ("selector", "parameters")
        columns = (whole[0], "what it does", *["needs"] * (entries is METHODS), "parameters", "source")
        defaults = ["\n".join(setting for setting, _ in _parameters(entry)) or "-" for entry in entries]
        pairs = zip(entries, defaults, strict=True)
        rows = [(entry.name, entry.summary, *_needs(entry), told, entry.source) for entry, told in pairs]
        print_table(columns, rows, whole=whole)


def _as_json(entry: Entry) -> dict[str, object]:
    parameters = [vars(info) for info in describe_parameters(entry.parameters)]
    told: dict[str, object] = {name: getattr(entry, name) for name in ("name", "summary", "source")}
    told["parameters"] = parameters
    if isinstance(entry, MethodEntry):
        told |= {"needs": entry.needs, "networks": entry.networks, "published": entry.differences}
    return told


def _lines(entry: Entry) -> list[str]:
    """Return all there is to say of an entry, with each parameter as it is given on the command line."""
    lines = [f"{entry.name}: {entry.summary}", f"  source    {entry.source}"]
    lines += [f"  needs     {needs}" for needs in _needs(entry)]
    option = "-P" if isinstance(entry, MethodEntry) else "-S"
    lines += [f"  {option} {setting}  {meaning}" for setting, meaning in _parameters(entry)]
    differing = entry.differences if isinstance(entry, MethodEntry) else {}
    published = [f"{name.replace('_', ' ')} {_worded(value)}" for name, value in differing.items()]
    return lines + ([f"  --preset paper  {', '.join(published)}"] if published else [])


def _parameters(entry: Entry) -> list[tuple[str, str]]:
    """Return ``name=default`` of each parameter, and what it is."""
    none = "(from the audit)" if isinstance(entry, MethodEntry) else "auto"
    return [
        (f"{info.name}={none if info.default is None else str(info.default).lower()}", f"{info.kind}: {info.what}")
        for info in describe_parameters(entry.parameters)
    ]


def _needs(entry: Entry) -> list[str]:
    """Return what a method needs in words; nothing for a selector."""
    if isinstance(entry, SelectorEntry):
        return []
    words = [need.replace("_", " ") for need in entry.needs] + ["two networks"] * (entry.networks == 2)
    return [", ".join(words) or "-"]


def _worded(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{factor:g} from {start:.3g}" for start, factor in value)
    return f"{value:g}" if isinstance(value, float) else str(value).lower()
