"""Caches of decoded pixels and of embeddings, kept across audits by the content of the images.

A pixel entry is a file of raw uint8 rows and a JSON file that describes it, which is written last. Rows are appended to
a partial file under a lock, and a note says how many are on the disk: a crash loses the rows since the last note. The
least recently used entries are deleted when the cache grows beyond its limit. Others may read what is deleted.
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
from typing import BinaryIO

import msgspec
import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.detect import Float32Array
from labelaudit.detect.constants import SIDE
from labelaudit.detect.images import IMAGE_STATISTICS, ImageStatistics, UInt8Array
from labelaudit.errors import StorageError, UsageError
from labelaudit.names import COPY_KINDS
from labelaudit.run.files import held, require_regular, storage_errors, write_bytes
from labelaudit.run.parquet import write_table

CACHE_VARIABLE = "LABELAUDIT_CACHE"
LIMIT_VARIABLE = "LABELAUDIT_CACHE_GB"
_NOTE_SECONDS = 10.0
"""Time between two notes: a crash loses the rows that were decoded since the last one."""
_ABANDONED_SECONDS = 7 * 24 * 3600.0
"""Age at which a partial file is deleted."""
_LOOK_SHAPE = (1 + len(COPY_KINDS), len(IMAGE_STATISTICS))


def cache_root() -> Path:
    """Return the folder that LABELAUDIT_CACHE names, else the user's; raise a StorageError if the user has no home."""
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    try:
        return platformdirs.user_cache_path("labelaudit")
    except RuntimeError as error:
        raise StorageError("there is no home folder for the cache") from error


def not_kept(error: OSError | StorageError) -> str:
    """Return the warning that an audit goes on without a cache."""
    reason = error.what if isinstance(error, StorageError) else str(error)
    return f"nothing is kept for the next audit of these images: {reason}; name a writable folder with {CACHE_VARIABLE}"


def cache_limit_bytes(used: int) -> int:
    """Return the limit of the pixel cache: LABELAUDIT_CACHE_GB (else a UsageError), or half of free and used bytes."""
    asked = os.environ.get(LIMIT_VARIABLE)
    if asked is None:
        root = cache_root().absolute()
        existing = next(path for path in (root, *root.parents) if path.exists())
        return (shutil.disk_usage(existing).free + used) // 2
    with contextlib.suppress(ValueError):
        if 0 <= (limit := float(asked)) < float("inf"):
            return int(limit * 1e9)
    raise UsageError(f"{LIMIT_VARIABLE}={asked} is not a size", fix="give a number of gigabytes; 0 keeps no pixels")


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """An image's embedding [D] and its statistics, or the reason why it has none."""

    vector_D: Float32Array | None
    reason: str
    look: ImageStatistics | None = None


class EmbeddingCache:
    """Embeddings by content hash; the key names backbone, its parameters and the pixel format."""

    def __init__(self, key: str) -> None:
        self.folder = cache_root() / "embeddings" / key

    def load(self, wanted: set[str]) -> dict[str, Embedded]:
        """Return cached embeddings of these hashes; delete damaged parts; an unreadable folder is a StorageError."""
        found: dict[str, Embedded] = {}
        with storage_errors(self.folder):
            parts = sorted(self.folder.glob("part-*.parquet"))
        for path in parts:
            try:
                found |= _read_part(path, wanted)
            except PermissionError:
                continue
            except (OSError, pa.ArrowException, ValueError, KeyError):
                _delete(path)
        return found

    def add(self, hashes: Sequence[str], results: Sequence[Embedded]) -> None:
        """Write a part with these images; raise a StorageError where the cache cannot be written."""
        features = next((len(result.vector_D) for result in results if result.vector_D is not None), 1)
        empty_D = np.zeros(features, dtype=np.float32)
        vector_PD = np.stack([empty_D if result.vector_D is None else result.vector_D for result in results])
        thumb_PGG = np.zeros((len(results), SIDE, SIDE), dtype=np.uint8)
        look_PVS = np.full((len(results), *_LOOK_SHAPE), np.nan, dtype=np.float32)
        for look_VS, thumb_GG, result in zip(look_PVS, thumb_PGG, results, strict=True):
            if result.look:
                thumb_GG[:] = result.look.thumb_GG
                look_VS[0] = result.look.value_S
                look_VS[1:] = np.nan if result.look.copy_MS is None else result.look.copy_MS
        table = pa.table(
            {
                "sha256": list(hashes),
                "embedding": pa.FixedSizeListArray.from_arrays(pa.array(vector_PD.ravel()), features),
                "reason": [result.reason for result in results],
                "digest": [result.look.digest if result.look else "" for result in results],
                "look": pa.FixedSizeListArray.from_arrays(pa.array(look_PVS.ravel()), look_PVS[0].size),
                "thumbnail": pa.FixedSizeListArray.from_arrays(pa.array(thumb_PGG.ravel()), SIDE**2),
            }
        )
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        _delete_abandoned(self.folder)
        # The name is made of the images: a run that resumes after a crash overwrites the same part.
        name = f"part-{hashlib.sha256(' '.join(hashes).encode()).hexdigest()[:32]}.parquet"
        write_table(self.folder / name, table)


