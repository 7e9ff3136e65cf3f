"""SIGINT and SIGTERM: what is under way is put down cleanly, and the exit code is 128 + the signal's number."""

from __future__ import annotations

import contextlib
import os
import signal
import threading
from collections.abc import Iterator
from types import FrameType

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
