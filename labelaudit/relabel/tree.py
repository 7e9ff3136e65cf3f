"""What lies where in a data folder, seen without following symbolic links."""

from __future__ import annotations

import hashlib
import itertools
import os
import stat
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

from labelaudit.errors import DataError
from labelaudit.relabel.names import RefusedError, by_stored_name, parents

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
        """The files in class folders; see `labelaudit.relabel.names.by_stored_name`."""
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
