"""``labelaudit corrupt``: copy a data folder and corrupt a known part of it; ``demo``: audit data of known errors."""

from __future__ import annotations

import shlex
from itertools import islice
from pathlib import Path
from typing import Annotated, cast, get_args

from typer import Argument, Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, printed
from labelaudit.errors import UsageError
from labelaudit.names import CorruptionName, DrawsName

EPILOG = o.examples(
    "labelaudit corrupt photos photos-noisy --kind uniform --rate 0.2",
    "labelaudit corrupt photos photos-corrupted --kind uniform --rate 0.1 --kind shuffle-pixels --rate 0.05 --seed 1",
)
_KINDS = "|".join(get_args(CorruptionName))
_DEMO = Path("labelaudit-demo")
EPILOG_DEMO = o.examples("labelaudit demo", "labelaudit demo /tmp/digits --seed 1")


@o.screen_options
def command(
    data: Annotated[Path, Argument(metavar="DATA", help="Folder with one folder of images per class, labeled right.")],
    out: Annotated[Path, Argument(metavar="OUT", help="New folder for the copy.")],
    terminal: Terminal,
    kind: Annotated[
        list[str] | None,
        Option(metavar=_KINDS, help="The corruption. Repeatable, each with its --rate; no image gets two."),
    ] = None,
    rate: Annotated[list[float] | None, Option(metavar="X", help="Share of the images. Repeatable.")] = None,
    draws: Annotated[DrawsName, Option(help="Exactly that share, or each image with that probability.")] = "exact",
    seed: Annotated[int, Option(help="For all draws.")] = 0,
) -> None:
    """Copy a folder with wrong labels, shuffled pixels or Gaussian noise in a share of it, and the truth in truth.csv.

    Unchanged images are hard links. DATA is not changed, and nothing is overwritten.
    """
    kind, rate, names = kind or [], rate or [], get_args(CorruptionName)
    if not kind or len(kind) != len(rate):
        raise UsageError(
            f"there are {len(kind)} of --kind and {len(rate)} of --rate", fix="give each --kind its --rate"
        )
    if unknown := [name for name in kind if name not in names]:
        raise UsageError(f"there is no --kind {unknown[0]!r}", fix=f"give one of {', '.join(names)}")
    if twice := [name for name in kind if kind.count(name) > 1]:
        raise UsageError(f"--kind {twice[0]} is given twice", fix="give each kind once, with its whole rate")

    from labelaudit.auditing.corrupt import CorruptOptions, corrupt

    corruptions = dict(zip(cast("list[CorruptionName]", kind), rate, strict=True))
    corrupt(data, out, CorruptOptions(corruptions=corruptions, seed=seed, exact=draws == "exact"), terminal)


@o.screen_options
def demo(
    terminal: Terminal,
    folder: Annotated[Path, Argument(metavar="[DIR]", help="Where to write the data and the audit.")] = _DEMO,
    seed: Annotated[int, Option(help="For the planted errors and the probe.")] = 0,
    device: Annotated[str, Option(help="auto, cpu, cuda or cuda:N.")] = "auto",
) -> None:
    """Audit 1,797 handwritten digits of which every tenth has a wrong label, and compare with the truth."""
    from labelaudit.auditing import demo as sample_data
    from labelaudit.report.console import show_outcome
    from labelaudit.run.lists import ranked_rows

    result = sample_data.demo(folder, seed=seed, device=device, reporter=terminal)
    audit = result.audit
    with printed() as console:
        rows = list(islice(ranked_rows(audit.suspicious), 5))
        show_outcome(console, audit.summary, rows, folder / "images")
        console.print(
            f"Against the truth: AUROC [bold]{result.auroc:.4f}[/bold], "
            f"average precision {result.average_precision:.4f}; "
            f"{result.found} of {result.planted} planted errors are among the {audit.flagged} suspicious labels."
        )
        console.print(
            f"Images       {folder / 'images'}\nTruth        {folder / 'truth.csv'}\n"
            f"Ranked CSV   {audit.run.suspicious}\nRun folder   {audit.run.root}\n"
            f"To review    {shlex.join(['labelaudit', 'review', str(audit.run.root)])}"
        )
