"""``labelaudit corrupt``: copy a data folder and corrupt a known part of it."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, cast, get_args

from typer import Argument, Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal
from labelaudit.errors import UsageError
from labelaudit.names import CorruptionName, DrawsName

EPILOG = o.examples(
    "labelaudit corrupt photos photos-noisy --kind uniform --rate 0.2",
    "labelaudit corrupt photos photos-corrupted --kind uniform --rate 0.1 --kind shuffle-pixels --rate 0.05 --seed 1",
)


@o.screen_options
def command(
    data: Annotated[
        Path, Argument(metavar="DATA", help="Folder with one folder of correctly labeled images per class.")
    ],
    out: Annotated[Path, Argument(metavar="OUT", help="New folder for the copy.")],
    terminal: Terminal,
    kind: Annotated[
        list[str] | None,
        Option(
            metavar="\\|".join(get_args(CorruptionName)),
            help="The corruption. Repeatable, each with its --rate; no image gets two.",
        ),
    ] = None,
    rate: Annotated[
        list[float] | None, Option(metavar="X", help="Share of the images that are corrupted. Repeatable.")
    ] = None,
    draws: Annotated[
        DrawsName, Option(help="Exactly that share, or each image on its own with that probability.")
    ] = "exact",
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

    from labelaudit.audit.corrupt import TRUTH_FILE, CorruptionRate, CorruptOptions, corrupt

    pairs = zip(cast("list[CorruptionName]", kind), rate, strict=True)
    corruptions = [CorruptionRate(kind=name, rate=share) for name, share in pairs]
    options = CorruptOptions(corruptions=corruptions, seed=seed, exact=draws == "exact")
    done = corrupt(data, out, options, terminal)
    if done.left_out:
        terminal.warn(f"{done.left_out} files are left out: their names are not valid UTF-8")
    for name, selected in done.selected.items():
        changed = done.changed[name]
        terminal.say(f"{name}: {selected:,} images chosen ({selected / done.images:.2%}), {changed:,} of them changed")
    terminal.say(f"{done.images:,} images, {done.linked:,} of them hard links. Truth: {out / TRUTH_FILE}")
