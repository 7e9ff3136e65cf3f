"""Pictures of measurements, where matplotlib (extra ``plots``) is installed."""

from __future__ import annotations

import importlib.util
import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from labelaudit.errors import UsageError
from labelaudit.names import PlotFormatName

_PANEL_INCHES = (4.0, 3.2)

Panel = Callable[[Any], None]
"""Draws on a matplotlib Axes."""


def has_matplotlib() -> bool:
    """Whether plots can be drawn here."""
    return importlib.util.find_spec("matplotlib") is not None


def require_matplotlib() -> None:
    """Refuse to begin without it.

    Raises:
        UsageError: it is not installed.
    """
    if not has_matplotlib():
        raise UsageError("--plots needs matplotlib, not installed here", fix="pip install 'labelaudit[plots]'")


def save_figure(panels: Sequence[Panel], form: PlotFormatName, file: Path, *, in_a_row: int = 3) -> None:
    """Draw panels side by side, at most so many in a row; the same figures give the same file."""
    import matplotlib
    from matplotlib.figure import Figure  # without pyplot: no windows, and no state between figures

    columns = min(len(panels), in_a_row)
    rows = math.ceil(len(panels) / columns)
    size = columns * _PANEL_INCHES[0], rows * _PANEL_INCHES[1]
    with matplotlib.rc_context({"svg.hashsalt": "labelaudit"}):
        figure = Figure(figsize=size, layout="constrained")
        axes = figure.subplots(rows, columns, squeeze=False).ravel()
        for panel, place in zip(panels, axes, strict=False):
            panel(place)
        for place in axes[len(panels) :]:
            place.set_axis_off()
        figure.savefig(file, format=form, dpi=150, metadata={"Date": None} if form == "svg" else None)
