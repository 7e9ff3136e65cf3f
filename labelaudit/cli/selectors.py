"""``labelaudit selectors``: what ``--selector`` can be."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Annotated, Any, Optional

import typer

from labelaudit.cli import options as o
from labelaudit.names import PlanFormatName

if TYPE_CHECKING:
    from labelaudit.selectors.table import SelectorEntry

EPILOG = o.examples("labelaudit selectors", "labelaudit selectors variance-reduction")
_COMPUTED = "auto"


def command(
    name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Only this one, with its parameters.")] = None,
    output: Annotated[PlanFormatName, typer.Option("--format", help="How to print them.")] = "table",
) -> None:
    """List the selectors that train on a part of the samples: what each does, can be set, and where it is from."""
    from labelaudit.cli.listing import show_entries
    from labelaudit.selectors.table import SELECTORS, find_selector

    one = None if name is None else find_selector(name)
    show_entries(SELECTORS, one, output, as_json=_as_json, print_all=_print_all, print_one=_print_one)


def _as_json(entry: SelectorEntry) -> dict[str, Any]:
    from labelaudit.cli.listing import parameters_json

    return {
        "name": entry.name,
        "summary": entry.summary,
        "source": entry.source,
        "parameters": parameters_json(entry.parameters),
    }


def _print_all(entries: Sequence[SelectorEntry]) -> None:
    from rich import box
    from rich.table import Table

    from labelaudit.cli.console import printed
    from labelaudit.cli.listing import parameter_defaults

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("selector", "what it does", "parameters", "source"):
        table.add_column(column, no_wrap=column in ("selector", "parameters"))
    for entry in entries:
        table.add_row(entry.name, entry.summary, parameter_defaults(entry.parameters, none=_COMPUTED), entry.source)
    with printed() as console:
        console.print(table)


def _print_one(entry: SelectorEntry) -> None:
    from labelaudit.cli.listing import parameter_lines

    typer.echo(f"{entry.name}: {entry.summary}")
    typer.echo(f"  source    {entry.source}")
    for line in parameter_lines(entry.parameters, "-S", none=_COMPUTED):
        typer.echo(line)
