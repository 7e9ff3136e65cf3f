"""Statistics of images without a network, and of copies that were corrupted on purpose to compare with.

Shapes: B images, C channels, H height, W width, h, w of the shrunk images, M kinds of copies, S statistics; U images of
an audit, P of which were copied; G side of a thumbnail.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.detect import BoolArray, Float32Array
from labelaudit.detect import constants as c
from labelaudit.names import COPY_KINDS, CopyKind

UInt8Array = npt.NDArray[np.uint8]

IMAGE_STATISTICS = ("contrast", "roughness", "coarse_roughness", "flatness")


@dataclass(frozen=True, kw_only=True)
class ImageStatistics:
    """What is known of one image: digest (of its pixels), thumbnail, statistics, and those of its corrupted copies."""

    digest: str
    thumb_GG: UInt8Array
    value_S: Float32Array
    copy_MS: Float32Array | None


@dataclass(frozen=True, kw_only=True)
class ImageTable:
    """The `ImageStatistics` of an audit's images; ``copied_P`` are positions in ``sample_U`` (sample numbers).

    ``distance_U2`` are the images' `labelaudit.detect.noclass.class_distances`; None where there are no embeddings.
    Thumbnails are there while the images are: the run folder does not keep them.
    """

    sample_U: npt.NDArray[np.int32]
    value_US: Float32Array
    copied_P: npt.NDArray[np.int32]
    copy_PMS: Float32Array
    digest_U: npt.NDArray[np.str_]
    distance_U2: Float32Array | None = None
    thumb_UGG: UInt8Array | None = None


def image_statistics(x_BCHW: UInt8Array) -> Float32Array:
    """Return a few figures of each image, of its shrunk version: [B, S] in the order of `IMAGE_STATISTICS`.

    With v the variance within the channels and d the mean squared difference of neighboring pixels (right and below),
    in squared gray levels, and 1 added to each, since finer differences than one level are lost in uint8:

    | statistic | formula | tells |
    |---|---|---|
    | ``contrast`` | ln(v + 1) | blank ones |
    | ``roughness`` | ln((d + 1) / (2v + 1)) | 0 where neighbors have nothing to do with each other |
    | ``coarse_roughness`` | the same of the means of 2 × 2 pixels | the same, further apart |
    | ``flatness`` | share of neighbors that are equal | drawings, padding |

    d / 2v is von Neumann's ratio (1941) for two dimensions: 1 − the correlation of neighbors. The least size is 4 × 4.
    """
    parts = [_statistics(part_bChw) for part_bChw in _shrunk_blocks(x_BCHW)]
    return np.concatenate([np.empty((0, len(IMAGE_STATISTICS)), dtype=np.float32), *parts])


def copy_statistics(x_BCHW: UInt8Array, generator: np.random.Generator) -> Float32Array:
    """Return the statistics of corrupted copies, one of each kind: [B, M, S], M in the order of `COPY_KINDS`.

    - ``shuffled``: the pixels in another order, drawn for each image;
    - ``gaussian``: every value drawn from N(mean, variance) of the image's values;
    - ``noise``: a quarter of the pixels or more, up to all, any of them or the lower rows, drawn evenly from 0 … 255;
    - ``blank``: the image's mean everywhere.

    The shrunk images are corrupted. In a large one noise would be averaged away, to as little as 1 / factor
    of its strength: that of ``shuffled`` and ``gaussian`` is drawn between that and the whole, evenly in its logarithm.
    """
    factor = _factor(x_BCHW)
    parts = [np.empty((0, len(COPY_KINDS), len(IMAGE_STATISTICS)), dtype=np.float32)]
    for x_bChw in _shrunk_blocks(x_BCHW):
        copy_mChw = np.concatenate([_corrupted(x_bChw, kind, factor, generator) for kind in COPY_KINDS])
        parts.append(_statistics(copy_mChw).reshape(len(COPY_KINDS), len(x_bChw), -1).swapaxes(0, 1))
    return np.concatenate(parts)


def _corrupted(x_bChw: Float32Array, kind: CopyKind, factor: int, generator: np.random.Generator) -> Float32Array:
    count, channels, height, width = x_bChw.shape
    mean_b111 = x_bChw.mean(axis=(1, 2, 3), keepdims=True)
    if kind == "blank":
        return np.broadcast_to(np.rint(mean_b111), x_bChw.shape).copy()
    strength_b111 = np.exp(-np.log(factor) * generator.random((count, 1, 1, 1))).astype(np.float32)
    copy_bChw: Float32Array
    if kind == "shuffled":
        place_bP = generator.random((count, height * width)).argsort(axis=1)
        flat_bCP = x_bChw.reshape(count, channels, -1)
        shuffled_bChw = np.take_along_axis(flat_bCP, place_bP[:, None, :], axis=2).reshape(x_bChw.shape)
        mean_bC11 = x_bChw.mean(axis=(2, 3), keepdims=True)
        copy_bChw = mean_bC11 + strength_b111 * (shuffled_bChw - mean_bC11)
    elif kind == "gaussian":
        std_b111 = x_bChw.std(axis=(1, 2, 3), keepdims=True)
        drawn_bChw = generator.standard_normal(x_bChw.shape, dtype=np.float32)
        copy_bChw = np.rint(mean_b111 + strength_b111 * std_b111 * drawn_bChw).clip(0.0, 255.0)
    else:
        noise_bChw = np.floor(generator.random(x_bChw.shape, dtype=np.float32) * np.float32(256.0))
        copy_bChw = np.where(_some_pixels(x_bChw.shape, generator), noise_bChw, x_bChw)
    return copy_bChw


def _some_pixels(shape: tuple[int, ...], generator: np.random.Generator) -> BoolArray:
    """Choose a quarter of each image's pixels or more: lower rows of every second image, else any: [b, 1, h, w]."""
    count, _, height, width = shape
    share_b111 = generator.uniform(c.LEAST_NOISE, 1.0, (count, 1, 1, 1))
    depth_1h1 = (1.0 - (np.arange(height) + 0.5) / height)[None, :, None]
    any_b1hw = generator.random((count, 1, height, width))
    in_rows_b111 = (np.arange(count) % 2 == 0)[:, None, None, None]
    return np.where(in_rows_b111, np.broadcast_to(depth_1h1, any_b1hw.shape), any_b1hw) < share_b111


