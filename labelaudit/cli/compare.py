"""``labelaudit compare``: errors of retrainings, mean and deviation over seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from labelaudit.cells import csv_lines
from labelaudit.cli import options as o
from labelaudit.cli.console import print_table
from labelaudit.names import TableFormatName

if TYPE_CHECKING:
    from labelaudit.retrain.compare import Comparison

EPILOG = o.examples("labelaudit compare audit/retrain", "labelaudit compare results/aul-seed* --format csv")


def command(
    folders: Annotated[list[Path], Argument(metavar="FOLDER...", help="Retrainings, or folders that hold some.")],
    output: Annotated[TableFormatName, Option("--format", help="How to print the table.")] = "table",
) -> None:
    """Compare retrainings: test error as mean and standard deviation over the seeds, the best first."""
    from labelaudit.retrain.compare import compare

    rows = compare(folders)
    if output == "json":
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
    elif output == "csv":
        figures = ("validation_error", "validation_error_deviation", "train_error")
        lines = []
        for row in rows:
            told = ["" if value is None else f"{value:.6g}" for value in map(row.as_json().get, figures)]
            lines.append([row.method, _differing(row), " ".join(map(str, row.seeds)), *told])
        typer.echo("".join(csv_lines(["method", "differs", "seeds", *figures], lines)), nl=False)
    else:
        columns = ["method", "test error", "disagrees with labels", "seeds", "differs"]
        cells = [
            (row.method, _error(row), f"{row.as_json()['train_error']:.2%}", str(len(row.seeds)), _differing(row))
            for row in rows
        ]
        shown = 5 if any(row.differs for row in rows) else 4
        print_table(columns[:shown], [row[:shown] for row in cells], whole=("method",))


def _error(row: Comparison) -> str:
    if row.mean is None:
        return "-"
    return f"{row.mean:.2%}" if row.deviation is None else f"{row.mean:.2%} ± {row.deviation:.2%}"


def _differing(row: Comparison) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(row.differs.items()))
