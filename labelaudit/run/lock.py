"""A lock that belongs to its process and leaves no file behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Callable, Iterator
from pathlib import Path

from labelaudit.errors import RunError
from labelaudit.run.files import is_still, storage_errors

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}


@contextlib.contextmanager
def held(file: Path, what: Path, *, wait: Callable[[], None] | None = None) -> Iterator[None]:
    """Hold ``what`` for one process, by a lock on ``file``.

    The lock is the operating system's and goes with the process, however that ends. The file is deleted at the end: a
    data folder that was put back is to have nothing in it that was not there before, and a cache no locks of entries
    that are gone. filelock leaves its file, so this is a lock of our own.

    Args:
        file: The lock's.
        what: Named in the error.
        wait: Called once when another process holds it, before waiting for that one; None: an error.

    Raises:
        RunError: another process holds it, and nobody waits; says which.
        StorageError: the file cannot be made.
    """
    with storage_errors(file):
        handle = _locked(file, what, wait)
    try:
        yield
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
        fcntl.flock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except OSError as error:
        return _owner(handle) if error.errno in _BUSY else None
    finally:
        os.close(handle)
    return None


def _locked(file: Path, what: Path, wait: Callable[[], None] | None) -> int:
    waiting = False
    while True:
        # No link is followed: the folder may come from a stranger.
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | (0 if waiting else fcntl.LOCK_NB))
            if is_still(file, handle):  # else its last owner deleted it after we opened it
                os.ftruncate(handle, 0)
                os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                return handle
        except OSError as error:
            owner = _owner(handle)
            os.close(handle)
            if error.errno not in _BUSY:
                raise
            if wait is None:
                raise RunError(f"{what} is in use by {owner}", fix="wait for it") from error
            wait()
            waiting = True
            continue
        except BaseException:  # a signal while waiting
            os.close(handle)
            raise
        os.close(handle)


def _owner(handle: int) -> str:
    try:
        owner = json.loads(os.pread(handle, 1000, 0))
        return f"process {int(owner['pid'])} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
