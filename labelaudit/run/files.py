"""Writing files so that a crash leaves a whole one or none, and reading JSON that somebody may have touched."""

from __future__ import annotations

import contextlib
import errno
import fcntl
import functools
import itertools
import json
import os
import shutil
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path
from types import TracebackType
from typing import Any, Literal

from labelaudit.errors import NoLocksWarning, RunError, StorageError

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NO_LEAVE = {errno.EROFS, errno.EACCES, errno.EPERM}
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}


def lock(handle: int, operation: int) -> Literal["held", "busy", "unsupported"]:
    """Ask the operating system for flock's lock on an open file.

    A file system without locks is a warning, once, and no reason to refuse anything. This is the only place that asks.

    Args:
        handle: The file.
        operation: `fcntl.LOCK_EX` or `fcntl.LOCK_SH`, with `fcntl.LOCK_NB` or without.

    Raises:
        OSError: the file system fails.
    """
    try:
        fcntl.flock(handle, operation)
    except OSError as error:
        if error.errno in _BUSY:
            return "busy"
        if error.errno not in _NO_LOCKS:
            raise
        _warn_of_no_locks()
        return "unsupported"
    return "held"


@functools.cache  # Python's own memory of warnings is emptied whenever somebody changes a filter
def _warn_of_no_locks() -> None:
    warnings.warn(
        "the file system cannot lock files, so two commands on the same folder are not kept apart: run one at a time",
        NoLocksWarning,
        stacklevel=3,
    )


def storage_error(path: Path, error: OSError) -> StorageError:
    """What an operating system error means for somebody who wants ``path`` written."""
    if error.errno in _NO_ROOM:
        return StorageError(f"no space left for {path}", fix="free some space and run the command again: it resumes")
    if error.errno in _NO_LEAVE:
        return StorageError(
            f"{path} may not be written ({(error.strerror or '').lower()})", fix="choose another folder"
        )
    return StorageError(f"cannot write {path}: {error.strerror or error}", fix="check the path and the disk")


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn any OSError in the body into a `StorageError` about ``path``."""
    try:
        yield
    except OSError as error:
        raise storage_error(path, error) from error


def write_atomically(path: Path, write: Callable[[Path], None]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk and rename it to ``path``.

    Raises:
        StorageError: the disk is full, read-only or out of reach; ``path`` is as it was before.
    """
    with storage_errors(path):
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe, not to be replaced
            write(path)
            return
        # Absolute: pyarrow takes a relative name with a colon in it for a URI.
        partial, held = _hold_partial(path.absolute())
        try:
            write(partial)
            with open(partial, "rb") as handle:
                os.fsync(handle.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        finally:
            os.close(held)
        flush_folder(path.parent)


def _hold_partial(path: Path) -> tuple[Path, int]:
    """A temporary file beside ``path``, and the handle that holds it: no other process writes to the same one.

    What a killed process left is used again, so nothing piles up; without locks nobody knows that it was killed, and
    only new files are used. A link in its place is never followed: the folder may come from a stranger.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW
    for number in itertools.count(1):
        partial = path.with_name(f".{path.name}.partial" if number == 1 else f".{path.name}.{number}.partial")
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(partial.lstat().st_mode):
                partial.unlink()
        try:
            handle, is_new = os.open(partial, flags | os.O_CREAT | os.O_EXCL, 0o666), True
        except FileExistsError:
            handle, is_new = os.open(partial, flags | os.O_CREAT, 0o666), False
        locked = lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (locked == "held" or (locked == "unsupported" and is_new)) and is_still(partial, handle):
            return partial, handle
        os.close(handle)  # another process holds it, or has renamed or deleted it meanwhile
    raise RuntimeError("numbers do not end")


def is_still(file: Path, handle: int) -> bool:
    """Whether ``file`` is the file that was opened as ``handle``, and no other that has taken its name since."""
    try:
        return os.path.samestat(os.stat(file, follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


def behind_links(path: Path) -> Path:
    """Where a file goes that the user has named: to what a symbolic link leads to, so that the link stays.

    Only for names from the command line: in a run folder, which may come from a stranger, links are replaced.

    Raises:
        StorageError: the link leads to itself.
    """
    if not path.is_symlink() or (path.exists() and not path.is_file()):
        return path
    try:
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise StorageError(f"cannot write {path}: it is a link that leads to itself", fix="check the path") from error


def require_regular(path: Path) -> Path:
    """``path``, unless something is there that is no regular file: a pipe would never end, a folder be taken for many.

    Raises:
        OSError: it is not; also where there is nothing.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write bytes atomically.

    For libraries that report a full disk as an error of their own, which hides what it is: let them write to memory.
    """

    def write(partial: Path) -> None:
        partial.write_bytes(content)

    write_atomically(path, write)


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write UTF-8 lines atomically, which end as they are to end in the file; few of them are in memory at a time."""

    def write(partial: Path) -> None:
        with open(partial, "w", encoding="utf-8", newline="") as handle:
            handle.writelines(lines)

    write_atomically(path, write)


def write_json(path: Path, value: object) -> None:
    """Write a JSON document atomically; NaN and infinity are refused, since JSON has none."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunError: the file is missing, no JSON, or no object.
    """
    try:
        value = json.loads(require_regular(path).read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing", fix=_start_again(path)) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({' '.join(str(error).split())[:100]})", fix=_start_again(path)) from error
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged (not a JSON object)", fix=_start_again(path))
    return value


def _start_again(path: Path) -> str:
    return f"delete {path.parent} and run the command that made it again"


def flush_folder(folder: Path) -> None:
    """See to it that the names in a folder outlast a power cut, where the file system can."""
    with contextlib.suppress(OSError):  # some file systems cannot flush a folder; the rename is atomic all the same
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


class BackgroundWriter:
    """Writes one thing after the other in a thread of its own; at most one waits while another is written.

    A failure is raised by the next `submit`, or at the end of the context. Leaving the context waits for what was
    submitted, whatever the reason for leaving.
    """

    def __init__(self) -> None:
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="labelaudit-writer")
        self._pending: Future[None] | None = None

    def __enter__(self) -> BackgroundWriter:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._pool.shutdown(wait=True)
        if kind is None:
            self._settle()

    def submit(self, write: Callable[[], None]) -> None:
        """Write after what was submitted before.

        Raises:
            Exception: the one that the write before this one met.
        """
        self._settle()
        self._pending = self._pool.submit(write)

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()


_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def link_or_copy(source: Path, place: Path, half: Path) -> bool:
    """Put a file at ``place``, which is free.

    Args:
        source: A regular file.
        place: Where it is to be.
        half: Where a copy grows; it has the time of its source, and the name ``place`` only once it is whole.

    Returns:
        True for a hard link, False for a copy.

    Raises:
        OSError: neither is possible.
    """
    try:
        os.link(source, place, follow_symlinks=False)
        return True
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    shutil.copy2(source, half)
    half.rename(place)
    return False
