"""Caches of decoded pixels and of embeddings, kept across audits by the content of the images.

A pixel entry is a file of raw uint8 rows and a JSON file, which is written when the rows are on the disk, both under a
lock. The least recently used entries are deleted when the cache grows beyond its limit, first what a crash has left.
Others may read what is deleted.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import shutil
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import msgspec
import numpy as np
import platformdirs
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.detect import Float32Array
from labelaudit.detect.constants import SIDE
from labelaudit.detect.images import IMAGE_STATISTICS, ImageStatistics, UInt8Array
from labelaudit.errors import RunError, StorageError, UsageError
from labelaudit.names import COPY_KINDS
from labelaudit.run.files import holder, read_record, require_regular, storage_errors, write_bytes
from labelaudit.run.parquet import write_table

CACHE_VARIABLE = "LABELAUDIT_CACHE"
LIMIT_VARIABLE = "LABELAUDIT_CACHE_GB"
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
        # The name is made of the images: a run that resumes after a crash overwrites the same part.
        name = f"part-{hashlib.sha256(' '.join(hashes).encode()).hexdigest()[:32]}.parquet"
        write_table(self.folder / name, table)


def find_embeddings(wanted: set[str]) -> dict[str, Float32Array]:
    """Return embeddings of these hashes, all by the backbone that has embedded most of them; none is no error."""
    best: dict[str, Float32Array] = {}
    with contextlib.suppress(OSError, StorageError):
        for folder in sorted((cache_root() / "embeddings").iterdir()):
            found = EmbeddingCache(folder.name).load(wanted)
            vectors = {sha256: one.vector_D for sha256, one in found.items() if one.vector_D is not None}
            best = max(best, vectors, key=len)
    return best


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
    """The JSON file of an entry: the number of its rows, and why other images have none, by position among all."""

    rows: int = 0
    failures: dict[int, str] = msgspec.field(default_factory=dict)


class PixelCache:
    """One entry of the pixel cache, of ``count`` images; the key names them and how they are decoded.

    It is written under ``lock``. A folder that cannot be written is an OSError or a StorageError.
    """

    def __init__(self, key: str, row_bytes: int, count: int) -> None:
        self.folder = cache_root() / "pixels"
        self.row_bytes, self.count = row_bytes, count
        self.about, self.rows_file, self.lock = (self.folder / f"{key}.{suffix}" for suffix in ("json", "u8", "lock"))

    def find(self) -> CachedPixels | None:
        """Return the entry if it is there and whole, and mark it as used."""
        try:
            about = read_record(self.about, CachedPixels, "")
            size = self.rows_file.stat().st_size
        except (OSError, RunError):
            return None
        if size < about.rows * self.row_bytes or about.rows + len(about.failures) != self.count:
            return None
        with contextlib.suppress(OSError):
            os.utime(self.about)
        _delete(self.lock)  # of a process that was killed when the entry was whole
        return about

    def make_room(self) -> bool:
        """Delete the least recently used entries until this one fits below the limit; False if it can never fit."""
        needed = self.count * self.row_bytes
        others = (path for path in self.folder.glob("*.u8") if path != self.rows_file)
        entries = sorted(others, key=lambda path: _status(path.with_suffix(".json")).st_mtime)
        sizes = {path: _status(path).st_size for path in entries}
        used = sum(sizes.values())
        limit = cache_limit_bytes(used)
        if needed > limit:
            return False
        for path, size in sizes.items():
            if used + needed > limit and holder(path.with_suffix(".lock")) is None:
                _delete(path, path.with_suffix(".json"))
                used -= size
        with storage_errors(self.folder):
            self.folder.mkdir(parents=True, exist_ok=True)
        return True

    def write(self, images: Iterable[UInt8Array | str]) -> CachedPixels:
        """Write the rows of all images, or the reasons why there are none; `note` makes the entry whole."""
        about = CachedPixels()
        self.discard()  # not overwritten: a reader may have it open
        try:
            with open(self.rows_file, "wb") as handle:
                for position, image in enumerate(images):
                    if isinstance(image, str):
                        about.failures[position] = image
                    else:
                        handle.write(image.data)
                        about.rows += 1
                handle.flush()
                os.fsync(handle.fileno())
        except BaseException:
            self.discard()
            raise
        return about

    def note(self, about: CachedPixels) -> CachedPixels:
        """Write the JSON file, and return its content."""
        write_bytes(self.about, msgspec.json.encode(about))
        return about

    def discard(self) -> None:
        """Delete the entry."""
        _delete(self.about, self.rows_file)


def _status(path: Path) -> os.stat_result:
    """Return size and times of a file; zeros where it is gone."""
    with contextlib.suppress(OSError):
        return path.stat()
    return os.stat_result((0,) * 10)


def _delete(*paths: Path) -> None:
    for path in paths:
        with contextlib.suppress(OSError):
            path.unlink()
