"""Locks between processes, which end with their process and leave no file behind."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from labelaudit.errors import RunError
from labelaudit.run.files import is_still, lock, storage_errors

_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
"""No link is followed: the folder may come from a stranger."""


@contextlib.contextmanager
def held(file: Path, what: Path, *, wait: Callable[[], None] | None = None, fix: str = "wait for it") -> Iterator[bool]:
    """Hold a lock on ``file``, which stands for ``what``.

    The operating system ends the lock with the process; a file without a lock on it means nothing. The file is deleted
    at the end.

    Args:
        file: The lock file.
        what: Named in the error.
        wait: Called once, before waiting, when another process holds the lock; None: raise an error instead.
        fix: What the error advises.

    Yields:
        False where the file system has no locks, so that another process may be at work too.

    Raises:
        RunError: another process holds the lock; the message names it.
        StorageError: the file cannot be made.
    """
    with storage_errors(file):
        handle, is_alone = _locked(file, what, wait, fix)
    try:
        yield is_alone
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(handle)


def holder(file: Path) -> str | None:
    """Return which process holds a lock, in words; None where none does."""
    with contextlib.suppress(OSError):
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | _FLAGS)
        try:
            return _owner(handle) if lock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB) == "busy" else None
        finally:
            os.close(handle)
    return None


def _locked(file: Path, what: Path, wait: Callable[[], None] | None, fix: str) -> tuple[int, bool]:
    waiting = False
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | _FLAGS, 0o644)
        try:
            locked = lock(handle, fcntl.LOCK_EX | (0 if waiting else fcntl.LOCK_NB))
            if locked == "busy":
                if wait is None:
                    raise RunError(f"{what} is in use by {_owner(handle)}", fix=fix)
                wait()
                waiting = True
            elif is_still(file, handle):  # else its last owner deleted it after we opened it
                os.ftruncate(handle, 0)
                os.pwrite(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode(), 0)
                return handle, locked == "held"
        except BaseException:  # also a signal while waiting
            os.close(handle)
            raise
        os.close(handle)


def _owner(handle: int) -> str:
    try:
        owner = json.loads(os.pread(handle, 1000, 0))
        return f"process {int(owner['pid'])} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
