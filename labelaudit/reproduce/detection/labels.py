"""Labels that are wrong on purpose, and which of some given labels are wrong.

Shapes: N samples.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from labelaudit.cells import csv_lines
from labelaudit.data.catalogue import Catalogue
from labelaudit.data.noise import LabelArray, NoiseName, flip_labels
from labelaudit.errors import DataError, RunError
from labelaudit.run.files import write_lines


def noisy_labels(
    catalogue: Catalogue, *, kind: NoiseName, rate: float, seed: int, among: tuple[int, int] = (0, 1)
) -> LabelArray:
    """The labels with planted errors, an exact share of them: [N]; equal arguments give equal ones."""
    generator = np.random.default_rng([seed, round(rate * 1_000_000)])
    classes = len(catalogue.classes)
    return flip_labels(catalogue.label_N, classes=classes, kind=kind, rate=rate, generator=generator, among=among)


def write_noisy_labels(
    catalogue: Catalogue, file: Path, *, kind: NoiseName, rate: float, seed: int, among: tuple[int, int] = (0, 1)
) -> None:
    """Write ``path,label`` with planted errors; equal arguments give equal files.

    Raises:
        StorageError: the file cannot be written.
    """
    write_lines(file, _lines(catalogue, noisy_labels(catalogue, kind=kind, rate=rate, seed=seed, among=among)))


def keep_noisy_labels(
    catalogue: Catalogue, file: Path, *, kind: NoiseName, rate: float, seed: int, among: tuple[int, int] = (0, 1)
) -> None:
    """The same, but a file that is there already stays as it is.

    Raises:
        RunError: it holds other labels.
        StorageError: the file cannot be written.
    """
    if not file.exists():
        write_noisy_labels(catalogue, file, kind=kind, rate=rate, seed=seed, among=among)
        return
    wanted = "".join(_lines(catalogue, noisy_labels(catalogue, kind=kind, rate=rate, seed=seed, among=among)))
    if file.read_bytes() != wanted.encode():
        raise RunError(
            f"{file} holds other labels: the data, or the classes that are confused, have changed since",
            fix=f"delete {file.parent}, or give another --out",
        )


def write_truth(catalogue: Catalogue, file: Path) -> None:
    """Write ``path,label`` as the catalogue has them."""
    write_lines(file, _lines(catalogue, catalogue.label_N))


def true_labels(given: Catalogue, truth: Catalogue) -> LabelArray:
    """The true label of each given sample, as a number among the given classes; −1 for a class that is not there: [N].

    Args:
        given: Samples with the labels that were audited.
        truth: The same pictures, or more, with the right ones; its classes may be others.

    Raises:
        DataError: a sample has no true label.
    """
    number_of = {name: number for number, name in enumerate(given.classes)}
    true_of = dict(zip(truth.paths, truth.label_N.tolist(), strict=True))
    missing = [path for path in given.paths if path not in true_of]
    if missing:
        raise DataError(
            f"{len(missing)} of {len(given)} labelled images have no true label, the first is {missing[0]!r}",
            fix="give the truth for every image, or leave these out of the labels",
        )
    return np.array([number_of.get(truth.classes[true_of[path]], -1) for path in given.paths], dtype=np.int32)


def _lines(catalogue: Catalogue, label_N: LabelArray) -> Iterator[str]:
    labels = (catalogue.classes[label] for label in label_N)
    return csv_lines(("path", "label"), zip(catalogue.paths, labels, strict=True))
