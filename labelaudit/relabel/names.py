"""Which paths lie in a data folder, which names a class folder may get, and names for files whose own is taken."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterable, Sequence
from pathlib import PurePosixPath

OWN_PREFIX = ".labelaudit-"
"""What the names of everything begin with that relabeling puts into a data folder beside the images."""

DROPPED = f"{OWN_PREFIX}dropped"
"""The folder for dropped files, by class."""

_MAX_NAME_BYTES = 255
_MAX_SUFFIX_BYTES = 32
_MAX_CLASS_BYTES = 200


class RefusedError(ValueError):
    """A decision that cannot be carried out; the message is the reason shown to the user."""


def checked_path(path: str) -> str:
    """``path`` without superfluous parts.

    Raises:
        RefusedError: it is empty, absolute, leads out of its folder by ``..``, or no file can have it.
    """
    if not path:
        raise RefusedError("no path")
    pure = PurePosixPath(path)
    if path.startswith("/") or ".." in pure.parts:
        raise RefusedError("leads out of the data folder")
    if "\0" in path or not _is_text(path) or not pure.parts:
        raise RefusedError("is not a file name")
    return str(pure)


def checked_sample(path: str, bases: Sequence[str] = ("",)) -> tuple[str, str, str]:
    """Where the class folders are, class folder, and the rest of a `checked_path`.

    Args:
        path: Of a file in the data folder.
        bases: The folders whose folders are classes: those of ``--split``, or ``""`` for the data folder.

    Raises:
        RefusedError: it does not lie in a class folder, or is hidden.
    """
    base = next((f"{base}/" if base else "" for base in bases if not base or path.startswith(f"{base}/")), None)
    if base is None:
        raise RefusedError("lies outside the folders of --split")
    label, _, rest = path[len(base) :].partition("/")
    if not rest:
        raise RefusedError("lies in no class folder")
    if any(part.startswith(".") for part in path.split("/")):
        raise RefusedError("is hidden, and so no sample")
    return base, label, rest


def checked_class(name: str, classes: Iterable[str]) -> str:
    """``name``, if it is one of the classes, or safe as the name of a new class folder.

    Raises:
        RefusedError: neither; also where it differs from a class in case or Unicode form only, which would be one
            folder on some file systems and two on others.
    """
    known = set(classes)
    if name in known:
        return name
    twin = next((other for other in known if folded(other) == folded(name)), None)
    if twin is not None:
        raise RefusedError(f"there is no class {name!r}, but {twin!r}")
    unsafe = (
        not name.strip()
        or name != name.strip()
        or name[0] in ".-~"
        or not name.isprintable()
        or any(character in "/\\" for character in name)
        or len(name.encode("utf-8", "replace")) > _MAX_CLASS_BYTES
    )
    if unsafe:
        raise RefusedError(f"{name!r} is no safe name for a new class folder")
    return name


def free_path(path: str, is_taken: Callable[[str], bool]) -> str:
    """``path``, or with the first number from 2 before its suffix that makes it free: ``a-2.png``."""
    if not is_taken(path):
        return path
    folder, slash, name = path.rpartition("/")
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    number = 2
    while True:
        end = f"-{number}{suffix}"
        candidate = folder + slash + _cut(stem, _MAX_NAME_BYTES - len(os.fsencode(end))) + end
        if not is_taken(candidate):
            return candidate
        number += 1


def parents(path: str) -> list[str]:
    """The folders that a path lies in, the outermost first, without the empty one."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def _cut(stem: str, most_bytes: int) -> str:
    while len(os.fsencode(stem)) > most_bytes:
        stem = stem[:-1]
    return stem


def folded(name: str) -> str:
    """Equal for names that differ in case or Unicode form only, and are one name on some file systems."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _is_text(text: str) -> bool:
    try:
        text.encode("utf-8")
    except UnicodeEncodeError:  # half of a surrogate pair, which JSON can hold
        return False
    return True
