"""Move files and take moves back: nothing is overwritten, and a crash at any moment loses nothing.

A move is a hard link to the new name, which is flushed to the disk before the old name is deleted. In between both
names lead to one file, which shows that the move was begun. Where a file system has no hard links, a move is a rename
to a name that was free a moment before. A journal in the data folder lists the moves before the first one is made.
"""

from __future__ import annotations

import contextlib
import errno
import itertools
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

import msgspec

from labelaudit.errors import DataError, RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.corrections import ReviewFile
from labelaudit.review.plan import RelabelingPlan
from labelaudit.review.tree import OWN_PREFIX, RefusedError, Tree, checked_move
from labelaudit.run.files import NO_LINKS, flush_folder, holder, read_json, storage_errors, write_json

LOCK = f"{OWN_PREFIX}relabel.lock"

StateName = Literal["moving", "moved", "undoing"]
_BY_HAND = "it lists what was moved: repair it, or put the files back by hand and delete it"
_JOURNAL = f"{OWN_PREFIX}relabel-"
_NAME = re.compile(re.escape(_JOURNAL) + r"([1-9][0-9]{0,8})\.json")

Pair = tuple[str, str]  # where a file is and where it goes, relative to the data folder
Relabelings = tuple[tuple[str, int], ...]  # name and time of change of each journal


@dataclass(frozen=True, kw_only=True)
class Journal:
    """A relabeling that was begun; all fields but ``file`` are the file's content.

    The state is ``moving`` until the last move is made, and ``undoing`` from the first that is taken back.
    ``corrections`` is a file's name, ``folders`` are those that were made for the moves, outer ones first.
    """

    file: Path
    version: Literal[1] = 1
    state: StateName
    corrections: str
    corrections_sha256: str
    began: str
    folders: tuple[str, ...]
    moves: tuple[Pair, ...]

    def written(self, **changes: Any) -> Journal:
        """Write it with these changes, flush it to the disk, and return it; raise a StorageError where that fails."""
        journal = replace(self, **changes)
        content = {name: value for name, value in vars(journal).items() if name != "file"}
        write_json(self.file, {"labelaudit": "journal of a relabeling: delete it only to give up undoing", **content})
        return journal


def begin_journal(root: Path, review: ReviewFile, plan: RelabelingPlan) -> Journal:
    """Write the journal of a relabeling before its first move."""
    return Journal(
        file=root / f"{_JOURNAL}{_last_number(root) + 1}.json",
        state="moving",
        corrections=review.file.name.encode("utf-8", "replace").decode(),
        corrections_sha256=review.digest,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        folders=plan.folders,
        moves=tuple((step.path, step.target) for step in plan.steps),
    ).written()


def last_journal(root: Path) -> Journal | None:
    """Read the journal of the last relabeling that was not undone; raise a RunError where it is damaged."""
    last = _last_number(root)
    if not last:
        return None
    file = root / f"{_JOURNAL}{last}.json"
    try:
        journal = msgspec.convert({**read_json(file), "file": file}, Journal)
        inner = [f"{folder}/file" for folder in journal.folders]
        for path in (*inner, *(path for move in journal.moves for path in move)):
            if checked_move(path) != path:  # the folder and its journal may come from a stranger
                raise ValueError(f"{path!r} is not normalized")
        if any(source == target for source, target in journal.moves):
            raise ValueError("a move to where the file is")
    except RunError as error:
        raise RunError(error.what, fix=_BY_HAND) from error
    except ValueError as error:  # also msgspec's and RefusedError
        raise RunError(f"{file} is damaged ({error})", fix=_BY_HAND) from error
    return journal


def remove_leftovers(root: Path) -> None:
    """Delete journals that a crash left half written; nothing was moved for them."""
    for name in os.listdir(root):
        if name.startswith(".") and name.endswith(".partial") and _NAME.fullmatch(name[1 : -len(".partial")]):
            with contextlib.suppress(OSError):
                (root / name).unlink()


def _last_number(root: Path) -> int:
    return max((int(found[1]) for name in os.listdir(root) if (found := _NAME.fullmatch(name))), default=0)


def require_settled(root: Path) -> Relabelings:
    """Refuse a folder that is being relabeled, or in which a relabeling was interrupted, with a RunError.

    Returns the journals that exist, to detect another relabeling later.
    """
    if owner := holder(root / LOCK):
        raise RunError(f"{root} is being relabeled by {owner}", fix="wait for it")
    try:
        journal = last_journal(root)
    except (RunError, OSError):  # no journal of labelaudit's, or a folder whose own check reports what is wrong
        return ()
    if journal is not None and journal.state != "moved":
        fix = f"run the same command again to finish it, or run labelaudit relabel {root} --undo"
        raise RunError(f"a relabeling of {root} was interrupted, so its labels are partly old and partly new", fix=fix)
    names = sorted(name for name in os.listdir(root) if name.startswith(_JOURNAL))
    return tuple((name, os.lstat(root / name).st_mtime_ns) for name in names)


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """How many files are where they were to go, and which are not.

    ``gone`` are those that were removed; ``blocked`` are those that stay where they are, since another file is in their
    place.
    """

    moved: int
    gone: tuple[Pair, ...] = ()
    blocked: tuple[Pair, ...] = ()


