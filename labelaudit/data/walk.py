"""Walk through an image folder: find the images, and everything that is left out, with the reason."""

from __future__ import annotations

import contextlib
import os
import posixpath
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from labelaudit.data.catalogue import LeftOut
from labelaudit.data.containers import read_file
from labelaudit.data.images import UnreadableImageError, image_suffixes
from labelaudit.errors import RunError
from labelaudit.run.files import read_json
from labelaudit.run.layout import RunFolder

IN_A_RUN = "in a run folder of labelaudit"
IN_A_TOOLS_FOLDER = "in a folder of the system or a tool"
HIDDEN = "hidden: the name begins with a dot"
NO_IMAGE = "not an image by its name"
UNSUPPORTED = "in a format that is not read: convert it to PNG or JPEG"
BESIDE = "beside the class folders"
NOT_LISTED = "not in the labels file"
OTHER_SPLIT = "outside the folders of --split"
NO_LABEL = "without a label"
CLOSED = "a folder that "
NO_WAY_IN = (CLOSED, "a link that ")
"""Beginnings of reasons where a whole folder may be missing."""


def _words(text: str, separator: str | None = None) -> frozenset[str]:
    return frozenset(text.split(separator))


NO_CLASS = frozenset({IN_A_RUN, IN_A_TOOLS_FOLDER, HIDDEN})
"""Reasons of files that are in no class; they are counted together, whatever their suffix."""

NO_LOSS = NO_CLASS | {NO_IMAGE, OTHER_SPLIT}
"""Reasons by which no image of the data is lost; a gate does not count these files."""

_TOOLS_FOLDERS = _words(
    "@eadir,@recycle,@recently-snapshot,@__thumb,@tmp,#recycle,#snapshot,~snapshot,__macosx,__pycache__,"
    "node_modules,bower_components,site-packages,lightning_logs,lost+found,lost.dir,found.000,$recycle.bin,"
    "recycler,system volume information,network trash folder,temporary items",
    separator=",",
)
"""Folders that systems, storage boxes and tools create, in lower case."""

_REPOSITORIES = frozenset({".git", ".hg", ".svn", ".dvc", ".bzr"})
"""Hidden folders that are not entered: they hold copies of what lies beside them."""

_PACKAGES = {
    **dict.fromkeys((".heic", ".heif", ".heics", ".hif"), "pillow-heif"),
    ".avif": "pillow-avif-plugin",
    ".jxl": "pillow-jxl-plugin",
}
"""The package that has to be installed to read a format."""

_UNSUPPORTED = _words(
    ".dcm .dicom .nii .nrrd .mha .mhd .cr2 .cr3 .nef .nrw .arw .srf .sr2 .dng .orf .rw2 .raf .pef .srw .raw .x3f .iiq "
    ".3fr .svg .svgz .pdf .eps .ps .ai .psb .xcf .kra .czi .nd2 .lif .lsm .oib .vsi .svs .ndpi .mrxs .scn .exr .hdr "
    ".npy .npz .pt .mat .h5 .hdf5 .fits .mp4 .m4v .mov .avi .mkv .webm .wmv .mts .mpg .mpeg"
)

