"""The figures of the paper that are repeated.

Source: "Detecting label noise from loss curves", Table 1, CIFAR-10: test error in percent, mean and deviation over 4
trials.
"""

from __future__ import annotations

from dataclasses import dataclass

NOISES = ("uniform:0.2", "uniform:0.4", "uniform:0.6", "uniform:0.8", "pair-flip:0.4")
"""The columns."""

DIVERGED = "diverged"


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One cell.

    Attributes:
        error, deviation: Test error in percent; None where there is none.
        note: What stands in the paper instead.
    """

    error: float | None = None
    deviation: float | None = None
    note: str = ""


_ROWS: dict[str, tuple[tuple[float, float] | str | None, ...]] = {
    "standard": ((23.2, 0.2), (40.3, 0.5), (57.1, 0.5), (75.3, 0.5), (40.3, 0.2)),
    "random": ((16.5, 0.7), (22.8, 1.6), (35.8, 2.8), (55.6, 5.5), (21.2, 0.1)),
    "reed-hard": ((22.4, 0.4), (37.4, 0.9), (52.0, 0.5), (68.8, 0.9), (37.2, 0.2)),
    "mentornet": ((13.3, 0.2), (18.1, 0.4), None, (66.0, 4.9), None),
    "co-teaching": ((11.2, 0.2), (13.5, 0.2), (19.3, 0.2), (80.7, 1.2), (16.9, 0.6)),
    "d2l": ((12.3, 0.5), (15.6, 0.6), (27.3, 1.2), DIVERGED, (23.6, 3.0)),
    "incv": ((10.5, 0.2), (13.2, 0.2), (18.9, 0.5), (46.7, 3.8), (16.1, 1.0)),
    "aul": ((9.2, 0.1), (11.5, 0.2), (16.0, 0.3), (37.8, 2.4), (11.1, 0.3)),
    "oracle": ((9.0, 0.1), (9.7, 0.8), (10.8, 1.8), (12.6, 3.5), (10.8, 0.1)),
}

ROWS = tuple(_ROWS)
"""The paper's methods, in its order."""

MORE_ROWS = ("elr", "dividemix")
"""Methods that are not in the paper."""


def figure_of(method: str, noise: str) -> Figure:
    """The paper's cell; empty where it has none."""
    cell = _ROWS[method][NOISES.index(noise)] if method in _ROWS and noise in NOISES else None
    if cell is None:
        return Figure()
    if isinstance(cell, str):
        return Figure(note=cell)
    return Figure(error=cell[0], deviation=cell[1])
