"""Entries of a table (methods, selectors) with the settings that are their own, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional, TypeVar

import typer

from labelaudit.cli import options as o
from labelaudit.names import PlanFormatName

if TYPE_CHECKING:
    from labelaudit.methods.table import MethodEntry
    from labelaudit.selectors.table import SelectorEntry


Entry = TypeVar("Entry")


def show_entries(
    entries: Sequence[Entry],
    one: Entry | None,
    output: PlanFormatName,
    *,
    as_json: Callable[[Entry], dict[str, Any]],
    print_all: Callable[[Sequence[Entry]], None],
    print_one: Callable[[Entry], None],
) -> None:
    """Print all entries, or the one that was asked for.

    Args:
        entries: All.
        one: That one; None for all.
        output: As a table or as JSON: a list of all, or an object.
        as_json: An entry as an object.
        print_all: Prints the table of all.
        print_one: Prints one in full.
    """
    if output == "json":
        typer.echo(json.dumps([as_json(entry) for entry in entries] if one is None else as_json(one), indent=2))
    elif one is None:
        print_all(entries)
    else:
        print_one(one)


def parameters_json(parameters: type) -> list[dict[str, Any]]:
    """Name, kind, default, meaning and limits of each setting.

    Args:
        parameters: A dataclass of them.
    """
    from labelaudit.methods.parameters import describe_parameters

    return [
        {
            "name": info.name,
            "kind": info.kind,
            "default": info.default,
            "what": info.what,
            "limits": {name: limit for name, limit in info.limits.items() if limit is not None},
        }
        for info in describe_parameters(parameters)
    ]


def parameter_defaults(parameters: type, *, none: str) -> str:
    """``name=default``, one a line.

    Args:
        parameters: A dataclass of them.
        none: What a default of None means.
    """
    from labelaudit.methods.parameters import describe_parameters

    infos = describe_parameters(parameters)
    return "\n".join(f"{info.name}={_shown(info.default, none)}" for info in infos) or "-"


def parameter_lines(parameters: type, option: str, *, none: str) -> list[str]:
    """A line for each setting, as it is given on the command line.

    Args:
        parameters: A dataclass of them.
        option: Of the command line.
        none: What a default of None means.
    """
    from labelaudit.methods.parameters import describe_parameters

    return [
        f"  {option} {info.name}={_shown(info.default, none)}  {info.kind}: {info.what}"
        for info in describe_parameters(parameters)
    ]


def _shown(default: object, none: str) -> str:
    return none if default is None else str(default).lower() if isinstance(default, bool) else f"{default}"


EPILOG = o.examples("labelaudit methods", "labelaudit methods co-teaching", "labelaudit methods --format json")
_AUDITED = "(from the audit)"


def command(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Only this one, with its parameters.")] = None,
    output: Annotated[PlanFormatName, typer.Option("--format", help="How to print them.")] = "table",
) -> None:
    """List the robust-training methods: what each does, needs, can be set, and where it is from."""
    from labelaudit.methods.table import METHODS, find_method

    one = None if name is None else find_method(name)
    show_entries(METHODS, one, output, as_json=_as_json, print_all=_print_all, print_one=_print_one)


def _as_json(entry: MethodEntry) -> dict[str, Any]:

    return {
        "name": entry.name,
        "summary": entry.summary,
        "source": entry.source,
        "needs": list(entry.needs),
        "networks": entry.networks,
        "parameters": parameters_json(entry.parameters),
        "published": entry.published.given,
    }


def _print_all(entries: Sequence[MethodEntry]) -> None:
    from rich import box
    from rich.table import Table

    from labelaudit.cli.console import printed

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("method", "what it does", "needs", "parameters", "source"):
        table.add_column(column, no_wrap=column == "method")
    for entry in entries:
        settings = parameter_defaults(entry.parameters, none=_AUDITED)
        table.add_row(entry.name, entry.summary, _needs(entry), settings, entry.source)
    with printed() as console:
        console.print(table)


def _print_one(entry: MethodEntry) -> None:

    typer.echo(f"{entry.name}: {entry.summary}")
    typer.echo(f"  source    {entry.source}")
    typer.echo(f"  needs     {_needs(entry)}")
    for line in parameter_lines(entry.parameters, "-P", none=_AUDITED):
        typer.echo(line)
    given = [f"{name.replace('_', ' ')} {_worded(value)}" for name, value in entry.published.given.items()]
    if given:
        typer.echo(f"  --preset paper  {', '.join(given)}")


def _needs(entry: MethodEntry) -> str:
    words = [need.replace("_", " ") for need in entry.needs]
    return ", ".join([*words, *(["two networks"] if entry.networks == 2 else [])]) or "-"


def _worded(value: object) -> str:
    if isinstance(value, tuple):
        return " ".join(f"{factor:g} from {start:.3g}" for start, factor in value)
    return f"{value:g}" if isinstance(value, float) else str(value)


EPILOG_SELECTORS = o.examples("labelaudit selectors", "labelaudit selectors variance-reduction")
_COMPUTED = "auto"


def command_selectors(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Only this one, with its parameters.")] = None,
    output: Annotated[PlanFormatName, typer.Option("--format", help="How to print them.")] = "table",
) -> None:
    """List the selectors that train on a part of the samples: what each does, can be set, and where it is from."""
    from labelaudit.selectors.table import SELECTORS, find_selector

    one = None if name is None else find_selector(name)
    show_entries(
        SELECTORS,
        one,
        output,
        as_json=_as_json_selectors,
        print_all=_print_all_selectors,
        print_one=_print_one_selectors,
    )


def _as_json_selectors(entry: SelectorEntry) -> dict[str, Any]:

    return {
        "name": entry.name,
        "summary": entry.summary,
        "source": entry.source,
        "parameters": parameters_json(entry.parameters),
    }


def _print_all_selectors(entries: Sequence[SelectorEntry]) -> None:
    from rich import box
    from rich.table import Table

    from labelaudit.cli.console import printed

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("selector", "what it does", "parameters", "source"):
        table.add_column(column, no_wrap=column in ("selector", "parameters"))
    for entry in entries:
        table.add_row(entry.name, entry.summary, parameter_defaults(entry.parameters, none=_COMPUTED), entry.source)
    with printed() as console:
        console.print(table)


def _print_one_selectors(entry: SelectorEntry) -> None:

    typer.echo(f"{entry.name}: {entry.summary}")
    typer.echo(f"  source    {entry.source}")
    for line in parameter_lines(entry.parameters, "-S", none=_COMPUTED):
        typer.echo(line)
