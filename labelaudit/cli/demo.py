"""``labelaudit demo``: audit sample data whose errors are known."""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path
from typing import Annotated

from typer import Argument, Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, printed

EPILOG = o.examples("labelaudit demo", "labelaudit demo /tmp/digits --seed 1")


@o.screen_options
def command(
    terminal: Terminal,
    folder: Annotated[Path, Argument(metavar="[DIR]", help="Where to write the data and the audit.")] = Path(
        "labelaudit-demo"
    ),
    seed: Annotated[int, Option(help="For the planted errors and the probe.")] = 0,
    device: Annotated[str, Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Audit 1,797 handwritten digits of which every tenth has a wrong label, and compare with the truth."""
    from labelaudit.audit.demo import demo
    from labelaudit.report.console import show_summary, show_suspicious
    from labelaudit.run.lists import suspicious_rows

    result = demo(folder, seed=seed, device=device, reporter=terminal)
    planted, flagged = len(result.digits.wrong), result.fitted.verdicts.flagged
    with printed() as console:
        show_summary(console, result.fitted.noise)
        show_suspicious(console, list(islice(suspicious_rows(result.run.suspicious), 5)))
        console.print(
            f"Against the truth: AUROC [bold]{result.auroc:.4f}[/bold], "
            f"average precision {result.average_precision:.4f}; "
            f"{result.found} of {planted} planted errors are among the {flagged} suspicious labels."
        )
        console.print(
            f"Images       {result.digits.images}\nTruth        {result.digits.truth_csv}\n"
            f"Ranked CSV   {result.run.suspicious}\nRun folder   {result.run.root}\n"
            f"To review    {shlex.join(['labelaudit', 'report', str(result.run.root)])}"
        )
