"""The table of selectors and their settings, readable without importing torch."""

from __future__ import annotations

import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labelaudit.errors import UsageError
from labelaudit.methods.parameters import (
    NotNegative,
    OneOrMore,
    ShareBelowOne,
    TwoOrMore,
    WholeNumber,
    make_parameters,
    parameter,
)
from labelaudit.methods.table import find

if TYPE_CHECKING:
    from labelaudit.selectors.base import Selector

NONE = "none"
"""Every sample is back-propagated."""


@dataclass(frozen=True, kw_only=True)
class SelectiveBackpropParameters:
    """Of `labelaudit.selectors.selective_backprop`."""

    beta: NotNegative = parameter(1.0, "back-propagates 1 / (beta + 1) of the samples: 0 all, 1 half, 2 a third")
    history: OneOrMore = parameter(1024, "so many of the last scores are compared with")
    warm_up_epochs: WholeNumber = parameter(1, "first epochs in which every sample is back-propagated")
    stale_epochs: OneOrMore = parameter(1, "epochs in which a score is used before it is computed again")
    patience: OneOrMore = parameter(8, "after so many batches of which nothing is chosen, the next is taken whole")


@dataclass(frozen=True, kw_only=True)
class VarianceReductionParameters:
    """Of `labelaudit.selectors.variance_reduction`."""

    pool: TwoOrMore = parameter(3, "batches of candidates that a batch is drawn from: 3 for at least 33%, 2 for 50%")
    weights: Literal["none", "unbiased"] = parameter(
        "none", "none: each drawn sample counts once; unbiased: by 1 / (B g), and as often as it is drawn"
    )
    switch: Literal["step", "none"] = parameter(
        "step", "step: draw only while tau is above its threshold, checked in every step; none: always"
    )
    threshold: NotNegative | None = parameter(None, "that of tau; default: (B + 3 b) / (3 b)")
    momentum: ShareBelowOne = parameter(0.9, "of the moving average of tau")
    score: Literal["loss", "gradient"] = parameter(
        "loss", "loss: cross-entropy; gradient: the bound |p - onehot(y)| of the last layer's gradient"
    )
    warm_up_epochs: WholeNumber = parameter(0, "first epochs in which every sample is back-propagated")


@dataclass(frozen=True, kw_only=True)
class SelectorEntry:
    """One selector: see `labelaudit.methods.table.MethodEntry`; ``factory`` makes a `Selector` of its parameters."""

    name: str
    summary: str
    source: str
    parameters: type
    factory: str


SELECTORS = (
    SelectorEntry(
        name="selective-backprop",
        summary="Back-propagates samples of large loss: the likelier, the larger among the last 1024.",
        source="Jiang et al. 2019, arXiv:1910.00762",
        parameters=SelectiveBackpropParameters,
        factory="labelaudit.selectors.selective_backprop:ByLoss",
    ),
    SelectorEntry(
        name="selective-backprop-entropy",
        summary="The same by the entropy of the prediction, whatever the label.",
        source="When does loss-based prioritization fail?, section 4",
        parameters=SelectiveBackpropParameters,
        factory="labelaudit.selectors.selective_backprop:ByEntropy",
    ),
    SelectorEntry(
        name="variance-reduction",
        summary="Draws samples in proportion to their loss, while that promises a gain.",
        source="Katharopoulos & Fleuret 2018, arXiv:1803.00942",
        parameters=VarianceReductionParameters,
        factory="labelaudit.selectors.variance_reduction:VarianceReduction",
    ),
)


def find_selector(name: str) -> SelectorEntry:
    """Return the selector of this name; the UsageError for an unknown one names the closest."""
    return find("selector", name, {entry.name: entry for entry in SELECTORS}, NONE)


def describe_selector(name: str, given: Mapping[str, object]) -> str:
    """Return a selector with all its settings as text for `build_selector`: ``NAME name=value …``.

    Raises UsageError for an unknown selector or parameter, or a bad value.
    """
    if name == NONE:
        raise UsageError(f"parameter {next(iter(given))!r} is given, but no selector", fix="add --selector NAME")
    entry = find_selector(name)
    values = vars(make_parameters(name, entry.parameters, given))
    words = [f"{field}={str(value).lower()}" for field, value in values.items() if value is not None]
    return " ".join([name, *words])


def build_selector(text: str) -> Selector:
    """Return the selector that `describe_selector` described; raise UsageError for any other text."""
    name, *words = text.split(" ")
    entry = find_selector(name)
    given = dict(word.partition("=")[::2] for word in words)
    selector: Selector = pkgutil.resolve_name(entry.factory)(make_parameters(name, entry.parameters, given))
    return selector
