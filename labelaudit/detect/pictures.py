"""What can be told of a picture without a network: a few statistics, and pictures spoiled on purpose to compare with.

Shapes: B pictures, C channels, H height, W width, h, w of the shrunk pictures, M spoiled kinds, S
statistics.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.names import SPOILED_KINDS, SpoiledKind

FloatArray = npt.NDArray[np.float64]
Float32Array = npt.NDArray[np.float32]
UInt8Array = npt.NDArray[np.uint8]

PICTURE_STATISTICS = ("contrast", "roughness", "coarse_roughness", "flatness")

_SIDE = 32
"""Larger pictures are shrunk by whole factors until they have fewer than twice as many pixels a side: what is asked
shows at that size, and a photograph then costs no more than a small picture."""

_LEAST_NOISE = 0.25

_BLOCK_VALUES = 1 << 17
"""So many values are worked on at once, so that everything in between stays in the processor's cache."""


@dataclass(frozen=True, kw_only=True)
class Look:
    """What is known of one picture.

    Attributes:
        digest: Equal for equal pixels.
        value_S: Its statistics.
        spoiled_MS: Those of its spoiled copies; None where it has none.
    """

    digest: str
    value_S: Float32Array
    spoiled_MS: Float32Array | None


def picture_statistics(x_BCHW: UInt8Array) -> Float32Array:
    """A few figures of each picture, of its shrunk version.

    With v the variance within the channels and d the mean squared difference of neighbouring pixels (right and below),
    in squared grey levels, and 1 added to each, since finer differences than one level are lost in uint8:

    | statistic | formula | tells |
    |---|---|---|
    | ``contrast`` | ln(v + 1) | blank ones |
    | ``roughness`` | ln((d + 1) / (2v + 1)) | 0 where neighbours have nothing to do with each other |
    | ``coarse_roughness`` | the same of the means of 2 × 2 pixels | the same, further apart |
    | ``flatness`` | share of neighbours that are equal | drawings, padding |

    d / 2v is von Neumann's ratio (1941) for two dimensions: 1 − the correlation of neighbours.

    Args:
        x_BCHW: At least 4 × 4 pixels.

    Returns:
        [B, S] in the order of `PICTURE_STATISTICS`.
    """
    parts = [_statistics(part_bChw) for part_bChw in _shrunk_blocks(x_BCHW)]
    return np.concatenate(parts) if parts else np.empty((0, len(PICTURE_STATISTICS)), dtype=np.float32)


def spoiled_statistics(x_BCHW: UInt8Array, generator: np.random.Generator) -> Float32Array:
    """Those of copies that were spoiled, one of each kind.

    - ``shuffled``: the pixels in another order, drawn for each picture;
    - ``gaussian``: every value drawn from N(mean, variance) of the picture's values;
    - ``noise``: a quarter of the pixels or more, up to all, any of them or the lower rows, drawn evenly from 0 … 255;
    - ``blank``: the picture's mean everywhere.

    It is the shrunk pictures that are spoiled. In a large one, noise would be averaged away to as little as 1 / factor
    of its strength: that of ``shuffled`` and ``gaussian`` is drawn between that and the whole, evenly in its logarithm.

    Args:
        x_BCHW: At least 4 × 4 pixels.
        generator: Draws.

    Returns:
        [B, M, S]; M in the order of `labelaudit.names.SPOILED_KINDS`.
    """
    factor = _factor(x_BCHW)
    parts = [
        np.stack([_statistics(_spoiled(x_bChw, kind, factor, generator)) for kind in SPOILED_KINDS], axis=1)
        for x_bChw in _shrunk_blocks(x_BCHW)
    ]
    shape = (0, len(SPOILED_KINDS), len(PICTURE_STATISTICS))
    return np.concatenate(parts) if parts else np.empty(shape, dtype=np.float32)


def _spoiled(x_bChw: Float32Array, kind: SpoiledKind, factor: int, generator: np.random.Generator) -> Float32Array:
    count, channels, height, width = x_bChw.shape
    mean_b111 = x_bChw.mean(axis=(1, 2, 3), keepdims=True)
    if kind == "blank":
        return np.broadcast_to(np.rint(mean_b111), x_bChw.shape).copy()
    strength_b111 = np.exp(-np.log(factor) * generator.random((count, 1, 1, 1))).astype(np.float32)
    if kind == "shuffled":
        place_bP = generator.random((count, height * width)).argsort(axis=1)
        flat_bCP = x_bChw.reshape(count, channels, -1)
        shuffled_bChw = np.take_along_axis(flat_bCP, place_bP[:, None, :], axis=2).reshape(x_bChw.shape)
        mean_bC11 = x_bChw.mean(axis=(2, 3), keepdims=True)
        weakened_bChw: Float32Array = mean_bC11 + strength_b111 * (shuffled_bChw - mean_bC11)
        return weakened_bChw
    if kind == "gaussian":
        std_b111 = x_bChw.std(axis=(1, 2, 3), keepdims=True)
        drawn_bChw = generator.standard_normal(x_bChw.shape, dtype=np.float32)
        gaussian_bChw: Float32Array = np.rint(mean_b111 + strength_b111 * std_b111 * drawn_bChw).clip(0.0, 255.0)
        return gaussian_bChw
    noise_bChw = np.floor(generator.random(x_bChw.shape, dtype=np.float32) * np.float32(256.0))
    noisy_bChw: Float32Array = np.where(_some_pixels(x_bChw.shape, generator), noise_bChw, x_bChw)
    return noisy_bChw


