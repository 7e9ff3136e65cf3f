"""``labelaudit report``: what an audit found, and the gate."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from labelaudit.cli import options as o
from labelaudit.errors import EXIT_GATE_FAILED, StorageError, UsageError
from labelaudit.names import FormatName

if TYPE_CHECKING:
    from labelaudit.cli.console import Terminal
    from labelaudit.report.page.write import Page

_GATE = "Gate: exit code 1 when a limit is exceeded"
_PAGE = "Page"

EPILOG = o.examples(
    "labelaudit report audit                       (and look at audit/report.html)",
    "labelaudit report audit --max-noise 0.05 --max-suspicious 100",
    "labelaudit report audit --format json --no-html",
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
    html: Annotated[
        Optional[Path],
        typer.Option("--html", help="Where to write the page; default: report.html in RUN.", rich_help_panel=_PAGE),
    ] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no page.", rich_help_panel=_PAGE)] = False,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Show what an audit found, write a page to review it, fail when labels are worse than they may be."""
    if top < 0:
        raise UsageError(f"--top {top} is negative", fix="give a number from 0")
    if html is not None and no_html:
        raise UsageError("--html and --no-html contradict each other", fix="leave one of them out")

    from rich.console import Console

    from labelaudit.cli.console import Terminal
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
    if not no_html:
        _write_page(run, html, Terminal(quiet=quiet, progress=not no_progress))
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


def _write_page(run: Path, html: Path | None, terminal: Terminal) -> None:
    from labelaudit.report.page.write import write_page
    from labelaudit.run.layout import RunFolder

    try:
        page = write_page(RunFolder(run), html, reporter=terminal)
    except StorageError as error:
        if html is not None:
            raise
        # Nobody asked for it: figures and gate do not depend on whether the run folder can be written to.
        terminal.warn(f"no page: {error}")
        return
    terminal.say(f"Wrote {page.path} ({page.size_bytes / 1e6:.1f} MB): {_extent(page)}")


def _extent(page: Page) -> str:
    """How much of the findings is in a page."""
    parts = [f"{page.rows:,} of {page.suspicious:,} suspicious images"]
    if page.looked_at < page.rows:
        parts.append(f"thumbnails of the first {page.looked_at:,}")
    if page.missing:
        parts.append(f"{page.missing:,} image files are gone or have changed")
    return ", ".join(parts)
