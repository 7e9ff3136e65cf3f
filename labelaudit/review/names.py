"""What lies where in a data folder, seen without following symbolic links."""

from __future__ import annotations

import hashlib
import itertools
import os
import re
import stat
import unicodedata
from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cached_property
from pathlib import Path, PurePosixPath

from labelaudit.errors import DataError

OWN_PREFIX = ".labelaudit-"
"""What the names of everything begin with that relabeling puts into a data folder beside the images."""

DROPPED = f"{OWN_PREFIX}dropped"
"""The folder for dropped files, by class."""

_UPLOAD = re.compile(r"(?:^|/)upload/[0-9]+/[0-9a-f]{8}-([^/]+)$")
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


def uploaded_as(path: str) -> str | None:
    """The name of a file that Label Studio was given by an upload; None for another path.

    Label Studio keeps it as ``upload/<project>/<8 hexadecimal digits>-<name>``, without the folder that it was in.
    """
    found = _UPLOAD.search(path)
    return found[1] if found else None


def by_stored_name(label_of: Mapping[str, str]) -> dict[str, dict[str, str]]:
    """Images by the name that Label Studio stores an upload of them under; of each name the label by path."""
    named: dict[str, dict[str, str]] = {}
    for path, label in label_of.items():
        named.setdefault(_stored(path.rpartition("/")[2]), {})[path] = label
    return named


def find_uploaded(name: str, given_label: str, named: Mapping[str, Mapping[str, str]]) -> str:
    """The one image that an upload can be.

    Args:
        name: See `uploaded_as`.
        given_label: The label that it had; empty where the review does not say.
        named: See `by_stored_name`.

    Raises:
        RefusedError: there is none, or more than one.
    """
    found = named.get(_stored(name), {})
    paths = [path for path, label in found.items() if label == given_label] or list(found)
    if len(paths) == 1:
        return paths[0]
    raise RefusedError(
        f"is an upload of Label Studio, and {len(paths) or 'no'} images have the name {name!r}; "
        "give each task the image's path below the data folder as data.path"
    )


def _stored(name: str) -> str:
    """A file name as Label Studio stores it: blanks become ``_``; only letters, digits, ``-``, ``_`` and ``.`` stay."""
    return re.sub(r"[^-\w.]", "", name.strip().replace(" ", "_"))


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


_CHUNK_BYTES = 1 << 20


class Tree:
    """A data folder; remembers which of its folders are real ones.

    Args:
        root: The folder.
        bases: The folders in it whose folders are classes; ``""`` is the data folder.

    Raises:
        DataError: there is no such folder, or it may not be read.
    """

    def __init__(self, root: Path, bases: Sequence[str] = ("",)) -> None:
        try:
            self.root = root.resolve(strict=True)
            names = {entry.name for base in bases for entry in os.scandir(self.root / base) if _is_class(entry)}
        except OSError as error:
            raise DataError(
                f"cannot read the folder {root}: {(error.strerror or str(error)).lower()}", fix="check the path"
            ) from error
        self.bases = tuple(bases)
        self.classes = tuple(sorted(names))
        self._real: dict[str, bool] = {}

    @cached_property
    def by_stored_name(self) -> dict[str, dict[str, str]]:
        """The files in class folders; see `labelaudit.review.names.by_stored_name`."""
        label_of: dict[str, str] = {}
        for base, label in itertools.product(self.bases, self.classes):
            for folder, folders, names in os.walk(self.root / base / label):
                folders[:] = [name for name in folders if not name.startswith(".")]
                below = Path(folder).relative_to(self.root).as_posix()
                label_of.update((f"{below}/{name}", label) for name in names if not name.startswith("."))
        return by_stored_name(label_of)

    def at(self, path: str) -> Path:
        """Where a path of the data folder is on this machine."""
        return self.root / path

    def has(self, path: str) -> bool:
        """True when there is anything at ``path``, be it a link that leads nowhere."""
        return os.path.lexists(self.at(path))

    def status(self, path: str) -> os.stat_result:
        """Of a regular file that lies in real folders.

        Raises:
            RefusedError: there is no such file, or a symbolic link on the way to it or in its place.
        """
        self.require_real_folders(path)
        try:
            status = self.at(path).lstat()
        except (FileNotFoundError, NotADirectoryError) as error:
            raise RefusedError("no such file") from error
        except OSError as error:
            raise RefusedError((error.strerror or str(error)).lower()) from error
        if stat.S_ISLNK(status.st_mode):
            raise RefusedError("is a symbolic link")
        if not stat.S_ISREG(status.st_mode):
            raise RefusedError("is not a file")
        return status

    def require_real_folders(self, path: str) -> None:
        """Refuse a path that passes through a symbolic link or a file; folders that are not there do not matter.

        Raises:
            RefusedError: it does.
        """
        for folder in parents(path):
            if folder not in self._real:
                self._real[folder] = self._check_folder(folder)
            if not self._real[folder]:
                return

    def _check_folder(self, folder: str) -> bool:
        """Whether the folder is there."""
        try:
            mode = self.at(folder).lstat().st_mode
        except FileNotFoundError:
            return False
        except OSError as error:
            raise RefusedError((error.strerror or str(error)).lower()) from error
        if stat.S_ISLNK(mode):
            raise RefusedError(f"passes through {folder!r}, which is a symbolic link")
        if not stat.S_ISDIR(mode):
            raise RefusedError(f"passes through {folder!r}, which is not a folder")
        return True

    def missing_folders(self, path: str) -> list[str]:
        """The folders that have to be made for a file at ``path``, the outermost first."""
        return [folder for folder in parents(path) if not self.has(folder)]

    def device(self, path: str) -> int:
        """The file system of the innermost folder of ``path`` that is there."""
        there = [folder for folder in parents(path) if self.has(folder)]
        return (self.at(there[-1]) if there else self.root).lstat().st_dev

    def sha256(self, path: str) -> str:
        """SHA-256 (hex) of a file's content.

        Raises:
            RefusedError: it cannot be read.
        """
        digest = hashlib.sha256()
        try:
            with open(self.at(path), "rb") as handle:
                while chunk := handle.read(_CHUNK_BYTES):
                    digest.update(chunk)
        except OSError as error:
            raise RefusedError((error.strerror or str(error)).lower()) from error
        return digest.hexdigest()


def _is_class(entry: os.DirEntry[str]) -> bool:
    try:
        return not entry.name.startswith(".") and entry.is_dir()
    except OSError:
        return False
