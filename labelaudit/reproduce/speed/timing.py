"""Timing several contenders in turns, and the rows that come of it.

Shapes: R rounds.
"""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

Clock = Callable[[], float]


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure of a benchmark: what it is, its value and unit, and how it came about."""

    name: str
    value: float
    unit: str
    note: str = ""


@dataclass(frozen=True, kw_only=True)
class Contender:
    """Work that is timed.

    Attributes:
        name: How it is called in the table.
        items: What one call of ``run`` gets done, in the unit that is counted; contenders may differ in it.
        run: The work; it returns when it is finished, on a GPU too.
    """

    name: str
    items: int
    run: Callable[[], object]


@dataclass(frozen=True, kw_only=True)
class Spread:
    """Median, smallest and largest of the values of R rounds."""

    median: float
    low: float
    high: float
    rounds: int

    @property
    def note(self) -> str:
        """The range in words."""
        if self.rounds == 1:
            return "one round"
        return f"from {self.low:.4g} to {self.high:.4g} in {self.rounds} rounds"


@dataclass(frozen=True, kw_only=True)
class Rates:
    """Items per second of every contender in every round.

    Attributes:
        rate_R: By contender.
    """

    rate_R: dict[str, tuple[float, ...]]

    def of(self, name: str) -> Spread:
        """A contender's rate."""
        return spread(self.rate_R[name])

    def seconds(self, name: str) -> Spread:
        """How long a contender takes for one item."""
        return spread([1 / rate for rate in self.rate_R[name]])

    def ratio(self, name: str, other: str) -> Spread:
        """How many times as fast as the other it is, round by round."""
        return spread(self.ratios(name, other))

    def ratios(self, name: str, other: str) -> list[float]:
        """The same for each of the R rounds."""
        return [one / two for one, two in zip(self.rate_R[name], self.rate_R[other], strict=True)]

    def rate_rows(self, unit: str) -> list[Row]:
        """A row for each contender."""
        found = {name: self.of(name) for name in self.rate_R}
        return [Row(name=name, value=rate.median, unit=unit, note=rate.note) for name, rate in found.items()]

    def ratio_row(self, name: str, other: str, *, note: str = "") -> Row:
        """``name / other`` as a row."""
        found = self.ratio(name, other)
        notes = "; ".join(filter(None, (found.note, note)))
        return Row(name=f"{name} / {other}", value=found.median, unit="×", note=notes)


def spread(values: Sequence[float]) -> Spread:
    """Median and range of values."""
    return Spread(median=statistics.median(values), low=min(values), high=max(values), rounds=len(values))


def take_turns(
    contenders: Sequence[Contender], rounds: int, *, warm_up: bool = True, clock: Clock = time.perf_counter
) -> Rates:
    """Time all contenders in each round, in an order that turns round from one round to the next.

    A machine that grows steadily slower or faster then favours nobody, and the ratio of two contenders is taken within
    a round, where they are neighbours in time.

    Args:
        contenders: With names of their own.
        rounds: How often each is timed.
        warm_up: Run each once before, untimed.
        clock: Seconds.
    """
    if warm_up:
        for contender in contenders:
            contender.run()
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            began = clock()
            contender.run()
            rates[contender.name].append(contender.items / (clock() - began))
    return Rates(rate_R={name: tuple(values) for name, values in rates.items()})


def stopwatch(work: Callable[[], object], *, clock: Clock = time.perf_counter) -> float:
    """Seconds that the work takes."""
    began = clock()
    work()
    return clock() - began
