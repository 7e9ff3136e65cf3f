"""Copies of training images in the test images of CIFAR-10, by thumbnails alone, against the pairs of ciFAIR.

    python tests/benchmarks/leaks.py cifar10 --classes automobile --published duplicates_cifar10.csv --order order.csv

DATA has train/CLASS and test/CLASS; ``--order`` is a CSV whose column path has the training images in CIFAR-10's order,
as the published list (github.com/cvjena/cifair, meta) numbers them.
"""

from __future__ import annotations

import csv
from pathlib import Path
from typing import Annotated

import numpy as np
import typer
from PIL import Image

from labelaudit.data.looks import thumbnail
from labelaudit.detect.near import near_pairs


def main(
    data: Path,
    classes: str = "automobile",
    published: Annotated[Path | None, typer.Option(help="ciFAIR's duplicates_cifar10.csv.")] = None,
    order: Annotated[Path | None, typer.Option(help="CSV with the training images in order.")] = None,
) -> None:
    """Print how many test images have a copy, and how many published training images are found."""
    known: set[str] = set()
    if published and order:
        rows = csv.DictReader(order.open(encoding="utf-8"))
        paths = [row["path"] for row in rows if row["path"].startswith("train/")]
        known = {paths[int(row["TrainID"])] for row in csv.DictReader(published.open(encoding="utf-8"))}
    for name in classes.split(","):
        files = [path for split in ("train", "test") for path in sorted((data / split / name).iterdir())]
        images = (np.asarray(Image.open(path).convert("RGB")).transpose(2, 0, 1) for path in files)
        pair_P2, _ = near_pairs(np.stack([thumbnail(x_CHW) for x_CHW in images]), None)
        is_test = np.array([path.parent.parent.name == "test" for path in files])
        across_P2 = pair_P2[is_test[pair_P2[:, 0]] != is_test[pair_P2[:, 1]]]
        train, test = (np.unique(across_P2[is_test[across_P2] == side]) for side in (False, True))
        found = {str(files[number].relative_to(data)) for number in train.tolist()}
        expected = {path for path in known if path.split("/")[1] == name}
        print(f"{name}: {len(test)} of {is_test.sum()} test images have a copy in the training split", end="; ")
        print(f"{len(found & expected)} of {len(expected)} published training images are found")


if __name__ == "__main__":
    typer.run(main)
