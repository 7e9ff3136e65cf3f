"""Write a copy of a data folder with corrupted labels or images, and the truth about it.

Shapes: H height, W width, C channels, P pixels.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image

from labelaudit import __version__
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.containers import read_file
from labelaudit.data.folder import scan
from labelaudit.data.images import UnreadableImageError, decode_whole
from labelaudit.data.noise import choose_samples, draw_labels
from labelaudit.detect.images import UInt8Array
from labelaudit.errors import UsageError
from labelaudit.names import CorruptionName
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.relabel import HALF, growing, require_apart, require_new
from labelaudit.review.tree import free_path
from labelaudit.run.files import link_or_copy, write_json, write_lines
from labelaudit.text import csv_lines, folded, plural

TRUTH_FILE, SETTINGS_FILE = "truth.csv", "corruption.json"
"""In the copy, beside the class folders: the truth about every image, and how the copy was made."""

INPUT_KINDS = ("shuffle-pixels", "gaussian")
"""The kinds that corrupt images; the others corrupt labels."""

_TRUTH = ("path", "label", "observed_label", "selected", "changed", "kind", "source")


def draw_permutation(height: int, width: int, *, seed: int) -> npt.NDArray[np.int64]:
    """Draw where each pixel of a shuffled image comes from: int64 [P], equal for equal arguments."""
    return np.random.default_rng([seed, height, width]).permutation(height * width)


def shuffle_pixels(pixels_HWC: UInt8Array, from_P: npt.NDArray[np.int64]) -> UInt8Array:
    """Return the image with its pixels, row by row, moved by a permutation; ``from_P.argsort()`` moves them back."""
    return pixels_HWC.reshape(-1, pixels_HWC.shape[2])[from_P].reshape(pixels_HWC.shape)


def gaussian_pixels(pixels_HWC: UInt8Array, generator: np.random.Generator) -> UInt8Array:
    """Draw pixels from the Gaussian that has the mean and variance of the image's values, clipped to 0 … 255.

    That leaves .96 of the standard deviation on CIFAR-10, and .80 on Fashion-MNIST, where the mean rises by 7.6.
    """
    values = generator.normal(pixels_HWC.mean(), pixels_HWC.std(), size=pixels_HWC.shape)
    return np.clip(np.round(values), 0, 255).astype(np.uint8)


@dataclass(frozen=True, kw_only=True)
class CorruptOptions:
    """The options of `corrupt`: each kind of corruption, and the share of the readable images that it changes.

    No image gets two. With ``exact`` round(rate · images) are corrupted; otherwise each image on its own with that
    probability. ``most`` readable images are copied at most, of each class its share.
    """

    corruptions: Mapping[CorruptionName, float]
    seed: int = 0
    exact: bool = True
    most: int | None = None


@dataclass(kw_only=True)
class CopiedImage:
    """An image of the copy: its row in the catalogue, path and class there and in the copy; ``kind`` of corruption."""

    number: int
    source: str
    path: str
    label: str
    observed: str
    kind: str = ""
    changed: bool = False


def corrupt(data: Path, out: Path, options: CorruptOptions, reporter: Reporter = QUIET) -> None:
    """Write a corrupted copy of a data folder; equal arguments give equal images, paths and truth.

    ``data`` is ``data/<class>/…/<image>``, rightly labeled. ``out``, new or empty, gets the class folders,
    ``truth.csv`` and ``corruption.json``. A random label can be the right one: fewer are changed than chosen.

    Raises:
        UsageError: options that contradict each other or the data, or a place that is not free.
        DataError, RunError, StorageError: a folder that cannot be used, another writer, a disk that fails.
    """
    _check(data, out, options)
    catalogue = scan(data, reporter=reporter)
    if catalogue.fixed:
        raise UsageError(f"{data} has no class folders of files, of which a copy is made", fix="unpack it into some")
    images, left_out = plan_copy(catalogue, options)
    if left_out:
        reporter.warn(f"{plural(left_out, 'file is', 'files are')} left out: names must be valid UTF-8")
    with growing(out) as folder:
        linked = _write_images(catalogue, images, folder, options.seed, reporter)
        of_kind = {kind: [image for image in images if image.kind == kind] for kind in options.corruptions}
        selected = {kind: len(chosen) for kind, chosen in of_kind.items()}
        changed = {kind: sum(image.changed for image in chosen) for kind, chosen in of_kind.items()}
        rows = (
            (each.path, each.label, each.observed, int(bool(each.kind)), int(each.changed), each.kind, each.source)
            for each in sorted(images, key=lambda image: image.path)
        )
        write_lines(folder / TRUTH_FILE, csv_lines(_TRUTH, rows))
        settings = {
            "labelaudit": __version__,
            "generator": f"numpy {np.__version__} PCG64",
            "seed": options.seed,
            "draws": "exact" if options.exact else "independent",
            "source": str(catalogue.root.resolve()),
            "source_fingerprint": catalogue.fingerprint,
            "most": options.most,
            "images": len(images),
            "corruptions": [
                {"kind": kind, "rate": rate, "selected": selected[kind], "changed": changed[kind]}
                for kind, rate in options.corruptions.items()
            ],
        }
        write_json(folder / SETTINGS_FILE, settings)
    for kind, count in selected.items():
        chosen, share = plural(count, "image"), count / len(images)
        reporter.say(f"{kind}: {chosen} chosen ({share:.2%}), {changed[kind]:,} of them changed")
    reporter.say(f"{plural(len(images), 'image')}, {linked:,} of them hard links. Truth: {out / TRUTH_FILE}")


def _check(data: Path, out: Path, options: CorruptOptions) -> None:
    rates = options.corruptions.values()
    if wrong := [rate for rate in rates if not 0 <= rate <= 1]:
        raise UsageError(f"--rate {wrong[0]:g} is no share", fix="give a number from 0 to 1")
    if sum(rates) > 1 + 1e-9:
        raise UsageError("the rates are together more than 1", fix="no image gets two kinds: give smaller rates")
    if options.seed < 0:
        raise UsageError(f"--seed {options.seed} is negative", fix="give 0 or more")
    if (data / SETTINGS_FILE).exists():
        fix = "corrupt the original folder, with all kinds in one call: --kind and --rate may be repeated"
        raise UsageError(f"{data} is already a corrupted copy, and its labels are not the right ones", fix=fix)
    require_apart(out, data)
    require_new(out)


def plan_copy(catalogue: Catalogue, options: CorruptOptions) -> tuple[list[CopiedImage], int]:
    """Return what happens to each image, and how many have no usable name."""
    classes = catalogue.classes
    if len(classes) < 2 and not set(options.corruptions) <= set(INPUT_KINDS):
        raise UsageError(f"{catalogue.root} has one class only, so there is no wrong label", fix="give more classes")
    used = np.flatnonzero(catalogue.used_N)
    others = np.flatnonzero(~catalogue.used_N).tolist()
    if options.most is not None:
        used, others = used[_draw_part(catalogue.label_N[used], options.most, options.seed)], []
    named = [number for number in others if os.path.lexists(catalogue.root / catalogue.paths[number])]
    images = {}
    for number in sorted([*used.tolist(), *named]):
        path, label = catalogue.paths[number], classes[catalogue.label_N[number]]
        images[number] = CopiedImage(number=number, source=path, path=path, label=label, observed=label)
    generator = np.random.default_rng([options.seed, 0])
    rates = list(options.corruptions.values())
    chosen_U = choose_samples(len(used), rates, generator=generator, exact=options.exact)
    taken = {folded(path) for path in catalogue.paths}
    for which, kind in enumerate(options.corruptions):
        numbers = used[chosen_U == which]
        label_S = catalogue.label_N[numbers]
        if kind in ("uniform", "pair-flip", "random-labels"):
            label_S = draw_labels(label_S, classes=len(classes), kind=kind, generator=generator)
        for number, label in zip(numbers.tolist(), label_S.tolist(), strict=True):
            image = images[number]
            image.kind, image.observed = kind, classes[label]
            image.changed = image.observed != image.label
            image.path = _new_path(image, taken)
    return list(images.values()), len(others) - len(named)


def _draw_part(label_U: npt.NDArray[np.int32], most: int, seed: int) -> npt.NDArray[np.intp]:
    """Draw at most so many of U samples by the seed, of each class its share: their places, rising."""
    order = np.random.default_rng([seed, 1]).permutation(len(label_U))
    # Of each class, the first in the order stand at even distances from 0 to 1, and so do the classes' shares.
    place_U = np.empty(len(label_U))
    for label in np.unique(label_U):
        of_class = order[label_U[order] == label]
        place_U[of_class] = (np.arange(len(of_class)) + 0.5) / len(of_class)
    return np.sort(np.argsort(place_U, kind="stable")[:most])


def _new_path(image: CopiedImage, taken: set[str]) -> str:
    """Return the path of a chosen image in the copy, which no other image of the data folder or of the copy has."""
    name = image.source[len(image.label) :]
    path = image.observed + (os.path.splitext(name)[0] + ".png" if image.kind in INPUT_KINDS else name)
    if path != image.source:
        path = free_path(path, lambda other: folded(other) in taken)
        taken.add(folded(path))
    return path


def _write_images(
    catalogue: Catalogue, images: Sequence[CopiedImage], folder: Path, seed: int, reporter: Reporter
) -> int:
    """Write every image, and return the number of hard links."""
    for name in catalogue.classes:
        (folder / name).mkdir(exist_ok=True)
    linked = 0
    with reporter.bar("Writing images", len(images), "images") as advance:
        for image in images:
            source = Path(os.path.realpath(catalogue.root / image.source))
            pixels_HWC = None
            if image.kind in INPUT_KINDS:
                try:
                    clean_HWC = decode_whole(read_file(source), catalogue.rendering)
                    if image.kind == "gaussian":
                        # A generator for each image: its draws depend on no other image.
                        pixels_HWC = gaussian_pixels(clean_HWC, np.random.default_rng([seed, 2, image.number]))
                    else:
                        pixels_HWC = shuffle_pixels(clean_HWC, draw_permutation(*clean_HWC.shape[:2], seed=seed))
                    image.changed = not np.array_equal(pixels_HWC, clean_HWC)
                except UnreadableImageError as error:
                    reporter.warn(f"{image.source} is not changed: {error}")
                    image.path = image.source
            place = folder / image.path
            place.parent.mkdir(parents=True, exist_ok=True)
            if pixels_HWC is None:
                linked += link_or_copy(source, place, folder / HALF)
            else:
                Image.fromarray(pixels_HWC if pixels_HWC.shape[2] == 3 else pixels_HWC[:, :, 0]).save(place, "PNG")
            advance(1)
    return linked
