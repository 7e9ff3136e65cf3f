"""Which images of a corrupted copy are spoiled, how, and under which names they go there.

Shapes: N samples, U of them used, S chosen for one kind.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.noise import choose_samples, draw_labels
from labelaudit.errors import UsageError
from labelaudit.names import CorruptionName
from labelaudit.relabel.names import free_path

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
