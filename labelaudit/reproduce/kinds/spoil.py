"""A copy of a folder in which some labels are wrong and some pictures are spoiled, and which they are.

Shapes: N samples, H height, W width.
"""

from __future__ import annotations

import contextlib
import csv
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labelaudit.cells import csv_lines, unguarded
from labelaudit.data.catalogue import Catalogue
from labelaudit.engine.seeds import derive_seed
from labelaudit.errors import RunError
from labelaudit.run.files import storage_errors, write_lines

TRUE_KINDS = ("mislabeled", "shuffled", "gaussian", "clean")


@dataclass(frozen=True, kw_only=True)
class Rates:
    """The shares of the samples that are spoiled; no sample is spoiled twice.

    Attributes:
        mislabeled: A label of another class, each with equal probability.
        shuffled: The picture's pixels in another order, the same for all pictures of one size.
        gaussian: Every value drawn from N(mean, variance) of the picture's values, rounded and cut to 0 … 255.
    """

    mislabeled: float = 0.1
    shuffled: float = 0.05
    gaussian: float = 0.05

    @property
    def name(self) -> str:
        """In words."""
        return f"{self.mislabeled:g} wrong labels, {self.shuffled:g} shuffled, {self.gaussian:g} Gaussian"


@dataclass(frozen=True, kw_only=True)
class Spoiled:
    """Where a spoiled copy lies.

    Attributes:
        images: The folder of pictures.
        labels: CSV with the columns path, label: the given labels.
        truth: CSV with the columns path, label, kind: the right ones, and one of `TRUE_KINDS`.
    """

    images: Path
    labels: Path
    truth: Path

    def kinds(self) -> dict[str, str]:
        """The true kind of each path.

        Raises:
            RunError: the file is missing or damaged.
        """
        try:
            with open(self.truth, encoding="utf-8", newline="") as handle:
                return {unguarded(row["path"]): row["kind"] for row in csv.DictReader(handle, strict=True)}
        except (OSError, KeyError, TypeError, UnicodeDecodeError, csv.Error) as error:
            raise RunError(f"{self.truth} is missing or damaged", fix=f"delete {self.truth.parent}") from error


def write_spoiled(catalogue: Catalogue, folder: Path, rates: Rates, *, seed: int, images: int | None = None) -> Spoiled:
    """Write the copy, unless it is there already: hard links for untouched pictures, PNG for spoiled ones.

    Args:
        catalogue: Readable samples with right labels.
        folder: Gets ``images/``, ``labels.csv`` and ``truth.csv``, the last one when all is written.
        rates: How much.
        seed: Of all draws; equal seeds give equal copies.
        images: Take only so many pictures, drawn by chance.

    Raises:
        StorageError: the copy cannot be written.
    """
    spoiled = Spoiled(images=folder / "images", labels=folder / "labels.csv", truth=folder / "truth.csv")
    if spoiled.truth.exists():
        return spoiled
    generator = np.random.default_rng(derive_seed(seed, "spoil"))
    chosen = np.flatnonzero(catalogue.readable_N)
    if images is not None:
        chosen = np.sort(generator.permutation(chosen)[:images])
    kinds = _draw_kinds(len(chosen), rates, generator)
    given, right = [], []
    for sample, kind in zip(chosen.tolist(), kinds, strict=True):
        label = int(catalogue.label_N[sample])
        taught = label
        if kind == "mislabeled":
            taught = (label + int(generator.integers(1, len(catalogue.classes)))) % len(catalogue.classes)
        with storage_errors(folder):
            path = _write_picture(catalogue, sample, spoiled.images, kind, seed, generator)
        given.append((path, catalogue.classes[taught]))
        right.append((path, catalogue.classes[label], kind))
    write_lines(spoiled.labels, csv_lines(("path", "label"), given))
    write_lines(spoiled.truth, csv_lines(("path", "label", "kind"), right))
    return spoiled


def shuffle_pixels(x_HWC: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
    """Whole pixels in another order, which depends on the seed and the size alone: [H, W] or [H, W, C]."""
    height, width = x_HWC.shape[:2]
    order_P = np.random.default_rng(derive_seed(seed, f"shuffle {height} {width}")).permutation(height * width)
    return x_HWC.reshape(height * width, -1)[order_P].reshape(x_HWC.shape)


def gaussian_pixels(x_HWC: npt.NDArray[np.uint8], generator: np.random.Generator) -> npt.NDArray[np.uint8]:
    """Values from N(mean, variance) of the picture's own values, rounded and cut to 0 … 255: [H, W] or [H, W, C]."""
    drawn_HWC = generator.normal(x_HWC.mean(), x_HWC.std(), x_HWC.shape)
    return np.rint(drawn_HWC).clip(0, 255).astype(np.uint8)


def _draw_kinds(count: int, rates: Rates, generator: np.random.Generator) -> list[str]:
    kinds = ["clean"] * count
    order = generator.permutation(count).tolist()
    for kind in TRUE_KINDS[:-1]:
        taken, order = np.split(np.array(order, dtype=np.int64), [round(getattr(rates, kind) * count)])
        for position in taken.tolist():
            kinds[position] = kind
    return kinds


def _write_picture(
    catalogue: Catalogue, sample: int, images: Path, kind: str, seed: int, generator: np.random.Generator
) -> str:
    """The path of the picture below the folder of pictures."""
    path = Path(catalogue.paths[sample])
    source = catalogue.root / path
    if kind not in ("shuffled", "gaussian"):
        (images / path).parent.mkdir(parents=True, exist_ok=True)
        with contextlib.suppress(FileExistsError):
            try:
                os.link(source, images / path)
            except OSError as error:  # another disk, or links are not allowed
                if isinstance(error, FileExistsError):
                    raise
                shutil.copyfile(source, images / path)
        return path.as_posix()
    path = path.with_name(f"{path.stem}-{sample}.png")
    (images / path).parent.mkdir(parents=True, exist_ok=True)
    with Image.open(source) as image:
        x_HWC = np.asarray(image.convert("L" if image.mode in ("1", "L", "I;16") else "RGB"))
    spoiled_HWC = shuffle_pixels(x_HWC, seed) if kind == "shuffled" else gaussian_pixels(x_HWC, generator)
    Image.fromarray(spoiled_HWC).save(images / path, compress_level=1)
    return path.as_posix()
