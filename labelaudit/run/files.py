"""Atomic writes, locks between processes, and reading JSON files that may be damaged."""

from __future__ import annotations

import contextlib
import csv
import errno
import fcntl
import functools
import hashlib
import json
import os
import shutil
import socket
import stat
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, Literal, TypeVar

import msgspec

from labelaudit.errors import DataError, NoLocksWarning, RunError, StorageError, brief, reason

Record = TypeVar("Record")

_NO_ROOM = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_NOT_ALLOWED = {errno.EROFS, errno.EACCES, errno.EPERM}
_BUSY = {errno.EAGAIN, errno.EACCES, errno.EWOULDBLOCK}
_NO_LOCKS = {errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.ENOTSUP, errno.EINVAL}
_OPEN_FLAGS = os.O_CLOEXEC | os.O_NOFOLLOW
"""No link is followed: a folder may come from a stranger."""
NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}
"""The errors of a file system that cannot make this hard link."""


def lock(handle: int, operation: int) -> Literal["held", "busy", "unsupported"]:
    """Lock an open file with flock; an OSError where the file system fails, one warning where it has no locks."""
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


@contextlib.contextmanager
def reading(file: Path) -> Iterator[None]:
    """Turn what fails in the body, where a file that a user gave is read, into a DataError about it."""
    try:
        yield
    except OSError as error:
        raise DataError(f"cannot read {file}: {reason(error)}", fix="check the path") from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text", fix="save it as CSV in UTF-8") from error
    except csv.Error as error:
        what = f"{file} is not a readable CSV: {error}"
        raise DataError(what, fix="check its quotes, or save it as CSV again") from error


@contextlib.contextmanager
def held(file: Path, what: Path, *, wait: Callable[[], None] | None = None, fix: str = "wait for it") -> Iterator[bool]:
    """Hold a lock on ``file``, which stands for ``what``; yield False where the file system has no locks.

    The lock ends with the process, and the file is deleted at the end; if it cannot be made, a StorageError is raised.
    When another process holds the lock, ``wait`` is called once, then the call blocks; without it, a RunError names
    that process.
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
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | _OPEN_FLAGS)
        try:
            return _owner(handle) if lock(handle, fcntl.LOCK_SH | fcntl.LOCK_NB) == "busy" else None
        finally:
            os.close(handle)
    return None


def _locked(file: Path, what: Path, wait: Callable[[], None] | None, fix: str) -> tuple[int, bool]:
    waiting = False
    while True:
        handle = os.open(file, os.O_RDWR | os.O_CREAT | _OPEN_FLAGS, 0o644)
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


def write_atomically(path: Path, write: Callable[[Path], object]) -> None:
    """Let ``write`` fill a temporary file beside ``path``, flush it to the disk and rename it to ``path``.

    A full or read-only disk, or one out of reach, is a StorageError, which leaves ``path`` unchanged.
    """
    with storage_errors(path):
        if path.exists() and not path.is_file() and not path.is_dir():  # a device or a pipe must not be replaced
            write(path)
            return
        # Absolute: pyarrow takes a relative name with a colon for a URI.
        partial, handle = _hold_partial(path.absolute())
        try:
            write(partial)
            with open(partial, "rb") as written:
                os.fsync(written.fileno())
            os.replace(partial, path)
        except BaseException:
            with contextlib.suppress(OSError):
                partial.unlink()
            raise
        finally:
            os.close(handle)
        flush_folder(path.parent)


def _hold_partial(path: Path) -> tuple[Path, int]:
    """Open and lock a temporary file beside ``path``, so that no other process writes to the same one.

    A partial file of a killed process is used again; without locks it cannot be told from one in use, and a new name
    is taken.
    """
    flags = os.O_RDWR | os.O_CREAT | _OPEN_FLAGS
    number = ""
    while True:
        partial = path.with_name(f".{path.name}{number}.partial")
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
        number = f".{int(number[1:] or 1) + 1}"


def is_still(file: Path, handle: int) -> bool:
    """Return whether ``file`` is still the file that was opened as ``handle``."""
    with contextlib.suppress(FileNotFoundError):
        return os.path.samestat(file.lstat(), os.fstat(handle))
    return False


def behind_links(path: Path) -> Path:
    """Return the target of a symbolic link that the user named as output, so that the link stays.

    Only for names from the command line: links inside a run folder, which may come from a stranger, are replaced. A
    link that leads to itself is a StorageError.
    """
    if not path.is_symlink() or (path.exists() and not path.is_file()):
        return path
    try:
        if path.resolve().is_symlink():  # Python 3.13 ends where a ring begins; before it is a RuntimeError
            raise OSError(errno.ELOOP, os.strerror(errno.ELOOP))
        return path.resolve()
    except (OSError, RuntimeError) as error:
        raise StorageError(f"cannot write {path}: it is a link that leads to itself", fix="check the path") from error


def require_regular(path: Path) -> Path:
    """Return ``path`` if it is a regular file: reading a pipe would never end. Otherwise raise an OSError."""
    mode = path.stat().st_mode
    if stat.S_ISDIR(mode):
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not stat.S_ISREG(mode):
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    return path


def file_digest(file: Path) -> str:
    """Return ``sha256:<hex>`` of a file that a user gave; raise a DataError where it cannot be read."""
    with reading(file), open(require_regular(file), "rb") as handle:
        return f"sha256:{hashlib.file_digest(handle, 'sha256').hexdigest()}"


def write_bytes(path: Path, content: bytes | memoryview) -> None:
    """Write bytes atomically; libraries that hide a full disk behind an error of their own write to memory first."""
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
    """Read a JSON object; raise a RunError where the file is missing, not JSON, or not an object."""
    return read_record(path, dict[str, Any], f"delete {path.parent} and run the command that made it again")


def read_record(path: Path, kind: type[Record], fix: str) -> Record:
    """Read a JSON document of this type; raise a RunError where the file is missing, damaged or of another type."""
    try:
        return msgspec.json.decode(require_regular(path).read_bytes(), type=kind)
    except FileNotFoundError as error:
        raise RunError(f"{path} is missing", fix=fix) from error
    except (OSError, ValueError, RecursionError, msgspec.MsgspecError) as error:
        raise RunError(f"{path} is damaged ({brief(error)})", fix=fix) from error


def flush_folder(folder: Path) -> None:
    """Flush the names in a folder to the disk, where the file system can."""
    with contextlib.suppress(OSError):
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)


def link_or_copy(source: Path, place: Path, half: Path) -> bool:
    """Put a regular file at ``place``, where nothing is, as a hard link, else as a copy; True for a link.

    A copy is written to ``half``, with the time of its source, before it is renamed to ``place``. Raises an OSError
    where neither is possible.
    """
    try:
        os.link(source, place, follow_symlinks=False)
        return True
    except OSError as error:
        if error.errno not in NO_LINKS:
            raise
    shutil.copy2(source, half)
    half.rename(place)
    return False
