"""``labelaudit report``: what an audit found, and the gate."""

from __future__ import annotations

import os
import shlex
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional, get_args

import typer

from labelaudit.cli import options as o
from labelaudit.errors import EXIT_GATE_FAILED, StorageError, UsageError
from labelaudit.names import FormatName

if TYPE_CHECKING:
    from labelaudit.cli.console import Terminal
    from labelaudit.report.content import Report
    from labelaudit.report.page.write import Page

_GATE = "Gate: exit code 1 when a limit is exceeded"
_OUTPUT = "Output"
_PAGE = "Page"

EPILOG = o.examples(
    "labelaudit report audit                       (and look at audit/report.html)",
    "labelaudit report audit --max-noise 0.05 --max-class-noise 0.15 --max-suspicious 100",
    "labelaudit report audit --baseline last-audit/suspicious.csv --max-suspicious 0",
    "labelaudit report audit --format json",
    "labelaudit report audit --write sarif=labels.sarif --write junit=labels.xml",
)


def command(
    run: o.RunArgument,
    max_noise: Annotated[
        Optional[float], typer.Option("--max-noise", help="Largest noise rate, 0 to 1.", rich_help_panel=_GATE)
    ] = None,
    max_class_noise: Annotated[
        Optional[float],
        typer.Option("--max-class-noise", help="Largest noise rate of a class, 0 to 1.", rich_help_panel=_GATE),
    ] = None,
    max_suspicious: Annotated[
        Optional[int], typer.Option("--max-suspicious", help="Most suspicious labels.", rich_help_panel=_GATE)
    ] = None,
    max_unreadable: Annotated[
        Optional[int], typer.Option("--max-unreadable", help="Most images that cannot be read.", rich_help_panel=_GATE)
    ] = None,
    fail_on_warning: Annotated[
        bool,
        typer.Option(
            "--fail-on-warning", help="Any warning fails, and any image unreadable or left out.", rich_help_panel=_GATE
        ),
    ] = False,
    strict: Annotated[
        bool,
        typer.Option(
            "--strict",
            help="Compare the estimated noise rates with the limits; without it, the lower ends of their intervals.",
            rich_help_panel=_GATE,
        ),
    ] = False,
    baseline: Annotated[
        Optional[Path],
        typer.Option(
            "--baseline",
            help="An earlier run folder or suspicious.csv: only labels that are not in it count as suspicious.",
            rich_help_panel=_GATE,
        ),
    ] = None,
    top: Annotated[
        int, typer.Option("--top", help="How many suspicious labels to list.", rich_help_panel=_OUTPUT)
    ] = 10,
    output: Annotated[
        FormatName, typer.Option("--format", help="What to print on stdout.", rich_help_panel=_OUTPUT)
    ] = "table",
    write: Annotated[
        Optional[list[str]],
        typer.Option(
            "--write",
            metavar="FORMAT=PATH",
            help="Write the report in this format to a file too; may be given several times.",
            rich_help_panel=_OUTPUT,
        ),
    ] = None,
    data: Annotated[
        Optional[Path],
        typer.Option(
            "--data", help="Where the images are now; default: where they were audited.", rich_help_panel=_PAGE
        ),
    ] = None,
    html: Annotated[
        Optional[Path],
        typer.Option("--html", help="Where to write the page; default: report.html in RUN.", rich_help_panel=_PAGE),
    ] = None,
    no_html: Annotated[bool, typer.Option("--no-html", help="Write no page.", rich_help_panel=_PAGE)] = False,
    thumbnails: Annotated[
        int,
        typer.Option(
            "--thumbnails",
            help="Show at most so many images in the page; large files take time to read.",
            rich_help_panel=_PAGE,
        ),
    ] = 10_000,
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Show what an audit found, write a page to review it, fail when labels are worse than they may be.

    Where GITHUB_STEP_SUMMARY names a file, the report is appended to it as Markdown.
    """
    if top < 0:
        raise UsageError(f"--top {top} is negative", fix="give a number from 0")
    if thumbnails < 0:
        raise UsageError(f"--thumbnails {thumbnails} is negative", fix="give a number from 0")
    if html is not None and no_html:
        raise UsageError("--html and --no-html contradict each other", fix="leave one of them out")
    if data is not None and no_html:
        raise UsageError("--data is for the page, and --no-html writes none", fix="leave one of them out")
    if data is not None and not data.is_dir():
        raise UsageError(f"--data {data} is not a folder", fix="give the folder that the images are in now")
    targets = _targets(write or [])

    from labelaudit.audit.model import Audit
    from labelaudit.cli.console import Terminal, hand_out
    from labelaudit.report.content import make_report
    from labelaudit.report.formats import FORMATS, most_listed
    from labelaudit.report.gate import Limits
    from labelaudit.run.files import behind_links, write_text
    from labelaudit.run.layout import RunFolder

    limits = Limits(
        max_noise=max_noise,
        max_class_noise=max_class_noise,
        max_suspicious=max_suspicious,
        max_unreadable=max_unreadable,
        fail_on_warning=fail_on_warning,
        strict=strict,
    )
    most = most_listed({output, *targets.values()})
    report = make_report(Audit(RunFolder(run)), limits, baseline=baseline, top=top, most=most)
    for path, name in targets.items():
        write_text(behind_links(path), FORMATS[name](report))
    _append_step_summary(report)
    terminal = Terminal(quiet=quiet, progress=not no_progress)
    page = None if no_html else _write_page(run, html, thumbnails, terminal, data=data, baseline=baseline)
    if output == "table":
        _show(report)
    else:
        hand_out(FORMATS[output](report).encode())  # bytes: UTF-8 everywhere
    if page is not None:
        terminal.say(f"Page: {page.path} ({page.size_bytes / 1e6:.1f} MB), {_extent(page)}")
        if page.without_images:
            terminal.warn(
                f"the page has no images: none of them is in {page.root} as it was audited. "
                "If they were moved, give their folder with --data DIR"
            )
        if page.rows:
            terminal.say(
                f"Open it in a browser to review. The corrections go into the data by: {_relabeling(run, data)}"
            )
    if report.failures:
        raise typer.Exit(EXIT_GATE_FAILED)


def _targets(written: list[str]) -> dict[Path, str]:
    """The format of each file to write."""
    names = [name for name in get_args(FormatName) if name != "table"]
    targets: dict[Path, str] = {}
    for text in written:
        name, equals, path = text.partition("=")
        if name not in names or not equals or not path:
            raise UsageError(f"--write {text} is no FORMAT=PATH", fix=f"give one of {', '.join(names)}, = and a path")
        if path == "-":
            raise UsageError(f"--write {text}: - is no file", fix=f"take --format {name} for stdout")
        if Path(path) in targets:
            raise UsageError(f"--write names {path} twice", fix="give each format a file of its own")
        targets[Path(path)] = name
    return targets


def _append_step_summary(report: Report) -> None:
    from labelaudit.cli.console import Terminal
    from labelaudit.report import markdown

    path = os.environ.get(markdown.VARIABLE)
    if path:
        try:
            markdown.append(markdown.render(report), Path(path))
        except StorageError as error:  # the outcome of the gate matters more
            Terminal().warn(f"no step summary: {error}")


def _show(report: Report) -> None:
    from labelaudit.cli.console import printed
    from labelaudit.report.console import show_checks, show_summary, show_suspicious

    with printed() as console:
        show_summary(console, report.noise)
        if report.shown:
            show_suspicious(console, report.shown)
        show_checks(console, report.listed, report.checks)


def _write_page(
    run: Path, html: Path | None, thumbnails: int, terminal: Terminal, *, data: Path | None, baseline: Path | None
) -> Page | None:
    from labelaudit.report.page.write import PageLimits, write_page
    from labelaudit.run.layout import RunFolder

    try:
        limits = PageLimits(max_thumbnails=thumbnails)
        return write_page(RunFolder(run), html, limits, terminal, data=data, baseline=baseline)
    except StorageError as error:
        if html is not None:
            raise
        # Nobody asked for it: figures and gate do not depend on whether the run folder can be written to.
        terminal.warn(f"no page: {error}")
        return None


def _relabeling(run: Path, root: Path | None) -> str:
    """The command that takes the corrections which the page hands out."""
    from labelaudit.audit.model import recorded_data
    from labelaudit.run.layout import RunFolder

    data = recorded_data(RunFolder(run))
    words = ["labelaudit", "relabel", str(root or data.root), "corrections.csv"]
    if data.split:
        words += ["--split", ",".join(data.split)]
    if data.labels_file is not None:
        words += ["--labels", str(data.labels_file), "--out", "corrected.csv"]
    return shlex.join(words)


def _extent(page: Page) -> str:
    """How much of the findings is in a page."""
    if page.new is None:
        parts = [f"{page.rows:,} of {page.suspicious:,} suspicious images"]
    else:
        known = page.suspicious - page.new
        parts = [f"{page.rows:,} of {page.new:,} new suspicious images, {known:,} known to the baseline"]
    if page.looked_at < page.rows:
        parts.append(f"thumbnails of the first {page.looked_at:,}")
    if page.missing:
        parts.append(f"{page.missing:,} image files are gone or have changed")
    return ", ".join(parts)
