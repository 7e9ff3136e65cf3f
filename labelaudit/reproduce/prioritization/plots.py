"""Figures 3, 4 and S5 to S11 of "When does loss-based prioritization fail?", over all data sets that were measured."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from labelaudit.names import PlotFormatName
from labelaudit.reproduce.figures import Panel, save_figure
from labelaudit.reproduce.prioritization.records import MEAN, EpochRow, Tables
from labelaudit.reproduce.prioritization.settings import ALGORITHMS, CLEAN, STANDARD
from labelaudit.run.files import write_atomically

_ENTROPY = ("standard", "sb-50", "sbe-50")
_STYLES: dict[str, dict[str, Any]] = {
    entry.name: {"label": entry.name, "color": f"C{number}"} for number, entry in enumerate(ALGORITHMS)
}
# On top, and broken: while a selector is off, its curve is this one.
_STYLES[STANDARD.name] |= {"color": "black", "linestyle": "--", "zorder": 3}


def draw(tables: Tables, folder: Path, form: PlotFormatName) -> list[Path]:
    """Draw every figure that there are rows for.

    Returns:
        The files.

    Raises:
        StorageError: the folder may not be written to, or is full.
    """
    names = list(dict.fromkeys(row.data_set for row in tables.epochs))
    spoiled = [name for name in names if name != CLEAN.name]
    both = len({row.algorithm for row in tables.epochs} & set(_ENTROPY)) == len(_ENTROPY)
    figures: dict[str, list[Panel]] = {
        "test-error": [partial(_errors, tables, name, ()) for name in names],
        "corrupted-share": [partial(_shares, tables, name) for name in spoiled],
        "entropy-and-loss": [partial(_errors, tables, name, _ENTROPY) for name in spoiled] if both else [],
    }
    drawn = []
    for name, panels in figures.items():
        if panels:
            file = folder / f"{name}.{form}"
            write_atomically(file, partial(save_figure, panels, form))
            drawn.append(file)
    return drawn


def _curves(tables: Tables, data_set: str, only: Sequence[str]) -> dict[str, list[list[EpochRow]]]:
    """Of each algorithm, the epochs of every seed."""
    curves: dict[str, dict[int, list[EpochRow]]] = {}
    for row in tables.epochs:
        if row.data_set == data_set and (not only or row.algorithm in only):
            curves.setdefault(row.algorithm, {}).setdefault(row.seed, []).append(row)
    return {name: list(of_seed.values()) for name, of_seed in curves.items()}


def _mean(curves: Sequence[Sequence[EpochRow]], name: str) -> Any:
    return np.mean([[getattr(row, name) for row in curve] for curve in curves], axis=0)


def _errors(tables: Tables, data_set: str, only: Sequence[str], place: Any) -> None:
    """Test error over examples back-propagated, and the error that counts as reached."""
    for name, curves in _curves(tables, data_set, only).items():
        examples, error = _mean(curves, "backpropagated") / 1000, 100 * _mean(curves, "test_error")
        place.plot(examples, error, **_STYLES[name])
    target = next(row.target for row in tables.results if row.data_set == data_set and row.seed == MEAN)
    place.axhline(100 * target, linestyle=":", color="grey")
    place.set(title=data_set, xlabel="thousand examples back-propagated", ylabel="test error, %")
    place.legend(fontsize="x-small")


def _shares(tables: Tables, data_set: str, place: Any) -> None:
    """Figure 3."""
    for name, curves in _curves(tables, data_set, ()).items():
        epochs = [row.epoch for row in curves[0]]
        place.plot(epochs, 100 * _mean(curves, "selected_share"), **_STYLES[name])
    place.set(title=data_set, xlabel="epoch", ylabel="corrupted among back-propagated, %")
    place.legend(fontsize="x-small")
