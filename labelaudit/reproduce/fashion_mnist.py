"""Write Fashion-MNIST's idx files as PNG in ImageFolder layout.

    python -m labelaudit.reproduce.fashion_mnist IDX_DIR OUT

IDX_DIR holds ``train-images-idx3-ubyte.gz`` and the other three files (on Debian and Ubuntu: the package
``dataset-fashion-mnist`` puts them into /usr/share/datasets/fashion-mnist). OUT gets ``train/`` and ``test/``.
"""

from __future__ import annotations

import argparse
import gzip
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

CLASSES = ("t-shirt", "trouser", "pullover", "dress", "coat", "sandal", "shirt", "sneaker", "bag", "ankle-boot")


def read_idx(file: Path) -> npt.NDArray[np.uint8]:
    """The array in a gzipped idx file of unsigned bytes."""
    content = gzip.decompress(file.read_bytes())
    if content[:3] != b"\0\0\x08":
        raise ValueError(f"{file} is not an idx file of unsigned bytes")
    dimensions = content[3]
    shape = np.frombuffer(content, dtype=">i4", count=dimensions, offset=4)
    return np.frombuffer(content, dtype=np.uint8, offset=4 + 4 * dimensions).reshape(shape)


def write_folder(idx_folder: Path, out: Path) -> None:
    """Write both splits to ``out/train`` and ``out/test``: ``<class>/<number in the split>.png``."""
    for split, prefix in (("train", "train"), ("test", "t10k")):
        pictures = read_idx(idx_folder / f"{prefix}-images-idx3-ubyte.gz")
        labels = read_idx(idx_folder / f"{prefix}-labels-idx1-ubyte.gz")
        for name in CLASSES:
            (out / split / name).mkdir(parents=True, exist_ok=True)
        for number, (picture, label) in enumerate(zip(pictures, labels, strict=True)):
            Image.fromarray(picture).save(out / split / CLASSES[label] / f"{number:05d}.png")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Fashion-MNIST's idx files as PNG in ImageFolder layout")
    parser.add_argument("idx_folder", type=Path)
    parser.add_argument("out", type=Path)
    arguments = parser.parse_args()
    write_folder(arguments.idx_folder, arguments.out)
