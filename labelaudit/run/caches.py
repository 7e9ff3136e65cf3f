"""Decoded pixels, kept across audits by the pictures' content.

An entry is a file of raw uint8 rows and a JSON file about it, which is written last: whoever finds it finds all rows.
Rows are appended to a partial file under a lock, with a note of how far it is: a crash loses the rows since the last
note, and a second process waits for the first and uses what it decoded. The entries used longest ago give way when
the cache grows beyond its limit. A file that is being read may be deleted: its space goes with its last reader.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import BinaryIO

import numpy as np
import numpy.typing as npt
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.detect.images import IMAGE_STATISTICS, ImageStatistics
from labelaudit.errors import RunError, StorageError, UsageError
from labelaudit.names import COPY_KINDS
from labelaudit.run.files import read_json, require_regular, storage_errors, write_atomically, write_json
from labelaudit.run.lock import held

CACHE_VARIABLE = "LABELAUDIT_CACHE"
LIMIT_VARIABLE = "LABELAUDIT_CACHE_GB"


def cache_root() -> Path:
    """The folder named by LABELAUDIT_CACHE, else the user's cache folder.

    Raises:
        StorageError: the user has no home folder.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    try:
        return platformdirs.user_cache_path("labelaudit")
    except RuntimeError as error:
        raise StorageError("there is no home folder for the cache") from error


def not_kept(error: OSError | StorageError) -> str:
    """The warning that an audit goes on without a cache."""
    reason = error.what if isinstance(error, StorageError) else str(error)
    return (
        f"nothing is kept for the next audit of these images: {reason}; "
        f"name a folder that may be written by {CACHE_VARIABLE}"
    )


def cache_limit_bytes(used: int) -> int:
    """How large the pixel cache may grow: LABELAUDIT_CACHE_GB, else half of the space that it could have at all.

    Args:
        used: Bytes that it takes now.

    Raises:
        UsageError: the variable is not a number that is at least 0.
    """
    asked = os.environ.get(LIMIT_VARIABLE)
    if asked is None:
        return (_free_bytes(cache_root()) + used) // 2
    try:
        limit = float(asked)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UsageError(f"{LIMIT_VARIABLE}={asked} is not a size", fix="give a number of gigabytes; 0 keeps no pixels")
    return int(limit * 1e9)


def _free_bytes(folder: Path) -> int:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free


_COLUMNS = ["sha256", "embedding", "reason", "digest", "look"]
_ABANDONED_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A picture's embedding [D] and what is known of it beside that, or the reason why it has none."""

    vector_D: npt.NDArray[np.float32] | None
    reason: str
    look: ImageStatistics | None = None


_LOOK_SHAPE = (1 + len(COPY_KINDS), len(IMAGE_STATISTICS))


class EmbeddingCache:
    """Embeddings by content hash.

    Args:
        key: Names backbone, its parameters and the pixel format.

    Raises:
        StorageError: there is no folder for it.
    """

    def __init__(self, key: str) -> None:
        self.folder = cache_root() / "embeddings" / key

    def load(self, wanted: set[str]) -> dict[str, Embedded]:
        """Those of the wanted hashes that are there. Damaged parts are deleted: their pictures are embedded again.

        Raises:
            StorageError: the folder cannot be read.
        """
        found: dict[str, Embedded] = {}
        with storage_errors(self.folder):
            parts = sorted(self.folder.glob("part-*.parquet")) if self.folder.is_dir() else []
        for path in parts:
            try:
                table = pq.read_table(
                    require_regular(path).absolute(), columns=["sha256", "embedding", "reason", "digest", "look"]
                )
                hashes, reasons = table.column("sha256").to_pylist(), table.column("reason").to_pylist()
                column = table.column("embedding").combine_chunks()
                vector_PD = column.flatten().to_numpy().reshape(len(table), -1) if len(table) else np.empty((0, 0))
                digests = table.column("digest").to_pylist()
                look_PVS = table.column("look").combine_chunks().flatten().to_numpy().reshape(-1, *_LOOK_SHAPE)
            except PermissionError:
                continue
            except (OSError, pa.ArrowException, ValueError, KeyError):
                with contextlib.suppress(OSError):
                    path.unlink()
                continue
            for sha256, vector_D, reason, digest, look_VS in zip(
                hashes, vector_PD, reasons, digests, look_PVS, strict=True
            ):
                if sha256 in wanted:
                    found[sha256] = Embedded(
                        vector_D=None if reason else vector_D, reason=reason, look=_unpacked(digest, look_VS)
                    )
        return found

    def add(self, hashes: Sequence[str], results: Sequence[Embedded], features: int) -> None:
        """Add a part.

        Raises:
            StorageError: the cache cannot be written.
        """
        empty_D = np.zeros(features, dtype=np.float32)
        vector_PD = np.stack([empty_D if result.vector_D is None else result.vector_D for result in results])
        look_PVS = np.stack([_packed(result.look) for result in results])
        table = pa.table(
            {
                "sha256": list(hashes),
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vector_PD.ravel()), features),
                "reason": [result.reason for result in results],
                "digest": [result.look.digest if result.look else "" for result in results],
                "look": pa.FixedSizeListArray.from_arrays(pa.array(look_PVS.ravel()), look_PVS[0].size),
            }
        )
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
            self._delete_abandoned()
        # Named by its pictures: who goes on after a crash writes the same part, and what is left of it is used up.
        name = f"part-{hashlib.sha256(' '.join(hashes).encode()).hexdigest()[:32]}.parquet"
        write_atomically(self.folder / name, lambda partial: pq.write_table(table, partial, compression="zstd"))

    def _delete_abandoned(self) -> None:
        """Delete half-written parts that nobody has gone on with for a week."""
        for path in self.folder.glob(".*.partial"):
            with contextlib.suppress(OSError):
                if time.time() - path.stat().st_mtime > _ABANDONED_SECONDS:
                    path.unlink()


def _packed(look: ImageStatistics | None) -> npt.NDArray[np.float32]:
    look_VS = np.full(_LOOK_SHAPE, np.nan, dtype=np.float32)
    if look is not None:
        look_VS[0] = look.value_S
        if look.copy_MS is not None:
            look_VS[1:] = look.copy_MS
    return look_VS


def _unpacked(digest: str, look_VS: npt.NDArray[np.float32]) -> ImageStatistics | None:
    if not digest:
        return None
    copy_MS = look_VS[1:]
    return ImageStatistics(digest=digest, value_S=look_VS[0], copy_MS=None if np.isnan(copy_MS).any() else copy_MS)


UInt8Array = npt.NDArray[np.uint8]

_NOTE_SECONDS = 10.0
_PIXELS_ABANDONED_SECONDS = 7 * 24 * 3600.0


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
            if time.time() - _used_at(path) > _PIXELS_ABANDONED_SECONDS:
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
