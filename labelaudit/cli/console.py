"""What the command line shows on stderr: progress, notes and errors."""

from __future__ import annotations

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

import typer
from rich.console import Console
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TextColumn, TimeRemainingColumn

from labelaudit.cli.start import is_helper
from labelaudit.progress import Advance
from labelaudit.text import printable

_SHOW_BAR_AFTER_SECONDS = 2.0


class Terminal:
    """A `labelaudit.progress.Reporter` that writes to stderr.

    Args:
        quiet: Only warnings and errors.
        progress: Draw bars; on a stream that is no terminal, a line for each finished piece of work instead.
    """

    def __init__(self, *, quiet: bool = False, progress: bool = True) -> None:
        self.console = Console(stderr=True, soft_wrap=True, highlight=False)
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
def printed(*, soft_wrap: bool = False) -> Iterator[Console]:
    """A console for stdout, whose text is handed out as a whole when the context ends."""
    console = Console(highlight=False, soft_wrap=soft_wrap)
    with console.capture() as captured:
        yield console
    hand_out(captured.get())


def hand_out(text: str | bytes) -> None:
    """Write to stdout."""
    typer.echo(text, nl=False)


def show_error(message: str) -> None:
    """One line on stderr."""
    Console(stderr=True, soft_wrap=True, highlight=False).print(
        f"[bold red]Error:[/bold red] {escape(printable(message))}"
    )
    sys.stderr.flush()
