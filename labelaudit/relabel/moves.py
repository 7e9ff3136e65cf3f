"""Moving files forth and back, so that nothing is overwritten and a crash at any moment loses nothing.

A move is a hard link to the new name and, once that is on the disk, the end of the old one. In between both names lead
to one file: whoever finds that knows that the move was begun, whichever way it went. Where a file system has no hard
links, a move is a rename to a name that was free a moment before.
"""

from __future__ import annotations

import contextlib
import errno
import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from pathlib import Path

from labelaudit.data.parts import in_parts
from labelaudit.errors import DataError
from labelaudit.progress import QUIET, Reporter
from labelaudit.relabel.journal import Journal
from labelaudit.relabel.names import RefusedError, free_path
from labelaudit.relabel.tree import Tree
from labelaudit.run.files import flush_folder, storage_errors

BATCH = 256
"""Moves whose new names are flushed together, before the old ones end."""

_NO_LINKS = {errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}

Pair = tuple[str, str]
"""Where a file is and where it goes, below the data folder."""


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of the moves.

    Attributes:
        moved: Number of files that are where they were to go.
        renamed: Files that got another name than planned, since something had appeared in their place.
        gone: Files that are in neither place: somebody took them away.
        blocked: Files that stay where they are, since another one is in their place.
    """

    moved: int
    renamed: tuple[Pair, ...] = ()
    gone: tuple[Pair, ...] = ()
    blocked: tuple[Pair, ...] = ()


def carry_out(tree: Tree, journal: Journal, reporter: Reporter = QUIET) -> Outcome:
    """Make the moves of a journal that are not made yet, and its folders.

    Raises:
        DataError: a folder has become a symbolic link, or is on another file system.
        StorageError: a file cannot be moved. The journal and the moves made so far stay.
    """
    _require_real_folders(tree, journal.moves)
    _make_folders(tree, journal.folders)
    moves = list(journal.moves)
    taken = {target for _, target in moves}
    begun: list[tuple[_Found, Pair]] = []
    renamed: list[Pair] = []
    with reporter.bar("Moving files", len(moves), "files") as advance:
        for numbers in in_parts(range(len(moves)), BATCH):
            for number in numbers:
                while (found := _begin(tree, *moves[number])) is _Found.TAKEN:
                    source, target = moves[number]
                    free = free_path(target, lambda path: path in taken or tree.has(path))
                    taken.add(free)
                    moves[number] = (source, free)
                    renamed.append(moves[number])
                    journal = journal.of(moves)  # before the move, so that it can be taken back
                begun.append((found, moves[number]))
            _end(tree, begun[-len(numbers) :])
            advance(len(numbers))
    _flush_folders(tree, (source for source, _ in moves))
    journal.at("moved")
    return _outcome(begun, renamed)


def take_back(tree: Tree, journal: Journal, reporter: Reporter = QUIET) -> Outcome:
    """Make the moves of a journal backwards, the last one first, and remove the folders that were made for it.

    Raises:
        DataError: a folder has become a symbolic link, or is on another file system.
        StorageError: a file cannot be moved. The journal and what was taken back so far stay.
    """
    _require_real_folders(tree, journal.moves)
    moves = [(target, source) for source, target in reversed(journal.moves)]
    begun: list[tuple[_Found, Pair]] = []
    with reporter.bar("Moving files back", len(moves), "files") as advance:
        for part in in_parts(moves, BATCH):
            begun += [(_begin(tree, *move), move) for move in part]
            _end(tree, begun[-len(part) :])
            advance(len(part))
    _flush_folders(tree, (source for source, _ in moves))
    for folder in reversed(journal.folders):
        with contextlib.suppress(OSError):  # somebody has put something into it, or removed it
            tree.at(folder).rmdir()
    _flush_folders(tree, journal.folders)
    return _outcome(begun)


class _Found(Enum):
    """How a move stands."""

    LINKED = "both names lead to the file: the old one has to end"
    MOVED = "the file has its new name only"
    TAKEN = "something else has the new name"
    GONE = "the file has neither name"


def _begin(tree: Tree, source: str, target: str) -> _Found:
    """Give a file its new name; also one that a crash left half way."""
    old, new = tree.at(source), tree.at(target)
    with storage_errors(new):
        if not os.path.lexists(old):
            return _Found.MOVED if os.path.lexists(new) else _Found.GONE
        for folder in tree.missing_folders(target):
            tree.at(folder).mkdir()
        try:
            os.link(old, new, follow_symlinks=False)
            return _Found.LINKED
        except FileExistsError:
            return _Found.LINKED if _is_same(old, new) else _Found.TAKEN
        except OSError as error:
            if error.errno == errno.EXDEV:
                raise DataError(
                    f"{old} and the folder of {new} are on different file systems",
                    fix="take the relabeling back with --undo, and make a corrected copy with --out",
                ) from error
            if error.errno not in _NO_LINKS:
                raise
        if os.path.lexists(new):
            return _Found.TAKEN
        old.rename(new)
        return _Found.MOVED


def _end(tree: Tree, begun: Sequence[tuple[_Found, Pair]]) -> None:
    """End the old names of files whose new ones are on the disk."""
    _flush_folders(tree, (target for _, (_, target) in begun))
    for found, (source, target) in begun:
        old, new = tree.at(source), tree.at(target)
        # A last look: what has one name only must not lose it.
        if found is _Found.LINKED and _is_same(old, new) and old.lstat().st_nlink > 1:
            with storage_errors(old):
                old.unlink()


def _is_same(one: Path, other: Path) -> bool:
    return os.path.samestat(one.lstat(), other.lstat())


def _require_real_folders(tree: Tree, moves: Iterable[Pair]) -> None:
    for path in (path for move in moves for path in move):
        try:
            tree.require_real_folders(path)
        except RefusedError as error:
            raise DataError(f"{tree.at(path)} {error}", fix="put the folder back as it was") from error


def _make_folders(tree: Tree, folders: Sequence[str]) -> None:
    for folder in folders:
        with storage_errors(tree.at(folder)), contextlib.suppress(FileExistsError):
            tree.at(folder).mkdir()
    _flush_folders(tree, folders)


def _flush_folders(tree: Tree, paths: Iterable[str]) -> None:
    for folder in {path.rpartition("/")[0] for path in paths}:
        flush_folder(tree.at(folder))


def _outcome(begun: Sequence[tuple[_Found, Pair]], renamed: Sequence[Pair] = ()) -> Outcome:
    return Outcome(
        moved=sum(found in (_Found.LINKED, _Found.MOVED) for found, _ in begun),
        renamed=tuple(renamed),
        gone=tuple(move for found, move in begun if found is _Found.GONE),
        blocked=tuple(move for found, move in begun if found is _Found.TAKEN),
    )
