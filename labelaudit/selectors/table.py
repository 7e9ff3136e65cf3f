"""The table of selectors, readable without importing torch."""

from __future__ import annotations

import difflib
import importlib
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from labelaudit.errors import UsageError
from labelaudit.methods.parameters import make_parameters
from labelaudit.selectors import parameters as p

if TYPE_CHECKING:
    from labelaudit.selectors.base import Selector

NONE = "none"
"""Every sample is back-propagated."""


@dataclass(frozen=True, kw_only=True)
class SelectorEntry:
    """One selector.

    Attributes:
        name: As the user writes it.
        summary: What it does, in a line.
        source: Where it is described.
        parameters: The dataclass of its own settings.
        factory: ``module:function`` that takes them and gives a `Selector`.
    """

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
        parameters=p.SelectiveBackpropParameters,
        factory="labelaudit.selectors.selective_backprop:by_loss",
    ),
    SelectorEntry(
        name="selective-backprop-entropy",
        summary="The same by the entropy of the prediction, whatever the label.",
        source="When does loss-based prioritization fail?, section 4",
        parameters=p.SelectiveBackpropParameters,
        factory="labelaudit.selectors.selective_backprop:by_entropy",
    ),
    SelectorEntry(
        name="variance-reduction",
        summary="Draws samples in proportion to their loss, while that promises a gain.",
        source="Katharopoulos & Fleuret 2018, arXiv:1803.00942",
        parameters=p.VarianceReductionParameters,
        factory="labelaudit.selectors.variance_reduction:VarianceReduction",
    ),
)


def find_selector(name: str) -> SelectorEntry:
    """The entry of this name.

    Raises:
        UsageError: there is none; names those that come close.
    """
    for entry in SELECTORS:
        if entry.name == name:
            return entry
    names = [NONE, *(entry.name for entry in SELECTORS)]
    close = difflib.get_close_matches(name, names, n=1)
    hint = f"did you mean {close[0]}?" if close else f"there are {', '.join(names)}"
    raise UsageError(f"unknown selector {name!r}", fix=hint)


def describe_selector(name: str, given: Mapping[str, object]) -> str:
    """A selector with all its settings as one text, which `build_selector` reads: ``NAME name=value …``, or ``none``.

    Raises:
        UsageError: an unknown selector or parameter, or a value that is none.
    """
    if name == NONE:
        if given:
            raise UsageError(f"parameter {next(iter(given))!r} is given, but no selector", fix="add --selector NAME")
        return NONE
    entry = find_selector(name)
    values = asdict(make_parameters(name, entry.parameters, given))  # type: ignore[call-overload]
    words = [f"{field}={str(value).lower()}" for field, value in values.items() if value is not None]
    return " ".join([name, *words])


def build_selector(text: str) -> Selector | None:
    """The selector that `describe_selector` described; None for ``none``.

    Raises:
        UsageError: it is no such text.
    """
    name, *words = text.split(" ")
    if name == NONE:
        return None
    entry = find_selector(name)
    given = dict(word.partition("=")[::2] for word in words)
    settings = make_parameters(name, entry.parameters, given)
    module, _, function = entry.factory.partition(":")
    selector: Selector = getattr(importlib.import_module(module), function)(settings)
    return selector
