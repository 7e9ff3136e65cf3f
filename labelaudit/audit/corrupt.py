"""A copy of a data folder in which labels or pictures are spoiled on purpose, and the truth about it.

The copy grows in a folder beside its place and gets its name when it is whole; what an interrupted call left there is
thrown away by the next one.

Shapes: H height, W width, C channels.
"""

from __future__ import annotations

import os
import shutil
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labelaudit import __version__
from labelaudit.cells import csv_lines
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.folder import read_file, scan
from labelaudit.data.images import UnreadableImageError, decode_whole
from labelaudit.data.noise import choose_samples, draw_labels
from labelaudit.data.rendering import Rendering
from labelaudit.errors import UsageError
from labelaudit.names import CorruptionName
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.names import free_path
from labelaudit.run.files import flush_folder, link_or_copy, storage_errors, write_json, write_lines
from labelaudit.run.lock import held

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


INPUT_KINDS = ("shuffle-pixels", "gaussian")
"""The kinds that spoil pictures; the others spoil labels."""


@dataclass(frozen=True, kw_only=True)
class Corruption:
    """One kind of damage, and the share of the readable images that it is done to."""

    kind: CorruptionName
    rate: float


@dataclass(frozen=True, kw_only=True)
class CorruptOptions:
    """What is asked for.

    Attributes:
        corruptions: No image gets two of them.
        seed: For all draws.
        exact: Spoil round(rate · images); otherwise each image on its own with that probability.
        most: Copy at most so many readable images, drawn by the seed, of each class its share; None for all.
    """

    corruptions: Sequence[Corruption]
    seed: int = 0
    exact: bool = True
    most: int | None = None


@dataclass(kw_only=True)
class CopiedImage:
    """One image of the copy.

    Attributes:
        number: Its row in the catalogue.
        source, path: Where it lies in the data folder, and in the copy.
        label, observed: Its class in each.
        kind: What is done to it; empty for nothing.
        changed: Whether it is other than before; of a spoiled picture known once that is made.
    """

    number: int
    source: str
    path: str
    label: str
    observed: str
    kind: str = ""
    changed: bool = False


def plan_copy(catalogue: Catalogue, options: CorruptOptions) -> tuple[list[CopiedImage], int]:
    """What becomes of each image, and how many have no name that can be written.

    Raises:
        UsageError: one class only, where labels are to be wrong.
    """
    classes = catalogue.classes
    if len(classes) < 2 and any(corruption.kind not in INPUT_KINDS for corruption in options.corruptions):
        raise UsageError(f"{catalogue.root} has one class only, so there is no wrong label", fix="give more classes")
    used = np.flatnonzero(catalogue.readable_N)
    if options.most is not None:
        used = _draw_part(catalogue.label_N[used], used, options.most, options.seed)
    others = [] if options.most is not None else np.flatnonzero(~catalogue.readable_N).tolist()
    named = [number for number in others if os.path.lexists(catalogue.root / catalogue.paths[number])]
    images = [
        CopiedImage(
            number=number,
            source=catalogue.paths[number],
            path=catalogue.paths[number],
            label=classes[catalogue.label_N[number]],
            observed=classes[catalogue.label_N[number]],
        )
        for number in sorted([*used.tolist(), *named])
    ]
    by_number = {image.number: image for image in images}
    generator = np.random.default_rng([options.seed, 0])
    rates = [corruption.rate for corruption in options.corruptions]
    chosen_U = choose_samples(len(used), rates, generator=generator, exact=options.exact)
    taken = {_folded(path) for path in catalogue.paths}
    for which, corruption in enumerate(options.corruptions):
        numbers = used[chosen_U == which]
        label_S = catalogue.label_N[numbers]
        if corruption.kind in ("uniform", "pair-flip", "random-labels"):
            label_S = draw_labels(label_S, classes=len(classes), kind=corruption.kind, generator=generator)
        for number, label in zip(numbers.tolist(), label_S.tolist(), strict=True):
            image = by_number[number]
            image.kind, image.observed = corruption.kind, classes[label]
            image.changed = image.observed != image.label
            image.path = _new_path(image, taken)
    return images, len(others) - len(named)


