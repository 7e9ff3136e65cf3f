"""A lock that belongs to its process and leaves no file behind."""

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


@contextlib.contextmanager
def held(file: Path, what: Path, *, wait: Callable[[], None] | None = None, fix: str = "wait for it") -> Iterator[bool]:
    """Hold ``what`` for one process, by a lock on ``file``.

    The lock is the operating system's and goes with the process, however that ends: a file that is there says nothing.
    It is deleted at the end: a data folder that was put back is to have nothing in it that was not there before, and a
    cache no locks of entries that are gone.

    Args:
        file: The lock's.
        what: Named in the error.
        wait: Called once when another process holds it, before waiting for that one; None: an error.
        fix: What the error advises.

    Yields:
        False where the file system has no locks, so that another process may be at work too.

    Raises:
        RunError: another process holds it, and nobody waits; says which.
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
    """The process that holds a lock, in words; None where nobody does."""
    try:
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOFOLLOW)
    except OSError:
        return None
    try:
        return _owner(handle) if lock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB) == "busy" else None
    except OSError:
        return None
    finally:
        os.close(handle)


def _locked(file: Path, what: Path, wait: Callable[[], None] | None, fix: str) -> tuple[int, bool]:
    waiting = False
    while True:
        # No link is followed: the folder may come from a stranger.
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
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
