"""``labelaudit report``: what an audit found, and the gate; ``advise``: prioritization; ``export``: other tools."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager, nullcontext
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, get_args

import typer
from typer import Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, print_data, print_table, printed
from labelaudit.errors import EXIT_GATE_FAILED, StorageError, UsageError
from labelaudit.names import ExportName, FormatName, JudgeName
from labelaudit.text import plural

if TYPE_CHECKING:
    from labelaudit.auditing.model import Data
    from labelaudit.report.gate import Report
    from labelaudit.report.page.write import Page


def _share(text: str) -> float:
    """Return a share that is given as a number or in percent."""
    try:
        return float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no share; give a number from 0 to 1, as 0.05") from None


_gate = partial(Option, rich_help_panel="Gate: exit code 1 when a limit is exceeded")
_rate = partial(_gate, parser=_share, metavar="X")
_output = partial(Option, rich_help_panel="Output")
_page = partial(Option, rich_help_panel="Page")

EPILOG = o.examples(
    "labelaudit report audit                       (and look at audit/report.html)",
    "labelaudit report audit --max-noise 0.05 --max-class-noise 0.15 --max-suspicious 100",
    "labelaudit report audit --baseline last-audit --max-suspicious 0",
    "labelaudit report audit --select LA006 --max LA006=0",
    "labelaudit report audit --write sarif=labels.sarif --write junit=labels.xml",
)
EPILOG_ADVISE = o.examples("labelaudit advise audit")
EPILOG_EXPLAIN = o.examples("labelaudit explain LA003", "labelaudit explain near-duplicate", "labelaudit explain")
EPILOG_EXPORT = o.examples(
    "labelaudit export audit --to label-studio --url-prefix '/data/local-files/?d=photos/'",
    "labelaudit export audit --to cvat --top 200 --out for-cvat",
)


@o.screen_options
def command(
    run: o.RunArgument,
    terminal: Terminal,
    max_noise: Annotated[float | None, _rate(help="Largest noise rate, as 0.05 or 5%; see --judge.")] = None,
    max_class_noise: Annotated[float | None, _rate(help="Largest noise rate of a class.")] = None,
    max_suspicious: Annotated[int | None, _gate(help="Most suspicious labels.")] = None,
    max_unreadable: Annotated[int | None, _gate(help="Most images that cannot be read.")] = None,
    fail_on_warning: Annotated[
        bool, _gate("--fail-on-warning", help="Any warning fails, and any image unreadable or left out.")
    ] = False,
    judge: Annotated[
        JudgeName | None,
        _gate(help="Which figure of a noise rate counts: the lower end of its interval (default), or another."),
    ] = None,
    max_of_code: Annotated[
        list[str] | None, _gate("--max", metavar="CODE=NUMBER", help="Most findings with a code. Repeatable.")
    ] = None,
    baseline: Annotated[
        Path | None,
        _gate(help="Earlier RUN or its samples.parquet: its images do not count; or a list of findings that do not."),
    ] = None,
    top: Annotated[int, _output(min=0, help="How many suspicious labels to list.")] = 10,
    list_kept: Annotated[bool, _output("--all", help="List the labels that a person kept too.")] = False,
    select: o.Select = None,
    ignore: o.Ignore = None,
    output: Annotated[FormatName, _output("--format", help="What to print on stdout.")] = "table",
    write: Annotated[list[str] | None, _output(metavar="FORMAT=PATH", help="Write a file too. Repeatable.")] = None,
    data: o.MovedTo = None,
    html: Annotated[Path | None, _page(help="Where to write the page; default: report.html in RUN.")] = None,
    no_html: Annotated[bool, _page("--no-html", help="Write no page.")] = False,
    decisions: Annotated[Path | None, _page(help="decisions.csv to show; default: that of RUN.")] = None,
    thumbnails: Annotated[int, _page(min=0, help="Most images in the page; large files take time.")] = 10_000,
) -> None:
    """Show what an audit found, write a page to review it, and fail when a limit is exceeded.

    Codes and limits may be in labelaudit.toml or pyproject.toml too. Where GITHUB_STEP_SUMMARY names a file, the report
    is appended to it as Markdown.
    """
    for flag, given in (("--html", html), ("--data", data), ("--decisions", decisions)):
        if no_html and given is not None:
            raise UsageError(f"{flag} is for the page, and --no-html writes none", fix="leave one of them out")
    targets = _targets(write or [])

    from labelaudit.auditing.model import Audit, recorded_data
    from labelaudit.auditing.score import renew
    from labelaudit.report import markdown
    from labelaudit.report.formats import FORMATS, show_table
    from labelaudit.report.gate import limits_of, make_report, read_config, selection_of
    from labelaudit.run.files import behind_links, storage_errors, write_text
    from labelaudit.run.layout import RunFolder

    config = read_config()
    if config.where:
        terminal.say(f"Limits: {config.where}")
    limits = limits_of(
        config,
        max_of_code or (),
        max_noise=max_noise,
        max_class_noise=max_class_noise,
        max_suspicious=max_suspicious,
        max_unreadable=max_unreadable,
        fail_on_warning=fail_on_warning or None,
        judge=judge,
    )
    selection = selection_of(config, select or (), ignore or ())
    renew(RunFolder(run), terminal)
    audit = Audit(RunFolder(run))
    report = make_report(
        audit, limits, baseline=baseline or config.baseline_file, top=top, list_kept=list_kept, selection=selection
    )
    images = recorded_data(audit.run)
    images = images if data is None else replace(images, root=data)
    if images.moves and (moved := audit.elsewhere(images.root)):
        what = f"{plural(moved, 'image')} of this list {'is' if moved == 1 else 'are'} no longer there"
        terminal.warn(
            f"{images.root} has changed since this audit ({what}): figures and gate are those from before. "
            f"To audit again: {images.score_command}"
        )
    for path, name in targets.items():
        with storage_errors(path):
            path.parent.mkdir(parents=True, exist_ok=True)
        write_text(behind_links(path), FORMATS[name](report))
    if summary := os.environ.get(markdown.VARIABLE):
        with _or_warn("no step summary", Terminal()):  # the outcome of the gate matters more
            markdown.append(markdown.render(report), Path(summary))
    page, partial_page = None, bool(select or ignore) and html is None
    if partial_page and not no_html:
        terminal.say("No page: with --select or --ignore there is one where --html names a file")
    elif not no_html:
        from labelaudit.report.page.write import write_page

        # Figures and gate do not need a writable run folder.
        with _or_warn("no page", terminal) if html is None else nullcontext():
            listed = replace(report.listed, rows=[*report.listed.rows, *report.kept])
            page = write_page(audit, listed, html, terminal, thumbnails=thumbnails, data=data, decisions=decisions)
    if output == "table":
        with printed() as console:
            show_table(console, report)
    else:
        print_data(FORMATS[output](report))
    if page is not None:
        _tell(page, report, images, terminal)
    if report.failures:
        raise typer.Exit(EXIT_GATE_FAILED)


def _targets(written: list[str]) -> dict[Path, str]:
    """Return the format of each file to write."""
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


@contextmanager
def _or_warn(what: str, terminal: Terminal) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        terminal.warn(f"{what}: {error}")


def _tell(page: Page, report: Report, images: Data, terminal: Terminal) -> None:
    """Say how much of the findings is in a page, and which command puts its corrections into the data."""
    listed = report.listed
    rows = min(page.rows, listed.counted)
    kept = min(page.rows - rows, len(report.kept))
    parts = [f"{rows:,} of {listed.counted:,} {'' if listed.new is None else 'new '}suspicious images"]
    if kept:
        parts.append(f"{kept:,} kept")
    if of_no_class := page.rows - rows - kept:
        parts.append(f"{of_no_class:,} of no class")
    if page.looked_at < page.rows:
        parts.append(f"thumbnails of the first {page.looked_at:,}")
    if page.missing:
        parts.append(f"{page.missing:,} image files are gone or have changed")
    terminal.say(f"Page: {page.path} ({page.size_bytes / 1e6:.1f} MB), {', '.join(parts)}")
    if 0 < page.looked_at == page.missing:
        where = f"none of them is in {images.root.resolve()} as it was audited"
        terminal.warn(f"the page has no images: {where}. If they were moved, give their folder with --data DIR")
    if page.rows:
        terminal.say(f"Open it in a browser to review. What was decided goes into the data by: {page.command}")


def advise(run: o.RunArgument) -> None:
    """Say whether loss-based prioritization (Selective Backprop) is safe on audited data, and which selector is.

    It counts the noise among the samples that each selector would have back-propagated while the probe was trained,
    against the noise among all; needs no images and no GPU.
    """
    from labelaudit.auditing.advise import advise
    from labelaudit.run.layout import RunFolder

    folder = RunFolder(run)
    folder.read_description()
    typer.echo("\n".join(advise(folder).sentences))


def explain(
    code: Annotated[
        str | None, typer.Argument(metavar="[CODE]", help="As LA003 or ambiguous; without one: all.")
    ] = None,
) -> None:
    """Say what a code of a finding means, why it is one, and what to do."""
    from labelaudit.codes import CODES, find_code

    if code is None:
        print_table(("code", "kind", "what was found"), [(each.code, each.name, each.title) for each in CODES])
        return
    found = find_code(code)
    typer.echo(f"{found.code} ({found.name}): {found.title}\n\n{found.why}\n\n{found.remedy}")


@o.screen_options
def export(
    run: o.RunArgument,
    to: Annotated[ExportName, Option(help="The other tool.")],
    terminal: Terminal,
    out: Annotated[Path | None, Option("--out", "-o", help="Folder to write; default: exports/FORMAT in RUN.")] = None,
    top: Annotated[int | None, Option(help="Only this many samples, the most suspicious, flagged or not.")] = None,
    everything: Annotated[bool, Option("--all", help="Every audited sample, in any format.")] = False,
    select: o.Select = None,
    data: o.MovedTo = None,
    url_prefix: Annotated[
        str | None,
        Option(help="Address that Label Studio finds the images' paths behind; default: /data/local-files/?d="),
    ] = None,
) -> None:
    """Write an audit for another tool: to look at it, to relabel, or to train on it."""
    from labelaudit.report.exports.export import ExportOptions, export
    from labelaudit.report.gate import Config, selection_of
    from labelaudit.run.layout import RunFolder

    selection = selection_of(Config(), select) if select else None
    options = ExportOptions(top=top, everything=everything, data=data, url_prefix=url_prefix, selection=selection)
    written = export(RunFolder(run), to, out, options, terminal)
    terminal.say(f"{plural(written.samples, 'sample')} for {to}: {written.main_file}")
