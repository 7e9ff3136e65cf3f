"""Write a corrected copy of a data folder, by hard links where the file system has them.

The copy grows in a hidden folder beside ``out`` and is renamed to ``out`` when it is complete. What a crash left there
is deleted by the next try.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Literal

from labelaudit.errors import UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.plan import RelabelingPlan
from labelaudit.review.tree import Tree
from labelaudit.run.files import flush_folder, held, link_or_copy, storage_errors

WayName = Literal["linked", "copied", "symbolic", "skipped"]
"""How an entry gets into a copy; one that is no file is skipped."""

HALF = ".labelaudit-file"
"""In a growing copy, a file that is not whole yet."""
_HIDDEN = ("lock", "partial")


def require_apart(out: Path, root: Path) -> None:
    """Raise a UsageError where one of the folders contains the other."""
    place, data = out.resolve(), root.resolve()
    if place == data or data in place.parents or place in data.parents:
        raise UsageError(f"{out} and {root} contain one another", fix="choose a place beside the data folder")


def require_new(out: Path) -> None:
    """Raise a UsageError where ``out`` is anything but an empty folder."""
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already exists", fix="choose a new folder: nothing is overwritten")


@contextlib.contextmanager
def growing(out: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside ``out``, which is flushed to the disk and renamed to ``out`` at the end.

    Raises a UsageError where ``out`` exists, a RunError where another process makes it, and a StorageError where the
    disk fails.
    """
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    lock, folder = (out.absolute().with_name(f".{out.absolute().name}.labelaudit-{what}") for what in _HIDDEN)
    with held(lock, out), storage_errors(out):
        require_new(out)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        yield folder
        os.sync()  # all contents at once: flushing each file would take longer than writing it
        folder.rename(out)
        flush_folder(out.parent)


def write_copy(tree: Tree, plan: RelabelingPlan, out: Path, reporter: Reporter = QUIET) -> Counter[WayName]:
    """Write a copy of a data folder in which the steps of a plan are taken; return the number of entries by way.

    Dropped and hidden files and empty folders are left out. Symbolic links keep their targets. Errors are those of
    `growing`.
    """
    target_of = {step.path: step.target for step in plan.steps if step.action == "change"}
    dropped = {step.path for step in plan.steps if step.action == "drop"}
    counts: Counter[WayName] = Counter()
    with growing(out) as folder:
        files = [path for path in _files(tree) if path not in dropped]
        with reporter.bar("Copying files", len(files), "files") as advance:
            for path in files:
                place = folder / target_of.get(path, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                counts[_put(tree.root / path, place, folder / HALF)] += 1
                advance(1)
    return counts


def _files(tree: Tree) -> Iterator[str]:
    """Yield everything below the data folder that is not hidden and no folder, sorted."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(tree.root, onerror=fail):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
        shown = sorted(name for name in (*names, *links) if not name.startswith("."))
        yield from (Path(folder, name).relative_to(tree.root).as_posix() for name in shown)


def _put(source: Path, place: Path, half: Path) -> WayName:
    """Put a file or a symbolic link at ``place``; return how it is there."""
    mode = source.lstat().st_mode
    if stat.S_ISLNK(mode):
        place.symlink_to(os.path.realpath(source))
        return "symbolic"
    if not stat.S_ISREG(mode):
        return "skipped"
    return "linked" if link_or_copy(source, place, half) else "copied"