def find_embeddings(wanted: set[str]) -> dict[str, Float32Array]:
    """Return embeddings of these hashes, all by the backbone that has embedded most of them; none is no error."""
    counts: dict[str, int] = {}
    with contextlib.suppress(OSError, StorageError):
        for part in (cache_root() / "embeddings").glob("*/part-*.parquet"):
            with contextlib.suppress(OSError, pa.ArrowException, ValueError, KeyError):
                table = pq.read_table(require_regular(part).absolute(), columns=["sha256", "reason"])
                rows = zip(table.column("sha256").to_pylist(), table.column("reason").to_pylist(), strict=True)
                usable = sum(sha256 in wanted and not reason for sha256, reason in rows)
                counts[part.parent.name] = counts.get(part.parent.name, 0) + usable
        if any(counts.values()):
            found = EmbeddingCache(max(sorted(counts), key=counts.__getitem__)).load(wanted)
            return {sha256: one.vector_D for sha256, one in found.items() if one.vector_D is not None}
    return {}


def _read_part(path: Path, wanted: set[str]) -> dict[str, Embedded]:
    columns = ["sha256", "embedding", "reason", "digest", "look", "thumbnail"]
    table = pq.read_table(require_regular(path).absolute(), columns=columns)
    if not len(table):
        return {}
    vector_PD, look_PVS, thumb_PGG = (
        table.column(name).combine_chunks().flatten().to_numpy().reshape(len(table), *shape)
        for name, shape in (("embedding", (-1,)), ("look", _LOOK_SHAPE), ("thumbnail", (SIDE, SIDE)))
    )
    texts = [table.column(name).to_pylist() for name in ("sha256", "reason", "digest")]
    rows = zip(*texts, vector_PD, look_PVS, thumb_PGG, strict=True)
    return {
        sha256: Embedded(vector_D=None if reason else vector_D, reason=reason, look=_unpacked(digest, *look))
        for sha256, reason, digest, vector_D, *look in rows
        if sha256 in wanted
    }


def _unpacked(digest: str, look_VS: Float32Array, thumb_GG: UInt8Array) -> ImageStatistics | None:
    copy_MS = None if np.isnan(look_VS[1:]).any() else look_VS[1:]
    found = ImageStatistics(digest=digest, thumb_GG=thumb_GG, value_S=look_VS[0], copy_MS=copy_MS)
    return found if digest else None


class CachedPixels(msgspec.Struct):
    """The JSON file of an entry, or the note about a partial one; why images have no row, by position among all."""

    rows: int = 0
    failures: dict[int, str] = msgspec.field(default_factory=dict)

    @property
    def done(self) -> int:
        """The number of decoded images, those without a row included."""
        return self.rows + len(self.failures)


_DAMAGED = (OSError, ValueError, RecursionError, msgspec.MsgspecError)


def _read_about(path: Path) -> CachedPixels:
    return msgspec.json.decode(require_regular(path).read_bytes(), type=CachedPixels)


