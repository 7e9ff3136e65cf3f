"""The table of robust-training methods, readable without importing torch."""

from __future__ import annotations

import difflib
import importlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

from labelaudit.errors import UsageError

if TYPE_CHECKING:
    from labelaudit.methods.base import Ingredients, Method

Need = Literal["weights", "truth"]


@dataclass(frozen=True, kw_only=True)
class MethodEntry:
    """One method.

    Attributes:
        name: As the user writes it.
        summary: What it does, in a line.
        source: Where it is described.
        needs: What it cannot train without: sample ``weights``, or the ``truth``.
        factory: ``module:function`` that takes `Ingredients` and gives a `Method`.
    """

    name: str
    summary: str
    source: str
    needs: tuple[Need, ...]
    factory: str

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
