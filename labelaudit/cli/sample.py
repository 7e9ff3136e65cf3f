"""``labelaudit sample``: images drawn by chance, for a noise rate that a person's answers make safe."""

from __future__ import annotations

import shlex
from pathlib import Path
from typing import Annotated

import typer
from typer import Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.text import plural

EPILOG = o.examples(
    "labelaudit sample audit                        (then review audit/sample.html, or fill in audit/sample.csv)",
    "labelaudit fit audit --reviewed audit/sample.csv",
    "labelaudit sample audit -n 400                 (the same images first, with their answers, and 200 more)",
    "labelaudit sample audit -o - | cut -d, -f2",
)


@o.screen_options
def command(
    run: o.RunArgument,
    terminal: Terminal,
    count: Annotated[int, Option("--count", "-n", help="How many images.")] = 200,
    out: Annotated[Path | None, Option("--out", "-o", help="The CSV; - is stdout; default: sample.csv in RUN.")] = None,
) -> None:
    """Draw images to review by hand, for a noise rate that holds however wrong the audit is.

    Review them in sample.html, or write right, wrong, the right label, or skip into the column answer of sample.csv.
    Begin at the top and stop where you like; labelaudit fit --reviewed takes the CSV, or the page's corrections.csv.
    """
    from labelaudit.auditing.model import Audit
    from labelaudit.auditing.sample import draw_sample, write_sample
    from labelaudit.report.page.write import write_page
    from labelaudit.run.layout import RunFolder
    from labelaudit.run.lists import Listed

    folder = RunFolder(run)
    sample = draw_sample(folder, count)
    if str(out) == "-":
        typer.echo("".join(sample.lines).encode(), nl=False)  # bytes: UTF-8 everywhere
        return
    place = write_sample(folder, sample, out)
    done = f", {sample.answered:,} of them answered" if sample.answered else ""
    terminal.say(f"{plural(len(sample.samples), 'image')} to look at{done}: {place}")
    page = None
    if out is None:
        audit = Audit(folder)
        rows = [{"sample": str(number), "path": audit.catalogue.paths[number]} for number in sample.samples]
        page = write_page(audit, Listed(rows=rows, total=len(rows)), reporter=terminal, sampled=True)
        terminal.say(f"Review them in a browser: {page.path}")
    terminal.say(f"Begin at the top. You can stop anywhere; an estimate needs {sample.least:,} images.")
    then = shlex.join(["labelaudit", "fit", str(folder.root), "--reviewed", str(place)])
    terminal.say(f"Then: {then}{'   (or corrections.csv of the page)' if page else ''}")
