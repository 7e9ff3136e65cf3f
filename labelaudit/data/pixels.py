"""Decode every image once, to uint8 that a training can index.

Shapes: R readable samples, C channels, H height, W width.
"""

from __future__ import annotations

import contextlib
import hashlib
from collections.abc import Iterator
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
import numpy.typing as npt
import PIL

from labelaudit.data.catalogue import Catalogue, each_in_parallel
from labelaudit.data.containers import read_file
from labelaudit.data.images import UnreadableImageError, decode
from labelaudit.detect.images import UInt8Array
from labelaudit.errors import StorageError
from labelaudit.names import ResizeName
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.caches import CACHE_VARIABLE, LIMIT_VARIABLE, CachedPixels, PixelCache, not_kept
from labelaudit.run.files import held
from labelaudit.text import plural

RAM_SHARE = 0.5
"""Share of the free memory that pixels may take; more are read through a memory map of the cache."""


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """How images become arrays: side in pixels, 1 or 3 channels, and how other proportions are resized."""

    size: int
    channels: int
    resize: ResizeName = "stretch"


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """The decoded images, the sample number of each row, and by sample number why others could not be decoded."""

    array_RCHW: UInt8Array
    sample_R: npt.NDArray[np.int32]
    failures: dict[int, str]


def pixel_digest(x_CHW: UInt8Array) -> str:
    """Return the SHA-256 over the pixels of an image, cut to 16 hexadecimal digits."""
    return hashlib.sha256(np.ascontiguousarray(x_CHW).data).hexdigest()[:16]


def decode_sample(catalogue: Catalogue, number: int, form: PixelFormat) -> UInt8Array | str:
    """Return a sample's pixels [C, H, W], or the reason why there are none."""
    try:
        return decode(_read(catalogue, number), rendering=catalogue.rendering, **vars(form))
    except UnreadableImageError as error:
        return str(error)


def load_pixels(catalogue: Catalogue, form: PixelFormat, *, reporter: Reporter = QUIET, processes: int = 1) -> Pixels:
    """Load every readable sample's pixels from the cache, or decode them and keep them there if there is room.

    So many ``processes`` share the memory of this machine. No room in memory nor in the cache is a StorageError.
    """
    sample_R = np.flatnonzero(catalogue.used_N).astype(np.int32)
    shape = (len(sample_R), form.channels, form.size, form.size)
    try:
        # Labels and paths are left out: a relabeled or moved folder has the same pixels.
        parts = (f"2 {form} {catalogue.rendering} Pillow {PIL.__version__}", *(catalogue.sha256[i] for i in sample_R))
        key = hashlib.sha256("\n".join(parts).encode()).hexdigest()[:32]
        cache = PixelCache(key, form.channels * form.size**2, len(sample_R))
        cached = _cached(cache, catalogue, sample_R, form, reporter) if len(sample_R) else None
    except (OSError, StorageError) as error:
        reporter.warn(not_kept(error))
        cached = None
    if cached is not None:
        failures = {int(sample_R[position]): reason for position, reason in cached.failures.items()}
        array = _open(cache.rows_file, (cached.rows, *shape[1:]), processes, reporter)
        return Pixels(array_RCHW=array, sample_R=np.delete(sample_R, list(cached.failures)), failures=failures)
    array = _allocate(shape, processes)
    kept: list[int] = []
    failures = {}
    for number, image in zip(sample_R.tolist(), _decoded(catalogue, sample_R, form, reporter), strict=True):
        if isinstance(image, str):
            failures[number] = image
        else:
            array[len(kept)] = image
            kept.append(number)
    return Pixels(array_RCHW=array[: len(kept)], sample_R=np.array(kept, dtype=np.int32), failures=failures)


