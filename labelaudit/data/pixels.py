"""Decoding every image once, to uint8 that a training can index.

Shapes: R readable samples, C channels, H height, W width.
"""

from __future__ import annotations

import os
import tempfile
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import read_file
from labelaudit.data.images import UInt8Array, UnreadableImageError, decode
from labelaudit.data.parts import READERS, in_parts
from labelaudit.errors import StorageError
from labelaudit.names import FitName
from labelaudit.progress import QUIET, Reporter

RAM_SHARE = 0.5
"""Share of the free memory that pixels may take before they go into a memory-mapped file."""


@dataclass(frozen=True, kw_only=True)
class PixelFormat:
    """How pictures become arrays: side in pixels, 1 or 3 channels, and what happens to other proportions."""

    size: int
    channels: int
    fit: FitName = "stretch"


@dataclass(frozen=True, kw_only=True)
class Pixels:
    """The decoded pictures.

    Attributes:
        array_RCHW: uint8, in memory or memory-mapped.
        sample_R: The sample number of each row.
        failures: Reason by sample number, for pictures whose pixels turned out damaged.
    """

    array_RCHW: UInt8Array
    sample_R: npt.NDArray[np.int32]
    failures: dict[int, str]


def decode_stream(
    catalogue: Catalogue, samples: Sequence[int], form: PixelFormat, *, part: int = 64
) -> Iterator[tuple[Sequence[int], list[UInt8Array | str]]]:
    """Decode samples in order, a part at a time, some parts ahead of the reader.

    Yields:
        The sample numbers of a part, and for each its pixels [C, H, W], or the reason why there are none.
    """
    with ThreadPoolExecutor(READERS) as pool:
        waiting = []
        for numbers in in_parts(samples, part):
            waiting.append((numbers, pool.submit(_decode_part, catalogue, numbers, form)))
            if len(waiting) > 2 * READERS:
                ready, future = waiting.pop(0)
                yield ready, future.result()
        for ready, future in waiting:
            yield ready, future.result()


def load_pixels(catalogue: Catalogue, form: PixelFormat, *, reporter: Reporter = QUIET) -> Pixels:
    """Decode every readable sample.

    Raises:
        StorageError: neither memory nor disk has room for the pixels.
    """
    samples = np.flatnonzero(catalogue.readable_N).astype(np.int32)
    array = _allocate((len(samples), form.channels, form.size, form.size), reporter)
    kept: list[int] = []
    failures: dict[int, str] = {}
    with reporter.bar("Decoding images", len(samples), "images") as advance:
        for numbers, pictures in decode_stream(catalogue, samples.tolist(), form):
            for number, picture in zip(numbers, pictures, strict=True):
                if isinstance(picture, str):
                    failures[number] = picture
                else:
                    array[len(kept)] = picture
                    kept.append(number)
            advance(len(numbers))
    return Pixels(array_RCHW=array[: len(kept)], sample_R=np.array(kept, dtype=np.int32), failures=failures)


def _decode_part(catalogue: Catalogue, numbers: Sequence[int], form: PixelFormat) -> list[UInt8Array | str]:
    return [_decode_one(catalogue.root / catalogue.paths[number], form) for number in numbers]


def _decode_one(file: Path, form: PixelFormat) -> UInt8Array | str:
    try:
        return decode(read_file(file), size=form.size, channels=form.channels, fit=form.fit)
    except UnreadableImageError as error:
        return str(error)


def _allocate(shape: tuple[int, int, int, int], reporter: Reporter) -> UInt8Array:
    needed = int(np.prod(shape))
    if needed <= RAM_SHARE * _free_memory_bytes():
        return np.empty(shape, dtype=np.uint8)
    try:
        # The file has no name, so the space is freed however the process ends.
        with tempfile.TemporaryFile(prefix="labelaudit-pixels-") as backing:
            backing.truncate(needed)
            if hasattr(os, "posix_fallocate"):  # without the space, a full disk would end the process with SIGBUS
                os.posix_fallocate(backing.fileno(), 0, needed)
            array = np.memmap(backing, dtype=np.uint8, mode="r+", shape=shape)
    except OSError as error:
        raise StorageError(
            f"no room for {needed / 2**30:.1f} GiB of pixels: {error.strerror}",
            fix="take a smaller --image-size, or point TMPDIR to a larger disk",
        ) from error
    reporter.say(f"{needed / 2**30:.1f} GiB of pixels go into a memory-mapped file in {tempfile.gettempdir()}")
    return array


def _free_memory_bytes() -> int:
    try:
        for line in Path("/proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except OSError:
        pass
    return 4 << 30  # not Linux: a cautious guess
