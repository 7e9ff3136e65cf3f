"""Timing of several contenders in turns, and the figures that come of it."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

from labelaudit.progress import Advance, Quiet
from labelaudit.reproduce.runner import Row

Contender = tuple[int, Callable[[], object]]
"""Work that is timed: the number of items that a call gets done, and the call."""


def figure(name: str, values: float | Sequence[float], unit: str = "", note: str = "") -> Row:
    """Return a figure of a benchmark; of several rounds it is the median, and the note has their range."""
    if isinstance(values, Sequence):
        several = f"from {min(values):.4g} to {max(values):.4g} in {len(values)} rounds"
        note = "; ".join(filter(None, ["one round" if len(values) == 1 else several, note]))
        values = statistics.median(values)
    return {"name": name, "value": float(values), "unit": unit, "note": note}


def take_turns(contenders: Mapping[str, Contender], rounds: int) -> dict[str, list[float]]:
    """Return each contender's items per second in every round, after an untimed one; the order alternates.

    So a machine that gets steadily slower or faster favors no contender.
    """
    for _, work in contenders.values():
        work()
    rates: dict[str, list[float]] = {name: [] for name in contenders}
    for number in range(rounds):
        for name in contenders if number % 2 == 0 else reversed(contenders):
            items, work = contenders[name]
            began = time.perf_counter()
            work()
            rates[name].append(items / (time.perf_counter() - began))
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
