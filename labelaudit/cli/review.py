"""``labelaudit review``: decide on the suspicious labels in a browser; ``sample``: on labels drawn by chance."""

from __future__ import annotations

import contextlib
import getpass
import os
import shlex
import sys
import threading
import webbrowser
from dataclasses import replace
from pathlib import Path
from typing import Annotated

from typer import Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Stopped, Terminal, print_data
from labelaudit.text import plural

EPILOG = o.examples(
    "labelaudit review labelaudit-runs/photos",
    "labelaudit review labelaudit-runs/photos --port 8000 --no-browser    (then: ssh -L 8000:127.0.0.1:8000 HOST)",
)
EPILOG_SAMPLE = o.examples(
    "labelaudit sample audit                        (then review audit/sample.html, or fill in audit/sample.csv)",
    "labelaudit fit audit --reviewed audit/sample.csv",
    "labelaudit sample audit -n 400                 (the same images first, with their answers, and 200 more)",
)


@o.screen_options
def command(
    run: o.RunArgument,
    terminal: Terminal,
    port: Annotated[int, Option(help="Port on 127.0.0.1; 0 is any that is free.")] = 0,
    no_browser: Annotated[bool, Option("--no-browser", help="Only print the address.")] = False,
    reviewer: Annotated[str | None, Option(help="Your name in decisions.csv; default: your account's.")] = None,
    data: o.MovedTo = None,
) -> None:
    """Review the suspicious labels of an audit in a browser, from a server on this machine.

    Every decision is written to decisions.csv in RUN at once, so nothing is lost and nothing has to be downloaded.
    Ctrl-C ends the server.
    """
    from labelaudit.auditing.model import Audit, recorded_data
    from labelaudit.report.gate import Limits, make_report
    from labelaudit.report.page.write import served_page
    from labelaudit.review.decisions import Ledger, read_decisions
    from labelaudit.review.server import Site, serving
    from labelaudit.run.layout import RunFolder

    audit = Audit(RunFolder(run))
    listed = make_report(audit, Limits(), top=0).listed
    file = audit.run.decisions
    ledger = Ledger(run=audit.run, catalogue=audit.catalogue, reviewer=_account() if reviewer is None else reviewer)
    recorded = recorded_data(audit.run)
    recorded = recorded if data is None else replace(recorded, root=data.resolve())
    then = recorded.relabel_command(str(file))
    if data is None:
        labels = [] if recorded.labels_file is None else ["--out", "corrected.csv"]
        then = shlex.join(["labelaudit", "relabel", str(run), *labels])
    moves = recorded.labels_file is None
    page = served_page(audit, listed, then, terminal, moves=moves)
    site = Site(page.text, page.policy, ledger, recorded.root, split=recorded.split, moves=moves)
    with serving(site, port) as address:
        terminal.say(f"{plural(len(listed.rows), 'suspicious label')} to review. Decisions go to {file}")
        print(address, flush=True)
        if not no_browser and _has_screen():
            webbrowser.open(address)
        terminal.say("Press Ctrl-C to end.")
        with contextlib.suppress(Stopped, KeyboardInterrupt):
            threading.Event().wait()
    terminal.say("")  # the terminal has shown ^C
    told = f"They are applied. To audit again: {site.again}" if site.is_applied else f"To apply them: {then}"
    terminal.say(f"{plural(len(read_decisions(file)), 'decision')} in {file}. {told}")


def _account() -> str:
    with contextlib.suppress(KeyError, OSError):
        return getpass.getuser()
    return ""


def _has_screen() -> bool:
    """Return False where a browser could only open in the terminal itself."""
    return sys.platform == "darwin" or bool(os.environ.get("DISPLAY") or os.environ.get("WAYLAND_DISPLAY"))


@o.screen_options
def sample(
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
    drawn = draw_sample(folder, count)
    if str(out) == "-":
        print_data("".join(drawn.lines))
        return
    place = write_sample(folder, drawn, out)
    done = f", {drawn.answered:,} of them answered" if drawn.answered else ""
    terminal.say(f"{plural(len(drawn.samples), 'image')} to look at{done}: {place}")
    page = None
    if out is None:
        audit = Audit(folder)
        rows = [{"sample": str(number), "path": audit.catalogue.paths[number]} for number in drawn.samples]
        page = write_page(audit, Listed(rows=rows, total=len(rows)), reporter=terminal, sampled=True)
        terminal.say(f"Review them in a browser: {page.path}")
    terminal.say(f"Begin at the top. You can stop anywhere; an estimate needs {drawn.least:,} images.")
    then = shlex.join(["labelaudit", "fit", str(folder.root), "--reviewed", str(place)])
    terminal.say(f"Then: {then}{'   (or corrections.csv of the page)' if page else ''}")
