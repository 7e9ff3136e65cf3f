"""Timing of several contenders in turns, and the figures that come of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import NamedTuple

from labelaudit.progress import Advance, Quiet


class Measurement(NamedTuple):
    """One figure of a benchmark: what it is, its value and unit, and how it came about."""

    name: str
    value: float
    unit: str = ""
    note: str = ""


class Contender(NamedTuple):
    """Work that is timed: its name, the number of items that a call gets done, and the call."""

    name: str
    items: int
    run: Callable[[], object]


Rates = dict[str, list[float]]
"""Items per second of every contender in every round."""


def ratios(rates: Rates, name: str, other: str) -> list[float]:
    """Return how many times as fast as the other it is, round by round."""
    return [one / two for one, two in zip(rates[name], rates[other], strict=True)]


def median(name: str, values: Sequence[float], unit: str, note: str = "") -> Measurement:
    """Return the median of the rounds, with their range in the note."""
    several = f"from {min(values):.4g} to {max(values):.4g} in {len(values)} rounds"
    notes = ["one round" if len(values) == 1 else several, note]
    return Measurement(name, statistics.median(values), unit, "; ".join(filter(None, notes)))


def rows_of(rates: Rates) -> list[Measurement]:
    """Return the rate of each contender."""
    return [median(name, values, "images/s") for name, values in rates.items()]


def take_turns(contenders: Sequence[Contender], rounds: int) -> Rates:
    """Time all contenders in each round, in an order that is reversed from one round to the next.

    A machine that gets steadily slower or faster then favors no contender, and the ratio of two is taken within a
    round, where they are close in time. Each runs once before, untimed.
    """
    for contender in contenders:
        contender.run()
    rates: Rates = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders if number % 2 == 0 else reversed(contenders):
            began = time.perf_counter()
            contender.run()
            rates[contender.name].append(contender.items / (time.perf_counter() - began))
    return rates


class Stages(Quiet):
    """A reporter that draws nothing and notes how long each progress bar was open."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = {}

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """Time what happens while the bar is open."""
        began = time.perf_counter()
        yield lambda _finished: None
        self.seconds[title] = self.seconds.get(title, 0.0) + time.perf_counter() - began

    def measurements(self) -> list[Measurement]:
        """Return the seconds of each stage."""
        return [
            Measurement(f"labelaudit: {title[:1].lower()}{title[1:]}", seconds, "s")
            for title, seconds in self.seconds.items()
        ]
