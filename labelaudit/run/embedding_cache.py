"""Embeddings of pictures, kept across audits by the pictures' content.

A cache folder belongs to one backbone and one way of decoding; it holds Parquet parts with the columns ``sha256``,
``embedding`` (float32 list), ``reason`` (why there is none), ``digest`` and ``look``: what is known of the picture
beside its embedding (`labelaudit.detect.pictures`), its statistics and then those of its spoiled copies, or NaN. Parts
are only ever added, each whole: a crash loses the part under way, a changed data set finds all pictures that it still
has, and several processes may add at once.
"""

from __future__ import annotations

import contextlib
import hashlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.detect.pictures import PICTURE_STATISTICS, Look
from labelaudit.names import SPOILED_KINDS
from labelaudit.run.cache import cache_root
from labelaudit.run.files import require_regular, storage_errors, write_atomically

_COLUMNS = ["sha256", "embedding", "reason", "digest", "look"]
_ABANDONED_SECONDS = 7 * 24 * 3600.0


@dataclass(frozen=True, kw_only=True)
class Embedded:
    """A picture's embedding [D] and what is known of it beside that, or the reason why it has none."""

    vector_D: npt.NDArray[np.float32] | None
    reason: str
    look: Look | None = None


_LOOK_SHAPE = (1 + len(SPOILED_KINDS), len(PICTURE_STATISTICS))


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


def _packed(look: Look | None) -> npt.NDArray[np.float32]:
    look_VS = np.full(_LOOK_SHAPE, np.nan, dtype=np.float32)
    if look is not None:
        look_VS[0] = look.value_S
        if look.spoiled_MS is not None:
            look_VS[1:] = look.spoiled_MS
    return look_VS


def _unpacked(digest: str, look_VS: npt.NDArray[np.float32]) -> Look | None:
    if not digest:
        return None
    spoiled_MS = look_VS[1:]
    return Look(digest=digest, value_S=look_VS[0], spoiled_MS=None if np.isnan(spoiled_MS).any() else spoiled_MS)
