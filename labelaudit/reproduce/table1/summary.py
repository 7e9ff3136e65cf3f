"""From runs to cells, and what the paper expects of them."""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from labelaudit.reproduce.detection.quality import spread
from labelaudit.reproduce.table1.paper import figure_of
from labelaudit.reproduce.table1.records import DIVERGED, Cell, Run

BASE = "standard"

EXPECTATIONS: tuple[tuple[str, ...], ...] = (
    ("oracle", "aul", "standard"),
    ("aul", "random"),
    ("aul", "reed-hard"),
)
"""Methods in the order in which the paper has their errors, at every noise, least first."""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One order at one noise.

    Attributes:
        methods: Least error first.
        errors: In percent, of these methods.
        came_out: True when they rise strictly; None where one of them has no figure.
    """

    noise: str
    methods: tuple[str, ...]
    errors: tuple[float, ...]
    came_out: bool | None


@dataclass(frozen=True, kw_only=True)
class Summary:
    """All that the page shows of the runs.

    Attributes:
        methods, noises: In the order in which they came.
        cells: One for each method and noise that was run.
        best: Mean least error after any epoch, in percent, by (method, noise).
        seconds: Mean seconds an epoch, by method.
    """

    methods: tuple[str, ...]
    noises: tuple[str, ...]
    cells: tuple[Cell, ...]
    best: dict[tuple[str, str], float]
    seconds: dict[str, float]
    expectations: tuple[Expectation, ...]

    def cell(self, method: str, noise: str) -> Cell | None:
        """The cell, if there is one."""
        return next((one for one in self.cells if (one.method, one.noise) == (method, noise)), None)


def summarise(runs: Sequence[Run]) -> Summary:
    """Mean and deviation over the seeds, times as multiples of Standard's, and which of the paper's orders came out."""
    methods = tuple(dict.fromkeys(run.method for run in runs))
    noises = tuple(dict.fromkeys(run.noise for run in runs))
    cells = tuple(
        _cell(method, noise, runs)
        for method in methods
        for noise in noises
        if any((run.method, run.noise) == (method, noise) for run in runs)
    )
    best = {
        (cell.method, cell.noise): _mean(
            100 * run.best_error for run in runs if (run.method, run.noise) == (cell.method, cell.noise)
        )
        for cell in cells
    }
    seconds = {method: _mean(run.epoch_seconds for run in runs if run.method == method) for method in methods}
    error_of = {(cell.method, cell.noise): cell.error for cell in cells}
    expectations = tuple(
        _expect(order, noise, error_of)
        for noise in noises
        for order in EXPECTATIONS
        if all((method, noise) in error_of for method in order)
    )
    return Summary(methods=methods, noises=noises, cells=cells, best=best, seconds=seconds, expectations=expectations)


def _cell(method: str, noise: str, runs: Sequence[Run]) -> Cell:
    mine = [run for run in runs if (run.method, run.noise) == (method, noise)]
    found, paper = spread([100 * run.error for run in mine]), figure_of(method, noise)
    return Cell(
        method=method,
        noise=noise,
        error=found.mean,
        deviation=found.deviation,
        seeds=len(mine),
        diverged=sum(run.status == DIVERGED for run in mine),
        relative_epoch=_relative(mine, runs, "epoch_seconds"),
        relative_time=_relative(mine, runs, "seconds"),
        paper_error=math.nan if paper.error is None else paper.error,
        paper_deviation=math.nan if paper.deviation is None else paper.deviation,
        paper_note=paper.note,
    )


def _relative(mine: Sequence[Run], runs: Sequence[Run], name: str) -> float:
    """Mean ratio to Standard's with the same noise and seed."""
    base = {(run.noise, run.seed): getattr(run, name) for run in runs if run.method == BASE}
    return _mean(getattr(run, name) / base.get((run.noise, run.seed), math.nan) for run in mine)


def _expect(order: tuple[str, ...], noise: str, error_of: dict[tuple[str, str], float]) -> Expectation:
    errors = tuple(error_of[method, noise] for method in order)
    came_out = None
    if all(math.isfinite(error) for error in errors):
        came_out = all(less < more for less, more in itertools.pairwise(errors))
    return Expectation(noise=noise, methods=order, errors=errors, came_out=came_out)


def _mean(values: Iterable[float]) -> float:
    return spread(list(values)).mean
