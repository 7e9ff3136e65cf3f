"""Atomic writes, locks, and reading JSON files that may be damaged."""

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

from labelaudit.errors import NoLocksWarning, RunError, StorageError, brief

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def lock(handle: int, operation: int) -> Literal["held", "busy", "unsupported"]:
    """Lock an open file with flock.

    A file system without locks gives one warning and no error. All locks of the package are taken here.

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


@functools.cache  # Python forgets which warnings it has shown whenever a filter changes
def _warn_of_no_locks() -> None:
    warnings.warn(
        "the file system cannot lock files, so two commands on the same folder are not kept apart: run one at a time",
        NoLocksWarning,
        stacklevel=3,
    )


@contextlib.contextmanager
def storage_errors(path: Path) -> Iterator[None]:
    """Turn any OSError in the body into a `StorageError` about ``path``."""
    try:
        yield
    except OSError as error:
        what, fix = f"cannot write {path}: {error.strerror or error}", "check the path and the disk"
        if error.errno in _NO_ROOM:
            what, fix = f"no space left for {path}", "free some space and run the command again: it resumes"
        elif error.errno in _NOT_ALLOWED:
            what, fix = f"{path} is not writable ({(error.strerror or '').lower()})", "choose another folder"
        raise StorageError(what, fix=fix) from error


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk and rename it to ``path``.

    Raises:
        StorageError: the disk is full, read-only or out of reach; ``path`` is unchanged.
    """
    with storage_errors(path):
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe must not be replaced
            write(path)
            return
        partial, held = _hold_partial(path.absolute())  # absolute: pyarrow takes a relative name with a colon for a URI
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
    """Open and lock a temporary file beside ``path``, so that no other process writes to the same one.

    A partial file of a killed process is used again; without locks it cannot be told from one in use, and a new name
    is taken. A link in its place is never followed: the folder may come from a stranger.
    """
    flags = os.O_RDWR | os.O_CLOEXEC | os.O_NOFOLLOW | os.O_CREAT
    for number in itertools.count(1):
        partial = path.with_name(f".{path.name}.partial" if number == 1 else f".{path.name}.{number}.partial")
        with contextlib.suppress(FileNotFoundError):
            if not stat.S_ISREG(partial.lstat().st_mode):
                partial.unlink()
        try:
            handle, is_new = os.open(partial, flags | os.O_EXCL, 0o666), True
        except FileExistsError:
            handle, is_new = os.open(partial, flags, 0o666), False
        locked = lock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if (locked == "held" or (locked == "unsupported" and is_new)) and is_still(partial, handle):
            return partial, handle
        os.close(handle)  # another process holds it, or has renamed or deleted it meanwhile
    raise RuntimeError("unreachable")


def is_still(file: Path, handle: int) -> bool:
    """Return whether ``file`` is still the file that was opened as ``handle``."""
    try:
        return os.path.samestat(os.stat(file, follow_symlinks=False), os.fstat(handle))
    except FileNotFoundError:
        return False


def behind_links(path: Path) -> Path:
    """Return the target of a symbolic link that the user named as output, so that the link stays.

    Only for names from the command line: links inside a run folder, which may come from a stranger, are replaced.

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
    """Return ``path`` if it is a regular file: reading a pipe would never end.

    Raises:
        OSError: it is missing or something else.
    """
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write bytes atomically.

    Libraries that hide a full disk behind an error of their own write to memory first, and then here.
    """
    write_atomically(path, lambda partial: partial.write_bytes(content))


def write_text(path: Path, text: str) -> None:
    """Write UTF-8 text atomically."""
    write_bytes(path, text.encode("utf-8"))


def write_lines(path: Path, lines: Iterable[str]) -> None:
    """Write UTF-8 lines, which bring their own line ends, atomically and without holding them all in memory."""

    def write(partial: Path) -> None:
        with open(partial, "w", encoding="utf-8", newline="") as handle:
            handle.writelines(lines)

    write_atomically(path, write)


def write_json(path: Path, value: object) -> None:
    """Write a JSON document atomically; NaN and infinity raise ValueError."""
    write_text(path, json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False) + "\n")


def read_json(path: Path) -> dict[str, Any]:
    """Read a JSON object.

    Raises:
        RunError: the file is missing, not JSON, or not an object.
    """
    fix = f"delete {path.parent} and run the command that made it again"
    try:
        value = json.loads(require_regular(path).read_bytes())
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing", fix=fix) from error
    except (OSError, ValueError, RecursionError) as error:
        raise RunError(f"{path} is damaged ({brief(error)})", fix=fix) from error
    if not isinstance(value, dict):
        raise RunError(f"{path} is damaged (not a JSON object)", fix=fix)
    return value


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def link_or_copy(source: Path, place: Path, half: Path) -> bool:
    """Put a file at ``place`` as a hard link, else as a copy.

    Args:
        source: A regular file.
        place: A path where nothing is.
        half: Where a copy is written, with the time of its source, before it is renamed to ``place``.

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


class BackgroundWriter:
    """Write in a thread, one call after the other; at most one waits while another runs.

    A failure is raised by the next `submit`, or at the end of the context. Leaving the context always waits for what
    was submitted.
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
            Exception: the failure of the previous write.
        """
        self._settle()
        self._pending = self._pool.submit(write)

    def _settle(self) -> None:
        pending, self._pending = self._pending, None
        if pending is not None:
            pending.result()