def _some_pixels(shape: tuple[int, ...], generator: np.random.Generator) -> npt.NDArray[np.bool_]:
    """A quarter of each picture's pixels or more: lower rows of every second one, any of the others: [b, 1, h, w]."""
    count, _, height, width = shape
    share_b111 = generator.uniform(_LEAST_NOISE, 1.0, (count, 1, 1, 1))
    depth_1h1 = (1.0 - (np.arange(height) + 0.5) / height)[None, :, None]
    any_b1hw = generator.random((count, 1, height, width))
    lower_b1hw = np.broadcast_to(depth_1h1, any_b1hw.shape)
    in_rows_b111 = (np.arange(count) % 2 == 0)[:, None, None, None]
    chosen_b1hw: npt.NDArray[np.bool_] = np.where(in_rows_b111, lower_b1hw, any_b1hw) < share_b111
    return chosen_b1hw


def _shrunk_blocks(x_BCHW: UInt8Array) -> Iterator[Float32Array]:
    """The pictures as float32, a block at a time, shrunk by averaging."""
    step = max(1, _BLOCK_VALUES // int(np.prod(x_BCHW.shape[1:])))
    for first in range(0, len(x_BCHW), step):
        yield _averaged(x_BCHW[first : first + step], _factor(x_BCHW))


def _factor(x_BCHW: UInt8Array) -> int:
    """By how much pictures are shrunk."""
    return max(1, int(min(x_BCHW.shape[2:])) // _SIDE)


def _averaged(x_bCHW: UInt8Array | Float32Array, factor: int) -> Float32Array:
    """The means of factor × factor pixels; what is left over at the right and below is cut off."""
    height, width = (side // factor * factor for side in x_bCHW.shape[2:])
    sum_bChw: Float32Array = np.zeros((*x_bCHW.shape[:2], height // factor, width // factor), dtype=np.float32)
    # A sum over shifted grids: numpy's own mean over two short axes takes several times as long.
    for row in range(factor):
        for column in range(factor):
            sum_bChw += x_bCHW[:, :, row:height:factor, column:width:factor]
    sum_bChw /= np.float32(factor**2)
    return sum_bChw


def _statistics(x_bChw: Float32Array) -> Float32Array:
    variance_b, difference_b, equal_b = _variance(x_bChw), *_neighbours(x_bChw)
    coarse_bChw = _averaged(x_bChw, 2)
    coarse_difference_b, _ = _neighbours(coarse_bChw)
    columns = (
        np.log1p(variance_b),
        np.log((difference_b + 1.0) / (2.0 * variance_b + 1.0)),
        np.log((coarse_difference_b + 1.0) / (2.0 * _variance(coarse_bChw) + 1.0)),
        equal_b,
    )
    return np.stack(columns, axis=1).astype(np.float32)


def _variance(x_bChw: Float32Array) -> Float32Array:
    """The variance over the pixels of a channel, averaged over the channels: [b]."""
    variance_b: Float32Array = x_bChw.var(axis=(2, 3)).mean(axis=1)
    return variance_b


def _neighbours(x_bChw: Float32Array) -> tuple[Float32Array, Float32Array]:
    """The mean squared difference of a pixel to the right and the lower one, and the share that are equal: [b] each."""
    right_bn = np.diff(x_bChw, axis=3).reshape(len(x_bChw), -1)
    below_bn = np.diff(x_bChw, axis=2).reshape(len(x_bChw), -1)
    square_b: Float32Array = np.zeros(len(x_bChw), dtype=np.float32)
    equal_b = square_b.copy()
    for step_bn in (right_bn, below_bn):
        half = np.float32(0.5 / max(step_bn.shape[1], 1))
        square_b += half * np.einsum("bn,bn->b", step_bn, step_bn)
        equal_b += half * np.count_nonzero(step_bn == 0, axis=1).astype(np.float32)
    return square_b, equal_b
