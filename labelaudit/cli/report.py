"""``labelaudit report``: what an audit found, and the gate."""

from __future__ import annotations

import json
from typing import Annotated, Optional

import typer

from labelaudit.cli import options as o
from labelaudit.errors import EXIT_GATE_FAILED, UsageError
from labelaudit.names import FormatName

_GATE = "Gate: exit code 1 when a limit is exceeded"

EPILOG = o.examples(
    "labelaudit report audit",
    "labelaudit report audit --max-noise 0.05 --max-suspicious 100",
    "labelaudit report audit --format json",
)


def command(
    run: o.RunArgument,
    max_noise: Annotated[
        Optional[float], typer.Option("--max-noise", help="Largest noise rate, 0 to 1.", rich_help_panel=_GATE)
    ] = None,
    max_suspicious: Annotated[
        Optional[int], typer.Option("--max-suspicious", help="Most suspicious labels.", rich_help_panel=_GATE)
    ] = None,
    fail_on_warning: Annotated[
        bool, typer.Option("--fail-on-warning", help="Any warning fails.", rich_help_panel=_GATE)
    ] = False,
    top: Annotated[int, typer.Option("--top", help="How many suspicious labels to list.")] = 10,
    output: Annotated[FormatName, typer.Option("--format", help="What to print on stdout.")] = "table",
) -> None:
    """Show what an audit found; fail when labels are worse than they may be."""
    if top < 0:
        raise UsageError(f"--top {top} is negative", fix="give a number from 0")

    from rich.console import Console

    from labelaudit.recipes.fit import read_noise
    from labelaudit.report.console import show_summary, suspicious_table
    from labelaudit.report.gate import Limits, check
    from labelaudit.run.layout import RunFolder
    from labelaudit.run.tables import read_suspicious

    folder = RunFolder(run)
    folder.read_description()
    noise = read_noise(folder)
    limits = Limits(max_noise=max_noise, max_suspicious=max_suspicious, fail_on_warning=fail_on_warning)
    failures = check(noise, limits)
    rows = read_suspicious(folder.suspicious, most=top)
    if output == "json":
        typer.echo(json.dumps({**noise, "top": rows, "failures": failures, "passed": not failures}, indent=2))
    else:
        console = Console(highlight=False)
        show_summary(console, noise)
        if rows:
            console.print(suspicious_table(rows))
        for failure in failures:
            console.print(f"[bold red]Failed:[/bold red] {failure}")
        if limits.any and not failures:
            console.print("[green]Passed:[/green] all limits are kept")
    if failures:
        raise typer.Exit(EXIT_GATE_FAILED)
