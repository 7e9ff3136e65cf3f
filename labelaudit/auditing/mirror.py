"""Find out whether a left-right flip keeps the labels of a folder.

A flip turns an arrow to the left into one to the right, and every label looks wrong. So a short training without flips
on half of the images classifies the other half, as they are and mirrored. Where it does not recognize the mirrored
ones, the audit trains without flips.

Shapes: H held-out images, K classes, M images that mirroring changes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.auditing.plan import fitting_batch_size
from labelaudit.auditing.prepare import Prepared, Source, make_network
from labelaudit.engine.draws import derive_seed, make_generator
from labelaudit.engine.inputs import ImageInputs, SomeRows, Views
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.settings import TrainingSettings
from labelaudit.progress import Reporter

_ENOUGH_IMAGES, _MOST_IMAGES, _PER_CLASS = 512, 2048, 32
"""From 512 images in a half on, one round is enough. A half has at most 2,048 images. With many classes, 32 images for
each class replace either number where that is more."""

_EPOCHS, _STEPS = 12, 100
"""Of the training: at least both, but no more epochs than the audit has."""

_LOST, _LOST_IN_A_CLASS = 0.1, 0.5
"""Flips are left out where mirroring loses this share of the recognized images: of all, or of one class. Photographs
lose at most .04 (caltech24), Fashion-MNIST .20, numerals .47, digits .65, arrows .84 to .97 (docs/accuracy.md)."""

_SWAPPED = 0.3
"""The same for two classes whose images turn into each other's. Where r of their labels are confused, mirroring loses
(1 - 2r) / (1 - r) of the images that are recognized by their labels: .57 at r = .3, .33 at r = .4."""

_SURE = 3.0
"""Standard deviations, by McNemar's test, that a loss must be above chance."""

_FEW = 20
"""Recognized images below which nothing can be said."""


@dataclass(frozen=True, kw_only=True)
class MirrorTest:
    """What mirroring does to held-out images: how many of each class the probe recognizes as they are (``right_K``).

    ``lost_L2`` has label and class when mirrored of the L images that it recognizes only as they are, ``gained_G2``
    label and class as they are of the G images that it recognizes only mirrored.
    """

    right_K: npt.NDArray[np.int64]
    lost_L2: npt.NDArray[np.int64]
    gained_G2: npt.NDArray[np.int64]

    @property
    def keeps_labels(self) -> bool:
        """False where mirrored images are no longer recognized: in all, in one class, or in two that change places."""
        changed_M2 = np.concatenate([self.lost_L2, self.gained_G2])
        sign_M = np.repeat([1, -1], [len(self.lost_L2), len(self.gained_G2)])
        pair_P2, pair_M = np.unique(np.sort(changed_M2, axis=1), axis=0, return_inverse=True)
        return not (
            _is_lost(np.zeros_like(sign_M), sign_M, self.right_K.sum(keepdims=True), _LOST)
            or _is_lost(changed_M2[:, 0], sign_M, self.right_K, _LOST_IN_A_CLASS)
            or _is_lost(pair_M.reshape(-1), sign_M, self.right_K[pair_P2].sum(axis=1), _SWAPPED)
        )

    def as_json(self) -> dict[str, bool | int]:
        """Return whether flips are kept, and the counts over all classes, for run.json."""
        return {
            "flips": self.keeps_labels,
            "right": int(self.right_K.sum()),
            "lost_mirrored": len(self.lost_L2),
            "gained_mirrored": len(self.gained_G2),
        }


def _is_lost(
    group_M: npt.NDArray[np.int64], sign_M: npt.NDArray[np.int64], right_P: npt.NDArray[np.int64], share: float
) -> bool:
    """True where one of P groups loses such a share of its recognized images, and more than by chance."""
    either_P = np.bincount(group_M, minlength=len(right_P))
    net_P = np.bincount(group_M, weights=sign_M, minlength=len(right_P))
    return bool(((net_P >= share * right_P) & (net_P > _SURE * np.sqrt(either_P))).any())


def settle_flip(
    settings: TrainingSettings, prepared: Prepared, source: Source, reporter: Reporter
) -> tuple[TrainingSettings, Prepared, MirrorTest | None]:
    """Leave flips out of the settings and the inputs where mirrored images are not recognized; no test without flips.

    All processes of a world take part.
    """
    if settings.augment != "crop-flip" or not isinstance(prepared.inputs, ImageInputs):
        return settings, prepared, None
    unflipped, shifted = without_flips(settings, prepared)
    found = _try_mirroring(unflipped, shifted, source, reporter)
    right = int(found.right_K.sum())
    if not found.keeps_labels:
        reporter.say(
            f"Augmentation: shifts only, no left-right flips: of {right:,} held-out images that a short training "
            f"recognizes, it recognizes {right - len(found.lost_L2):,} mirrored. --augment crop-flip keeps them"
        )
        return unflipped, shifted, found
    if right < _FEW:
        reporter.say("Flips are kept, but too few images are recognized to test them; --augment crop leaves them out")
    return settings, prepared, found


def without_flips(settings: TrainingSettings, prepared: Prepared) -> tuple[TrainingSettings, Prepared]:
    """Return the same with shifts only."""
    settings = replace(settings, augment="crop")
    if isinstance(prepared.inputs, ImageInputs):
        prepared = replace(prepared, inputs=prepared.inputs.augmented(settings.augmentation))
    return settings, prepared


def _try_mirroring(settings: TrainingSettings, prepared: Prepared, source: Source, reporter: Reporter) -> MirrorTest:
    """Train on one half and classify the other as it is and mirrored; then, unless halves are large, vice versa."""
    rows, classes = len(prepared.inputs), len(prepared.catalogue.classes)
    enough, most = (max(images, _PER_CLASS * classes) for images in (_ENOUGH_IMAGES, _MOST_IMAGES))
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
    rounds = (halves,) if half >= enough else (halves, halves[::-1])
    found_3H = np.empty((3, 0), dtype=np.int64)
    with reporter.bar("Testing flips", len(rounds) * settings.epochs * half, "images") as advance:
        for taught_H, asked_H in rounds:
            network, taught = make_network(settings, prepared, source), SomeRows(prepared.inputs, taught_H)
            task = Task(taught, prepared.label_R[taught_H])
            training = Training([network], settings, source.device, task, source.world)
            for _ in training.run_epochs(advance):
                pass
            label_H = prepared.label_R[asked_H].numpy()
            plain_H, mirrored_H = (
                training.predict(seen).argmax(dim=1).numpy()
                for seen in (SomeRows(prepared.inputs, asked_H), _Mirrored(prepared.inputs, asked_H))
            )
            found_3H = np.concatenate([found_3H, np.stack([label_H, plain_H, mirrored_H])], axis=1)
    label_H, plain_H, mirrored_H = found_3H
    right_H, right_mirrored_H = plain_H == label_H, mirrored_H == label_H
    return MirrorTest(
        right_K=np.bincount(label_H[right_H], minlength=classes),
        lost_L2=np.stack([label_H, mirrored_H], axis=1)[right_H & ~right_mirrored_H],
        gained_G2=np.stack([label_H, plain_H], axis=1)[right_mirrored_H & ~right_H],
    )


class _Mirrored(SomeRows):
    """Rows of other inputs, each mirrored."""

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        return super().batch(index_B, views).flip(3)
