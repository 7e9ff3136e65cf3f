"""``labelaudit review``: look at the suspicious labels in a browser and decide."""

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
from labelaudit.cli.console import Stopped, Terminal
from labelaudit.errors import UsageError
from labelaudit.text import plural

EPILOG = o.examples(
    "labelaudit review labelaudit-runs/photos",
    "labelaudit review labelaudit-runs/photos --port 8000 --no-browser    (then: ssh -L 8000:127.0.0.1:8000 HOST)",
)


@o.screen_options
def command(
    run: o.RunArgument,
    terminal: Terminal,
    port: Annotated[int, Option(help="Port on 127.0.0.1; 0 is any that is free.")] = 0,
    no_browser: Annotated[bool, Option("--no-browser", help="Only print the address.")] = False,
    reviewer: Annotated[
        str | None, Option(help="Your name in decisions.csv; default: that of your account.", show_default=False)
    ] = None,
    data: Annotated[Path | None, Option(help="Where the images are now; default: where they were audited.")] = None,
) -> None:
    """Review the suspicious labels of an audit in a browser, from a server on this machine.

    Every decision is written to decisions.csv in RUN at once, so nothing is lost and nothing has to be downloaded.
    Ctrl-C ends the server.
    """
    from labelaudit.data.containers import inside

    if data is not None and not data.is_dir() and inside(data) is None:
        raise UsageError(f"--data {data} is not a folder", fix="give the folder that the images are in now")

    from labelaudit.auditing.model import Audit, recorded_data
    from labelaudit.report.gate import Limits, make_report
    from labelaudit.report.page.write import served_page
    from labelaudit.review.decisions import read_decisions
    from labelaudit.review.ledger import Ledger
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
        labels = [] if recorded.moves else ["--out", "corrected.csv"]
        then = shlex.join(["labelaudit", "relabel", str(run), *labels])
    page = served_page(audit, listed, then, terminal, moves=recorded.moves)
    site = Site(page.text, page.policy, ledger, recorded.root, split=recorded.split, moves=recorded.moves)
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
