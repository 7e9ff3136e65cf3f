"""``labelaudit compare``: what changed from one audit to another; or the errors of retrainings over seeds."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from labelaudit.cli import options as o
from labelaudit.cli.console import print_data, print_table, printed
from labelaudit.errors import UsageError
from labelaudit.names import ComparisonFormatName

if TYPE_CHECKING:
    from labelaudit.retraining.compare import Comparison
    from labelaudit.run.layout import RunFolder

EPILOG = o.examples(
    "labelaudit compare labelaudit-runs/photos/1 labelaudit-runs/photos/2",
    "labelaudit compare last-audit audit --format markdown",
    "labelaudit compare results/aul-seed* --format json",
)


def command(
    folders: Annotated[list[Path], Argument(metavar="FOLDER...", help="Two audits, RUN RUN; or retrainings.")],
    output: Annotated[ComparisonFormatName, Option("--format", help="markdown: of audits.")] = "table",
) -> None:
    """Compare two audits: noise rates, and which suspicious labels are new, still there or gone.

    Or compare retrainings: test error as mean and standard deviation over the seeds, the best first.
    """
    from labelaudit.run.layout import newest

    runs = [newest(folder) for folder in folders]
    are_audits = len(runs) == 2 and all(run.noise.exists() for run in runs)
    if output == "markdown" and not are_audits:
        raise UsageError("--format markdown is not for retrainings", fix="give --format table or json")
    if are_audits:
        _compare_audits(runs[0], runs[1], output)
    else:
        _compare_retrainings(folders, output)


def _compare_audits(before: RunFolder, after: RunFolder, output: ComparisonFormatName) -> None:
    from labelaudit.auditing.changes import find_changes
    from labelaudit.auditing.model import Audit
    from labelaudit.report.console import show_changes
    from labelaudit.report.markdown import render_changes

    changes = find_changes(Audit(before), Audit(after))
    if output == "table":
        with printed() as console:
            show_changes(console, changes)
    else:
        text = render_changes(changes) if output == "markdown" else json.dumps(changes.as_json(), indent=2) + "\n"
        print_data(text)


def _compare_retrainings(folders: list[Path], output: ComparisonFormatName) -> None:
    from labelaudit.retraining.compare import compare

    rows = compare(folders)
    if output == "json":
        typer.echo(json.dumps([vars(row) for row in rows], indent=2))
    else:
        columns = ["method", "test error", "disagrees with labels", "seeds", "differs"]
        shown = 5 if any(row.differs for row in rows) else 4
        told = [(row, ", ".join(f"{name}={value}" for name, value in sorted(row.differs.items()))) for row in rows]
        cells = [(of.method, _error(of), f"{of.train_error:.2%}", str(len(of.seeds)), differs) for of, differs in told]
        print_table(columns[:shown], [cell[:shown] for cell in cells], whole=("method",))


def _error(row: Comparison) -> str:
    if row.validation_error is None:
        return "-"
    deviation = row.validation_error_deviation
    return f"{row.validation_error:.2%}" + ("" if deviation is None else f" ± {deviation:.2%}")