def _shrunk_blocks(x_BCHW: UInt8Array) -> Iterator[Float32Array]:
    """Yield the images as float32, a block at a time, shrunk by averaging."""
    factor = _factor(x_BCHW)
    step = max(1, c.VALUES_AT_ONCE * factor**2 // int(np.prod(x_BCHW.shape[1:])))
    for first in range(0, len(x_BCHW), step):
        yield _averaged(x_BCHW[first : first + step], factor)


def _factor(x_BCHW: UInt8Array) -> int:
    return max(1, int(min(x_BCHW.shape[2:])) // c.SIDE)


def _averaged(x_bCHW: UInt8Array | Float32Array, factor: int) -> Float32Array:
    """Return the means of factor × factor pixels; what is left over at the right and below is cut off."""
    count, channels, *sides = x_bCHW.shape
    height, width = (side // factor * factor for side in sides)
    row_bChfW = x_bCHW[:, :, :height, :width].reshape(count, channels, -1, factor, width)
    row_bChW = row_bChfW.sum(axis=3, dtype=np.uint32 if x_bCHW.dtype == np.uint8 else np.float32)
    # A sum over shifted grids: numpy's own mean over a short last axis takes several times as long.
    sum_bChw: Float32Array = np.zeros((*row_bChW.shape[:3], width // factor), dtype=np.float32)
    for column in range(factor):
        sum_bChw += row_bChW[..., column::factor]
    sum_bChw /= np.float32(factor**2)
    return sum_bChw


def _statistics(x_bChw: Float32Array) -> Float32Array:
    columns = []
    for each_bChw in (x_bChw, _averaged(x_bChw, 2)):
        variance_b = each_bChw.var(axis=(2, 3)).mean(axis=1)
        difference_b, equal_b = _neighbors(each_bChw)
        columns += [np.log1p(variance_b), np.log((difference_b + 1.0) / (2.0 * variance_b + 1.0)), equal_b]
    contrast_b, roughness_b, flatness_b, _, coarse_b, _ = columns
    return np.stack([contrast_b, roughness_b, coarse_b, flatness_b], axis=1).astype(np.float32)


def _neighbors(x_bChw: Float32Array) -> tuple[Float32Array, Float32Array]:
    """Return the mean squared difference of neighboring pixels, and the share of them that are equal: [b]."""
    square_b, equal_b = np.zeros((2, len(x_bChw)), dtype=np.float32)
    for axis in (3, 2):
        step_bn = np.diff(x_bChw, axis=axis).reshape(len(x_bChw), -1)
        half = np.float32(0.5 / max(step_bn.shape[1], 1))
        square_b += half * np.einsum("bn,bn->b", step_bn, step_bn)
        equal_b += half * np.count_nonzero(step_bn == 0, axis=1).astype(np.float32)
    return square_b, equal_b
