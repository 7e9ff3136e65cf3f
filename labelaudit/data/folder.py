"""Scan labeled images: torchvision's ImageFolder layout, what `labelaudit.data.sources` knows, or a labels file.

Every file is read once to hash it and to read its header; pixels are decoded elsewhere. A file that cannot be used is
set aside with the reason and never stops an audit.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import posixpath
import re
import shlex
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from labelaudit.data.catalogue import Annotations, Catalogue, each_in_parallel, in_parallel, split_places, splits_of
from labelaudit.data.containers import inside, read_file
from labelaudit.data.images import Header, UnreadableImageError, read_header, read_values
from labelaudit.data.labels_file import read_labels, require_one_here
from labelaudit.data.remote import is_copy
from labelaudit.data.rendering import BACKGROUNDS, DEEP_KINDS, Rendering, background_of, range_of
from labelaudit.data.sources import in_split, walk_data
from labelaudit.data.walk import BESIDE, NOT_LISTED, OTHER_SPLIT, Walk, part_name, part_rank, printable_path, summed
from labelaudit.errors import DataError, UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.run.files import reading
from labelaudit.text import listed, plural

_MOST_SAMPLED = 256
"""The rendering is decided from at most this many images, evenly spaced over the folder."""

_POINTERS = (
    (b"version https://git-lfs.github.com/spec/", "a Git LFS pointer, not the image: git lfs pull fetches it"),
    (b"/annex/objects/", "a git-annex pointer, not the image: git annex get fetches it"),
    (b"<!doctype html", "a web page, not an image: download it again"),
    (b"<html", "a web page, not an image: download it again"),
)
"""The first bytes of files that stand in place of an image, and what they are."""


def scan(
    root: Path, *, labels_file: Path | None = None, split: Sequence[str] = (), reporter: Reporter = QUIET
) -> Catalogue:
    """List, hash and check every image below ``root``: the catalogue is sorted by path and includes damaged files.

    Args:
        root: ``root/<class>/…/<image>``, or a source with labels of its own; or any layout, with ``labels_file``.
        labels_file: CSV with the columns ``path`` and ``label``, or also ``annotator``; replaces the class folders.
        split: Folders below ``root`` whose class folders are read, as one data set: ``train``; ``.`` is ``root``. As
            NAME=FOLDER they may be any sources. With ``labels_file``, values of its column ``split``.
        reporter: Receives the progress.

    Raises a DataError for a folder without class folders or images, and for an unusable labels file.
    """
    if labels_file is not None:
        walk = _walk(root)
        table = read_labels(labels_file, root, walk.images)
        require_one_here(labels_file, table.label_of, root, walk.images)
        for note in table.notes:
            reporter.say(note)
        own = os.path.relpath(labels_file.resolve(), root.resolve()).replace(os.sep, "/")
        split = _values_of_split(labels_file, table.split_of, split)
        label_of = {path: of for path, of in table.label_of.items() if not split or table.split_of[path] in split}
        for path in walk.images:
            walk.left[path] = OTHER_SPLIT if path in table.label_of else NOT_LISTED
        catalogue = _inspect(root, label_of, reporter)
        sample_of = {path: sample for sample, path in enumerate(sorted(label_of))}
        kept = (vote for vote in table.votes if vote.path in label_of)
        votes = [(sample_of[path], who, printable_path(label)) for path, who, label in kept]
        return replace(
            catalogue,
            left_out=summed(walk.left_but([*label_of, own])),
            remarks=tuple(table.warnings),
            split=split,
            split_N=tuple(table.split_of[path] for path in sorted(label_of)) if split else (),
            annotations=Annotations(tuple(sorted(votes))) if votes else None,
        )
    walk, remarks, fixed = _labeled(root, split)
    if walk.labels_from:
        reporter.say(f"Labels are from {walk.labels_from}")
    split = tuple(dict.fromkeys(os.path.normpath(name).replace(os.sep, "/") for name in split if name))
    catalogue = _inspect(root, walk.label_of or {}, reporter)
    split_N = splits_of(catalogue.paths, split)
    return replace(catalogue, left_out=summed(walk.left), remarks=remarks, split=split, split_N=split_N, fixed=fixed)


def _values_of_split(file: Path, split_of: Mapping[str, str], asked: Sequence[str]) -> tuple[str, ...]:
    """Return the splits that a labels file names and that are asked for; all of them where none is."""
    known = sorted(set(split_of.values()), key=part_rank)
    if asked and not known:
        raise UsageError(f"--split names splits, and {file} has no column split", fix="leave --split out, or add it")
    if unknown := [name for name in asked if name not in known]:
        raise DataError(f"--split: there is no {unknown[0]} in the column split of {file}", fix=_there_are(known))
    return tuple(asked or known)


def fixed_labels(root: Path, split: Sequence[str] = ()) -> dict[str, str] | None:
    """Return the labels by path where no file can be moved to change one: those of an archive, a table or metadata.

    None for class folders of files; errors are those of `scan`.
    """
    walk, _, fixed = _labeled(root, split)
    return dict(walk.label_of or {}) if fixed else None


def _labeled(root: Path, split: Sequence[str]) -> tuple[Walk, tuple[str, ...], bool]:
    """Return the images with their own labels, what looks odd about these, and whether they are fixed."""
    if _are_named(split):
        whole, said, is_fixed = Walk(), list[str](), False
        for folder in split_places(split):
            walk, remarks, fixed = _labeled(root / folder, ())
            whole, is_fixed = whole.with_part(folder, walk), is_fixed or fixed
            said += remarks
        return whole, tuple(said), is_fixed
    walk = _walk(root)
    fixed = walk.label_of is not None or inside(root) is not None or is_copy(root)
    if walk.label_of is not None:
        return replace(walk, label_of=in_split(root, walk, split)), (), fixed
    bases = _bases(root, walk, split) if split else [""]
    doubt = "" if split else _refuse_split_folders(root, walk.images)
    label_of = _from_class_folders(root, walk, bases)
    remarks = (*walk.lost_classes(bases, set(label_of.values())), *([doubt] if doubt else []))
    return replace(walk, label_of=label_of), remarks, fixed


def _are_named(split: Sequence[str]) -> bool:
    """Return whether ``--split`` gives each part a name, as NAME=FOLDER: such parts may be any sources."""
    return any("=" in entry for entry in split)


def require_outside(place: Path, root: Path, option: str) -> None:
    """Raise a UsageError where ``place`` is the image folder or lies in it, where it would become a class."""
    target, data = place.resolve(), root.resolve()
    if target == data or data in target.parents:
        where = "is the image folder" if target == data else f"lies in the image folder {root}"
        raise UsageError(f"{option} {place} {where}", fix=f"give a place outside it, as {data}-audit")


def class_bases(root: Path, split: Sequence[str]) -> list[str]:
    """Return the folders that hold the class folders, ``""`` for ``root``; errors are those of `scan`."""
    if _are_named(split):
        return list(split_places(split))
    walk = _walk(root)
    if not split and len({path.partition("/")[0] for path in walk.images}) > 1:  # one class may be left, with folders
        _refuse_split_folders(root, walk.images)
    return _bases(root, walk, split) if split else [""]


def _walk(root: Path) -> Walk:
    with reading(root):
        try:
            with contextlib.suppress(NotADirectoryError):
                os.scandir(root).close()
        except (FileNotFoundError, ValueError) as error:
            fix = "give a folder that holds one folder of images per class"
            raise DataError(f"there is no folder {root}", fix=fix) from error
    return walk_data(root)


def _there_are(names: Iterable[str]) -> str:
    return f"there are: {', '.join(names)}"


def _bases(root: Path, walk: Walk, split: Sequence[str]) -> list[str]:
    normal = (os.path.normpath(name).replace(os.sep, "/") for name in split if name)
    bases = list(dict.fromkeys("" if base == "." else base for base in normal))
    for base in bases:
        if base and base not in walk.folders:
            known = _there_are([folder for folder in walk.folders if "/" not in folder])
            raise DataError(f"--split: there is no folder {base} in {root}", fix=known)
        if any(base != other and (not other or base.startswith(f"{other}/")) for other in bases):
            raise DataError(f"--split: the folders {', '.join(split)} contain one another", fix="leave one of them out")
    return bases


def _from_class_folders(root: Path, walk: Walk, bases: Sequence[str]) -> dict[str, str]:
    """Return the label of each image, the folder below its base; other images are left out."""
    label_of: dict[str, str] = {}
    for path in walk.images:
        base = next((base for base in bases if not base or path.startswith(f"{base}/")), None)
        label, slash, _ = path.removeprefix(f"{base}/").partition("/")
        if base is None or not slash:
            walk.left[path] = OTHER_SPLIT if base is None else BESIDE
        else:
            label_of[path] = label
    for base in bases:
        if base and not any(path.startswith(f"{base}/") for path in label_of):
            what = f"--split: {base} in {root} has no class folders with images"
            raise DataError(what, fix="leave it out, or check the folder")
    if label_of:
        return label_of
    found = f" ({'; '.join(row.text for row in summed(walk.left)[:3])})" if walk.left else ""
    if any(posixpath.dirname(folder) in bases for folder in walk.folders):
        raise DataError(f"there are no image files in the class folders of {root}{found}", fix="check the folder")
    fix = "put the images of each class into a folder of its own, or give their labels with --labels FILE.csv"
    raise DataError(f"{root} has no class folders{found}", fix=fix)


def _inspect(root: Path, label_of: Mapping[str, str], reporter: Reporter) -> Catalogue:
    paths = sorted(label_of)
    bar = reporter.bar("Reading files", len(paths), "files")
    found = each_in_parallel(paths, partial(_inspect_file, root), bar)
    headers, sha256, reasons = zip(*found, strict=True)
    labels = [printable_path(label_of[path]) for path in paths]
    number_of = {name: number for number, name in enumerate(sorted(set(labels)))}
    return Catalogue(
        root=root,
        classes=tuple(number_of),
        paths=tuple(printable_path(path) for path in paths),
        label_N=np.array([number_of[label] for label in labels], dtype=np.int32),
        width_N=np.array([header.width for header in headers], dtype=np.int32),
        height_N=np.array([header.height for header in headers], dtype=np.int32),
        grey_N=np.array([header.grey for header in headers], dtype=bool),
        sha256=sha256,
        reasons=reasons,
        rendering=_rendering(root, paths, headers, reporter),
    )


def _inspect_file(root: Path, path: str) -> tuple[Header, str, str]:
    """Return header and SHA-256 (hex) of a file, and why it cannot be used."""
    sha256 = ""
    try:
        content = read_file(root / path)
        sha256 = hashlib.sha256(content).hexdigest()
        if printable_path(path) != path:
            raise UnreadableImageError("file name is not valid UTF-8")
        for beginning, what in _POINTERS:
            if content[:256].lstrip().lower().startswith(beginning):
                raise UnreadableImageError(what)
        return read_header(content), sha256, ""
    except UnreadableImageError as error:
        return Header(width=0, height=0, grey=True), sha256, str(error)


def _rendering(root: Path, paths: Sequence[str], headers: Sequence[Header], reporter: Reporter) -> Rendering:
    """Decide the rendering of a folder, and report each part of it that is not plain."""

    def read(numbers: Sequence[int], rendering: Rendering | None) -> list[npt.NDArray[Any]]:
        def read_part(part: Sequence[int]) -> Iterator[npt.NDArray[Any]]:
            for number in part:
                with contextlib.suppress(UnreadableImageError):  # reported when it is decoded
                    yield read_values(read_file(root / paths[number]), rendering)

        sampled = numbers[:: max(1, -(-len(numbers) // _MOST_SAMPLED))]
        return [values for _, part in in_parallel(sampled, lambda part: [*read_part(part)], 8) for values in part]

    chosen: dict[str, Any] = {}
    for kind in DEEP_KINDS:
        deep = [number for number, header in enumerate(headers) if header.deep == kind]
        if images := read(deep, None):
            low, high = chosen[kind] = range_of(images)
            rule = f"values from {low:g} (black) to {high:g} (white) become 8-bit, by one rule for the folder"
            reporter.say(f"{plural(len(deep), 'image has', 'images have')} more than 8 bits ({kind}): {rule}")
    transparent = [number for number, header in enumerate(headers) if header.transparent]
    if images := read(transparent, Rendering(**chosen)):
        chosen["background"], blank = background_of(images)
        if blank:
            name = BACKGROUNDS[chosen["background"]]
            on_white = f"on white, {blank:,} of {len(images):,} images would be nearly blank"
            reporter.say(f"Transparent parts are shown {name}: {on_white}")
    return Rendering(**chosen)


# Layout: are the top folders classes, or parts of a data set?

_IMAGES = frozenset({"image", "images", "imgs", "jpegimages"})
_ANNOTATIONS = frozenset({"mask", "masks", "labels", "annotations", "segmentations", "gt", "groundtruth"})
"""Names of folders of images, and of the masks or boxes that belong to them."""

_DATE = re.compile(r"(19|20)\d\d([-_.]?\d\d){0,2}")
_MOST_NAMED = 6


@dataclass(kw_only=True)
class _Folder:
    """A folder: the number of images directly in it, and the folders in it that hold images."""

    path: str
    images: int = 0
    inner: dict[str, _Folder] = field(default_factory=dict)

    @property
    def has_classes(self) -> bool:
        """True when it may be a folder of class folders."""
        return len(self.inner) > 1

    @property
    def has_classes_only(self) -> bool:
        return self.has_classes and not self.images

    @property
    def innermost(self) -> _Folder:
        """The first folder on the way down that holds images or more than one folder."""
        folder = self
        while not folder.images and len(folder.inner) == 1:
            (folder,) = folder.inner.values()
        return folder


def _refuse_split_folders(root: Path, images: Sequence[str]) -> str:
    """Raise a DataError where the top folders are splits, data sets or annotations, with the command to give instead.

    Where that is likely, return a sentence.
    """
    top = _Folder(path="")
    for path in images:
        folder = top
        for name in path.split("/")[:-1]:
            below = f"{folder.path}/{name}" if folder.path else name
            folder = folder.inner.setdefault(name, _Folder(path=below))
        folder.images += 1
    if len(top.inner) == 1 and (inner := top.innermost).has_classes:
        parts = _parts(inner)
        fix = _fix(root, parts) if parts else f"give {root / inner.path} if those are the class folders"
        raise DataError(f"{root} has one class folder only, {next(iter(top.inner))}, with more folders in it", fix=fix)
    if len(top.inner) < 2:
        return ""
    _refuse_annotations(root, top)
    if parts := _parts(top):
        for part in parts:
            _refuse_annotations(root, part.innermost)
        what = f"the folders {_listed(parts)} in {root} are parts of a data set, not classes"
        raise DataError(what, fix=_fix(root, parts))
    if sets := [folder for folder in top.inner.values() if _is_divided(folder.innermost)]:
        what = f"the folders {_listed(top.inner.values())} in {root} are data sets, not classes"
        raise DataError(what, fix=_fix(root, [part for folder in sets for part in _parts(folder.innermost)]))
    return _doubt_nested_classes(top) or _doubt_common_subfolders(root, top)


def _refuse_annotations(root: Path, folder: _Folder) -> None:
    """Refuse a folder that holds images and their masks, and nothing else."""
    names = {name.lower() for name in folder.inner}
    if names & _IMAGES and names & _ANNOTATIONS and names <= _IMAGES | _ANNOTATIONS:
        raise DataError(
            f"the folders {_listed(folder.inner.values())} in {root} are images and their annotations, not classes",
            fix="give the labels with --labels FILE.csv; if these folders are the classes, add --split .",
        )


def _doubt_nested_classes(top: _Folder) -> str:
    """Doubt a folder that alone holds class folders, as ``train`` beside ``extra``, or those that lie beside it."""
    nested = [inner for inner in (folder.innermost for folder in top.inner.values()) if inner.has_classes_only]
    for folder in nested:
        is_part = part_name(folder.path.partition("/")[0])[0] and not _are_divisions(folder.inner)
        if folder.inner.keys() < top.inner.keys() or (is_part and len(nested) == 1):
            what = f"the folder {folder.path} holds folders ({listed(folder.inner, _MOST_NAMED)}), which are treated"
            fix = f"move it out, or use --split {_joined([folder])} if it has the classes; otherwise use --split ."
            return f"{what} as part of the class {folder.path}. If it is a part of the data set, {fix}"
    return ""


def _doubt_common_subfolders(root: Path, top: _Folder) -> str:
    """Doubt top folders that all hold folders of the same names: classes in several data sets, or views in classes."""
    folders = [folder.innermost for folder in top.inner.values()]
    names = list(dict.fromkeys(name for folder in folders for name in folder.inner))
    shared = [name for name in names if all(name in folder.inner for folder in folders)]
    if not all(folder.has_classes_only for folder in folders) or _are_divisions(names) or len(shared) < 2:
        return ""
    plain = not any(re.search(r"\d", name) or part_name(name)[0] for name in names)
    # Two folders of equal names may be day and night; three in each of three classes may be views.
    if plain and len(shared) >= max(3, len(folders) + 1, len(names) / 2):
        what = f"the folders {_listed(folders)} in {root} seem to be data sets: all hold {listed(shared, _MOST_NAMED)}"
        raise DataError(what, fix=_fix(root, folders))
    text = (
        f"all class folders hold folders of the same names ({listed(shared, _MOST_NAMED)}), which are treated as part "
    )
    return f"{text}of their class. If they are the classes, use --split {_joined(folders)}; otherwise --split ."


def _parts(top: _Folder) -> list[_Folder]:
    """Return the parts of a data set among the inner folders; none where they seem to be classes."""
    groups: defaultdict[str, dict[str, str]] = defaultdict(dict)
    for name in top.inner:
        kind, rest = part_name(name)
        if kind:
            groups[rest][name] = kind
    for rest, kind_of in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(set(kind_of.values())) < 2:
            continue
        parts = [top.inner[name] for name in sorted(kind_of, key=part_rank)]
        train_and_test_only = rest == "" and len(parts) == len(top.inner)
        if train_and_test_only or any(part.innermost.has_classes for part in parts):
            return parts
    return []


def _are_divisions(names: Mapping[str, object] | Sequence[str]) -> bool:
    """Return whether all names are dates or parts of a data set, which may divide a class."""
    return all(_DATE.fullmatch(name) or part_name(name)[0] for name in names)


def _is_divided(folder: _Folder) -> bool:
    """Return whether a folder is a data set in parts with class folders in them; a class in parts has images there."""
    inner = [part.innermost for part in _parts(folder)]
    return any(part.has_classes and not all(_DATE.fullmatch(name) for name in part.inner) for part in inner)


def _fix(root: Path, parts: Sequence[_Folder]) -> str:
    with_classes = [inner for part in parts for inner in _innermost_parts(part) if inner.has_classes]
    flat = [part for part in parts if not part.innermost.has_classes]
    own = "if these folders are the classes, add --split ."
    if not with_classes:
        return f"they hold no class folders: give the labels with --labels FILE.csv; {own}"
    but = f" ({_listed(flat)} without class folders)" if flat else ""
    what = f"{'them as one data set' if len(with_classes) > 1 else 'it'} with --split {_joined(with_classes)}{but}"
    return f"audit {what}, or give one folder, as {root / with_classes[0].path}; {own}"


def _innermost_parts(part: _Folder) -> list[_Folder]:
    """Return the parts of a part, as of a fold with train and val; itself where it has none."""
    inner = part.innermost
    return [each for below in _parts(inner) for each in _innermost_parts(below)] if _is_divided(inner) else [inner]


def _joined(folders: Sequence[_Folder]) -> str:
    return shlex.quote(",".join(folder.path for folder in folders))


def _listed(folders: Iterable[_Folder]) -> str:
    return listed([folder.path for folder in folders], _MOST_NAMED)
