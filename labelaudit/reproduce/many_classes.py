"""Write a data set of many classes and few images in each: three-digit numbers, made of scikit-learn's digits.

    python -m labelaudit.reproduce.many_classes OUT [--classes 200] [--images 20] [--seed 0]

A picture is 32 × 32 pixels: the three digits of its class, each twice as large as scikit-learn has it, in three of the
four corners. One digit tells a class from up to 20 others.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image
from sklearn.datasets import load_digits

_MOST_CLASSES = 1000


def write_numbers(out: Path, *, classes: int = 200, images: int = 20, seed: int = 0) -> None:
    """Write ``out/<number>/<image>.png``; equal arguments give equal files.

    Args:
        out: The folder.
        classes: The numbers 0 to ``classes`` − 1; at most 1,000.
        images: Of each number; every digit in them is drawn anew.
        seed: For the draws.

    Raises:
        ValueError: there are not that many three-digit numbers.
    """
    if not 2 <= classes <= _MOST_CLASSES:
        raise ValueError(f"classes must be from 2 to {_MOST_CLASSES}")
    digits = load_digits()
    generator = np.random.default_rng(seed)
    of_digit = [digits.images[digits.target == digit] for digit in range(10)]
    for number in range(classes):
        folder = out / f"{number:03d}"
        folder.mkdir(parents=True, exist_ok=True)
        for image in range(images):
            parts = [_draw(of_digit[int(digit)], generator) for digit in f"{number:03d}"]
            corners = np.block([[parts[0], parts[1]], [parts[2], np.zeros_like(parts[0])]])
            Image.fromarray(corners).save(folder / f"{image:04d}.png")


def _draw(picture_D88: npt.NDArray[np.float64], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """One of D pictures of 8 × 8 pixels with values up to 16, as 16 × 16 pixels with values up to 255."""
    picture_88 = picture_D88[generator.integers(len(picture_D88))]
    grey_88 = np.clip(picture_88 * 16, 0, 255).astype(np.uint8)
    larger_PP: npt.NDArray[np.uint8] = grey_88.repeat(2, axis=0).repeat(2, axis=1)
    return larger_PP


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="three-digit numbers: many classes, few images in each")
    parser.add_argument("out", type=Path)
    parser.add_argument("--classes", type=int, default=200)
    parser.add_argument("--images", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    write_numbers(arguments.out, classes=arguments.classes, images=arguments.images, seed=arguments.seed)
