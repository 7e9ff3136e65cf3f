"""``labelaudit compare``: errors of retrainings, mean and deviation over seeds."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from labelaudit.cli import options as o
from labelaudit.names import TableFormatName

if TYPE_CHECKING:
    from labelaudit.retrain.compare import Comparison

EPILOG = o.examples("labelaudit compare audit/retrain", "labelaudit compare results/aul-seed* --format csv")


def command(
    folders: Annotated[list[Path], typer.Argument(metavar="FOLDER...", help="Retrainings, or folders that hold some.")],
    output: Annotated[TableFormatName, typer.Option("--format", help="How to print the table.")] = "table",
) -> None:
    """Compare retrainings: test error as mean and standard deviation over the seeds, the best first."""
    from labelaudit.retrain.compare import compare

    rows = compare(folders)
    if output == "json":
        typer.echo(json.dumps([row.as_json() for row in rows], indent=2))
    elif output == "csv":
        typer.echo(_as_csv(rows), nl=False)
    else:
        _print(rows)


def _as_csv(rows: list[Comparison]) -> str:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(["method", "differs", "seeds", "validation_error", "validation_error_deviation", "train_error"])
    for row in rows:
        values = row.as_json()
        writer.writerow(
            [
                row.method,
                _differing(row),
                " ".join(str(seed) for seed in row.seeds),
                *(
                    "" if values[name] is None else f"{values[name]:.6g}"
                    for name in ("validation_error", "validation_error_deviation", "train_error")
                ),
            ]
        )
    return text.getvalue()


def _print(rows: list[Comparison]) -> None:
    from rich import box
    from rich.table import Table

    from labelaudit.cli.console import printed

    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for column in ("method", "test error", "disagrees with labels", "seeds"):
        table.add_column(column, no_wrap=column == "method")
    if any(row.differs for row in rows):
        table.add_column("differs")
    for row in rows:
        values = row.as_json()
        cells = [row.method, _error(row), f"{values['train_error']:.2%}", str(len(row.seeds))]
        table.add_row(*cells, *([_differing(row)] if len(table.columns) > len(cells) else []))
    with printed() as console:
        console.print(table)


def _error(row: Comparison) -> str:
    if row.mean is None:
        return "-"
    return f"{row.mean:.2%}" if row.deviation is None else f"{row.mean:.2%} ± {row.deviation:.2%}"


def _differing(row: Comparison) -> str:
    return ", ".join(f"{name}={value}" for name, value in sorted(row.differs.items()))
