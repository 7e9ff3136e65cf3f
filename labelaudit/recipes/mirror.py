"""Find out whether a left-right flip keeps the labels of a folder.

A flip turns an arrow to the left into one to the right: two classes become one, and every label looks wrong. Digits,
text, traffic signs and medical images have the same problem. So a short training without flips comes first, on half of
the images. It then classifies the other half as they are and mirrored. Where it no longer recognizes the mirrored
images, the audit trains without flips.

Shapes: H images of a half, K classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.engine.inputs import ImageInputs, SomeRows, Views
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.seeds import derive_seed, make_generator
from labelaudit.engine.settings import TrainingSettings
from labelaudit.methods.standard import Standard
from labelaudit.progress import Reporter
from labelaudit.recipes.plan import fitting_batch_size
from labelaudit.recipes.prepare import Prepared, Source, make_network

_MOST_IMAGES, _MOST_PER_CLASS = 4096, 32
"""A half has at most so many images, or so many for each class if that is more."""

_EPOCHS, _STEPS = 12, 100
"""Of the training: at least both, but no more epochs than the audit has."""

_LOST, _LOST_IN_A_CLASS = 0.1, 0.5
"""Flips are left out where mirroring loses this share of the recognized images: of all, or of one class. Photographs
lose .04 (caltech24), arrows .84 to .97, digits .65, numerals .47 (docs/accuracy.md)."""

_SURE = 3.0
"""Standard deviations, by McNemar's test, that a loss must be above chance."""

_FEW = 20
"""Recognized images below which nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class MirrorTest:
    """What mirroring does to held-out images.

    Attributes:
        right_K: How many images of each class the probe recognizes.
        lost_K: How many of these it does not recognize mirrored.
        gained_K: How many it recognizes only mirrored.
    """

    right_K: npt.NDArray[np.int64]
    lost_K: npt.NDArray[np.int64]
    gained_K: npt.NDArray[np.int64]

    @property
    def keeps_labels(self) -> bool:
        """False where mirrored images are no longer recognized, in all or in one class."""
        net_K, either_K = self.lost_K - self.gained_K, self.lost_K + self.gained_K
        one = (net_K >= _LOST_IN_A_CLASS * self.right_K) & (net_K > _SURE * np.sqrt(either_K))
        net, right = net_K.sum(), self.right_K.sum()
        return not (one.any() or (net >= _LOST * right and net > _SURE * math.sqrt(either_K.sum())))

    def describe(self) -> str:
        """Return the counts as a sentence."""
        right = int(self.right_K.sum())
        kept = right - int(self.lost_K.sum())
        return f"of {right:,} held-out images that a short training recognizes, it recognizes {kept:,} mirrored"

    def as_json(self) -> dict[str, Any]:
        """Return whether flips are kept, and the counts over all classes, for run.json."""
        sums = {"right": self.right_K, "lost_mirrored": self.lost_K, "gained_mirrored": self.gained_K}
        return {"flips": self.keeps_labels, **{name: int(count_K.sum()) for name, count_K in sums.items()}}


def settle_flip(
    settings: TrainingSettings, prepared: Prepared, source: Source, reporter: Reporter
) -> tuple[TrainingSettings, Prepared, MirrorTest | None]:
    """Leave flips out of the settings and the inputs where mirrored images are not recognized.

    All processes of a world take part. Without flips in the settings nothing happens, and there is no test.

    Raises:
        TrainingError, DeviceError: see `try_mirroring`.
    """
    if settings.augment != "crop-flip" or not isinstance(prepared.inputs, ImageInputs):
        return settings, prepared, None
    unflipped, shifted = without_flips(settings, prepared)
    found = try_mirroring(unflipped, shifted, source, reporter)
    if not found.keeps_labels:
        reporter.say(f"Augmentation: shifts only, no left-right flips: {found.describe()}")
        return unflipped, shifted, found
    if int(found.right_K.sum()) < _FEW:
        reporter.say("Flips are kept, but too few images are recognized to test them; --augment crop leaves them out")
    return settings, prepared, found


def without_flips(settings: TrainingSettings, prepared: Prepared) -> tuple[TrainingSettings, Prepared]:
    """Return the same with shifts only."""
    settings = replace(settings, augment="crop")
    if isinstance(prepared.inputs, ImageInputs):
        prepared = replace(prepared, inputs=prepared.inputs.augmented(settings.augmentation))
    return settings, prepared


def try_mirroring(settings: TrainingSettings, prepared: Prepared, source: Source, reporter: Reporter) -> MirrorTest:
    """Train on one half without flips and classify the other half as it is and mirrored; then the other way round.

    The second round is left out where the halves are large. All processes of a world take part.

    Args:
        settings: Of the audit. The test has the same network and fewer epochs.
        prepared: Images that are not flipped in training.
        source: Where to train.
        reporter: Shows the progress.

    Raises:
        TrainingError: the training diverged.
        DeviceError: the device is out of memory.
    """
    rows, classes = len(prepared.inputs), len(prepared.catalogue.classes)
    most = max(_MOST_IMAGES, _MOST_PER_CLASS * classes)
    half = min(most, rows // 2)
    order = torch.randperm(rows, generator=make_generator(settings.seed, "mirror"))
    halves = (order[:half], order[half : 2 * half])
    batch_size = fitting_batch_size(half, settings.batch_size)
    settings = replace(
        settings,
        batch_size=batch_size,
        epochs=min(settings.epochs, max(_EPOCHS, -(-_STEPS * batch_size // half))),
        seed=derive_seed(settings.seed, "mirror"),
        selector="none",
    )
    rounds = (halves,) if half == most else (halves, halves[::-1])
    counts_3K = np.zeros((3, classes), dtype=np.int64)
    with reporter.bar("Testing flips", len(rounds) * settings.epochs * half, "images") as advance:
        for taught_H, asked_H in rounds:
            training = Training([make_network(settings, prepared, source)], settings.loop, source.device, source.world)
            taught = SomeRows(prepared.inputs, taught_H)
            for _ in run_epochs(training, taught, prepared.label_R[taught_H], Standard(), advance):
                pass
            label_H = prepared.label_R[asked_H]
            right_H, mirrored_H = (
                training.predict(seen).argmax(dim=1) == label_H
                for seen in (SomeRows(prepared.inputs, asked_H), _Mirrored(prepared.inputs, asked_H))
            )
            for row, found_H in enumerate((right_H, right_H & ~mirrored_H, ~right_H & mirrored_H)):
                counts_3K[row] += torch.bincount(label_H[found_H], minlength=classes).numpy()
    right_K, lost_K, gained_K = counts_3K
    return MirrorTest(right_K=right_K, lost_K=lost_K, gained_K=gained_K)


class _Mirrored(SomeRows):
    """Rows of other inputs, each mirrored."""

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        return super().batch(index_B, views).flip(3)
