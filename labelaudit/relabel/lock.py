"""One relabeling at a time: a lock that belongs to its process and leaves no file behind."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path

from labelaudit.errors import RunError
from labelaudit.run.files import storage_errors

_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}


@contextlib.contextmanager
def held(file: Path, what: Path) -> Iterator[None]:
    """Hold ``what`` for one process, by a lock on ``file``.

    The lock is the operating system's and goes with the process, however that ends. The file is deleted at the end: a
    data folder that was put back is to have nothing in it that was not there before. filelock leaves its file, so this
    is a lock of our own.

    Raises:
        RunError: another process holds it; says which.
        StorageError: the file cannot be made.
    """
    with storage_errors(file):
        handle = _locked(file, what)
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            file.unlink()
        os.close(handle)


def _locked(file: Path, what: Path) -> int:
    while True:
        # No link is followed: the folder may come from a stranger.
        handle = os.open(file, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, 0o644)
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if _is_still(file, handle):  # else its last owner deleted it after we opened it
                os.ftruncate(handle, 0)
                os.write(handle, json.dumps({"pid": os.getpid(), "host": socket.gethostname()}).encode())
                return handle
        except OSError as error:
            owner = _owner(handle)
            os.close(handle)
            if error.errno not in _BUSY:
                raise
            raise RunError(f"{what} is in use by {owner}", fix="wait for it") from error
        os.close(handle)


def _is_still(file: Path, handle: int) -> bool:
    try:
        return os.path.samestat(os.stat(file, follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


def _owner(handle: int) -> str:
    try:
        owner = json.loads(os.pread(handle, 1000, 0))
        return f"process {int(owner['pid'])} on {owner['host']}"
    except (OSError, ValueError, KeyError, TypeError):
        return "another process"
