"""The journal of a relabeling, in the data folder: every move, written and flushed before the first is made.

``.labelaudit-relabel-<number>.json``, one a relabeling. What was moved when a crash came, the folder itself shows; the
journal says what was to be moved, so the same command finishes it and ``--undo`` takes it back.
"""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, get_args

from labelaudit.errors import RunError
from labelaudit.relabel.names import OWN_PREFIX, RefusedError, checked_path
from labelaudit.relabel.plan import Plan
from labelaudit.relabel.review import Review
from labelaudit.run.files import flush_folder, read_json, storage_errors, write_json

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
