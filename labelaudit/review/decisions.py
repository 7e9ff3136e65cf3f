"""Keep a review's decisions in decisions.csv, and the answers to a sample in answers.csv: lines that are only appended.

A decision is about an image and the label it has: the key is the content's SHA-256 and the given label. So it holds
after files were renamed, in another folder, and for every copy of the image. The last line of a key counts; ``undo``
takes the decision before it back.

A group of copies is decided on by a line for each of its files, with the group in the column ``label``: `group_of`.
"""

from __future__ import annotations

import contextlib
import csv
import fcntl
import hashlib
import io
import os
import re
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from operator import attrgetter
from pathlib import Path
from typing import Literal, get_args

import msgspec

from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import DataError
from labelaudit.names import ActionName
from labelaudit.review.tree import RefusedError, checked_class
from labelaudit.run.files import lock, reading, require_regular, storage_errors
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import read_csv
from labelaudit.text import csv_lines, unguarded

CopyAction = Literal["keep-copy", "drop-copy", "no-copy"]
LedgerAction = ActionName | CopyAction | Literal["wrong", "skip", "undo"]
Key = tuple[str, ...]
"""SHA-256 (hex) of an image's content, and the label it was given; about a copy, its group and path too."""
ACTIONS: tuple[ActionName, ...] = get_args(ActionName)
COPY_ACTIONS: tuple[CopyAction, ...] = get_args(CopyAction)
UNDECIDED: dict[LedgerAction, str] = {"wrong": "is wrong, and nobody said what is right", "skip": "was skipped"}
"""Answers to a drawn sample that change no label, and why."""
_GROUP = re.compile("[0-9a-f]{16}")
_SHA256 = re.compile("[0-9a-f]{64}", re.IGNORECASE)


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A decision that is not carried out, and why."""

    path: str
    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided about an image and its label; up to ``sha256`` the fields are the columns of a ledger.

    ``time`` is ISO 8601 in UTC, ``path`` where the image was, ``label`` the right one for ``change``, the group for
    decisions about a copy (and for taking them back), and else empty. Of a drawn sample, ``wrong`` says no more than
    that, and ``skip`` that the person is unsure. Of a group of copies, a file is kept or dropped, or is no copy.

    What another file than a ledger does not say is empty. Its ``path`` is not checked yet, and where it is
    ``prefixed``, it may begin with folders above the data folder, as in an address. ``where`` is a place in the file,
    as ``line 3``. It is ``inherited`` where it was made about a copy that is dropped.
    """

    time: str = ""
    reviewer: str = ""
    path: str
    given_label: str = ""
    action: LedgerAction
    label: str = ""
    sha256: str = ""
    where: str = ""
    prefixed: bool = False
    inherited: bool = False

    def refused(self, reason: str) -> Refusal:
        """Return why it is not carried out."""
        return Refusal(path=self.path, where=self.where, reason=reason)

    @property
    def key(self) -> Key:
        """What the decision is about."""
        about_copy = self.action in COPY_ACTIONS or (self.action == "undo" and self.label)
        return (self.sha256, self.given_label, *((self.label, self.path) if about_copy else ()))


COLUMNS = ("time", "reviewer", "path", "given_label", "action", "label", "sha256")


def append_decisions(file: Path, decisions: Iterable[Decision]) -> None:
    """Append decisions to the disk, as several processes may do; raise a StorageError where that fails."""
    header, *lines = csv_lines(COLUMNS, map(attrgetter(*COLUMNS), decisions))
    flags = os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_NOFOLLOW
    with storage_errors(file), os.fdopen(os.open(file, flags, 0o644), "r+b") as handle:
        lock(handle.fileno(), fcntl.LOCK_EX)
        before = handle.read()
        size = _whole(before)
        handle.truncate(size)
        is_open = size > 0 and not before[:size].endswith(b"\n")
        handle.write(("\n" * is_open + "".join(lines if size else [header, *lines])).encode())
        handle.flush()
        os.fsync(handle.fileno())