def carry_out(tree: Tree, journal: Journal, reporter: Reporter = QUIET) -> Outcome:
    """Make the moves of a journal that are not made yet, and its folders; those that are blocked are taken out of it.

    Raises a DataError where a folder has become a symbolic link, or is on another file system, and a StorageError where
    a file cannot be moved. The journal and the moves made so far stay.
    """
    for folder in journal.folders:
        _require_real(tree, f"{folder}/")
        with storage_errors(tree.root / folder), contextlib.suppress(FileExistsError):
            (tree.root / folder).mkdir()
    _flush_folders(tree, journal.folders)
    outcome = _make_moves(tree, journal.moves, "Moving files", reporter)
    blocked = set(outcome.blocked)
    journal.written(state="moved", moves=tuple(move for move in journal.moves if move not in blocked))
    return outcome


def take_back(tree: Tree, journal: Journal, reporter: Reporter = QUIET) -> Outcome:
    """Make a journal's moves backwards and remove its folders; it is deleted, or keeps the moves that are blocked."""
    moves = [(target, source) for source, target in reversed(journal.moves)]
    outcome = _make_moves(tree, moves, "Moving files back", reporter)
    for folder in reversed(journal.folders):
        with contextlib.suppress(OSError):  # it is not empty, or was removed
            (tree.root / folder).rmdir()
    _flush_folders(tree, journal.folders)
    if blocked := outcome.blocked:
        journal.written(moves=tuple((old, new) for new, old in reversed(blocked)))
    else:
        with storage_errors(journal.file):
            journal.file.unlink()
        flush_folder(journal.file.parent)
    return outcome


_FoundName = Literal["linked", "moved", "taken", "gone"]
"""The state of a move: both names lead to the file, or only the new one; something else has the new name; no file."""


def _make_moves(tree: Tree, moves: Sequence[Pair], title: str, reporter: Reporter) -> Outcome:
    for path in itertools.chain.from_iterable(moves):
        _require_real(tree, path)
    begun: list[tuple[_FoundName, Pair]] = []
    with reporter.bar(title, len(moves), "files") as advance:
        for move in moves:
            begun.append((_link_new_name(tree, *move), move))
            advance(1)
    _unlink_old_names(tree, begun)
    _flush_folders(tree, (source for source, _ in moves))
    return Outcome(
        moved=sum(found in ("linked", "moved") for found, _ in begun),
        gone=tuple(move for found, move in begun if found == "gone"),
        blocked=tuple(move for found, move in begun if found == "taken"),
    )


def _link_new_name(tree: Tree, source: str, target: str) -> _FoundName:
    """Give a file its new name; also one whose move a crash interrupted."""
    old, new = tree.root / source, tree.root / target
    with storage_errors(new):
        if not os.path.lexists(old):
            return "moved" if os.path.lexists(new) else "gone"
        for folder in tree.missing_folders(target):
            (tree.root / folder).mkdir()
        try:
            os.link(old, new, follow_symlinks=False)
            return "linked"
        except FileExistsError:
            return "linked" if _is_same(old, new) else "taken"
        except OSError as error:
            if error.errno == errno.EXDEV:
                fix = "take the relabeling back with --undo, and make a corrected copy with --out"
                raise DataError(f"{old} and the folder of {new} are on different file systems", fix=fix) from error
            if error.errno not in NO_LINKS:
                raise
        if os.path.lexists(new):
            return "taken"
        old.rename(new)
        return "moved"


def _unlink_old_names(tree: Tree, begun: Sequence[tuple[_FoundName, Pair]]) -> None:
    """Delete the old names of files after their new ones are on the disk."""
    _flush_folders(tree, (target for _, (_, target) in begun))
    for found, (source, target) in begun:
        old, new = tree.root / source, tree.root / target
        # Check once more: the only name of a file must not be deleted.
        if found == "linked" and _is_same(old, new) and old.lstat().st_nlink > 1:
            with storage_errors(old):
                old.unlink()


def _is_same(one: Path, other: Path) -> bool:
    return os.path.samestat(one.lstat(), other.lstat())


def _require_real(tree: Tree, path: str) -> None:
    try:
        tree.require_real_folders(path)
    except RefusedError as error:
        raise DataError(f"{tree.root / path} {error}", fix="put the folder back as it was") from error


def _flush_folders(tree: Tree, paths: Iterable[str]) -> None:
    for folder in {path.rpartition("/")[0] for path in paths}:
        flush_folder(tree.root / folder)
