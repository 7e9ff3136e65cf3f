"""Photo-like JPEGs made up from random fields, for benchmarks of decoding: no download, the same for everybody.

A picture is a sum of smooth random fields whose spectrum falls about like that of photographs (amplitude ∝ f^−1.4),
with a few discs for edges and a little sensor noise; the class sets colour and size of the discs, so that a network has
something to learn. With 500 pixels, quality 85 and 4:2:0 a file has 55 to 70 kB, about what a photograph has.

Shapes: H, W height and width; F frequencies of the real transform.
"""

from __future__ import annotations

import argparse
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labelaudit.data.catalogue import READERS
from labelaudit.errors import UsageError
from labelaudit.reproduce.speed.arguments import positive

FloatArray = npt.NDArray[np.float64]

QUALITY = 85
_MAKE_HELP = "if DATA does not exist, fill it with N photo-like JPEGs of 500 pixels in ten classes"
_CHROMA_420 = 2
_SHAPES = 8
_STEEPNESS = 1.4


def make_folder(root: Path, count: int, *, classes: int = 10, side: int = 500, seed: int = 0) -> None:
    """Write ``count`` JPEGs to ``root/class-KK/NNNNNN.jpg``, unless the folder is there already.

    Raises:
        UsageError: too few pictures for the classes.
    """
    if root.exists():
        return
    if classes < 2 or count < 2 * classes:
        raise UsageError(f"--make {count} is too few for {classes} classes", fix="give at least two pictures a class")
    # Under a name of its own until it is whole: an interrupted folder is not taken for a finished one.
    partial = root.with_name(f".{root.name}.partial")
    for label in range(classes):
        (partial / f"class-{label:02d}").mkdir(parents=True, exist_ok=True)

    def write(number: int) -> None:
        label = number % classes
        picture = Image.fromarray(photo_like(side, label / classes, np.random.default_rng([seed, number])))
        file = partial / f"class-{label:02d}" / f"{number:06d}.jpg"
        picture.save(file, quality=QUALITY, subsampling=_CHROMA_420)

    with ThreadPoolExecutor(READERS) as pool:
        for _ in pool.map(write, range(count)):
            pass
    partial.rename(root)


def add_make_argument(parser: argparse.ArgumentParser) -> None:
    """The option for making the folder up."""
    parser.add_argument("--make", type=positive, default=None, metavar="N", help=_MAKE_HELP)


def make_asked(asked: argparse.Namespace) -> None:
    """Make the folder if that was asked for and it is not there.

    Raises:
        UsageError: too few pictures were asked for.
    """
    if asked.make is not None:
        make_folder(asked.data, asked.make)


def photo_like(side: int, hue: float, generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One picture.

    Args:
        side: In pixels.
        hue: In [0, 1): what the class decides.
        generator: For everything else.

    Returns:
        uint8 RGB [H, W, 3].
    """
    amplitude_HF = _amplitude(side)
    light_HW = _field(amplitude_HF, generator)
    colour_HW3 = np.stack([_field(amplitude_HF, generator) for _ in range(3)], axis=2)
    picture_HW3 = 118 + 42 * light_HW[:, :, None] + 14 * colour_HW3
    row_H1, column_1W = np.ogrid[:side, :side]
    tint_3 = 80 * np.cos(2 * np.pi * (hue + np.array([0.0, 1 / 3, 2 / 3])))
    for _ in range(_SHAPES):
        middle_2, radius = generator.uniform(0, side, 2), side * generator.uniform(0.03, 0.08 + 0.12 * hue)
        inside_HW = (row_H1 - middle_2[0]) ** 2 + (column_1W - middle_2[1]) ** 2 < radius**2
        picture_HW3[inside_HW] += tint_3 + generator.normal(0, 12, 3)
    picture_HW3 += generator.normal(0, 2, (side, side, 1))
    return np.clip(picture_HW3, 0, 255).astype(np.uint8)


def _amplitude(side: int) -> FloatArray:
    frequency_HF = np.hypot(np.fft.fftfreq(side)[:, None], np.fft.rfftfreq(side)[None, :])
    frequency_HF[0, 0] = np.inf  # no constant part: the mean is set apart
    return np.asarray(np.maximum(frequency_HF, 1 / side) ** -_STEEPNESS, dtype=np.float64)


def _field(amplitude_HF: FloatArray, generator: np.random.Generator) -> FloatArray:
    side = len(amplitude_HF)
    noise_HF = np.fft.rfft2(generator.standard_normal((side, side)))
    field_HW = np.fft.irfft2(noise_HF * amplitude_HF, s=(side, side))
    return np.asarray(field_HW / field_HW.std(), dtype=np.float64)
