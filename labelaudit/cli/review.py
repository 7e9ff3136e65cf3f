"""``labelaudit review``: decide on suspicious labels in a browser, or on a drawn sample; ``sample``: that as a CSV."""

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
from typing import TYPE_CHECKING, Annotated

from typer import Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Stopped, Terminal, print_data
from labelaudit.text import plural

if TYPE_CHECKING:
    from labelaudit.auditing.model import Audit
    from labelaudit.run.lists import Listed

EPILOG = o.examples(
    "labelaudit review labelaudit-runs/photos",
    "labelaudit review labelaudit-runs/photos --sample 200    (then: labelaudit fit labelaudit-runs/photos)",
    "labelaudit review labelaudit-runs/photos --port 8000 --no-browser    (then: ssh -L 8000:127.0.0.1:8000 HOST)",
)
EPILOG_SAMPLE = o.examples(
    "labelaudit sample audit                        (then fill in audit/sample.csv)",
    "labelaudit fit audit --reviewed audit/sample.csv",
    "labelaudit sample audit -n 400                 (the same images first, with their answers, and 200 more)",
)


@o.screen_options
def command(
    run: o.RunArgument,
    terminal: Terminal,
    count: Annotated[
        int | None, Option("--sample", metavar="N", help="Review N images drawn by chance, for the noise rate.")
    ] = None,
    port: Annotated[int, Option(help="Port on 127.0.0.1; 0 is any that is free.")] = 0,
    no_browser: Annotated[bool, Option("--no-browser", help="Only print the address.")] = False,
    reviewer: Annotated[str | None, Option(help="Your name in what is written; default: your account's.")] = None,
    data: o.MovedTo = None,
) -> None:
    """Review the suspicious labels of an audit in a browser, from a server on this machine.

    Every decision is written to decisions.csv in RUN at once, so nothing is lost and nothing has to be downloaded.
    Ctrl-C ends the server. With --sample the labels are those of N images drawn by chance, the same ones whenever you
    go on, and answers.csv has the answers. labelaudit fit RUN makes the noise rate of them.
    """
    from labelaudit.auditing.model import Audit, recorded_data
    from labelaudit.report.gate import Limits, make_report
    from labelaudit.report.page.write import served_page
    from labelaudit.review.decisions import Ledger, read_decisions
    from labelaudit.review.server import Site, serving
    from labelaudit.run.layout import RunFolder

    audit = Audit(RunFolder(run))
    listed = make_report(audit, Limits(), top=0).listed if count is None else _drawn(audit, count)
    file = audit.run.decisions if count is None else audit.run.answers
    ledger = Ledger(file=file, catalogue=audit.catalogue, reviewer=_account() if reviewer is None else reviewer)
    recorded = recorded_data(audit.run)
    recorded = recorded if data is None else replace(recorded, root=data.resolve())
    labels = [] if recorded.moves else ["--out", "corrected.csv"]
    then = apply = shlex.join(["labelaudit", "relabel", str(run), *labels])
    if data is not None:
        then = apply = recorded.relabel_command(str(file))
    if count is not None:
        then = shlex.join(["labelaudit", "fit", str(run)])
    moves = recorded.moves and count is None
    page, policy = served_page(audit, listed, then, recorded, terminal, relabel="" if count is None else apply)
    site = Site(page, policy, ledger, recorded.root, split=recorded.split, moves=moves)
    with serving(site, port) as address:
        what, written = ("suspicious label", "decision") if count is None else ("drawn label", "answer")
        groups = len({row["group"] for row in listed.copies})
        more = f", {plural(groups, 'group')} of copies" if groups else ""
        more += f", {plural(len(listed.of_no_class), 'image')} of no class" if listed.of_no_class else ""
        terminal.say(f"{plural(len(listed.rows), what)}{more} to review. {written.capitalize()}s go to {file}")
        print(address, flush=True)
        if not no_browser and _has_screen():
            webbrowser.open(address)
        terminal.say("Press Ctrl-C to end.")
        with contextlib.suppress(Stopped, KeyboardInterrupt):
            threading.Event().wait()
    terminal.say("")  # the terminal has shown ^C
    told = f"They are applied. To audit again: {site.again}" if site.is_applied else f"To apply them: {then}"
    told = told if count is None else f"For the noise rate: {then}"
    terminal.say(f"{plural(len(read_decisions(file)), written)} in {file}. {told}")


def _drawn(audit: Audit, count: int) -> Listed:
    """Return the first images of the run's sample as the rows of a page."""
    from labelaudit.auditing.sample import draw_sample
    from labelaudit.run.lists import Listed

    paths = audit.catalogue.paths
    rows = [{"sample": str(number), "path": paths[number]} for number in draw_sample(audit.run, count)]
    return Listed(rows=rows, total=len(rows))


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

    labelaudit review --sample shows them in a browser. Or write keep, wrong or skip into the column action of
    sample.csv, or the right label into the column label; labelaudit fit --reviewed takes it. Begin at the top and stop
    where you like.
    """
    from labelaudit.auditing.sample import sample_csv, write_sample
    from labelaudit.run.layout import RunFolder

    folder = RunFolder(run)
    lines, answered, least = sample_csv(folder, count)
    if str(out) == "-":
        print_data("".join(lines))
        return
    place, images = write_sample(folder, lines, out), len(lines) - 1
    done = f", {answered:,} of them answered" if answered else ""
    terminal.say(f"{plural(images, 'image')} to look at{done}: {place}")
    terminal.say(f"Begin at the top. You can stop anywhere; an estimate needs {least:,} images.")
    terminal.say(f"Then: {shlex.join(['labelaudit', 'fit', str(folder.root), '--reviewed', str(place)])}")
    terminal.say(f"Or in a browser: {shlex.join(['labelaudit', 'review', str(folder.root), '--sample', str(count)])}")