def _whole(content: bytes) -> int:
    """Return how many bytes are whole lines; the rest was cut off by a crash, and never confirmed.

    The last line is whole without a line end too, as some editors leave it, where its last cell is a whole SHA-256.
    """
    end = content.rfind(b"\n") + 1
    while content.count(b'"', 0, end) % 2:  # a line end inside quotes
        end = content.rfind(b"\n", 0, end - 1) + 1
    cells = next(csv.reader(io.StringIO(content[end:].decode("utf-8", "replace"), newline="")), [])
    return len(content) if len(cells) == len(COLUMNS) and _SHA256.fullmatch(cells[-1]) else end


def read_decisions(file: Path) -> Mapping[Key, Decision]:
    """Return the decisions that count, in the order in which they were made; none where there is no file."""
    found: dict[Key, Decision] = {}
    for decision in decisions_from(file)[0]:
        found.pop(decision.key, None)
        if decision.action != "undo":
            found[decision.key] = decision
    return found


def is_ledger(file: Path) -> bool:
    """Return True for a file that begins as a ledger does."""
    with contextlib.suppress(OSError), open(file, "rb") if file.is_file() else io.BytesIO() as handle:
        return handle.read(7).removeprefix(b"\xef\xbb\xbf").startswith(b"time")
    return False


def decisions_from(file: Path, start: int = 0) -> tuple[list[Decision], int]:
    """Return every line from a byte on, ``undo`` too, and the byte where the next line will begin.

    Raises a DataError where the file cannot be read, or a whole line is none of a ledger.
    """
    with reading(file):
        if not file.exists():
            return [], 0
        with open(require_regular(file), "rb") as handle:
            handle.seek(start)
            content = handle.read()
    content = content[: _whole(content)]
    if not content:
        return [], start
    found, header = [], ",".join(COLUMNS)
    text = f"{header}\n".encode() + content if start else content
    for line, row in read_csv(file, COLUMNS, f"its first line is {header}", text):
        named = {name: unguarded(row[name] or "") for name in COLUMNS}
        try:
            if not _SHA256.fullmatch(named["sha256"]):
                raise ValueError("it is about no image")
            found.append(msgspec.convert({**named, "sha256": named["sha256"].lower()}, Decision))
        except ValueError as error:  # also msgspec's
            what = f"{file} line {line} is no decision: {','.join(named.values())!r}"
            raise DataError(what, fix="correct or delete it; its sha256 is in suspicious.csv") from error
    return found, start + len(content)


def decisions_in(run: RunFolder) -> Mapping[Key, Decision]:
    """Return what a person decided in a run, also as an answer to its sample; of two decisions the later counts.

    An answer that was taken back later, in decisions.csv, does not count.
    """
    last = {one.key: one for one in decisions_from(run.decisions)[0]}
    answers = (one for one in read_decisions(run.answers).values() if one.action in ACTIONS)
    last |= {one.key: one for one in answers if one.key not in last or last[one.key].time <= one.time}
    ordered = sorted(last.values(), key=lambda one: one.time)
    return {decision.key: decision for decision in ordered if decision.action != "undo"}


def group_of(members: Iterable[tuple[str, str]]) -> str:
    """Return what a group of copies is called in a ledger: a digest of the contents and labels of its files."""
    return hashlib.sha256(repr(sorted(members)).encode()).hexdigest()[:16]


def no_copies(decisions: Mapping[Key, Decision]) -> list[frozenset[str]]:
    """Return sets of contents of which a person said that none is a copy of another."""
    found: defaultdict[str, set[str]] = defaultdict(set)
    for decision in decisions.values():
        if decision.action == "no-copy":
            found[decision.label].add(decision.sha256)
    return [*map(frozenset, found.values())]


def digest_of(*files: Path) -> str:
    """Return the SHA-256 (hex) of ledgers one after the other, or "" without any; an unreadable one is a DataError."""
    content = []
    for file in files:
        with reading(file), contextlib.suppress(FileNotFoundError):
            content.append(require_regular(file).read_bytes())
    return hashlib.sha256(b"".join(content)).hexdigest() if content else ""


