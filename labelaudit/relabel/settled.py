"""Whether a data folder is at rest: an audit of one that is being relabeled would mix labels of before and after."""

from __future__ import annotations

import os
from pathlib import Path

from labelaudit.errors import RunError
from labelaudit.relabel.journal import last_journal
from labelaudit.relabel.names import OWN_PREFIX
from labelaudit.run.lock import holder

LOCK = f"{OWN_PREFIX}relabel.lock"

Relabelings = tuple[tuple[str, int], ...]
"""Name and time of change of each journal."""


def require_settled(root: Path) -> Relabelings:
    """Refuse a folder that is being relabeled, or in which that was interrupted.

    Returns:
        What there was of relabelings, to tell later whether there was another one meanwhile.

    Raises:
        RunError: it is not at rest; says why, and which process is at work.
    """
    owner = holder(root / LOCK)
    if owner is not None:
        raise RunError(f"{root} is being relabeled by {owner}", fix="wait for it")
    try:
        journal = last_journal(root)
    except (RunError, OSError):  # no journal of labelaudit's, or a folder that will say itself what is wrong with it
        return ()
    if journal is not None and journal.state != "moved":
        raise RunError(
            f"a relabeling of {root} was interrupted, and its labels are of before and after",
            fix=f"finish it by the same command, or run labelaudit relabel {root} --undo",
        )
    names = sorted(name for name in os.listdir(root) if name.startswith(f"{OWN_PREFIX}relabel-"))
    return tuple((name, os.lstat(root / name).st_mtime_ns) for name in names)
