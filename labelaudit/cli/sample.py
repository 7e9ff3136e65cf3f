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
    "labelaudit sample audit                        (then fill in the column answer of audit/sample.csv)",
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

    Write right, wrong, the right label, or skip into the column answer, from the top; you can stop anywhere.
    """
    from labelaudit.auditing.sample import draw_sample, write_sample
    from labelaudit.run.layout import RunFolder

    folder = RunFolder(run)
    sample = draw_sample(folder, count)
    if str(out) == "-":
        typer.echo("".join(sample.lines).encode(), nl=False)  # bytes: UTF-8 everywhere
        return
    place = write_sample(folder, sample, out)
    done = f", {sample.answered:,} of them answered" if sample.answered else ""
    terminal.say(f"{plural(sample.rows, 'image')} to look at{done}: {place}")
    terminal.say("Write right, wrong, the right label, or skip into the column answer, from the top.")
    terminal.say(f"Every beginning of the list is a fair sample; an estimate needs {sample.least:,} rows.")
    words = ["labelaudit", "fit", str(folder.root), "--reviewed", str(place)]
    terminal.say(f"Then: {shlex.join(words)}")
