"""``labelaudit methods``: what ``retrain --method`` can be."""

from __future__ import annotations

from typing import Annotated, Optional

import typer

from labelaudit.cli import options as o

EPILOG = o.examples("labelaudit methods", "labelaudit methods aul")


def command(name: Annotated[Optional[str], typer.Argument(metavar="[NAME]", help="Only this one.")] = None) -> None:
    """List the robust-training methods: what each does, needs, and where it is from."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    from labelaudit.methods.table import METHODS, find_method

    entries = METHODS if name is None else (find_method(name),)
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("method", "what it does", "needs", "source"):
        table.add_column(column)
    for entry in entries:
        table.add_row(entry.name, entry.summary, ", ".join(entry.needs) or "-", entry.source)
    Console(highlight=False).print(table)
