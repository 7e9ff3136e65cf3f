"""The embedded sample data: scikit-learn's 1,797 handwritten digits as an image folder with planted label errors."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_digits

from labelaudit.cells import csv_lines
from labelaudit.data.noise import flip_labels


@dataclass(frozen=True, kw_only=True)
class DigitsFolder:
    """Where the digits were written.

    Attributes:
        images: The folder to audit.
        truth_csv: ``path,label,given`` with the true label of every image.
        wrong: Paths of the images that lie in a wrong class folder.
    """

    images: Path
    truth_csv: Path
    wrong: frozenset[str]


def write_digits(folder: Path, *, rate: float, seed: int) -> DigitsFolder:
    """Write the digits as 8 × 8 PNG; a share ``rate`` of them into the folder of a wrong class, drawn uniformly.

    Equal arguments give equal files.
    """
    digits = load_digits()
    label_N = digits.target.astype(np.int32)
    given_N = flip_labels(label_N, classes=10, kind="uniform", rate=rate, generator=np.random.default_rng(seed))
    images = folder / "images"
    for digit in range(10):
        (images / str(digit)).mkdir(parents=True, exist_ok=True)
    rows = []
    for number, (picture, label, given) in enumerate(zip(digits.images, label_N, given_N, strict=True)):
        path = f"{given}/{number:04d}.png"
        Image.fromarray(np.clip(picture * 16, 0, 255).astype(np.uint8)).save(images / path)
        rows.append((path, str(label), str(given)))
    truth_csv = folder / "truth.csv"
    with open(truth_csv, "w", encoding="utf-8", newline="") as handle:
        handle.writelines(csv_lines(("path", "label", "given"), sorted(rows)))
    wrong = frozenset(path for path, label, given in rows if label != given)
    return DigitsFolder(images=images, truth_csv=truth_csv, wrong=wrong)


def write_digits_split(folder: Path) -> tuple[Path, Path]:
    """Write the rightly labelled digits as ``train/<digit>/`` and ``test/<digit>/``, every fourth one to the latter.

    Returns:
        Both folders.
    """
    digits = load_digits()
    folders = folder / "train", folder / "test"
    for number, (picture, label) in enumerate(zip(digits.images, digits.target, strict=True)):
        place = folders[number % 4 == 3] / str(label)
        place.mkdir(parents=True, exist_ok=True)
        Image.fromarray(np.clip(picture * 16, 0, 255).astype(np.uint8)).save(place / f"{number:04d}.png")
    return folders
