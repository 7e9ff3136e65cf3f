"""Keep a review's decisions in decisions.csv: one line for each, only ever appended to.

A decision is about an image and the label it has: the key is the content's SHA-256 and the given label. So it holds
after files were renamed, in another folder, and for every copy of the image. The last line of a key counts; ``undo``
takes the decision before it back.
"""

from __future__ import annotations

import csv
import fcntl
import hashlib
import io
import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, field, fields
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Literal, get_args

import msgspec

from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import DataError, reason
from labelaudit.names import ActionName
from labelaudit.review.tree import RefusedError, checked_class
from labelaudit.run.files import lock, require_regular, storage_errors
from labelaudit.run.layout import RunFolder
from labelaudit.text import csv_lines, unguarded

LedgerAction = ActionName | Literal["undo"]
Key = tuple[str, str]  # SHA-256 (hex) of an image's content, and the label it was given
_ACTIONS = (*get_args(ActionName), "undo")


@dataclass(frozen=True, kw_only=True)
class Decision:
    """What a person decided about an image and its label; the fields are the columns of decisions.csv.

    ``time`` is ISO 8601 in UTC, ``path`` where the image was, ``label`` the right one for ``change`` and else empty.
    """

    time: str
    reviewer: str
    path: str
    given_label: str
    action: LedgerAction
    label: str
    sha256: str

    @property
    def key(self) -> Key:
        """What the decision is about."""
        return self.sha256, self.given_label


COLUMNS = tuple(each.name for each in fields(Decision))


