"""Decoded pixels, kept across audits by the pictures' content.

An entry is a file of raw uint8 rows and a JSON file about it, which is written last: whoever finds it finds all rows.
Rows are appended to a partial file under a lock, with a note of how far it is: a crash loses the rows since the last
note, and a second process waits for the first and uses what it decoded. The entries used longest ago give way when
the cache grows beyond its limit. A file that is being read may be deleted: its space goes with its last reader.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt

from labelaudit.errors import RunError
from labelaudit.run.cache import cache_limit_bytes, cache_root
from labelaudit.run.files import read_json, storage_errors, write_json
from labelaudit.run.lock import held

UInt8Array = npt.NDArray[np.uint8]

_NOTE_SECONDS = 10.0
_ABANDONED_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class CachedPixels:
    """A whole entry.

    Attributes:
        file: The rows, one after the other.
        rows: Their number.
        failures: Why a picture has no row, by its position among the pictures that were asked for.
    """

    file: Path
    rows: int
    failures: dict[int, str]


class PixelCache:
    """One entry of the cache.

    Args:
        key: Names the pictures and how they are decoded.
        row_bytes: Size of a row.
    """

    def __init__(self, key: str, row_bytes: int) -> None:
        self.folder = cache_root() / "pixels"
        self._key = key
        self.row_bytes = row_bytes
        self._about = self.folder / f"{key}.json"
        self._rows = self.folder / f"{key}.u8"

    def find(self) -> CachedPixels | None:
        """The entry, if it is there and whole."""
        try:
            about = read_json(self._about)
            found = CachedPixels(
                file=self._rows,
                rows=int(about["rows"]),
                failures={int(position): str(reason) for position, reason in about["failures"].items()},
            )
            if self._rows.stat().st_size != found.rows * self.row_bytes:
                return None
            os.utime(self._about)
        except (RunError, OSError, KeyError, TypeError, ValueError, AttributeError):
            return None
        return found

    def make_room(self, rows: int) -> bool:
        """Delete the entries used longest ago until this one fits below the limit; False when it never will."""
        needed = rows * self.row_bytes
        entries = sorted((path for path in self._entries() if path != self._about), key=_used_at)
        sizes = {path: _size(path.with_suffix(".u8")) for path in entries}
        used = sum(sizes.values())
        limit = cache_limit_bytes(used)
        if needed > limit:
            return False
        for path in entries:
            if used + needed <= limit:
                break
            _delete(path, path.with_suffix(".u8"))
            used -= sizes[path]
        self._delete_abandoned()
        return True

    @contextlib.contextmanager
    def locked(self, tell: Callable[[], None]) -> Iterator[bool]:
        """Hold the entry for one writer.

        Args:
            tell: Called once when another process holds it, before waiting for that one.

        Yields:
            False where the file system has no locks: another process may write the entry then.

        Raises:
            OSError, StorageError: the folder cannot be written.
        """
        self._make_folder()
        with held(self.folder / f"{self._key}.lock", self._rows, wait=tell) as is_alone:
            yield is_alone

    def writer(self) -> PixelWriter:
        """A writer that goes on after the last note; only under the lock."""
        self._make_folder()
        return PixelWriter(self._rows, self._about, self.row_bytes)

    def _make_folder(self) -> None:
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)

    def _entries(self) -> list[Path]:
        return list(self.folder.glob("*.json")) if self.folder.is_dir() else []

    def _delete_abandoned(self) -> None:
        """Delete partial files that nobody has gone on with for a week."""
        for path in self.folder.glob("*.partial") if self.folder.is_dir() else []:
            if time.time() - _used_at(path) > _ABANDONED_SECONDS:
                _delete(path, _note_of(path))


class PixelWriter:
    """Appends rows to an entry; see `PixelCache.writer`.

    Attributes:
        done: Number of pictures that are decoded, those without a row included.
        failures: Why a picture has no row, by its position.
    """

    def __init__(self, rows_file: Path, about_file: Path, row_bytes: int) -> None:
        self._rows_file, self._about_file = rows_file, about_file
        self._partial = rows_file.with_suffix(".partial")
        self._note = _note_of(self._partial)
        self.done, self._rows, self.failures = self._read_note(row_bytes)
        self._handle: BinaryIO = open(self._partial, "r+b" if self._partial.exists() else "w+b")  # noqa: SIM115
        self._handle.truncate(self._rows * row_bytes)
        self._handle.seek(0, os.SEEK_END)
        self._noted = time.monotonic()

    def __enter__(self) -> PixelWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._handle.close()

    def add(self, pictures: Sequence[UInt8Array | str]) -> None:
        """Append the next pictures: a row each, or the reason why there is none."""
        for picture in pictures:
            if isinstance(picture, str):
                self.failures[self.done] = picture
            else:
                self._handle.write(picture.data)
                self._rows += 1
            self.done += 1
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self._flush()
            write_json(self._note, {"done": self.done, **self._content()})
            self._noted = time.monotonic()

    def finish(self) -> CachedPixels:
        """Make the entry whole."""
        self._flush()
        os.replace(self._partial, self._rows_file)
        write_json(self._about_file, self._content())
        _delete(self._note)
        return CachedPixels(file=self._rows_file, rows=self._rows, failures=self.failures)

    def discard(self) -> None:
        """Delete what was written."""
        _delete(self._partial, self._note)

    def _content(self) -> dict[str, object]:
        return {"rows": self._rows, "failures": {str(position): text for position, text in self.failures.items()}}

    def _flush(self) -> None:
        self._handle.flush()
        os.fsync(self._handle.fileno())

    def _read_note(self, row_bytes: int) -> tuple[int, int, dict[int, str]]:
        try:
            note = read_json(self._note)
            done, rows = int(note["done"]), int(note["rows"])
            failures = {int(position): str(reason) for position, reason in note["failures"].items()}
        except (RunError, KeyError, TypeError, ValueError, AttributeError):
            return 0, 0, {}
        whole = rows + len(failures) == done and _size(self._partial) >= rows * row_bytes
        return (done, rows, failures) if whole else (0, 0, {})


def _note_of(partial: Path) -> Path:
    return partial.with_suffix(".note")


def _used_at(path: Path) -> float:
    try:
        return path.stat().st_mtime
    except OSError:
        return 0.0


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return 0


def _delete(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
