"""A corrected copy of a data folder, by hard links where the file system has them.

The copy grows in a folder beside its place and gets its name when it is whole. After a crash the same command goes on
with what is there.
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import stat
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labelaudit.errors import RunError, UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.names import Tree
from labelaudit.review.plan import Plan
from labelaudit.run.files import flush_folder, link_or_copy, read_json, storage_errors, write_json
from labelaudit.run.lock import held


@dataclass(frozen=True, kw_only=True)
class Copied:
    """What a corrected copy is made of.

    Attributes:
        linked: Number of files that are hard links: one file with a name in both folders.
        copied: Number of files whose content was copied, since the file system has no hard links from there to here.
        symbolic: Number of symbolic links.
        skipped: Number of things that are none of these.
    """

    linked: int
    copied: int
    symbolic: int
    skipped: int


def require_free(tree: Tree, out: Path) -> None:
    """Refuse a place for a copy that is not free, or in the data folder or around it.

    Raises:
        UsageError: it is.
    """
    place = out.resolve()
    if place == tree.root or tree.root in place.parents or place in tree.root.parents:
        raise UsageError(f"--out {out} and {tree.root} lie in each other", fix="give a place beside the data folder")
    if _is_there(out) and not _note(out).exists():
        raise _taken(out)


def write_copy(tree: Tree, plan: Plan, out: Path, reporter: Reporter = QUIET) -> Copied:
    """Write a copy of a data folder in which the steps of a plan are taken.

    Dropped and hidden files and folders without files are left out. Symbolic links lead to what they lead to in the
    data folder.

    Raises:
        UsageError: ``out`` is there, or lies in the data folder.
        RunError: another process makes this copy.
        StorageError: the disk is full, read-only or out of reach; what is there stays for the next try.
    """
    require_free(tree, out)
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with held(_beside(out, "lock"), out):
        growing, half, note = _beside(out, "partial"), _beside(out, "file"), _note(out)
        mark = {"source": os.fsencode(tree.root).hex(), "plan": _digest(plan)}
        with storage_errors(out):
            whole = _is_there(out)  # a crash came between the copy's name and the end of the note
            if whole and not _is_of(note, mark):
                raise _taken(out)
            if growing.exists() and not _is_of(note, mark):
                shutil.rmtree(growing)
            write_json(note, mark)
            copied = _fill(tree, plan, out if whole else growing, half, reporter)
            if not whole:
                growing.mkdir(exist_ok=True)  # with nothing in it when there is nothing to copy
                os.sync()  # all contents at once: flushing each file would take longer than copying it
                growing.rename(out)
                flush_folder(out.parent)
            half.unlink(missing_ok=True)
            note.unlink()
    return copied


_Kind = Literal["linked", "copied", "symbolic", "skipped"]


def _fill(tree: Tree, plan: Plan, growing: Path, half: Path, reporter: Reporter) -> Copied:
    target_of = {step.path: step.target for step in plan.steps if step.action == "change"}
    dropped = {step.path for step in plan.steps if step.action == "drop"}
    files = [path for path in _files(tree) if path not in dropped]
    counts: Counter[_Kind] = Counter()
    with reporter.bar("Copying files", len(files), "files") as advance:
        for path in files:
            place = growing / target_of.get(path, path)
            place.parent.mkdir(parents=True, exist_ok=True)
            counts[_put(tree.at(path), place, half)] += 1
            advance(1)
    return Copied(
        linked=counts["linked"], copied=counts["copied"], symbolic=counts["symbolic"], skipped=counts["skipped"]
    )


def _files(tree: Tree) -> Iterator[str]:
    """Everything that is not hidden and no folder, below the data folder, sorted."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(tree.root, onerror=fail):
        below = os.path.relpath(folder, tree.root)
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
        for name in sorted([*names, *links]):
            if not name.startswith("."):
                yield name if below == "." else f"{below}/{name}"


def _put(source: Path, place: Path, half: Path) -> _Kind:
    """Put a file, or what leads to it, at ``place``, unless an earlier try has."""
    status = source.lstat()
    if stat.S_ISLNK(status.st_mode):
        place.unlink(missing_ok=True)
        place.symlink_to(os.path.realpath(source))
        return "symbolic"
    if not stat.S_ISREG(status.st_mode):
        return "skipped"
    if os.path.lexists(place):
        there = place.lstat()
        if os.path.samestat(status, there):
            return "linked"
        if (there.st_size, there.st_mtime_ns) == (status.st_size, status.st_mtime_ns):
            return "copied"  # a copy has the time of its source, and its name only once it is whole
        place.unlink()
    return "linked" if link_or_copy(source, place, half) else "copied"


def _beside(out: Path, what: str) -> Path:
    return out.absolute().with_name(f".{out.absolute().name}.labelaudit-{what}")


def _note(out: Path) -> Path:
    return _beside(out, "plan.json")


def _is_there(out: Path) -> bool:
    """True for anything but an empty folder."""
    return os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir()))


def _taken(out: Path) -> UsageError:
    return UsageError(f"--out {out} is there already", fix="give a new folder: nothing is overwritten")


def _is_of(note: Path, mark: dict[str, str]) -> bool:
    try:
        return read_json(note) == mark
    except RunError:
        return False


def _digest(plan: Plan) -> str:
    steps = [(step.path, step.action, step.target) for step in plan.steps]
    return hashlib.sha256(json.dumps(steps).encode()).hexdigest()
