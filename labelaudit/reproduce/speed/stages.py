"""Where the time of an audit goes: a reporter that notes when each of its bars was open."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager

from labelaudit.progress import Advance
from labelaudit.reproduce.speed.timing import Row


class Stages:
    """A `labelaudit.progress.Reporter` that draws nothing and remembers how long everything took."""

    def __init__(self) -> None:
        self._seconds: dict[str, float] = {}
        self._ended: dict[str, float] = {}

    def say(self, text: str) -> None:
        """Drop the line."""

    def warn(self, text: str) -> None:
        """Drop the line."""

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """Time what happens while the bar is open."""
        began = time.perf_counter()
        yield lambda _finished: None
        self._ended[title] = time.perf_counter()
        self._seconds[title] = self._seconds.get(title, 0.0) + self._ended[title] - began

    def rows(self, whose: str) -> list[Row]:
        """A row for each stage."""
        return [
            Row(name=f"{whose}: {title[:1].lower()}{title[1:]}", value=seconds, unit="s")
            for title, seconds in self._seconds.items()
        ]

    def seconds(self, title: str) -> float:
        """How long the bars of this title were open."""
        return self._seconds[title]

    def ended(self, title: str) -> float:
        """When the last bar of this title was closed, by time.perf_counter."""
        return self._ended[title]