def append_decisions(file: Path, decisions: Iterable[Decision]) -> None:
    """Append decisions to the disk, as several processes may do; raise a StorageError where that fails."""
    header, *lines = csv_lines(COLUMNS, map(astuple, decisions))
    with storage_errors(file):
        handle = os.open(file, os.O_RDWR | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            lock(handle, fcntl.LOCK_EX)
            size = _whole(os.pread(handle, os.fstat(handle).st_size, 0))
            os.ftruncate(handle, size)
            content = "".join(lines if size else [header, *lines]).encode()
            while content:
                content = content[os.write(handle, content) :]
            os.fsync(handle)
        finally:
            os.close(handle)


def _whole(content: bytes) -> int:
    """Return how many bytes are whole lines; the rest was cut off by a crash, and never confirmed."""
    end = content.rfind(b"\n") + 1
    while content.count(b'"', 0, end) % 2:  # a line end inside quotes
        end = content.rfind(b"\n", 0, end - 1) + 1
    return end


def read_decisions(file: Path) -> Mapping[Key, Decision]:
    """Return the decisions that count, in the order in which they were made; none where there is no file."""
    found: dict[Key, Decision] = {}
    for decision in decisions_from(file)[0]:
        found.pop(decision.key, None)
        if decision.action != "undo":
            found[decision.key] = decision
    return found


def decisions_from(file: Path, start: int = 0) -> tuple[list[Decision], int]:
    """Return every line from a byte on, ``undo`` too, and the byte where the next line will begin.

    Raises a DataError where the file cannot be read, or a whole line is none of a ledger.
    """
    found = []
    try:
        with open(file, "rb") as handle:
            handle.seek(start)
            content = handle.read()
        content = content[: _whole(content)]
        text = content.decode("utf-8" if start else "utf-8-sig")
        rows = csv.reader(io.StringIO(text, newline=""))
        if text and not start and tuple(next(rows)) != COLUMNS:
            raise DataError(f"{file} is no ledger of decisions", fix=f"its first line is {','.join(COLUMNS)}")
        for cells in rows:
            if len(cells) != len(COLUMNS) or cells[4] not in _ACTIONS:
                where = "has a line that" if start else f"line {rows.line_num}"
                what = f"{file} {where} is no decision: {','.join(cells)!r}"
                raise DataError(what, fix="correct or delete that line")
            cells[-1] = cells[-1].lower()
            found.append(msgspec.convert(dict(zip(COLUMNS, map(unguarded, cells), strict=True)), Decision))
    except FileNotFoundError:
        return [], 0
    except OSError as error:
        raise DataError(f"cannot read the decisions {file}: {reason(error)}", fix="check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text", fix="save it as CSV in UTF-8") from error
    except csv.Error as error:
        raise DataError(f"{file} is not a readable CSV: {error}", fix="correct its quotes") from error
    return found, start + len(content)


def digest_of(file: Path) -> str:
    """Return the SHA-256 (hex) of a ledger, or "" where there is none; raise a DataError where it cannot be read."""
    try:
        return hashlib.sha256(require_regular(file).read_bytes()).hexdigest()
    except FileNotFoundError:
        return ""
    except OSError as error:
        raise DataError(f"cannot read the decisions {file}: {reason(error)}", fix="check the path") from error


def decided(catalogue: Catalogue, decisions: Mapping[Key, Decision]) -> dict[int, Decision]:
    """Return the decision about each sample that there is one about, by the sample's number."""
    keys = zip(catalogue.sha256, catalogue.label_N.tolist(), strict=True)
    found = ((number, decisions.get((sha256, catalogue.classes[label]))) for number, (sha256, label) in enumerate(keys))
    return {number: decision for number, decision in found if decision is not None}


Event = tuple[str, int, LedgerAction, str]  # time, sample, action and label of a decision


@dataclass(kw_only=True)
class Ledger:
    """The ledger of a run that several threads read and append to, and other processes too.

    A decision concerns each sample with its content and given label; ``events`` is what the file says so far. A file
    that cannot be written is a StorageError, one that is no ledger a DataError.
    """

    run: RunFolder
    catalogue: Catalogue
    reviewer: str
    events: list[Event] = field(default_factory=list)
    _read_bytes: int = 0
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def __post_init__(self) -> None:
        """Read what is decided, and make sure that the file can be written."""
        self._labels = [self.catalogue.classes[label] for label in self.catalogue.label_N]
        self._classes = set(self.catalogue.classes)
        self._samples: defaultdict[Key, list[int]] = defaultdict(list)
        for sample, key in enumerate(zip(self.catalogue.sha256, self._labels, strict=True)):
            self._samples[key].append(sample)
        append_decisions(self.run.decisions, [])
        self._refresh()

    def after(self, known: int) -> dict[str, object]:
        """Return the events that follow the first ``known``; all of them where there are not so many."""
        with self._lock:
            self._refresh()
            start = known if 0 <= known <= len(self.events) else 0
            return {"start": start, "events": self.events[start:]}

    def add(self, steps: Sequence[Sequence[tuple[int, LedgerAction, str]]]) -> None:
        """Append steps of decisions, those of a step with one time; where one is refused (RefusedError), none is."""
        with self._lock:
            self._refresh()
            now, lines = datetime.now(UTC), []
            for number, step in enumerate(steps):
                time = (now + timedelta(milliseconds=number)).isoformat(timespec="milliseconds")
                lines += [self._line(time, *decision) for decision in step]
            append_decisions(self.run.decisions, lines)
            self._refresh()

    def _line(self, time: str, sample: int, action: LedgerAction, label: str) -> Decision:
        if not 0 <= sample < len(self._labels) or not (sha256 := self.catalogue.sha256[sample]):
            raise RefusedError(f"there is no sample {sample} in this audit")
        if action == "change":
            if checked_class(label, self._classes) == self._labels[sample]:
                raise RefusedError(f"sample {sample} has the label {label!r} already")
            self._classes.add(label)
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
        file = self.run.decisions
        if file.exists() and file.stat().st_size < self._read_bytes:  # somebody has replaced the file
            self.events, self._read_bytes = [], 0
        lines, self._read_bytes = decisions_from(file, self._read_bytes)
        for line in lines:
            self._classes.update({line.label} - {""})
            self.events += [(line.time, sample, line.action, line.label) for sample in self._samples.get(line.key, [])]
