"""``labelaudit export``: an audit in the format of another tool."""

from __future__ import annotations

from functools import partial
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, print_table
from labelaudit.names import ExportName

_served = partial(Option, rich_help_panel="Where Label Studio finds the images")

EPILOG = o.examples(
    "labelaudit export audit --to label-studio --local-files-root /srv/files",
    "labelaudit export audit --to cvat --top 200 --out for-cvat",
    "labelaudit export audit --to huggingface",
    "labelaudit export --formats",
)


def _show_formats(wanted: bool) -> None:
    if wanted:
        from labelaudit.report.exports.base import FORMATS

        rows = [
            (each.name, "suspicious" if each.ranked else "all", each.summary, ", ".join(each.files)) for each in FORMATS
        ]
        print_table(("format", "samples", "what is written", "files"), rows)
        raise typer.Exit


@o.screen_options
def command(
    run: o.RunArgument,
    to: Annotated[ExportName, Option(help="The other tool; see --formats.")],
    terminal: Terminal,
    out: Annotated[
        Path | None, Option("--out", "-o", help="Folder for the files; default: exports/FORMAT in the run folder.")
    ] = None,
    top: Annotated[int | None, Option(help="Only this many samples, the most suspicious, flagged or not.")] = None,
    everything: Annotated[
        bool, Option("--all", help="Every audited sample, in a format that has the suspicious only, too.")
    ] = False,
    data: Annotated[Path | None, Option(help="Where the images are now; default: where they were audited.")] = None,
    url_prefix: Annotated[str | None, _served(help="Address that the images' paths are appended to.")] = None,
    local_files_root: Annotated[
        Path | None, _served(help="Its LOCAL_FILES_DOCUMENT_ROOT; default: the image folder.")
    ] = None,
    formats: Annotated[
        bool, Option("--formats", callback=_show_formats, is_eager=True, help="List the formats and exit.")
    ] = False,
) -> None:
    """Write an audit for another tool: to look at it, to relabel, or to train on it."""
    from labelaudit.report.exports.export import ExportOptions, export
    from labelaudit.run.layout import RunFolder

    options = ExportOptions(
        top=top, everything=everything, data=data, url_prefix=url_prefix, local_files_root=local_files_root
    )
    written = export(RunFolder(run), to, out, options, terminal)
    terminal.say(f"{written.samples} samples for {to}: {written.main_file}")
