"""How large a measurement is: the network, the budget, and how much of the data."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from labelaudit.audit.options import TrainingOptions
from labelaudit.names import ScaleName


@dataclass(frozen=True, kw_only=True)
class Scale:
    """One size.

    Attributes:
        noises: Which columns, when none are asked for.
        subset: How many training images; all of them when there are fewer.
        audit: The probe's training; the seed and the device come later.
        training: Of every method; what it leaves open is as ``labelaudit retrain`` has it.
        parameters: Of some methods, by their names.
        measure_every: The test error, after so many epochs and the last.
        about: In words, for the table's heading.
    """

    noises: tuple[str, ...]
    subset: int
    audit: TrainingOptions
    training: TrainingOptions
    parameters: Mapping[str, Mapping[str, object]] = field(default_factory=dict)
    measure_every: int = 1
    about: str


_FIVE = ("uniform:0.2", "uniform:0.4", "uniform:0.6", "uniform:0.8", "pair-flip:0.4")
_MEMORISES: dict[str, Any] = {"augment": "none", "weight_decay": 1e-4}
"""A network that does not memorise wrong labels needs no robust training (docs/accuracy.md)."""

_ONE_VIEW: dict[str, object] = {"views": 1}
"""Without augmentation a second view is the first one again."""

SCALES: dict[ScaleName, Scale] = {
    "smoke": Scale(
        noises=("uniform:0.4",),
        subset=600,
        audit=TrainingOptions(probe="train", epochs=6),
        training=TrainingOptions(probe="train", epochs=6, **_MEMORISES),
        parameters={
            "incv": {"iterations": 2, "selection_share": 1 / 3},
            "d2l": {"init_share": 1 / 6, "window": 2},
            "co-teaching": {"warm_up_epochs": 2},
            "dividemix": _ONE_VIEW,
        },
        about="too small to compare methods: it shows that all of them run",
    ),
    "small": Scale(
        noises=_FIVE,
        subset=5_000,
        audit=TrainingOptions(probe="train"),
        training=TrainingOptions(probe="train", epochs=25, batch_size=128, **_MEMORISES),
        # Windows and ramps that are published in epochs, cut as the training is.
        parameters={"co-teaching": {"warm_up_epochs": 3}, "d2l": {"window": 2}, "dividemix": _ONE_VIEW},
        measure_every=5,
        about="a small network without augmentation, which can memorise, and a twelfth of the paper's epochs",
    ),
    "paper": Scale(
        noises=_FIVE,
        subset=45_000,
        audit=TrainingOptions(preset="paper"),
        training=TrainingOptions(preset="paper"),
        about="ResNet-32 and the settings that each method was published with",
    ),
}

_MUCH_NOISE = 0.8


def parameters_for(scale: Scale, method: str, rate: float) -> dict[str, object]:
    """What a method is told at a noise rate: the scale's, and MentorNet's published percentile for much noise."""
    given = dict(scale.parameters.get(method, {}))
    if method == "mentornet" and rate >= _MUCH_NOISE:
        given.setdefault("percentile", 0.5)
    return given
