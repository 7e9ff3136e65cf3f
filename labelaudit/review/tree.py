"""Inspect a data folder without following symbolic links, and check the names that a review gives."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import stat
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path, PurePosixPath

from labelaudit.data.containers import read_file
from labelaudit.data.images import UnreadableImageError
from labelaudit.data.walk import is_folder
from labelaudit.errors import reason
from labelaudit.run.files import reading
from labelaudit.text import folded

OWN_PREFIX = ".labelaudit-"  # of every file and folder that relabeling writes into a data folder
_DROPPED = re.compile(r"(\.\./[^/\0]+-dropped/)(.*)", re.DOTALL)  # no other path may lead out of a data folder
_NO_NAME = re.compile(r"[\0\ud800-\udfff]")  # also half of a surrogate pair, which JSON can hold
_MAX_NAME_BYTES, _MAX_SUFFIX_BYTES, _MAX_CLASS_BYTES = 255, 32, 200


class RefusedError(ValueError):
    """A decision that cannot be carried out; the message is the reason. Functions that refuse something raise it."""


def checked_path(path: str) -> str:
    """Return ``path`` without superfluous parts; refuse one that leads out of its folder or that no file can have."""
    if not path:
        raise RefusedError("no path")
    pure = PurePosixPath(path)
    if path.startswith("/") or ".." in pure.parts:
        raise RefusedError("leads out of the data folder")
    if _NO_NAME.search(path) or not pure.parts:
        raise RefusedError("is not a file name")
    return str(pure)


def checked_move(path: str) -> str:
    """Return a `checked_path`, or a path in a folder for dropped files; refuse any other that leads out."""
    if found := _DROPPED.fullmatch(path):
        return found[1] + checked_path(found[2])
    return checked_path(path)


def checked_sample(path: str, bases: Sequence[str] = ("",)) -> tuple[str, str, str]:
    """Split a `checked_path` into one of ``bases``, the class folder in it, and the rest; refuse hidden files."""
    base = next((f"{base}/" if base else "" for base in bases if not base or path.startswith(f"{base}/")), None)
    if base is None:
        raise RefusedError("lies outside the folders of --split")
    label, _, rest = path[len(base) :].partition("/")
    if not rest:
        raise RefusedError("lies in no class folder")
    if any(part.startswith(".") for part in path.split("/")):
        raise RefusedError("is hidden, so it is no sample")
    return base, label, rest


def checked_class(name: str, classes: Iterable[str]) -> str:
    """Return ``name`` if it is one of the classes, or safe as the name of a new class folder.

    Refused is also a name that is one folder with a class's on some file systems: by case or Unicode form.
    """
    twins = [other for other in classes if folded(other) == folded(name)]
    if name in twins:
        return name
    if twins:
        raise RefusedError(f"there is no class {name!r}, but {twins[0]!r}")
    is_text = name == name.strip() != "" and name.isprintable() and not {"/", "\\"} & set(name)
    if not is_text or name[0] in ".-~" or len(name.encode("utf-8", "replace")) > _MAX_CLASS_BYTES:
        raise RefusedError(f"{name!r} is no safe name for a new class folder")
    return name


def free_path(path: str, is_taken: Callable[[str], bool]) -> str:
    """Return the first of the `numbered` paths that is free."""
    return next(candidate for candidate in numbered(path) if not is_taken(candidate))


def numbered(path: str) -> Iterator[str]:
    """Yield ``path``, then ``path`` with each number from 2 before its suffix: ``a.png``, ``a-2.png`` and so on."""
    folder, slash, name = path.rpartition("/")
    stem, suffix = os.path.splitext(name)
    if len(os.fsencode(suffix)) > _MAX_SUFFIX_BYTES:
        stem, suffix = name, ""
    yield path
    for number in itertools.count(2):
        end, kept = f"-{number}{suffix}", stem
        while len(os.fsencode(kept + end)) > _MAX_NAME_BYTES:
            kept = kept[:-1]
        yield folder + slash + kept + end


def parents(path: str) -> list[str]:
    """Return the folders that a path lies in, the outermost first, without the empty one."""
    parts = path.split("/")[:-1]
    return ["/".join(parts[: count + 1]) for count in range(len(parts))]


def content_digest(file: Path) -> str:
    """Return the SHA-256 (hex) of an image's content; refuse one that cannot be read."""
    try:
        return hashlib.sha256(read_file(file)).hexdigest()
    except UnreadableImageError as error:
        raise RefusedError(str(error)) from error


class Tree:
    """A data folder; caches which of its folders are no links.

    ``bases`` hold the class folders: those of ``--split``, or ``""``. A folder that cannot be read is a DataError.
    """

    def __init__(self, root: Path, bases: Sequence[str] = ("",)) -> None:
        with reading(root):
            self.root = root.resolve(strict=True)
            names = {entry.name for base in bases for entry in os.scandir(self.root / base) if is_folder(entry)}
        self.bases = tuple(bases)
        self.classes = tuple(sorted(name for name in names if not name.startswith(".")))
        self._real: set[str] = set()

    @property
    def dropped(self) -> str:
        """The folder for dropped files, which keep their paths in it; in the data it would be taken for a class."""
        return f"../{self.root.name}-dropped"

    def has(self, path: str) -> bool:
        """Return True when there is anything at ``path``, including a broken link."""
        return os.path.lexists(self.root / path)

    def device_of_file(self, path: str) -> int:
        """Return the file system of a file; refuse anything else, and symbolic links on the way to it."""
        self.require_real_folders(path)
        try:
            status = (self.root / path).lstat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RefusedError("no such file") from error
        except OSError as error:
            raise RefusedError(reason(error)) from error
        if stat.S_ISLNK(status.st_mode):
            raise RefusedError("is a symbolic link")
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("is not a file")
        return status.st_dev

    def require_real_folders(self, path: str) -> None:
        """Refuse a path that passes through a symbolic link or a file; missing folders are fine."""
        for folder in parents(path):
            if folder in self._real:
                continue
            try:
                mode = (self.root / folder).lstat().st_mode
            except FileNotFoundError:
                return
            except OSError as error:
                raise RefusedError(reason(error)) from error
            if not stat.S_ISDIR(mode):
                what = "a symbolic link" if stat.S_ISLNK(mode) else "not a folder"
                raise RefusedError(f"passes through {folder!r}, which is {what}")
            self._real.add(folder)

    def missing_folders(self, path: str) -> list[str]:
        """Return the folders that have to be made for a file at ``path``, the outermost first."""
        return [folder for folder in parents(path) if not self.has(folder)]

    def device(self, path: str) -> int:
        """Return the file system of the innermost folder of ``path`` that exists."""
        existing = [folder for folder in ("", *parents(path)) if self.has(folder)]
        return (self.root / existing[-1]).lstat().st_dev