def _decoded(
    catalogue: Catalogue, sample_R: npt.NDArray[np.int32], form: PixelFormat, reporter: Reporter
) -> Iterator[UInt8Array | str]:
    """Yield what `decode_sample` gives for each of these samples."""
    bar = reporter.bar("Decoding images", len(sample_R), "images")
    return each_in_parallel(sample_R.tolist(), lambda number: decode_sample(catalogue, number, form), bar)


def _cached(
    cache: PixelCache, catalogue: Catalogue, sample_R: npt.NDArray[np.int32], form: PixelFormat, reporter: Reporter
) -> CachedPixels | None:
    """Return the pixels in the cache, where they are decoded first; None where they cannot be kept."""
    if (found := cache.find()) is not None:
        reporter.say(f"{plural(len(sample_R), 'image is', 'images are')} decoded already ({cache.rows_file})")
        return found
    if not cache.make_room():
        return None
    if (needed := cache.count * cache.row_bytes) > 1e9:
        reporter.say(f"Decoded pixels are kept for the next time: {needed / 1e9:.1f} GB in {cache.folder}")
    say_so = partial(reporter.say, "Another process decodes the same images: waiting for it")
    with held(cache.lock, cache.rows_file, wait=say_so) as is_alone:
        if not is_alone:  # two writers would mix their rows
            return None
        if (found := cache.find()) is not None:
            return found
        about = cache.write(_decoded(catalogue, sample_R, form, reporter))
        # An image that failed because it is not the one that was catalogued may be back the next time.
        with contextlib.suppress(UnreadableImageError):
            for position in about.failures:
                _read(catalogue, int(sample_R[position]))
            return cache.note(about)
        cache.discard()
        return None


def _open(file: Path, shape: tuple[int, int, int, int], processes: int, reporter: Reporter) -> UInt8Array:
    if not shape[0]:
        return np.empty(shape, dtype=np.uint8)
    if _fits(shape, processes):
        return np.fromfile(file, dtype=np.uint8, count=int(np.prod(shape))).reshape(shape)
    reporter.say(f"{_size(shape)} of pixels are read through a memory map of {file}")
    return np.memmap(file, dtype=np.uint8, mode="r", shape=shape)


def _read(catalogue: Catalogue, number: int) -> bytes:
    content = read_file(catalogue.root / catalogue.paths[number])
    if hashlib.sha256(content).hexdigest() != catalogue.sha256[number]:
        raise UnreadableImageError("it changed while the folder was audited")
    return content


def _allocate(shape: tuple[int, int, int, int], processes: int) -> UInt8Array:
    if not _fits(shape, processes):
        fix = f"use a smaller --image-size, or give the cache so much room with {CACHE_VARIABLE} or {LIMIT_VARIABLE}"
        raise StorageError(f"no room for {_size(shape)} of pixels in the memory, nor in the cache", fix=fix)
    return np.empty(shape, dtype=np.uint8)


def _fits(shape: tuple[int, int, int, int], processes: int) -> bool:
    return int(np.prod(shape)) * processes <= RAM_SHARE * _free_memory_bytes()


def _size(shape: tuple[int, int, int, int]) -> str:
    return f"{np.prod(shape) / 2**30:.1f} GiB"


def _free_memory_bytes() -> int:
    free = 4 << 30  # a cautious guess where there is no /proc, as on macOS
    with contextlib.suppress(OSError, ValueError, StopIteration):
        lines = Path("/proc/meminfo").read_text().splitlines()
        free = int(next(line for line in lines if line.startswith("MemAvailable:")).split()[1]) * 1024
    group = Path("/sys/fs/cgroup")  # a container's limit, which is not in meminfo
    with contextlib.suppress(OSError, ValueError):
        limit, used = (int((group / name).read_text()) for name in ("memory.max", "memory.current"))
        lines = (group / "memory.stat").read_text().splitlines()
        reclaimable = sum(int(line.split()[1]) for line in lines if line.startswith(("active_file ", "inactive_file ")))
        free = min(free, limit - used + reclaimable)
    return free
