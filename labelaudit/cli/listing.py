"""Entries of a table (methods, selectors) with the settings that are their own, in words and as JSON."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import typer

from labelaudit.names import PlanFormatName

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
