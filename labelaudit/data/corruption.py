"""Input corruption: pictures in which nobody can see the class any more.

Source: "When does loss-based prioritization fail?", section 3.1. What the paper leaves open: a permutation moves whole
pixels, all channels together, and is the same for all pictures of one size; mean and variance of the Gaussian are those
of all values of the picture.

Shapes: H height, W width, C channels, P = H · W pixels.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

UInt8Array = npt.NDArray[np.uint8]


def draw_permutation(height: int, width: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Where each pixel of a shuffled picture comes from: int64 [P], equal for equal arguments."""
    return np.random.default_rng([seed, height, width]).permutation(height * width)


def shuffle_pixels(pixels_HWC: UInt8Array, from_P: npt.NDArray[np.int64]) -> UInt8Array:
    """The picture with its pixels moved; each keeps its channels together.

    ``from_P.argsort()`` as the permutation moves them back.

    Args:
        pixels_HWC: A picture.
        from_P: A permutation of its pixels, row by row.
    """
    flat_PC = pixels_HWC.reshape(-1, pixels_HWC.shape[2])
    shuffled: UInt8Array = flat_PC[from_P].reshape(pixels_HWC.shape)
    return shuffled


def gaussian_pixels(pixels_HWC: UInt8Array, generator: np.random.Generator) -> UInt8Array:
    """Independent draws from the Gaussian that has the mean and variance of the picture's values.

    They are rounded and clipped to 0 … 255, which takes a little of the variance of pictures with strong contrast.

    Args:
        pixels_HWC: A picture.
        generator: For the draws.
    """
    values = generator.normal(pixels_HWC.mean(), pixels_HWC.std(), size=pixels_HWC.shape)
    return np.clip(np.round(values), 0, 255).astype(np.uint8)
