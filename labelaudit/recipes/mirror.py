"""Find out whether a left-right flip keeps the labels of a folder.

A flip turns an arrow to the left into one to the right: two classes become one, and every label looks wrong. Digits,
text, traffic signs and medical images have the same problem. So a short training without flips comes first, on half of
the images. It then classifies the other half as they are and mirrored. Where it no longer recognizes the mirrored
images, the audit trains without flips.

Shapes: H images of a half, K classes.
"""

from __future__ import annotations

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

_SWAPPED = 0.3
"""The same for two classes whose images turn into each other's. Where r of their labels are confused, mirroring loses
(1 - 2r) / (1 - r) of the images that are recognized by their labels: .57 at r = .3, .33 at r = .4."""

_SURE = 3.0
"""Standard deviations, by McNemar's test, that a loss must be above chance."""

_FEW = 20
"""Recognized images below which nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class MirrorTest:
    """What mirroring does to held-out images.

    Attributes:
        right_K: How many images of each class the probe recognizes.
        lost_KK: How many of these it takes mirrored for each other class.
        gained_KK: How many it recognizes only mirrored, by class and by what it takes them for as they are.
    """

    right_K: npt.NDArray[np.int64]
    lost_KK: npt.NDArray[np.int64]
    gained_KK: npt.NDArray[np.int64]

    @property
    def keeps_labels(self) -> bool:
        """False where mirrored images are no longer recognized: in all, in one class, or in two that change places."""
        net_KK, either_KK, right_K = self.lost_KK - self.gained_KK, self.lost_KK + self.gained_KK, self.right_K
        return not (
            _is_lost(net_KK.sum(), either_KK.sum(), right_K.sum(), _LOST)
            or _is_lost(net_KK.sum(axis=1), either_KK.sum(axis=1), right_K, _LOST_IN_A_CLASS)
            or _is_lost(net_KK + net_KK.T, either_KK + either_KK.T, right_K[:, None] + right_K, _SWAPPED)
        )

    def describe(self) -> str:
        """Return the counts as a sentence."""
        right = int(self.right_K.sum())
        kept = right - int(self.lost_KK.sum())
        return f"of {right:,} held-out images that a short training recognizes, it recognizes {kept:,} mirrored"

    def as_json(self) -> dict[str, Any]:
        """Return whether flips are kept, and the counts over all classes, for run.json."""
        sums = {"right": self.right_K, "lost_mirrored": self.lost_KK, "gained_mirrored": self.gained_KK}
        return {"flips": self.keeps_labels, **{name: int(counts.sum()) for name, counts in sums.items()}}


def _is_lost(net: Any, either: Any, right: Any, share: float) -> bool:
    """True where the net loss is such a share of what is recognized, and above chance."""
    return bool(((net >= share * right) & (net > _SURE * np.sqrt(either))).any())


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
        reporter.say(
            f"Augmentation: shifts only, no left-right flips: {found.describe()}. --augment crop-flip keeps them"
        )
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
    right_K = np.zeros(classes, dtype=np.int64)
    lost_KK, gained_KK = (np.zeros((classes, classes), dtype=np.int64) for _ in range(2))
    with reporter.bar("Testing flips", len(rounds) * settings.epochs * half, "images") as advance:
        for taught_H, asked_H in rounds:
            training = Training([make_network(settings, prepared, source)], settings.loop, source.device, source.world)
            taught = SomeRows(prepared.inputs, taught_H)
            for _ in run_epochs(training, taught, prepared.label_R[taught_H], Standard(), advance):
                pass
            label_H = prepared.label_R[asked_H].numpy()
            plain_H, mirrored_H = (
                training.predict(seen).argmax(dim=1).numpy()
                for seen in (SomeRows(prepared.inputs, asked_H), _Mirrored(prepared.inputs, asked_H))
            )
            is_right_H, is_right_mirrored_H = plain_H == label_H, mirrored_H == label_H
            is_lost_H, is_gained_H = is_right_H & ~is_right_mirrored_H, ~is_right_H & is_right_mirrored_H
            np.add.at(right_K, label_H[is_right_H], 1)
            np.add.at(lost_KK, (label_H[is_lost_H], mirrored_H[is_lost_H]), 1)
            np.add.at(gained_KK, (label_H[is_gained_H], plain_H[is_gained_H]), 1)
    return MirrorTest(right_K=right_K, lost_KK=lost_KK, gained_KK=gained_KK)


class _Mirrored(SomeRows):
    """Rows of other inputs, each mirrored."""

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        return super().batch(index_B, views).flip(3)