_IMAGE_STARTS = (b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff", b"GIF87a", b"GIF89a", b"II*\0", b"MM\0*", b"BM")
_HEIF = {b"ftypheic", b"ftypheix", b"ftypmif1"}


@dataclass(frozen=True, kw_only=True)
class Walk:
    """The images in a folder, the folders that may hold some, and why others are left out, by path.

    Paths are below the folder with ``/`` between the parts; of a folder that cannot be entered, its own is left out.
    ``label_of`` has the labels that do not come from class folders, and ``labels_from`` says where they stand.
    """

    images: list[str] = field(default_factory=list)
    folders: list[str] = field(default_factory=list)
    left: dict[str, str] = field(default_factory=dict)
    label_of: Mapping[str, str] | None = None
    labels_from: str = ""

    def with_part(self, folder: str, part: Walk) -> Walk:
        """Return this walk and what is in a folder of it, with labels."""
        return replace(
            self,
            images=[*self.images, *(f"{folder}/{path}" for path in part.images)],
            left={**self.left, **{f"{folder}/{path}": why for path, why in part.left.items()}},
            label_of={
                **(self.label_of or {}),
                **{f"{folder}/{path}": of for path, of in (part.label_of or {}).items()},
            },
            labels_from=part.labels_from or self.labels_from,
        )

    def left_but(self, paths: Iterable[str]) -> dict[str, str]:
        """Return what is left out, but for these paths."""
        others = set(paths)
        return {path: why for path, why in self.left.items() if path not in others}

    def lost_classes(self, bases: Sequence[str], classes: set[str]) -> Iterator[str]:
        """Yield a sentence for each folder in the bases that is no class, and one about closed folders in others."""
        told: set[str] = set()
        for folder in (*self.folders, *(path for path, why in self.left.items() if why.startswith(NO_WAY_IN))):
            base, name = posixpath.split(folder)
            if base in bases and name not in classes and name not in told and (why := self._lost(folder)):
                told.add(name)
                yield f"class {printable_path(name)!r} is not in the audit: {why}"
        closed = [path for path, why in self.left.items() if why.startswith(CLOSED)]
        if inner := [path for path in closed if posixpath.dirname(path) not in bases]:
            more = f" and {len(inner) - 1} more" if len(inner) > 1 else ""
            yield f"the images in {printable_path(inner[0])!r}{more} are not in the audit: the folder cannot be read"

    def _lost(self, folder: str) -> str:
        """Return why a folder without images, or a closed one, may be a lost class; empty where it is none."""
        if folder in self.left:
            return f"it is {self.left[folder]}"
        within = {path: why for path, why in self.left.items() if path.startswith(f"{folder}/")}
        lost = {path: why for path, why in within.items() if why not in {*NO_CLASS, NO_IMAGE}}
        return "; ".join(row.text for row in summed(lost)) if within else "its folder is empty"


def summed(left: Mapping[str, str]) -> tuple[LeftOut, ...]:
    """Count what is left out by reason and suffix, the most frequent first."""
    found: defaultdict[tuple[str, str], list[str]] = defaultdict(list)
    for path, reason in left.items():
        is_counted_together = reason in NO_CLASS or reason.startswith("a ")
        found[reason, "" if is_counted_together else os.path.splitext(path)[1].lower()].append(path)
    rows = [
        LeftOut(reason=reason, suffix=printable_path(suffix), files=len(paths), example=printable_path(paths[0]))
        for (reason, suffix), paths in found.items()
    ]
    return tuple(sorted(rows, key=lambda row: (-row.files, row.reason, row.suffix)))


def walk_folder(root: Path) -> Walk:
    """Walk through a folder. Links to folders are followed, but not back to a folder above."""
    walk, suffixes = Walk(), image_suffixes()

    def visit(folder: str, excuse: str, above: set[tuple[int, int]]) -> None:
        """Enter a folder; with an ``excuse``, everything in it is left out for that reason."""
        try:
            identity = _identity(root / folder)
            if folder and identity in above:
                if not excuse:
                    walk.left[folder] = "a link to a folder that it lies in"
                return
            entries = sorted(os.scandir(root / folder), key=lambda entry: entry.name)
        except OSError as error:
            why = "you may not read" if isinstance(error, PermissionError) else "cannot be read"
            walk.left[folder] = CLOSED + why
            return
        if not excuse and folder:
            walk.folders.append(folder)
        for entry in entries:
            path = f"{folder}/{entry.name}" if folder else entry.name
            if not is_folder(entry):
                _sort(walk, root, path, excuse, suffixes)
            elif entry.name not in _REPOSITORIES:
                visit(path, excuse or _excuse(root / path), above | {identity})

    visit("", "", {_identity(folder) for folder in (root.resolve(), *root.resolve().parents)})
    walk.images.sort()
    return walk


def walk_names(root: Path, names: Iterable[str], folders: Iterable[str] = ()) -> Walk:
    """Return the same as `walk_folder` for the files and folders that an archive lists; ``root`` leads into it."""
    walk, suffixes, open_folders = Walk(), image_suffixes(), set(folders)
    for path in sorted(names):
        above = path.split("/")[:-1]
        excuse = next(filter(None, map(_excuse_of, above)), "")
        if not _REPOSITORIES.isdisjoint(above):
            continue
        if not excuse:
            open_folders.update("/".join(above[: depth + 1]) for depth in range(len(above)))
        _sort(walk, root, path, excuse, suffixes)
    walk.folders.extend(sorted(path for path in open_folders if not any(map(_excuse_of, path.split("/")))))
    return walk


def _sort(walk: Walk, root: Path, path: str, excuse: str, suffixes: frozenset[str]) -> None:
    """Count a file as an image, or as left out: for the ``excuse`` of its folder, or a reason of its own."""
    suffix = os.path.splitext(path)[1].lower()
    if excuse or path.rpartition("/")[2].startswith("."):
        if suffix in suffixes or excuse not in ("", HIDDEN):
            walk.left[path] = excuse or HIDDEN
    elif reason := _why_no_image(root / path, suffix, suffixes):
        walk.left[path] = reason
    else:
        walk.images.append(path)


def _excuse_of(name: str) -> str:
    """Return why everything in a folder of this name is left out; empty for others."""
    name = name.lower()
    if name in _TOOLS_FOLDERS:
        return IN_A_TOOLS_FOLDER
    return HIDDEN if name.startswith(".") else ""


def _excuse(folder: Path) -> str:
    """Return why everything in a folder is left out; empty for others."""
    if excuse := _excuse_of(folder.name):
        return excuse
    run = RunFolder(folder)
    with contextlib.suppress(OSError, RunError):
        if run.exists and "schema_version" in read_json(run.description):
            return IN_A_RUN
    return ""


def _why_no_image(file: Path, suffix: str, suffixes: frozenset[str]) -> str:
    """Return why a file is no image; empty for one."""
    if suffix in suffixes:
        return ""
    if suffix in _PACKAGES:
        return f"read when {_PACKAGES[suffix]} is installed: pip install {_PACKAGES[suffix]}"
    if suffix in _UNSUPPORTED:
        return UNSUPPORTED
    if file.is_symlink() and not file.exists():
        return "a link that leads nowhere"
    return NO_IMAGE if suffix else _why_no_image_inside(file, suffixes)


def _why_no_image_inside(file: Path, suffixes: frozenset[str]) -> str:
    """Return why a file without a suffix is no image, by its first bytes."""
    start = b""
    with contextlib.suppress(OSError, UnreadableImageError):
        if file.is_file():  # opening a pipe would wait
            with open(file, "rb") as handle:
                start = handle.read(132)
        elif not file.exists():  # in an archive
            start = read_file(file)[:132]
    if start[4:12] in _HEIF:
        return _why_no_image(file, ".heic", suffixes)
    if start[-4:] == b"DICM":  # after 128 bytes of any content
        return UNSUPPORTED
    is_image = start.startswith(_IMAGE_STARTS) or (start[:4] == b"RIFF" and start[8:12] == b"WEBP")
    return "" if is_image else NO_IMAGE


def _identity(folder: Path) -> tuple[int, int]:
    status = os.stat(folder)
    return status.st_dev, status.st_ino


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Return whether an entry is a folder or leads to one."""
    with contextlib.suppress(OSError):  # a link that leads to itself
        return entry.is_dir()
    return False


def printable_path(name: str) -> str:
    """Return ``name`` with bytes that are no UTF-8 as backslash escapes; other names unchanged."""
    return name.encode("utf-8", "surrogateescape").decode("utf-8", "backslashreplace")


_PARTS = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "holdout"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "unlabeled"),
}
"""Names of parts of a data set, with their kind."""


def part_name(name: str) -> tuple[str, str]:
    """Return kind of part and the rest of a folder's name: ``train2017`` → train, ``seg_test`` → test and seg."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", re.sub("hold[-_ ]?out", "holdout", name))
    words = [word.lower() for word in words]
    for number, word in enumerate(words):
        if word in _PARTS:
            rest = [other for other in words[:number] + words[number + 1 :] if not other.isdigit()]
            return _PARTS[word], "".join(rest)
    return "", ""


def part_rank(name: str) -> tuple[int, str]:
    """Return what to sort parts by: ``train`` comes before ``val`` and ``test``, other names come first."""
    return "train val test unlabeled".find(part_name(name)[0] or "?"), name
