"""Report the progress of long work.

The package reports through a `Reporter`; the command line passes one that draws on stderr, and Python callers get the
silent `QUIET` unless they pass their own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

Advance = Callable[[int], None]
"""A function that gets the number of items finished since the last call."""


class Reporter:
    """Receives the progress of long work; this one shows nothing."""

    def say(self, text: str) -> None:
        """Show one line of information: what was chosen and why, what was found."""

    def warn(self, text: str) -> None:
        """Show one line that the user should not miss."""

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a progress bar over ``total`` items while the context lasts."""
        yield lambda _finished: None


QUIET = Reporter()
