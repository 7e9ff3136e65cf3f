"""The list of samples in a folder, and what ties an audit to it.

Shapes: N samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.data.rendering import PLAIN, Rendering
from labelaudit.errors import DataError

Int32Array = npt.NDArray[np.int32]
BoolArray = npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Every sample of a folder; a sample's number is its row here and in every file of a run.

    Attributes:
        root: The image folder.
        classes: Class names, sorted; a label is an index into them.
        paths: N paths below ``root`` with ``/`` between the parts.
        label_N: The given label of each sample.
        width_N: Width in pixels as displayed; 0 where unreadable.
        height_N: Height in pixels as displayed; 0 where unreadable.
        grey_N: True for images without colour channels.
        sha256: N hex digests of the files' content; empty where a file could not be read.
        reasons: N texts: why a sample was set aside; empty for those that are used.
        skipped_files: Number of files that are no images by their name.
        rendering: How the images become 8-bit.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    label_N: Int32Array
    width_N: Int32Array
    height_N: Int32Array
    grey_N: BoolArray
    sha256: tuple[str, ...]
    reasons: tuple[str, ...]
    skipped_files: int = 0
    rendering: Rendering = PLAIN

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def readable_N(self) -> BoolArray:
        """True for samples that take part in the audit."""
        return np.array([not reason for reason in self.reasons], dtype=bool)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over paths, labels and content hashes: equal for equal data, wherever it lies."""
        digest = hashlib.sha256()
        for path, label, content in zip(self.paths, self.label_N, self.sha256, strict=True):
            digest.update(f"{path}\0{self.classes[label]}\0{content}\n".encode())
        return digest.hexdigest()

    @property
    def median_short_side(self) -> int:
        """Median over the readable images of the shorter side, in pixels."""
        short_N = np.minimum(self.width_N, self.height_N)[self.readable_N]
        return int(np.median(short_N)) if len(short_N) else 0

    @property
    def is_grey(self) -> bool:
        """True when no readable image has colour channels."""
        return bool(self.grey_N[self.readable_N].all())

    def set_aside(self, reasons: Mapping[int, str]) -> Catalogue:
        """A catalogue in which the samples with these numbers are unreadable for these reasons."""
        if not reasons:
            return self
        merged = list(self.reasons)
        for sample, reason in reasons.items():
            merged[sample] = merged[sample] or reason
        return replace(self, reasons=tuple(merged))


def require_trainable(catalogue: Catalogue) -> None:
    """Refuse data that no classifier can be trained on.

    Raises:
        DataError: no readable image, fewer than two classes, or a class with fewer than two readable images.
    """
    root, readable_N = catalogue.root, catalogue.readable_N
    if not readable_N.any():
        first = next((f" ({p}: {r})" for p, r in zip(catalogue.paths, catalogue.reasons, strict=True) if r), "")
        raise DataError(
            f"none of the {len(catalogue)} images in {root} can be read{first}",
            fix="check that the files are images and that you may read them",
        )
    if len(catalogue.classes) < 2:
        raise DataError(
            f"{root} has one class only ({catalogue.classes[0]!r})",
            fix="an audit compares classes: give a folder with at least two class folders",
        )
    count_K = np.bincount(catalogue.label_N[readable_N], minlength=len(catalogue.classes))
    few = [catalogue.classes[k] for k in np.flatnonzero(count_K < 2)]
    if few:
        names = ", ".join(repr(name) for name in few[:3]) + (f" and {len(few) - 3} more" if len(few) > 3 else "")
        raise DataError(
            f"{root}: fewer than two readable images in class {names}",
            fix="a label can only be judged from other images of its class: add images, or take the class out",
        )
