"""A copy of a folder in which some labels are wrong and some pictures are spoiled, and which they are.

Shapes: N samples, H height, W width, C channels.
"""

from __future__ import annotations

import contextlib
import csv
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from PIL import Image

from labelaudit.audit.corrupt import draw_permutation, gaussian_pixels, shuffle_pixels
from labelaudit.cells import csv_lines, unguarded
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import read_file
from labelaudit.data.images import decode_whole
from labelaudit.engine.order import derive_seed
from labelaudit.errors import RunError
from labelaudit.run.files import link_or_copy, storage_errors, write_lines

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
            link_or_copy(source, images / path, images / path.with_name(f".{path.name}.half"))
        return path.as_posix()
    path = path.with_name(f"{path.stem}-{sample}.png")
    (images / path).parent.mkdir(parents=True, exist_ok=True)
    x_HWC = decode_whole(read_file(source), catalogue.rendering)
    if kind == "shuffled":
        spoiled_HWC = shuffle_pixels(x_HWC, draw_permutation(*x_HWC.shape[:2], seed=derive_seed(seed, "shuffle")))
    else:
        spoiled_HWC = gaussian_pixels(x_HWC, generator)
    Image.fromarray(spoiled_HWC.squeeze()).save(images / path, compress_level=1)
    return path.as_posix()