def decided(catalogue: Catalogue, decisions: Mapping[Key, Decision]) -> dict[int, Decision]:
    """Return the decision about each sample that there is one about, by the sample's number."""
    keys = zip(catalogue.sha256, catalogue.label_N.tolist(), strict=True)
    found = ((number, decisions.get((sha256, catalogue.classes[label]))) for number, (sha256, label) in enumerate(keys))
    return {number: decision for number, decision in found if decision is not None}


Event = tuple[str, int, LedgerAction, str]  # time, sample, action and label of a decision


@dataclass(kw_only=True)
class Ledger:
    """A ledger of a run, ``file``, that several threads read and append to, and other processes too.

    A decision concerns each sample with its content and given label; ``events`` is what the file says so far. A file
    that cannot be written is a StorageError, one that is no ledger a DataError.
    """

    file: Path
    catalogue: Catalogue
    reviewer: str
    events: list[Event] = field(default_factory=list)
    _read_bytes: int = 0
    _time: datetime = datetime(1970, 1, 1, tzinfo=UTC)  # of the last step that was added
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Read what is decided, and make sure that the file can be written."""
        self._labels = [self.catalogue.classes[label] for label in self.catalogue.label_N]
        self._classes = set(self.catalogue.classes)
        self._samples: defaultdict[Key, list[int]] = defaultdict(list)
        for sample, key in enumerate(zip(self.catalogue.sha256, self._labels, strict=True)):
            self._samples[key].append(sample)
        append_decisions(self.file, [])
        self._refresh()

    def after(self, known: int) -> dict[str, object]:
        """Return the events that follow the first ``known``; all of them where there are not so many."""
        with self._lock:
            self._refresh()
            start = known if 0 <= known <= len(self.events) else 0
            return {"start": start, "events": self.events[start:]}

    def add(self, steps: Sequence[Sequence[tuple[int, LedgerAction, str]]]) -> None:
        """Append steps of decisions, each step with a time of its own; where one is refused (RefusedError), none is."""
        with self._lock:
            self._refresh()
            lines = []
            for step in steps:
                self._time = max(datetime.now(UTC), self._time + timedelta(milliseconds=1))
                time = self._time.isoformat(timespec="milliseconds")
                lines += [self._line(time, *decision) for decision in step]
            append_decisions(self.file, lines)
            self._refresh()

    def _line(self, time: str, sample: int, action: LedgerAction, label: str) -> Decision:
        if not 0 <= sample < len(self._labels) or not (sha256 := self.catalogue.sha256[sample]):
            raise RefusedError(f"there is no sample {sample} in this audit")
        if action == "change":
            if checked_class(label, self._classes) == self._labels[sample]:
                raise RefusedError(f"sample {sample} has the label {label!r} already")
            self._classes.add(label)
        elif action in COPY_ACTIONS or action == "undo":
            if not _GROUP.fullmatch(label) and (label or action != "undo"):
                raise RefusedError(f"{label!r} is no group of copies")
        elif label:
            raise RefusedError(f"a label has no meaning for {action!r}")
        return Decision(
            time=time,
            reviewer=self.reviewer,
            path=self.catalogue.paths[sample],
            given_label=self._labels[sample],
            action=action,
            label=label,
            sha256=sha256,
        )

    def _refresh(self) -> None:
        file = self.file
        if file.exists() and file.stat().st_size < self._read_bytes:  # somebody has replaced the file
            self.events, self._read_bytes = [], 0
        lines, self._read_bytes = decisions_from(file, self._read_bytes)
        for line in lines:
            if line.action == "change":
                self._classes.add(line.label)
            samples = self._samples.get(line.key[:2], [])
            if line.key[2:]:  # one of several equal files
                samples = [sample for sample in samples if self.catalogue.paths[sample] == line.path]
            self.events += [(line.time, sample, line.action, line.label) for sample in samples]
