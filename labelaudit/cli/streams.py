"""Standard streams that cannot break a command."""

from __future__ import annotations

import contextlib
import errno
import io
import os
import signal
import sys
import threading
from collections.abc import Iterator
from types import FrameType
from typing import TYPE_CHECKING, TextIO

from labelaudit.errors import StorageError

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer


_OUT, _ERR = 1, 2


class _Stream(io.FileIO):
    """Writes to a descriptor, and drops everything after the first failure.

    A reader that goes early, such as head, is no failure of the command. Neither is anything that happens to stderr.
    Another failure of stdout is raised once: the flush when the interpreter ends must not raise it again.
    """

    def __init__(self, descriptor: int) -> None:
        super().__init__(descriptor, "w", closefd=False)
        self._is_lost = False

    def write(self, data: ReadableBuffer, /) -> int:
        """Write what fits.

        Raises:
            StorageError: stdout cannot be written.
        """
        if not self._is_lost:
            try:
                # None: the descriptor does not block, and its reader is too slow.
                return super().write(data) or memoryview(data).nbytes
            except OSError as error:
                self._is_lost = True
                if self.fileno() == _OUT and error.errno != errno.EPIPE:
                    reason = (error.strerror or str(error)).lower()
                    raise StorageError(
                        f"cannot write to the standard output ({reason})", fix="send it to another file or disk"
                    ) from error
        return memoryview(data).nbytes


def guard_streams() -> None:
    """Replace the interpreter's stdout and stderr by streams that cannot break a command.

    A closed descriptor is opened on /dev/null first. Otherwise the next file would get its number, and with it whatever
    a library prints. Streams that somebody else has put in place are left alone.
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
    return io.TextIOWrapper(
        writer,
        encoding=before.encoding,
        errors=before.errors,
        line_buffering=before.line_buffering,
        write_through=before.write_through,
    )


_SIGNALS = (signal.SIGINT, signal.SIGTERM)
_USUAL = (signal.SIG_DFL, signal.default_int_handler)


class Stopped(SystemExit):
    """A signal asked the command to end; a SystemExit, so that no library takes it for an error of its own."""


@contextlib.contextmanager
def stopped_by_signals() -> Iterator[None]:
    """In the body, SIGINT and SIGTERM raise `Stopped`; a second one ends the process at once.

    Signals that somebody else handles or ignores (nohup) stay as they are. So do those under torchrun: a process that
    waits there for others waits in C, where it would not notice, and torchrun sees to all of them.
    """
    together = "MASTER_ADDR" in os.environ and os.environ.get("WORLD_SIZE", "1") != "1"
    if together or threading.current_thread() is not threading.main_thread():
        yield
        return
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    ours = [number for number in _SIGNALS if before[number] in _USUAL]
    for number in ours:
        signal.signal(number, _stop)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


def _stop(number: int, _frame: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _stop:
            signal.signal(each, signal.SIG_DFL)
    raise Stopped(128 + number)
