"""What the command line shows on stderr: progress, notes and errors."""

from __future__ import annotations

import itertools
import re
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import typer
from rich.cells import cell_len
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn
from rich.text import Text

from labelaudit.cli.options import is_helper
from labelaudit.progress import Advance
from labelaudit.text import printable

_SHOW_BAR_AFTER_SECONDS = 2.0


_ENDLESS = 100_000
_WORD = re.compile(
    r"""(?:
        \blabelaudit\ (?:advise|compare|demo|export|fit|relabel|report|retrain|score|train-probe)\b[^;,]*  # a command
        | (?<!\w)(['"]).*?\1(?!\w)  # a quoted text
        | \S*/\S*(?:\ [^\s/:;,]+)*\ [^\s/:;]+/\S*  # a path with blanks between its slashes
        | \S
    )+""",
    re.VERBOSE,
)
_BEGINS_PATH = re.compile(r"[(\[]*(?:['\"/]|~/|\.\.?/)")


class Screen(Console):
    """A console that breaks no path and no command.

    On a terminal it wraps text at words. A longer word goes over the edge: the terminal shows the rest in the next line
    and copies it whole. Elsewhere nothing is wrapped.
    """

    def __init__(self, *, stderr: bool = False) -> None:
        super().__init__(stderr=stderr, highlight=False)
        self._wraps = self.file.isatty()
        if not self._wraps:
            self.width = _ENDLESS

    def print(self, *objects: Any, soft_wrap: bool | None = None, **options: Any) -> None:
        """Print; with ``soft_wrap`` text is never wrapped."""
        if len(objects) == 1 and isinstance(objects[0], str):
            wraps = self._wraps and not soft_wrap
            for text in Text.from_markup(objects[0]).split("\n", allow_blank=True):
                for line in text.divide(_breaks(text.plain, self.width) if wraps else []):
                    line.rstrip()
                    super().print(line, soft_wrap=True, **options)
        else:
            super().print(*objects, soft_wrap=soft_wrap, **options)


def _breaks(text: str, width: int) -> list[int]:
    """Where to break a text so that its lines are no wider than this, as far as the places between words allow."""
    words = list(_WORD.finditer(text))
    places = [second.start() for first, second in itertools.pairwise(words) if _may_part(first, second)]
    breaks: list[int] = []
    start = last = 0
    for place in [*places, len(text)]:
        if last > start and cell_len(text[start:place].rstrip()) > width:
            breaks.append(last)
            start = last
        last = place
    return breaks


def _may_part(first: re.Match[str], second: re.Match[str]) -> bool:
    """Whether a line may end between two words: not where both may be of one path with a blank in it."""
    if second.start() - first.end() > 1 or first[0].endswith(":") or _BEGINS_PATH.match(second[0]):
        return True
    return ("/" not in first[0] or first[0].endswith((".", ";", ")"))) and "/" not in second[0]


class Terminal:
    """A `labelaudit.progress.Reporter` that writes to stderr.

    Args:
        quiet: Only warnings and errors.
        progress: Draw bars; on a stream that is no terminal, a line for each finished piece of work instead.
    """

    def __init__(self, *, quiet: bool = False, progress: bool = True) -> None:
        self.console = Screen(stderr=True)
        self._quiet = quiet or is_helper()
        self._progress = progress and not self._quiet
        self._warned: set[str] = set()

    def say(self, text: str) -> None:
        """A line of information."""
        if not self._quiet:
            self.console.print(escape(printable(text)))

    def warn(self, text: str) -> None:
        """A line that is always shown, once."""
        if text not in self._warned:
            self._warned.add(text)
            self.console.print(f"[yellow]Warning:[/yellow] {escape(printable(text))}")

    @contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """A progress bar that appears when the work takes more than two seconds."""
        if not self._progress or not self.console.is_terminal:
            began, done = time.perf_counter(), 0

            def count(finished: int) -> None:
                nonlocal done
                done += finished

            yield count
            seconds = time.perf_counter() - began
            if self._progress and seconds > _SHOW_BAR_AFTER_SECONDS:
                self.say(f"{title}: {done} {unit} in {seconds:.0f} s ({done / seconds:,.0f} {unit}/s)")
            return
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            TaskProgressColumn(),
            TextColumn("{task.fields[rate]}"),
            TimeRemainingColumn(),
        )
        with Progress(*columns, console=self.console, transient=True) as progress:
            task = progress.add_task(title, total=total, rate="", visible=False)
            began, done = time.perf_counter(), 0

            def advance(finished: int) -> None:
                nonlocal done
                done += finished
                seconds = time.perf_counter() - began
                progress.update(
                    task,
                    completed=done,
                    visible=seconds > _SHOW_BAR_AFTER_SECONDS,
                    rate=f"{done / max(seconds, 1e-9):,.0f} {unit}/s",
                )

            yield advance
        seconds = time.perf_counter() - began
        if seconds > _SHOW_BAR_AFTER_SECONDS:
            self.say(f"{title}: {done} {unit} in {seconds:.0f} s ({done / seconds:,.0f} {unit}/s)")


@contextmanager
def printed() -> Iterator[Console]:
    """A console for stdout, whose text is handed out as a whole when the context ends."""
    console = Screen()
    with console.capture() as captured:
        yield console
    hand_out(captured.get())


def hand_out(text: str | bytes) -> None:
    """Write to stdout."""
    typer.echo(text, nl=False)


def show_error(message: str) -> None:
    """One line on stderr."""
    Screen(stderr=True).print(f"[bold red]Error:[/bold red] {escape(printable(message))}")
    sys.stderr.flush()
