"""The data of one column and seed: some images, their noisy labels, and the truth.

Shapes: N samples.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from labelaudit.audit.model import Data
from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import RunError
from labelaudit.reproduce.detection.labels import keep_noisy_labels, write_truth
from labelaudit.reproduce.detection.settings import Setting
from labelaudit.run.files import storage_errors


@dataclass(frozen=True, kw_only=True)
class NoisyData:
    """What is trained on.

    Attributes:
        data: The images and their noisy labels.
        truth_csv: Their true labels.
        images: How many.
        rate: The share of wrong labels, exactly.
    """

    data: Data
    truth_csv: Path
    images: int
    rate: float


def choose(catalogue: Catalogue, count: int, seed: int) -> Catalogue:
    """Some readable images, drawn at random; all of them when there are no more.

    Args:
        catalogue: All images.
        count: How many are wanted.
        seed: Of the draw.
    """
    readable = np.flatnonzero(catalogue.readable_N)
    rows = np.sort(np.random.default_rng([seed, count]).permutation(readable)[:count])
    return replace(
        catalogue,
        paths=tuple(catalogue.paths[row] for row in rows),
        label_N=catalogue.label_N[rows],
        width_N=catalogue.width_N[rows],
        height_N=catalogue.height_N[rows],
        grey_N=catalogue.grey_N[rows],
        sha256=tuple(catalogue.sha256[row] for row in rows),
        reasons=tuple(catalogue.reasons[row] for row in rows),
    )


def plant(setting: Setting, clean: Catalogue, folder: Path, *, subset: int, seed: int) -> NoisyData:
    """Write the labels of a setting: ``<noise>-seed<seed>.csv`` and ``truth.csv``.

    Args:
        setting: Which noise; see `labelaudit.reproduce.detection.settings.parse_noise`.
        clean: All images with right labels.
        folder: Gets the files.
        subset: How many images are drawn.
        seed: Of images and noise.

    Raises:
        RunError: the folder holds labels of other images.
        StorageError: the folder may not be written to, or is full.
    """
    noise = setting.planted
    if noise is None:
        raise ValueError(f"{setting.name} plants nothing")
    chosen = choose(clean, subset, seed)
    with storage_errors(folder):
        folder.mkdir(parents=True, exist_ok=True)
    labels, truth = folder / f"{setting.folder_name}-seed{seed}.csv", folder / "truth.csv"
    try:
        keep_noisy_labels(chosen, labels, kind=noise.kind, rate=noise.rate, seed=seed, among=noise.among)
    except RunError as error:
        raise RunError(error.what, fix=f"delete {folder}, or give another --out or the --subset of before") from error
    write_truth(chosen, truth)
    wrong = round(noise.rate * len(chosen.paths))
    return NoisyData(
        data=Data(root=clean.root, labels_file=labels),
        truth_csv=truth,
        images=len(chosen.paths),
        rate=wrong / len(chosen.paths),
    )
