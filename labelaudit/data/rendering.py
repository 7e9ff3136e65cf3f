"""Decide how the images of a folder become 8-bit: one rule for all of them, read from the data.

Values of more than 8 bits need a black and a white; transparent parts a background on which shapes stay visible.

Shapes: H height, W width, C channels, S sampled images.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

Range = tuple[float, float]

DEEP_KINDS = ("integers", "reals")
"""How files store values of more than 8 bits. A folder has one range for each."""

_TAIL = 0.005
"""Share of an image's pixels at either end that set no limit unless four lie in a square: hot and dead pixels."""

_OUTLYING_IMAGES = 0.02
"""Share of the images at either end that set no limit, and at least one: saturated or blank exposures."""

_LEAST_SPAN = 64
"""Integers below 256 keep their values if they span so many; fewer are hard to tell apart."""

BACKGROUNDS = {255: "white", 0: "black", 128: "grey", 64: "dark grey", 192: "light grey"}
_MOSTLY_OPAQUE = 0.9 * 255
"""Images with a mean opacity above this are visible on any background."""

_VISIBLE = 0.1
"""A shape is visible with this part of the contrast that it has on its best background."""


@dataclass(frozen=True, kw_only=True)
class Rendering:
    """How images that are not plain 8-bit become 8-bit.

    ``integers`` and ``reals`` are the values of more than 8 bits that become black and white. ``background`` is the
    grey level, 0 to 255, on which transparent parts are shown.
    """

    integers: Range = (0.0, 65535.0)
    reals: Range = (0.0, 1.0)
    background: int = 255

    @property
    def deep(self) -> bool:
        """True for a folder with images of more than 8 bits."""
        return (self.integers, self.reals) != (PLAIN.integers, PLAIN.reals)

    def eight_bit(self, value_HW: npt.NDArray[Any]) -> npt.NDArray[np.uint8]:
        """Scale values [H, W] or [H, W, C] to round(255 · (value − low) / (high − low)), clipped; NaN becomes black."""
        low, high = self.reals if value_HW.dtype.kind == "f" else self.integers
        with np.errstate(over="ignore", invalid="ignore"):
            scaled = (value_HW.astype(np.float64) - low) * (255.0 / (high - low))
        return np.rint(np.clip(np.nan_to_num(scaled, nan=0.0), 0, 255)).astype(np.uint8)


PLAIN = Rendering()
"""The rule for a folder of opaque 8-bit images."""


def range_of(images: Sequence[npt.NDArray[Any]]) -> Range:
    """Find the values that become black and white in S arrays of one kind, robust to hot pixels and single images.

    An image's own limits are its 0.5% and 99.5% quantiles, or what four pixels in a square reach beyond them. The
    folder's are the outermost of these, less one image or 2% of them at either end. Integers that all fit in 8 bits and
    spread over a quarter of them keep their values. Tails are clipped as nnU-Net does (Isensee et al. 2021); the shares
    are our own.
    """
    images = [values for values in images if np.isfinite(values).any()]
    if not images:
        return 0.0, 1.0
    low_S, high_S = np.array([_limits(values) for values in images]).T
    least_S, most_S = np.array([_extremes(values) for values in images]).T
    least, most = least_S.min(), most_S.max()
    if images[0].dtype.kind in "iu" and least >= 0 and most - least >= _LEAST_SPAN and most <= 255:
        return 0.0, 255.0
    # The second try is for images that are blank but for a few pixels, the third for very few images.
    tries = ((low_S, high_S, _OUTLYING_IMAGES), (least_S, most_S, _OUTLYING_IMAGES), (least_S, most_S, 0.0))
    for lows, highs, outlying in tries:
        low = float(np.quantile(lows, outlying, method="higher"))
        high = float(np.quantile(highs, 1 - outlying, method="lower"))
        if low < high:
            return low, high
    return low, low + max(1.0, abs(low))


def _limits(values: npt.NDArray[Any]) -> Range:
    """Return lowest and highest value of an image, without hot and dead pixels."""
    finite = values[np.isfinite(values)]
    low = float(np.quantile(finite, _TAIL, method="higher"))
    high = float(np.quantile(finite, 1 - _TAIL, method="lower"))
    if values.ndim < 2 or min(values.shape[:2]) < 2:
        return low, high
    square = (values[:-1, :-1], values[1:, :-1], values[:-1, 1:], values[1:, 1:])
    least, most = _extremes(np.maximum.reduce(square))[0], _extremes(np.minimum.reduce(square))[1]
    return min(low, least), max(high, most)


def _extremes(values: npt.NDArray[Any]) -> Range:
    finite = values[np.isfinite(values)]
    return (float(finite.min()), float(finite.max())) if finite.size else (np.inf, -np.inf)


def background_of(images: Sequence[npt.NDArray[np.uint8]]) -> tuple[int, int]:
    """Choose the background on which the fewest images [H, W, 4] vanish: white if it is as good as any.

    Returns the grey level, and how many images vanish on white.
    """
    images = [image_HW4 for image_HW4 in images if image_HW4[..., 3].mean() <= _MOSTLY_OPAQUE]
    if not images:
        return PLAIN.background, 0

    def contrast(image_HW4: npt.NDArray[np.uint8], grey: int) -> float:
        """Return the mean difference of the opaque parts from the background, in the channel where it is largest."""
        difference_HW3 = np.abs(image_HW4[..., :3].astype(np.float64) - grey)
        return float((difference_HW3 * image_HW4[..., 3:]).mean(axis=(0, 1)).max())

    contrast_SB = np.array([[contrast(image_HW4, grey) for grey in BACKGROUNDS] for image_HW4 in images])
    vanish_SB = contrast_SB < _VISIBLE * contrast_SB.max(axis=1, keepdims=True)
    vanish_B = vanish_SB.sum(axis=0)
    return list(BACKGROUNDS)[vanish_B.argmin()], int(vanish_B[0])