def _draw_part(
    label_U: npt.NDArray[np.int32], used: npt.NDArray[np.intp], most: int, seed: int
) -> npt.NDArray[np.intp]:
    """At most so many of the samples: of each class its share, drawn by the seed, in their order."""
    order = np.random.default_rng([seed, 1]).permutation(len(used))
    # Of each class, the first in the order stand at even distances from 0 to 1, and so do the classes' shares.
    place_U = np.empty(len(used))
    for label in np.unique(label_U):
        of_class = order[label_U[order] == label]
        place_U[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    part: npt.NDArray[np.intp] = np.sort(used[np.argsort(place_U, kind="stable")[:most]])
    return part


def _new_path(image: CopiedImage, taken: set[str]) -> str:
    """Where a chosen image goes, at a name that no other image of the data folder or of the copy has."""
    if image.kind in INPUT_KINDS:
        path = os.path.splitext(image.source)[0] + ".png"
    else:
        path = image.observed + image.source[len(image.label) :]
    if path == image.source:
        return path
    path = free_path(path, lambda other: _folded(other) in taken)
    taken.add(_folded(path))
    return path


def _folded(path: str) -> str:
    return path.casefold()  # some file systems take names for equal that differ in case only


TRUTH_FILE = "truth.csv"
"""In the copy, beside the class folders: what every image was and is."""

SETTINGS_FILE = "corruption.json"
"""Beside it: how it was made."""

_TRUTH = ("path", "label", "observed_label", "selected", "changed", "kind", "source")


@dataclass(frozen=True, kw_only=True)
class Corrupted:
    """What a copy holds.

    Attributes:
        images: Number of images.
        selected: Number of images that each kind was done to.
        changed: Number of those that are other than before: a random label can be the right one.
        linked: Number of files that are hard links to those of the data folder.
        left_out: Number of files without a usable name.
    """

    images: int
    selected: dict[str, int]
    changed: dict[str, int]
    linked: int
    left_out: int


def corrupt(data: Path, out: Path, options: CorruptOptions, reporter: Reporter = QUIET) -> Corrupted:
    """Write a corrupted copy of a data folder; equal arguments give equal pictures, paths and truth.

    Args:
        data: ``data/<class>/…/<image>``, rightly labelled.
        out: Gets the class folders, ``truth.csv`` and ``corruption.json``; must not be there, or be empty.
        options: What is asked for.
        reporter: Told about the progress.

    Raises:
        UsageError: options that contradict each other or the data, or a place that is not free.
        DataError: the folder cannot be used.
        RunError: another process writes this copy.
        StorageError: the disk is full, read-only or out of reach.
    """
    _check(data, out, options)
    catalogue = scan(data, reporter=reporter)
    images, left_out = plan_copy(catalogue, options)
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    with held(_beside(out, "lock"), out):
        _require_free(out)
        growing, half = _beside(out, "partial"), _beside(out, "file")
        with storage_errors(out):
            shutil.rmtree(growing, ignore_errors=True)
            growing.mkdir()
            linked = _fill(catalogue, images, growing, half, options.seed, reporter)
            corrupted = _count(images, options, linked, left_out)
            write_lines(growing / TRUTH_FILE, _truth(images))
            write_json(growing / SETTINGS_FILE, _settings(catalogue, options, corrupted))
            os.sync()  # all contents at once: flushing each file would take longer than writing it
            growing.rename(out)
            flush_folder(out.parent)
    return corrupted


def _check(data: Path, out: Path, options: CorruptOptions) -> None:
    kinds = [corruption.kind for corruption in options.corruptions]
    twice = [kind for kind in kinds if kinds.count(kind) > 1]
    if twice:
        raise UsageError(f"--kind {twice[0]} is given twice", fix="give each kind once, with its whole rate")
    for corruption in options.corruptions:
        if not 0 <= corruption.rate <= 1:
            raise UsageError(f"--rate {corruption.rate:g} is no share", fix="give a number from 0 to 1")
    if sum(corruption.rate for corruption in options.corruptions) > 1 + 1e-9:
        raise UsageError("the rates are together more than 1", fix="no image gets two kinds: give smaller rates")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed} is negative", fix="give 0 or more")
    if (data / SETTINGS_FILE).exists():
        raise UsageError(
            f"{data} is a corrupted copy already, and its labels are not the right ones",
            fix="corrupt the original folder, with all kinds in one call: --kind and --rate may be repeated",
        )
    place, root = out.resolve(), data.resolve()
    if place == root or root in place.parents or place in root.parents:
        raise UsageError(f"{out} and {data} lie in each other", fix="give a place beside the data folder")
    _require_free(out)


