"""Selectors in a training: what goes with what, and from settings to a selection."""

from __future__ import annotations

import importlib
import typing

from labelaudit.engine.selection import Selection
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import UsageError
from labelaudit.methods.base import Mixes, Plans
from labelaudit.methods.table import MethodEntry
from labelaudit.selectors.table import NONE, build_selector


def build_selection(settings: TrainingSettings, rows: int, *, records_scores: bool = False) -> Selection | None:
    """The selection that the settings describe, before its first epoch; None for none.

    Args:
        settings: Of the training.
        rows: Of the training data.
        records_scores: See `Selection`.
    """
    selector = build_selector(settings.selector)
    return None if selector is None else Selection(selector, rows, records_scores=records_scores)


def check_method(entry: MethodEntry, selector: str) -> None:
    """Refuse a selector beside a method that has its own say in what is trained on.

    Raises:
        UsageError: it trains several networks, chooses the rows of its batches, or blends pictures.
    """
    if selector == NONE:
        return
    module, _, function = entry.factory.partition(":")
    made = typing.get_type_hints(getattr(importlib.import_module(module), function))["return"]
    reason = (
        f"{entry.networks} networks are trained"
        if entry.networks > 1
        else "the method chooses its batches itself"
        if issubclass(made, Plans)
        else "the method blends pictures"
        if issubclass(made, Mixes)
        else None
    )
    if reason is not None:
        raise UsageError(f"--selector does not go with --method {entry.name}: {reason}", fix="leave one of them out")


def check_probe(settings: TrainingSettings) -> None:
    """Refuse a selector that leaves an audit without the losses that it needs.

    Raises:
        UsageError: several heads are trained, or scores are used for several epochs.
    """
    selector = build_selector(settings.selector)
    if selector is None:
        return
    if settings.folds > 1:
        raise UsageError(f"--selector works on one network, not on {settings.folds} heads", fix="add --folds 1")
    if selector.stale_epochs > 1:
        raise UsageError(
            "an audit needs every sample's loss in every epoch, and stale scores have none",
            fix="leave -S stale_epochs out",
        )
