"""Moving files forth and back, so that nothing is overwritten and a crash at any moment loses nothing.

A move is a hard link to the new name and, once that is on the disk, the end of the old one. In between both names lead
to one file: whoever finds that knows that the move was begun, whichever way it went. Where a file system has no hard
links, a move is a rename to a name that was free a moment before.
"""

from __future__ import annotations

import contextlib
import errno
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from pathlib import Path
from typing import Any, Literal, get_args

from labelaudit.data.catalogue import in_parts
from labelaudit.errors import DataError, RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.corrections import Review
from labelaudit.review.names import OWN_PREFIX, RefusedError, Tree, checked_path, free_path
from labelaudit.review.plan import Plan
from labelaudit.run.files import flush_folder, read_json, storage_errors, write_json
from labelaudit.run.lock import holder

StateName = Literal["moving", "moved", "undoing"]
_VERSION = 1
_BY_HAND = "it lists what was moved: put it right, or put the files back by hand and delete it"
_NAME = re.compile(re.escape(f"{OWN_PREFIX}relabel-") + r"([1-9][0-9]{0,8})\.json")
_PARTIAL = re.compile(r"\." + _NAME.pattern + r"\.partial")


@dataclass(frozen=True, kw_only=True)
class Journal:
    """A relabeling that was begun.

    Attributes:
        file: Where the journal is.
        state: How far it is: ``moving`` until the last move is made, ``undoing`` from the first that is taken back.
        corrections: Name of the file of corrections.
        digest: SHA-256 (hex) of that file.
        began: When, in UTC.
        folders: Folders that were made for it, outer ones first.
        moves: (from, to), below the data folder.
    """

    file: Path
    state: StateName
    corrections: str
    digest: str
    began: str
    folders: tuple[str, ...]
    moves: tuple[tuple[str, str], ...]

    def write(self) -> None:
        """Write it, and see to it that it outlasts a power cut.

        Raises:
            StorageError: the folder cannot be written to.
        """
        write_json(
            self.file,
            {
                "labelaudit": "journal of a relabeling: delete it only to give up undoing",
                "version": _VERSION,
                "state": self.state,
                "corrections": self.corrections,
                "corrections_sha256": self.digest,
                "began": self.began,
                "folders": self.folders,
                "moves": self.moves,
            },
        )

    def remove(self) -> None:
        """Delete it: what it says is undone.

        Raises:
            StorageError: the folder cannot be written to.
        """
        with storage_errors(self.file):
            self.file.unlink()
        flush_folder(self.file.parent)

    def at(self, state: StateName) -> Journal:
        """The same with another state, written."""
        journal = replace(self, state=state)
        journal.write()
        return journal

    def of(self, moves: Sequence[tuple[str, str]]) -> Journal:
        """The same with other moves, written."""
        journal = replace(self, moves=tuple(moves))
        journal.write()
        return journal


def begin_journal(root: Path, review: Review, plan: Plan) -> Journal:
    """Write the journal of a relabeling that has yet to move its first file."""
    last = max((number for number, _ in _numbered(root)), default=0)
    journal = Journal(
        file=root / f"{OWN_PREFIX}relabel-{last + 1}.json",
        state="moving",
        corrections=review.file.name.encode("utf-8", "replace").decode(),
        digest=review.digest,
        began=datetime.now(UTC).isoformat(timespec="seconds"),
        folders=plan.folders,
        moves=tuple((step.path, step.target) for step in plan.steps),
    )
    journal.write()
    return journal


def last_journal(root: Path) -> Journal | None:
    """The journal of the last relabeling that was not undone.

    Raises:
        RunError: it is damaged, or names paths outside the folder.
    """
    numbered = sorted(_numbered(root))
    return _read(numbered[-1][1]) if numbered else None


def remove_leftovers(root: Path) -> None:
    """Delete journals that a crash left half written; nothing was moved for them."""
    for name in os.listdir(root):
        if _PARTIAL.fullmatch(name):
            with contextlib.suppress(OSError):
                (root / name).unlink()


def _numbered(root: Path) -> Iterable[tuple[int, Path]]:
    for name in os.listdir(root):
        if found := _NAME.fullmatch(name):
            yield int(found[1]), root / name


class _BadJournalError(ValueError):
    """What is wrong with a journal."""


def _read(file: Path) -> Journal:
    try:
        value = read_json(file)
        _require(value.get("version") == _VERSION, f"version {value.get('version')!r}")
        _require(value.get("state") in get_args(StateName), f"state {value.get('state')!r}")
        _require(all(isinstance(value.get(name), str) for name in ("corrections", "corrections_sha256", "began")))
        folders, moves = value.get("folders"), value.get("moves")
        if not isinstance(folders, list) or not isinstance(moves, list):
            raise _BadJournalError("is damaged (no moves)")
        return Journal(
            file=file,
            state=value["state"],
            corrections=value["corrections"],
            digest=value["corrections_sha256"],
            began=value["began"],
            folders=tuple(_inside(folder) for folder in folders),
            moves=tuple(_move(pair) for pair in moves),
        )
    except RunError as error:
        raise RunError(error.what, fix=_BY_HAND) from error
    except _BadJournalError as error:
        raise RunError(f"{file} {error}", fix=_BY_HAND) from error


def _move(pair: Any) -> tuple[str, str]:
    _require(isinstance(pair, list) and len(pair) == 2 and pair[0] != pair[1])
    return _inside(pair[0]), _inside(pair[1])


def _inside(path: Any) -> str:
    """A path of a journal; the folder may come from a stranger, and so may the journal."""
    _require(isinstance(path, str))
    try:
        _require(checked_path(path) == path)
    except RefusedError as error:
        raise _BadJournalError(f"is damaged ({path!r} {error})") from error
    return str(path)


def _require(condition: bool, what: str = "not as labelaudit writes it") -> None:
    if not condition:
        raise _BadJournalError(f"is damaged ({what})")


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
