"""Look at images without keeping their pixels: statistics, digests, and which of them cannot be decoded.

Shapes: R readable samples, C channels, H height, W width, M kinds of copies, S statistics.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image

from labelaudit.data.catalogue import Catalogue, in_parallel
from labelaudit.data.pixels import PixelFormat, decode_sample, pixel_digest
from labelaudit.detect import BoolArray
from labelaudit.detect.constants import COPIED_DIGITS, EDGE_RIM, MOST_COPIED, SIDE, UNIFORM_EDGE, WIDEST_EDGE
from labelaudit.detect.images import (
    IMAGE_STATISTICS,
    ImageStatistics,
    ImageTable,
    UInt8Array,
    copy_statistics,
    image_statistics,
)
from labelaudit.names import COPY_KINDS
from labelaudit.progress import Reporter

_LEAST, _SMALL, _USUAL = 16, 64, 224
"""Sides in pixels: the frozen backbone sees images at the last one, and a trained network small ones at their own."""


@dataclass(frozen=True, kw_only=True)
class Looked:
    """Numbers and statistics of the images that could be decoded, and by sample number why others could not."""

    sample_R: npt.NDArray[np.int32]
    looks: list[ImageStatistics]
    failures: dict[int, str]


def look_size(catalogue: Catalogue) -> int:
    """Return the side in pixels at which a network would see the images."""
    side = catalogue.median_short_side
    return _USUAL if side > _SMALL else max(_LEAST, side)


def look_at(catalogue: Catalogue, form: PixelFormat, reporter: Reporter) -> Looked:
    """Decode every image that is used, and keep its statistics."""
    looks: dict[int, ImageStatistics] = {}
    failures: dict[int, str] = {}

    def look(numbers: Sequence[int]) -> tuple[dict[int, ImageStatistics], dict[int, str]]:
        images = {number: decode_sample(catalogue, number, form) for number in numbers}
        arrays = {number: image for number, image in images.items() if not isinstance(image, str)}
        seen = looks_of([*arrays.values()], [catalogue.sha256[number] for number in arrays])
        unseen = {number: image for number, image in images.items() if isinstance(image, str)}
        return dict(zip(arrays, seen, strict=True)), unseen

    used = np.flatnonzero(catalogue.used_N).tolist()
    with reporter.bar("Looking at images", len(used), "images") as advance:
        for numbers, (seen, unseen) in in_parallel(used, look):
            looks |= seen
            failures |= unseen
            advance(len(numbers))
    return Looked(sample_R=np.array([*looks], dtype=np.int32), looks=[*looks.values()], failures=failures)


def looks_of(images: Sequence[UInt8Array], hashes: Sequence[str]) -> list[ImageStatistics]:
    """Return the statistics of images [C, H, W] of one size, and of the copies of those with some content hashes."""
    looks = []
    value_BS = image_statistics(np.stack(images)) if images else ()
    for image, value_S, sha256 in zip(images, value_BS, hashes, strict=True):
        copy_MS = None
        if sha256.startswith(tuple(COPIED_DIGITS)):
            # Drawn from the content: the same whatever else is in the folder, and in the cache.
            copy_MS = copy_statistics(image[None], np.random.default_rng(int(sha256[:16], 16)))[0]
        digest, thumb_GG = pixel_digest(image), thumbnail(image)
        looks.append(ImageStatistics(digest=digest, thumb_GG=thumb_GG, value_S=value_S, copy_MS=copy_MS))
    return looks


def thumbnail(x_CHW: UInt8Array) -> UInt8Array:
    """Return an image in grey without uniform edges, at `SIDE` × `SIDE` pixels: what copies of it are found by."""
    grey_HW = x_CHW[0]
    if len(x_CHW) == 3:  # (red + 2 green + blue) / 4
        sum_HW = x_CHW[1].astype(np.uint16) * 2
        sum_HW += x_CHW[0]
        sum_HW += x_CHW[2]
        grey_HW = (sum_HW >> 2).astype(np.uint8)
    (top, bottom), (left, right) = (
        _inside(grey_HW.max(axis=axis) - grey_HW.min(axis=axis) <= UNIFORM_EDGE) for axis in (1, 0)
    )
    across, down = EDGE_RIM * (right - left), EDGE_RIM * (bottom - top)
    box = (left + across, top + down, right - across, bottom - down)
    return np.asarray(Image.fromarray(grey_HW).resize((SIDE, SIDE), Image.Resampling.BILINEAR, box=box))


def _inside(is_uniform_H: BoolArray) -> tuple[int, int]:
    """Return where the part within the uniform lines at both ends begins and ends; at most a share is cut off."""
    most = int(WIDEST_EDGE * len(is_uniform_H))
    first, last = (
        int(np.append(~line_m, True).argmax()) for line_m in (is_uniform_H[:most], is_uniform_H[::-1][:most])
    )
    return first, len(is_uniform_H) - last


def table_of_looks(sample_R: npt.NDArray[np.int32], looks: Sequence[ImageStatistics]) -> ImageTable:
    """Return the statistics of images as one table, with the corrupted copies of at most `MOST_COPIED` of them."""
    copied = [row for row, look in enumerate(looks) if look.copy_MS is not None]
    # Evenly over the samples, which are in the order of their classes.
    copied = copied[:: max(1, -(-len(copied) // MOST_COPIED))]
    copy_PMS = np.array([looks[row].copy_MS for row in copied], dtype=np.float32)
    return ImageTable(
        sample_U=sample_R,
        value_US=np.array([look.value_S for look in looks], dtype=np.float32).reshape(-1, len(IMAGE_STATISTICS)),
        copied_P=np.array(copied, dtype=np.int32),
        copy_PMS=copy_PMS.reshape(-1, len(COPY_KINDS), len(IMAGE_STATISTICS)),
        digest_U=np.array([look.digest for look in looks], dtype=np.str_),
        thumb_UGG=np.array([look.thumb_GG for look in looks], dtype=np.uint8).reshape(-1, SIDE, SIDE),
    )