def _require_free(out: Path) -> None:
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} is there already", fix="give a new folder: nothing is overwritten")


def _fill(
    catalogue: Catalogue, images: Sequence[CopiedImage], growing: Path, half: Path, seed: int, reporter: Reporter
) -> int:
    """Put every image at its place, and give the number of hard links."""
    for name in catalogue.classes:
        (growing / name).mkdir(exist_ok=True)
    linked = 0
    with reporter.bar("Writing images", len(images), "images") as advance:
        for image in images:
            place = growing / image.path
            place.parent.mkdir(parents=True, exist_ok=True)
            source = Path(os.path.realpath(catalogue.root / image.source))
            try:
                spoiled = _spoiled(source, image, seed, catalogue.rendering) if image.kind in INPUT_KINDS else None
            except UnreadableImageError as error:
                reporter.warn(f"{image.source} stays as it is: {error}")
                image.path, spoiled = image.source, None
                place = growing / image.path
            if spoiled is None:
                linked += link_or_copy(source, place, half)
            else:
                Image.fromarray(spoiled if spoiled.shape[2] == 3 else spoiled[:, :, 0]).save(place, "PNG")
            advance(1)
    return linked


def _spoiled(source: Path, image: CopiedImage, seed: int, rendering: Rendering) -> UInt8Array:
    pixels_HWC = decode_whole(read_file(source), rendering)
    spoiled = _SPOIL[image.kind](pixels_HWC, seed, image.number)
    image.changed = not np.array_equal(spoiled, pixels_HWC)
    return spoiled


def _shuffled(pixels_HWC: UInt8Array, seed: int, _number: int) -> UInt8Array:
    height, width, _ = pixels_HWC.shape
    return shuffle_pixels(pixels_HWC, draw_permutation(height, width, seed=seed))


def _gaussian(pixels_HWC: UInt8Array, seed: int, number: int) -> UInt8Array:
    # A generator for each picture: what is drawn for it depends on no other.
    return gaussian_pixels(pixels_HWC, np.random.default_rng([seed, 2, number]))


_SPOIL = {"shuffle-pixels": _shuffled, "gaussian": _gaussian}


def _count(images: Sequence[CopiedImage], options: CorruptOptions, linked: int, left_out: int) -> Corrupted:
    selected = Counter(image.kind for image in images)
    changed = Counter(image.kind for image in images if image.changed)
    kinds = [corruption.kind for corruption in options.corruptions]
    return Corrupted(
        images=len(images),
        selected={kind: selected[kind] for kind in kinds},
        changed={kind: changed[kind] for kind in kinds},
        linked=linked,
        left_out=left_out,
    )


def _truth(images: Sequence[CopiedImage]) -> Iterator[str]:
    rows = (
        (image.path, image.label, image.observed, int(bool(image.kind)), int(image.changed), image.kind, image.source)
        for image in sorted(images, key=lambda image: image.path)
    )
    return csv_lines(_TRUTH, rows)


def _settings(catalogue: Catalogue, options: CorruptOptions, corrupted: Corrupted) -> dict[str, object]:
    return {
        "labelaudit": __version__,
        "generator": f"numpy {np.__version__} PCG64",
        "seed": options.seed,
        "draws": "exact" if options.exact else "independent",
        "source": str(catalogue.root.resolve()),
        "source_fingerprint": catalogue.fingerprint,
        "most": options.most,
        "images": corrupted.images,
        "corruptions": [
            {
                "kind": corruption.kind,
                "rate": corruption.rate,
                "selected": corrupted.selected[corruption.kind],
                "changed": corrupted.changed[corruption.kind],
            }
            for corruption in options.corruptions
        ],
    }


def _beside(out: Path, what: str) -> Path:
    return out.absolute().with_name(f".{out.absolute().name}.labelaudit-{what}")
