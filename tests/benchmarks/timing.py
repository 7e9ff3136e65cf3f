"""Timing of several contenders in turns, and the figures that come of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from labelaudit.progress import Advance

Clock = Callable[[], float]


@dataclass(frozen=True)
class Measurement:
    """One figure of a benchmark: what it is, its value and unit, and how it came about."""

    name: str
    value: float
    unit: str = ""
    note: str = ""


@dataclass(frozen=True)
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


@dataclass(frozen=True)
class Rates:
    """Items per second of every contender in every round."""

    of: dict[str, list[float]]

    def ratios(self, name: str, other: str) -> list[float]:
        """Return how many times as fast as the other it is, round by round."""
        return [one / two for one, two in zip(self.of[name], self.of[other], strict=True)]

    def measurements(self, unit: str = "images/s") -> list[Measurement]:
        """Return the rate of each contender."""
        return [median(name, rates, unit) for name, rates in self.of.items()]

    def ratio(self, name: str, other: str, note: str = "") -> Measurement:
        """Return ``name / other``."""
        return median(f"{name} / {other}", self.ratios(name, other), "×", note)


def median(name: str, values: Sequence[float], unit: str, note: str = "") -> Measurement:
    """Return the median of the rounds, with their range in the note."""
    several = f"from {min(values):.4g} to {max(values):.4g} in {len(values)} rounds"
    notes = ["one round" if len(values) == 1 else several, note]
    return Measurement(name, statistics.median(values), unit, "; ".join(filter(None, notes)))


def take_turns(
    contenders: Sequence[Contender], rounds: int, *, warm_up: bool = True, clock: Clock = time.perf_counter
) -> Rates:
    """Time all contenders in each round, in an order that is reversed from one round to the next.

    A machine that gets steadily slower or faster then favours no contender, and the ratio of two is taken within a
    round, where they are neighbours in time.

    Args:
        contenders: With names of their own.
        rounds: How often each is timed.
        warm_up: Run each once before, untimed.
        clock: Seconds.
    """
    for contender in contenders if warm_up else ():
        contender.run()
    rates: dict[str, list[float]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            rates[contender.name].append(contender.items / stopwatch(contender.run, clock=clock))
    return Rates(rates)


def stopwatch(work: Callable[[], object], *, clock: Clock = time.perf_counter) -> float:
    """Return the seconds that the work takes."""
    began = clock()
    work()
    return clock() - began


class Stages:
    """A `labelaudit.progress.Reporter` that draws nothing and notes how long each progress bar was open."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}
        self.ended: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Drop the line."""

    def warn(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """Time what happens while the bar is open."""
        began = time.perf_counter()
        yield lambda _finished: None
        self.ended[title] = time.perf_counter()
        self.seconds[title] = self.seconds.get(title, 0.0) + self.ended[title] - began

    def measurements(self) -> list[Measurement]:
        """Return the seconds of each stage."""
        return [
            Measurement(f"labelaudit: {title[:1].lower()}{title[1:]}", seconds, "s")
            for title, seconds in self.seconds.items()
        ]