class PixelCache:
    """One entry of the pixel cache; the key names the images and how they are decoded."""

    def __init__(self, key: str, row_bytes: int) -> None:
        self.folder = cache_root() / "pixels"
        self.row_bytes = row_bytes
        self.about, self.rows_file, self.partial, self.note, self._lock = (
            self.folder / f"{key}.{suffix}" for suffix in ("json", "u8", "partial", "note", "lock")
        )

    def find(self) -> CachedPixels | None:
        """Return the entry if it is there and whole, and mark it as used."""
        with contextlib.suppress(*_DAMAGED):
            about = _read_about(self.about)
            if self.rows_file.stat().st_size == about.rows * self.row_bytes:
                os.utime(self.about)
                return about
        return None

    def make_room(self, rows: int) -> bool:
        """Delete the least recently used entries until this one fits below the limit; False if it can never fit."""
        needed = rows * self.row_bytes
        others = (path for path in self.folder.glob("*.json") if path != self.about)
        entries = sorted(others, key=lambda path: _status(path).st_mtime)
        sizes = {path: _status(path.with_suffix(".u8")).st_size for path in entries}
        used = sum(sizes.values())
        limit = cache_limit_bytes(used)
        if needed > limit:
            return False
        for path, size in sizes.items():
            if used + needed > limit:
                _delete(path, path.with_suffix(".u8"))
                used -= size
        _delete_abandoned(self.folder)
        return True

    @contextlib.contextmanager
    def locked(self, tell: Callable[[], None]) -> Iterator[bool]:
        """Hold the entry for one writer, waiting for another after ``tell``; yield False where there are no locks.

        A folder that cannot be written is an OSError or a StorageError.
        """
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        with held(self._lock, self.rows_file, wait=tell) as is_alone:
            yield is_alone

    @contextlib.contextmanager
    def writer(self) -> Iterator[PixelWriter]:
        """Open a writer that goes on after the last note; to be used under the lock."""
        note = CachedPixels()
        with contextlib.suppress(*_DAMAGED):
            read = _read_about(self.note)
            if _status(self.partial).st_size >= read.rows * self.row_bytes:
                note = read
        with open(self.partial, "r+b" if self.partial.exists() else "w+b") as handle:
            handle.truncate(note.rows * self.row_bytes)
            handle.seek(0, os.SEEK_END)
            yield PixelWriter(self, handle, note)


class PixelWriter:
    """Append rows to an entry; see `PixelCache.writer`. ``about`` says what it has so far."""

    def __init__(self, cache: PixelCache, handle: BinaryIO, about: CachedPixels) -> None:
        self._cache, self._handle, self.about = cache, handle, about
        self._noted = time.monotonic()

    def add(self, image: UInt8Array | str) -> None:
        """Append the next image: its row, or the reason why there is none."""
        if isinstance(image, str):
            self.about.failures[self.about.done] = image
        else:
            self._handle.write(image.data)
            self.about.rows += 1
        if time.monotonic() - self._noted > _NOTE_SECONDS:
            self._flush()
            write_bytes(self._cache.note, msgspec.json.encode(self.about))
            self._noted = time.monotonic()

    def finish(self) -> CachedPixels:
        """Complete the entry and return it."""
        self._flush()
        os.replace(self._cache.partial, self._cache.rows_file)
        write_bytes(self._cache.about, msgspec.json.encode(self.about))
        _delete(self._cache.note)
        return self.about

    def discard(self) -> None:
        """Delete what was written."""
        _delete(self._cache.partial, self._cache.note)

    def _flush(self) -> None:
        self._handle.flush()
        os.fsync(self._handle.fileno())


def _delete_abandoned(folder: Path) -> None:
    """Delete partial files that are older than a week, and the notes about them."""
    for path in folder.glob("*.partial"):
        if time.time() - _status(path).st_mtime > _ABANDONED_SECONDS:
            _delete(path, path.with_suffix(".note"))


def _status(path: Path) -> os.stat_result:
    """Return size and times of a file; zeros where it is gone."""
    with contextlib.suppress(OSError):
        return path.stat()
    return os.stat_result((0,) * 10)


def _delete(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
