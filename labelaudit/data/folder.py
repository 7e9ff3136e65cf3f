"""What is in a folder of labelled images: torchvision's ImageFolder layout, or any layout with a labels file.

Every file is read once to hash it and to look at its header; pixels are decoded elsewhere. A file that cannot be used
is set aside with the reason and never stops an audit.
"""

from __future__ import annotations

import hashlib
import os
import stat
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Catalogue
from labelaudit.data.images import Header, UnreadableImageError, image_suffixes, read_header, read_values
from labelaudit.data.labels_file import read_labels_csv
from labelaudit.data.parts import in_parts, readers
from labelaudit.data.rendering import DEEP_KINDS, Rendering, read_rendering
from labelaudit.errors import DataError
from labelaudit.progress import QUIET, Reporter

MAX_FILE_BYTES = 1 << 30
"""Files above this are set aside unread."""


def scan(root: Path, *, labels_file: Path | None = None, reporter: Reporter = QUIET) -> Catalogue:
    """List, hash and check every image below ``root``.

    Args:
        root: ``root/<class>/…/<image>``; or any layout, with ``labels_file``.
        labels_file: CSV with the columns ``path`` and ``label``; replaces the class folders.
        reporter: Told about the progress.

    Returns:
        The catalogue, sorted by path. Damaged files are in it, with the reason.

    Raises:
        DataError: no such folder, no class folders, no image files, or an unusable labels file.
    """
    _require_folder(root)
    if labels_file is None:
        label_of, skipped = _from_class_folders(root)
    else:
        label_of, skipped = read_labels_csv(labels_file), 0
    return _inspect(root, label_of, skipped, reporter)


def read_file(file: Path) -> bytes:
    """The bytes of a regular file of bearable size.

    Raises:
        UnreadableImageError: it is missing, not a regular file, too large, or may not be read.
    """
    try:
        # Without waiting, should a pipe have taken its place; what is looked at is what is read.
        handle = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
        try:
            status = os.fstat(handle)
            if not stat.S_ISREG(status.st_mode):
                raise UnreadableImageError("not a regular file")
            if status.st_size > MAX_FILE_BYTES:
                raise UnreadableImageError(f"file of {status.st_size >> 20} MiB is too large")
            with open(handle, "rb", closefd=False) as content:
                return content.read(MAX_FILE_BYTES)
        finally:
            os.close(handle)
    except OSError as error:
        raise UnreadableImageError((error.strerror or str(error)).lower()) from error


def _require_folder(root: Path) -> None:
    try:
        if not root.is_dir():
            what = f"{root} is not a folder" if root.exists() else f"there is no folder {root}"
            raise DataError(what, fix="give a folder that holds one folder of images per class")
        with os.scandir(root) as entries:
            next(entries, None)
    except PermissionError as error:
        raise DataError(f"you may not read the folder {root}", fix="check its permissions") from error
    except OSError as error:
        raise DataError(
            f"cannot read the folder {root}: {(error.strerror or str(error)).lower()}", fix="check the path"
        ) from error


def _from_class_folders(root: Path) -> tuple[dict[str, str], int]:
    folders = sorted(entry.name for entry in os.scandir(root) if _is_folder(entry) and not entry.name.startswith("."))
    if not folders:
        raise DataError(
            f"{root} has no class folders",
            fix="put the images of each class into a folder of its own, or name their labels with --labels FILE.csv",
        )
    suffixes = image_suffixes()
    # A link to a folder that the data lie in would make every class a part of this one, or walk the whole disk.
    above = {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)}
    label_of: dict[str, str] = {}
    skipped = 0
    for name in folders:
        for path in _files_below(root, name, above):
            if os.path.splitext(path)[1].lower() in suffixes:
                label_of[path] = name
            else:
                skipped += 1
    if not label_of:
        raise DataError(f"there are no image files in the class folders of {root}", fix="check the folder")
    return label_of, skipped


def _files_below(root: Path, folder: str, seen: set[tuple[int, int]]) -> Iterator[str]:
    try:
        identity = _identity(root / folder)
        if identity in seen:  # a link back to a folder above
            return
        seen = seen | {identity}
        entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
    except OSError:
        return
    for entry in entries:
        if entry.name.startswith("."):
            continue
        path = f"{folder}/{entry.name}"
        if _is_folder(entry):
            yield from _files_below(root, path, seen)
        else:
            yield path


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link that leads to itself
        return False


@dataclass(frozen=True, kw_only=True)
class _Finding:
    header: Header
    sha256: str
    reason: str


_UNKNOWN = Header(width=0, height=0, grey=True)


def _inspect(root: Path, label_of: Mapping[str, str], skipped: int, reporter: Reporter) -> Catalogue:
    paths = sorted(label_of)
    findings: list[_Finding] = []
    with reporter.bar("Reading files", len(paths), "files") as advance, readers() as pool:
        for part in pool.map(lambda part: [_look_at(root, path) for path in part], in_parts(paths)):
            findings.extend(part)
            advance(len(part))
    classes = tuple(sorted({_printable(label) for label in label_of.values()}))
    number_of = {name: number for number, name in enumerate(classes)}
    return Catalogue(
        root=root,
        classes=classes,
        paths=tuple(_printable(path) for path in paths),
        label_N=np.array([number_of[_printable(label_of[path])] for path in paths], dtype=np.int32),
        width_N=np.array([finding.header.width for finding in findings], dtype=np.int32),
        height_N=np.array([finding.header.height for finding in findings], dtype=np.int32),
        grey_N=np.array([finding.header.grey for finding in findings], dtype=bool),
        sha256=tuple(finding.sha256 for finding in findings),
        reasons=tuple(finding.reason for finding in findings),
        skipped_files=skipped,
        rendering=_rendering(root, paths, findings, reporter),
    )


def _rendering(root: Path, paths: Sequence[str], findings: Sequence[_Finding], reporter: Reporter) -> Rendering:
    usable = [number for number, finding in enumerate(findings) if not finding.reason]
    deep = {kind: [number for number in usable if findings[number].header.deep == kind] for kind in DEEP_KINDS}
    transparent = [number for number in usable if findings[number].header.transparent]

    def values(number: int) -> npt.NDArray[Any] | None:
        try:
            return read_values(read_file(root / paths[number]))
        except UnreadableImageError:  # found and reported when it is decoded
            return None

    with readers() as pool:
        found, notes = read_rendering(
            deep, transparent, lambda numbers: [read for read in pool.map(values, numbers) if read is not None]
        )
    for note in notes:
        reporter.say(note)
    return found


def _look_at(root: Path, path: str) -> _Finding:
    sha256 = ""
    try:
        content = read_file(root / path)
        sha256 = hashlib.sha256(content).hexdigest()
        if _printable(path) != path:
            raise UnreadableImageError("file name is not valid UTF-8")
        return _Finding(header=read_header(content), sha256=sha256, reason="")
    except UnreadableImageError as error:
        return _Finding(header=_UNKNOWN, sha256=sha256, reason=str(error))


def _printable(name: str) -> str:
    """``name`` with bytes that are no UTF-8 written as backslash escapes; other names unchanged."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")
