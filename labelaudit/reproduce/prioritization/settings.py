"""The data sets and algorithms of Table 1 of "When does loss-based prioritization fail?", and three scales."""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import TypeVar

from labelaudit.audit.options import TrainingOptions
from labelaudit.audit.plan import Preset
from labelaudit.errors import UsageError
from labelaudit.names import CorruptionName, ScaleName


@dataclass(frozen=True, kw_only=True)
class DataSet:
    """The data, or a corruption of a share of it."""

    name: str
    kind: CorruptionName | None = None
    rate: float = 0.0

    @property
    def folder_name(self) -> str:
        """The name, as any file system takes it."""
        return self.name.replace(":", "-")


@dataclass(frozen=True, kw_only=True)
class Algorithm:
    """A way to train, by the names that ``--selector`` and ``-S`` take."""

    name: str
    title: str
    selector: str = "none"
    parameters: Mapping[str, object] = field(default_factory=dict)


CLEAN = DataSet(name="clean")
DATA_SETS = (
    CLEAN,
    *(
        DataSet(name=f"{kind}:{rate}", kind=kind, rate=rate)
        for kind in ("random-labels", "shuffle-pixels", "gaussian")
        for rate in (0.25, 0.5)
    ),
)

STANDARD = Algorithm(name="standard", title="Standard")
ALGORITHMS = (
    STANDARD,
    Algorithm(name="sb-50", title="SB, 50% selectivity", selector="selective-backprop", parameters={"beta": 1}),
    Algorithm(name="sb-33", title="SB, 33% selectivity", selector="selective-backprop", parameters={"beta": 2}),
    Algorithm(
        name="sbe-50", title="SBE, 50% selectivity", selector="selective-backprop-entropy", parameters={"beta": 1}
    ),
    Algorithm(name="vr-33", title="VR, max 33% selectivity", selector="variance-reduction", parameters={"pool": 3}),
    Algorithm(name="vr-50", title="VR, max 50% selectivity", selector="variance-reduction", parameters={"pool": 2}),
)

PAPER: Mapping[str, Sequence[tuple[float | None, float] | None]] = {
    "standard": ((1, 4.28), (1, 8.53), (1, 13.27), (1, 4.98), (1, 6.88), (1, 5.27), (1, 6.72)),
    "sb-50": ((2.0, 4.26), (2.0, 9.03), (1.5, 14.66), (2.0, 5.48), (2.0, 7.71), (2.0, 5.68), (None, 8.47)),
    "sb-33": ((3.0, 4.39), (None, 12.28), (None, 33.73), (None, 6.31), (None, 9.95), (None, 7.18), (None, 17.92)),
    "vr-33": ((1.7, 4.81), (1.0, 8.65), (1.0, 13.20), (1.1, 5.71), (1.0, 6.95), (1.0, 5.35), (1.0, 6.89)),
    "vr-50": ((1.8, 4.87), (1.0, 8.74), (1.0, 13.14), (None, 6.27), (1.1, 7.69), (1.1, 6.30), (1.0, 6.70)),
}
"""Table 1: speedup, None for a dash, and best test error in percent, a column for each of `DATA_SETS`."""

DROPS = ((0.6, 0.2), (0.8, 0.2**2))
"""The paper's schedule: the rate falls by 80% at epochs 60 and 80 of 100."""


@dataclass(frozen=True, kw_only=True)
class Scale:
    """How much is trained.

    Attributes:
        name: As the user writes it.
        train, test: At most so many images; None for all of them.
        preset: Network and schedule.
    """

    name: ScaleName
    train: int | None
    test: int | None
    preset: Preset

    def with_options(self, options: TrainingOptions) -> Scale:
        """The same with what is asked for in the place of its own settings."""
        given = {name: value for name in _ITS_OWN if (value := getattr(options, name)) is not None}
        return replace(self, preset=replace(self.preset, **given))


_ITS_OWN = ("model", "epochs", "batch_size", "lr", "momentum", "weight_decay", "schedule", "augment", "crop_pad")


def _preset(model: str, *, epochs: int, batch_size: int, lr: float) -> Preset:
    # The paper: SGD .1, momentum .9, weight decay .0005, crop and flip. Nesterov and the padding are those of Selective
    # Backprop's code. Little data gets smaller batches, and a rate to go with them: with few steps, a method that takes
    # a third of them is behind for want of steps and not of examples.
    return Preset(
        model=model,
        epochs=epochs,
        batch_size=batch_size,
        lr=lr,
        momentum=0.9,
        nesterov=True,
        weight_decay=5e-4,
        schedule="milestones",
        milestones=DROPS,
        augment="crop-flip",
        crop_pad=4,
    )


SCALES: dict[ScaleName, Scale] = {
    "smoke": Scale(
        name="smoke", train=600, test=300, preset=_preset("labelaudit_probe", epochs=5, batch_size=32, lr=0.05)
    ),
    "small": Scale(
        name="small", train=10_000, test=5_000, preset=_preset("labelaudit_probe", epochs=30, batch_size=64, lr=0.05)
    ),
    "paper": Scale(
        name="paper", train=None, test=None, preset=_preset("wide_resnet28_10", epochs=100, batch_size=128, lr=0.1)
    ),
}

Named = TypeVar("Named", DataSet, Algorithm)


def named(option: str, every: Sequence[Named], names: Sequence[str]) -> list[Named]:
    """Those of these names, in the table's order; all where none is named.

    Raises:
        UsageError: there is none of a name.
    """
    known = [entry.name for entry in every]
    for name in names:
        if name not in known:
            close = difflib.get_close_matches(name, known, n=1)
            hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(known)}"
            raise UsageError(f"{option} {name!r} is not known", fix=hint)
    return [entry for entry in every if not names or entry.name in names]
