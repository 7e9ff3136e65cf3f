"""What the command line shows on stderr (progress, notes and errors), standard streams that cannot break a command, and
signals that end it in order.
"""

from __future__ import annotations

import contextlib
import errno
import io
import itertools
import os
import re
import signal
import sys
import threading
import time
from collections.abc import Iterable, Iterator, Sequence
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

import typer
from rich import box
from rich.cells import cell_len
from rich.console import Console
from rich.live import Live
from rich.markup import escape
from rich.progress import BarColumn, Progress, TaskProgressColumn, TimeRemainingColumn
from rich.table import Column, Table
from rich.text import Text

from labelaudit.errors import StorageError, reason
from labelaudit.progress import Advance, Reporter
from labelaudit.text import printable

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

_SHOW_BAR_AFTER_SECONDS = 2.0
_ENDLESS = 100_000
_WORD = re.compile(
    r"""(?:
        \blabelaudit\ (?:advise|compare|demo|export|fit|relabel|report|retrain|review|score|train-probe)\b[^;,]*
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
    """Return where to break a text into lines of this width, as far as the places between words allow."""
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
    """Return whether a line may end between two words: not where both may belong to one path with a blank in it."""
    if second.start() - first.end() > 1 or first[0].endswith(":") or _BEGINS_PATH.match(second[0]):
        return True
    return ("/" not in first[0] or first[0].endswith((".", ";", ")"))) and "/" not in second[0]


def is_distributed() -> bool:
    """Return whether torchrun started this process beside others."""
    return "MASTER_ADDR" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"


def is_helper() -> bool:
    """Return whether this process is not torchrun's first one: it trains too, but writes and prints nothing."""
    return "MASTER_ADDR" in os.environ and os.environ.get("RANK", "0") != "0"


class Terminal(Reporter):
    """A reporter that writes to stderr; ``quiet`` shows only warnings and errors.

    With ``progress`` it draws bars; on a stream that is no terminal, a line for each finished piece of work instead.
    """

    def __init__(self, *, quiet: bool = False, progress: bool = True) -> None:
        self.console = Screen(stderr=True)
        self.quiet = quiet or is_helper()
        self._progress = progress and not self.quiet
        self._warned: set[str] = set()

    def say(self, text: str) -> None:
        """Print a line of information."""
        if not self.quiet:
            self.console.print(escape(printable(text)))

    def warn(self, text: str) -> None:
        """Print a warning, also in quiet mode; each text once."""
        if text not in self._warned:
            self._warned.add(text)
            self.console.print(f"[yellow]Warning:[/yellow] {escape(printable(text))}")

    def loading(self) -> contextlib.AbstractContextManager[object]:
        """Show on a terminal that libraries are being loaded: it takes seconds, and there is nothing else to see."""
        shown = self._progress and self.console.is_terminal
        live = Live("Loading …", console=self.console, transient=True, auto_refresh=False)
        return live if shown else contextlib.nullcontext()

    @contextlib.contextmanager
    def bar(self, title: str, total: int, unit: str) -> Iterator[Advance]:
        """Show a progress bar when the work takes more than two seconds, and a line at its end."""
        began, done = time.perf_counter(), 0
        shown = self._progress and self.console.is_terminal
        figures = (TaskProgressColumn(), "{task.fields[rate]}", TimeRemainingColumn())
        columns = ("{task.description}", BarColumn(), *figures)
        with Progress(*columns, console=self.console, transient=True, disable=not shown) as progress:
            task = progress.add_task(title, total=total, rate="", visible=False)

            def advance(finished: int) -> None:
                nonlocal done
                done += finished
                if shown:
                    seconds = max(time.perf_counter() - began, 1e-9)
                    visible = seconds > _SHOW_BAR_AFTER_SECONDS
                    progress.update(task, completed=done, visible=visible, rate=f"{done / seconds:,.0f} {unit}/s")

            yield advance
        seconds = time.perf_counter() - began
        if self._progress and seconds > _SHOW_BAR_AFTER_SECONDS:
            self.say(f"{title}: {done} {unit} in {seconds:.0f} s ({done / seconds:,.0f} {unit}/s)")


@contextlib.contextmanager
def printed() -> Iterator[Console]:
    """Return a console for stdout whose text is written as a whole when the context ends."""
    console = Screen()
    with console.capture() as captured:
        yield console
    typer.echo(captured.get(), nl=False)


def print_table(columns: Sequence[str], rows: Iterable[Sequence[str]], *, whole: Sequence[str] = ()) -> None:
    """Print a table on stdout; the cells of the columns in ``whole`` are never wrapped."""
    headers = (Column(column, no_wrap=column in whole) for column in columns)
    table = Table(*headers, box=box.SIMPLE_HEAD, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    with printed() as console:
        console.print(table)


def print_data(text: str) -> None:
    """Print text on stdout as it is, in UTF-8 everywhere."""
    typer.echo(text.encode(), nl=False)


def show_error(message: str) -> None:
    """Print an error as one line on stderr."""
    Screen(stderr=True).print(f"[bold red]Error:[/bold red] {escape(printable(message))}")
    sys.stderr.flush()


_OUT, _ERR = 1, 2


class _Stream(io.FileIO):
    """Write to a descriptor, and drop everything after the first failure.

    A reader that ends early, such as head, is no failure of the command; nor is any failure of stderr. Another failure
    of stdout is raised once, and not again by the flush when the interpreter ends.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._is_lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        if not self._is_lost:
            try:
                # None: the descriptor does not block, and its reader is too slow.
                return super().write(data) or memoryview(data).nbytes
            except OSError as error:
                self._is_lost = True
                if self.fileno() == _OUT and error.errno != errno.EPIPE:
                    what = f"cannot write to the standard output ({reason(error)})"
                    raise StorageError(what, fix="send it to another file or disk") from error
        return memoryview(data).nbytes


def guard_streams() -> None:
    """Replace the interpreter's stdout and stderr by streams that cannot break a command.

    A closed descriptor is opened on /dev/null first: otherwise the next file would get its number, and what libraries
    print. Streams that were already replaced stay as they are.
    """
    while (descriptor := os.open(os.devnull, os.O_RDWR)) <= _ERR:
        os.set_inheritable(descriptor, True)
    os.close(descriptor)
    if sys.stdout is sys.__stdout__:
        sys.stdout = _guarded(_OUT, sys.stdout)
    if sys.stderr is sys.__stderr__:
        sys.stderr = _guarded(_ERR, sys.stderr)


def _guarded(descriptor: int, before: TextIO | None) -> io.TextIOWrapper:
    writer = io.BufferedWriter(_Stream(descriptor))
    if not isinstance(before, io.TextIOWrapper):  # None: it was closed
        return io.TextIOWrapper(writer, encoding="utf-8", errors="backslashreplace")
    before.flush()
    kept: Any = {name: getattr(before, name) for name in ("encoding", "errors", "line_buffering", "write_through")}
    return io.TextIOWrapper(writer, **kept)


_SIGNALS = (signal.SIGINT, signal.SIGTERM)


class Stopped(SystemExit):
    """Raised when a signal ends the command; a SystemExit, so that no library handles it as an error."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """Make SIGINT and SIGTERM raise `Stopped` in the body; a second one ends the process at once.

    Signals that are already handled or ignored (nohup) stay as they are. So do those under torchrun: a process that
    waits for others waits in C, where Python handles no signal, and torchrun ends all processes itself.
    """
    if is_distributed() or threading.current_thread() is not threading.main_thread():
        yield
        return
    usual = (signal.SIG_DFL, signal.default_int_handler)
    before = {number: handler for number in _SIGNALS if (handler := signal.getsignal(number)) in usual}
    for number in before:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _stop:
            signal.signal(each, signal.SIG_DFL)
    raise Stopped(128 + number)
