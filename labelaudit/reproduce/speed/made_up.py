"""A run folder of any size whose records are drawn instead of trained, and scores of several shapes.

Shapes: N samples.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Catalogue
from labelaudit.run.documents import TRAINED
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, write_epoch
from labelaudit.run.tables import write_samples

FloatArray = npt.NDArray[np.float64]

CLASSES = 10
WRONG = 0.1
"""The share of samples whose loss stays high for long."""

_USUAL_ALTERNATIVE = 0.85
"""How often the strongest other class of a sample is always the same one."""


def write_run(run: RunFolder, *, samples: int, epochs: int, seed: int = 0) -> None:
    """Write the run folder of a trained probe: distinct paths and contents, 10 classes, 10% wrong labels."""
    generator = np.random.default_rng([seed, 0])
    catalogue = _catalogue(samples, generator)
    run.root.mkdir(parents=True)
    write_samples(run.samples, catalogue)
    for record in _records(catalogue.label_N, epochs, seed):
        write_epoch(run.losses, record)
    run.write_description(
        {
            "status": TRAINED,
            "data": {
                "root": str(catalogue.root),
                "labels_file": None,
                "fingerprint": catalogue.fingerprint,
                "classes": list(catalogue.classes),
                "samples": samples,
                "readable": samples,
            },
            "settings": {"epochs": epochs, "members": 1},
        }
    )


def _catalogue(samples: int, generator: np.random.Generator) -> Catalogue:
    classes = tuple(f"class-{number}" for number in range(CLASSES))
    label_N = np.sort(generator.integers(0, CLASSES, samples, dtype=np.int32))
    side_N = np.full(samples, 32, dtype=np.int32)
    return Catalogue(
        root=Path("/made-up"),
        classes=classes,
        paths=tuple(f"{classes[label]}/{number:08d}.png" for number, label in enumerate(label_N.tolist())),
        label_N=label_N,
        width_N=side_N,
        height_N=side_N,
        grey_N=np.zeros(samples, dtype=bool),
        sha256=tuple(hashlib.sha256(b"%d" % number).hexdigest() for number in range(samples)),
        reasons=("",) * samples,
    )


def _records(label_N: npt.NDArray[np.int32], epochs: int, seed: int) -> Iterator[EpochLosses]:
    """Margins that grow with the epochs, those of wrong labels after having fallen; losses that follow from them."""
    samples = len(label_N)
    generator = np.random.default_rng([seed, 1])
    wrong_N = generator.random(samples) < WRONG
    ease_N = generator.gamma(4.0, 0.25, samples).astype(np.float32)
    usual_N = _other_class(label_N, generator)
    sample_N = np.arange(samples, dtype=np.int32)
    for epoch in range(epochs):
        generator = np.random.default_rng([seed, 2, epoch])
        learned = np.sqrt((epoch + 1) / epochs)
        slope_N = np.where(wrong_N, np.float32(-5 * learned * (1 - learned**2 / 2)), np.float32(7 * learned))
        margin_N = ease_N * slope_N + np.float32(1.2) * generator.standard_normal(samples, dtype=np.float32)
        # p_y = 1 / (1 + e^−m (1 + s)), where s is what the other classes have beside the strongest of them.
        rest_N = generator.random(samples, dtype=np.float32)
        loss_N = np.logaddexp(np.float32(0), np.log1p(rest_N) - margin_N)
        usual = generator.random(samples, dtype=np.float32) < _USUAL_ALTERNATIVE
        alternative_N = np.where(usual, usual_N, _other_class(label_N, generator))
        yield EpochLosses(
            epoch=epoch,
            sample_R=sample_N,
            loss_R=loss_N,
            margin_R=margin_N,
            predicted_R=np.where(margin_N > 0, label_N, alternative_N),
            alternative_R=alternative_N,
        )


def _other_class(label_N: npt.NDArray[np.int32], generator: np.random.Generator) -> npt.NDArray[np.int32]:
    return (label_N + generator.integers(1, CLASSES, len(label_N), dtype=np.int32)) % CLASSES


def _two_normals(share: float, gap: float, std: float) -> Callable[[int, np.random.Generator], FloatArray]:
    def draw(count: int, generator: np.random.Generator) -> FloatArray:
        high_N = generator.random(count) < share
        return generator.standard_normal(count) * np.where(high_N, std, 1.0) + np.where(high_N, gap, 0.0)

    return draw


def _loss_sums(count: int, generator: np.random.Generator) -> FloatArray:
    low_N, high_N = generator.gamma(0.5, 2.0, count), generator.gamma(20.0, 2.0, count)
    return np.where(generator.random(count) < WRONG, high_N, low_N)


SCORE_SHAPES: dict[str, Callable[[int, np.random.Generator], FloatArray]] = {
    "well apart": _two_normals(0.2, 6.0, 1.5),
    "overlapping": _two_normals(0.4, 2.5, 1.2),
    "1% high": _two_normals(0.01, 6.0, 1.0),
    "sums of losses": _loss_sums,
    "gamma": lambda count, generator: generator.gamma(2.0, 1.0, count),
    "exponential": lambda count, generator: generator.exponential(1.0, count),
}
"""Draws so many scores of a shape."""
