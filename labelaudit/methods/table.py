"""The table of robust-training methods, readable without importing torch."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labelaudit.errors import UsageError
from labelaudit.methods import parameters as p
from labelaudit.names import AugmentName, OptimizerName, ScheduleName

if TYPE_CHECKING:
    from labelaudit.methods.base import Ingredients, Method

Need = Literal["weights", "truth", "noise_rate"]


@dataclass(frozen=True, kw_only=True)
class Published:
    """How a method was trained where it was published; None where that is as the AUL paper retrains, or not known.

    Attributes: those of `labelaudit.engine.optimizers.LoopSettings`, and how pictures were augmented.
    """

    epochs: int | None = None
    batch_size: int | None = None
    optimizer: OptimizerName | None = None
    lr: float | None = None
    momentum: float | None = None
    late_momentum: float | None = None
    nesterov: bool | None = None
    weight_decay: float | None = None
    schedule: ScheduleName | None = None
    milestones: tuple[tuple[float, float], ...] | None = None
    augment: AugmentName | None = None

    @property
    def given(self) -> dict[str, object]:
        """What is known, by name."""
        return {name: value for name, value in vars(self).items() if value is not None}


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """One method.

    Attributes:
        name: As the user writes it.
        summary: What it does, in a line.
        source: Where it is described.
        needs: What it cannot train without: sample ``weights``, the ``truth``, or a ``noise_rate``.
        factory: ``module:function`` that takes `Ingredients` and gives a `Method`.
        parameters: The dataclass of its own settings.
        networks: How many it trains side by side.
        published: What ``--preset paper`` changes for it.
    """

    name: str
    summary: str
    source: str
    needs: tuple[Need, ...]
    factory: str
    parameters: type = p.NoParameters
    networks: int = 1
    published: Published = Published()

    def build(self, ingredients: Ingredients) -> Method:
        """The method, ready to teach."""
        module, _, function = self.factory.partition(":")
        method: Method = getattr(importlib.import_module(module), function)(ingredients)
        return method


METHODS = (
    MethodEntry(
        name="standard",
        summary="Every sample counts the same: what noisy labels do to ordinary training.",
        source="Detecting label noise from loss curves, Table 1",
        needs=(),
        factory="labelaudit.methods.standard:standard",
    ),
    MethodEntry(
        name="random",
        summary="Random weights in every batch: what reweighting does by chance alone.",
        source="Ren et al. 2018, arXiv:1803.09050, section 4",
        needs=(),
        factory="labelaudit.methods.random_weights:random_weights",
        published=Published(
            epochs=160, batch_size=100, lr=0.1, momentum=0.9, nesterov=False, weight_decay=2e-4, schedule="step"
        ),
    ),
    MethodEntry(
        name="reed-hard",
        summary="The target is 0.8 given label, 0.2 the network's own prediction.",
        source="Reed et al. 2015, arXiv:1412.6596, section 3",
        needs=(),
        factory="labelaudit.methods.reed_hard:reed_hard",
        parameters=p.ReedHardParameters,
    ),
    MethodEntry(
        name="co-teaching",
        summary="Each of two networks learns from the samples that the other one finds easy.",
        source="Han et al. 2018, arXiv:1804.06872, algorithm 1",
        needs=("noise_rate",),
        factory="labelaudit.methods.co_teaching:co_teaching",
        parameters=p.CoTeachingParameters,
        networks=2,
        published=Published(
            epochs=200,
            batch_size=128,
            optimizer="adam",
            lr=0.001,
            momentum=0.9,
            late_momentum=0.1,
            weight_decay=0.0,
            schedule="late-linear",
            augment="none",
        ),
    ),
    MethodEntry(
        name="elr",
        summary="What the network believed early on keeps it from memorising labels later.",
        source="Liu et al. 2020, arXiv:2007.00151, section 4",
        needs=(),
        factory="labelaudit.methods.elr:elr",
        parameters=p.ElrParameters,
        published=Published(
            epochs=120,
            batch_size=128,
            lr=0.02,
            momentum=0.9,
            nesterov=False,
            weight_decay=1e-3,
            schedule="milestones",
            milestones=((1 / 3, 0.01), (2 / 3, 0.0001)),
        ),
    ),
    MethodEntry(
        name="aul",
        summary="Samples count 1 - P(mislabeled), from an audit.",
        source="Detecting label noise from loss curves, section 4.2",
        needs=("weights",),
        factory="labelaudit.methods.weighted:aul",
    ),
    MethodEntry(
        name="oracle",
        summary="Only samples whose given label is the true one: the best that weights can do.",
        source="Detecting label noise from loss curves, Table 1",
        needs=("truth",),
        factory="labelaudit.methods.weighted:oracle",
    ),
)


def find_method(name: str) -> MethodEntry:
    """The entry of this name.

    Raises:
        UsageError: there is none; names those that come close.
    """
    for entry in METHODS:
        if entry.name == name:
            return entry
    names = [entry.name for entry in METHODS]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    raise UsageError(f"unknown method {name!r}", fix=hint)
