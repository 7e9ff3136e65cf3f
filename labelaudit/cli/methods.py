"""``labelaudit methods``: what ``retrain --method`` can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from labelaudit.cli import options as o
from labelaudit.names import PlanFormatName

if TYPE_CHECKING:
    from labelaudit.methods.table import MethodEntry

EPILOG = o.examples("labelaudit methods", "labelaudit methods co-teaching", "labelaudit methods --format json")
_AUDITED = "(from the audit)"


def command(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Only this one, with its parameters.")] = None,
    output: Annotated[PlanFormatName, typer.Option("--format", help="How to print them.")] = "table",
) -> None:
    """List the robust-training methods: what each does, needs, can be set, and where it is from."""
    from labelaudit.cli.listing import show_entries
    from labelaudit.methods.table import METHODS, find_method

    one = None if name is None else find_method(name)
    show_entries(METHODS, one, output, as_json=_as_json, print_all=_print_all, print_one=_print_one)


def _as_json(entry: MethodEntry) -> dict[str, Any]:
    from labelaudit.cli.listing import parameters_json

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
    from labelaudit.cli.listing import parameter_defaults

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("method", "what it does", "needs", "parameters", "source"):
        table.add_column(column, no_wrap=column == "method")
    for entry in entries:
        settings = parameter_defaults(entry.parameters, none=_AUDITED)
        table.add_row(entry.name, entry.summary, _needs(entry), settings, entry.source)
    with printed() as console:
        console.print(table)


def _print_one(entry: MethodEntry) -> None:
    from labelaudit.cli.listing import parameter_lines

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
