"""Whether the folders on top are classes: they may be parts of a data set, several data sets, or one folder around all.

A folder of a class may hold folders of its own (``cat/2021``, ``cat/train``), so names alone decide nothing.
"""

from __future__ import annotations

import re
import shlex
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path

from labelaudit.errors import DataError

_PARTS = {
    **dict.fromkeys(("train", "training", "trn", "trainset", "trainval"), "train"),
    **dict.fromkeys(("val", "valid", "validation", "validate", "valset", "dev", "eval", "evaluation"), "val"),
    **dict.fromkeys(("test", "testing", "tst", "testset", "holdout"), "test"),
    **dict.fromkeys(("unlabeled", "unlabelled"), "unlabeled"),
}
"""What parts of a data set are called, by kind."""

_ORDER = "train val test unlabeled"

_NUMBERED = frozenset({"fold", "kfold", "cv", "split", "set", "dataset", "subset", "site", "domain"})
"""What parts of a data set are called before their number or letter."""

_PICTURES = frozenset({"image", "images", "imgs", "jpegimages"})
_MARKINGS = frozenset({"mask", "masks", "labels", "annotations", "segmentations", "gt", "groundtruth"})
"""What folders of images, and of the masks or boxes that belong to them, are called."""

_DATE = re.compile(r"(19|20)\d\d([-_.]?\d\d){0,2}")

_LEAST_SHARED = 3
"""So many folders of equal names below every top folder are taken for the classes, if there are more of them than top
folders and they are half of all. Two may be day and night; three in each of three classes may be views."""

_MOST_NAMED = 6


@dataclass(kw_only=True)
class _Folder:
    """A folder: the number of images that lie in it directly, and the folders in it that hold images."""

    path: str
    images: int = 0
    inner: dict[str, _Folder] = field(default_factory=dict)

    @property
    def has_classes(self) -> bool:
        """True when it may be a folder of class folders."""
        return len(self.inner) > 1

    @property
    def innermost(self) -> _Folder:
        """The first folder on the way down that holds images or more than one folder."""
        folder = self
        while not folder.images and len(folder.inner) == 1:
            (folder,) = folder.inner.values()
        return folder


@dataclass(frozen=True, kw_only=True)
class Doubt:
    """A sentence about folders on top that may be no classes; ``serious`` where much speaks for it."""

    text: str
    serious: bool


def check_layout(root: Path, images: Sequence[str]) -> Doubt | None:
    """Refuse folders on top that are no classes.

    Args:
        root: The image folder.
        images: Paths of the images in it.

    Returns:
        A doubt where the folders on top may be no classes.

    Raises:
        DataError: they are none; names the command to give.
    """
    top = _tree(images)
    if not top.inner:
        return None
    if len(top.inner) == 1:
        _refuse_wrapped(root, top)
        return None
    _refuse_markings(root, top)
    if parts := _parts(top):
        for part in parts:
            _refuse_markings(root, part.innermost)
        raise DataError(
            f"the folders {_listed(parts)} in {root} are parts of a data set, not classes", fix=_fix(root, parts)
        )
    if sets := [folder for folder in top.inner.values() if _is_divided(folder.innermost)]:
        inner = [part for folder in sets for part in _parts(folder.innermost)]
        raise DataError(
            f"the folders {_listed(list(top.inner.values()))} in {root} are data sets, not classes",
            fix=_fix(root, inner),
        )
    return _check_repeated(top) or _check_alone(top) or _check_shared(root, top)


def _refuse_markings(root: Path, folder: _Folder) -> None:
    """Refuse a folder that holds images and their masks, and nothing else."""
    names = {name.lower() for name in folder.inner}
    if names & _PICTURES and names & _MARKINGS and names <= _PICTURES | _MARKINGS:
        raise DataError(
            f"the folders {_listed(list(folder.inner.values()))} in {root} are images and what is marked in them, "
            "not classes",
            fix="give the labels with --labels FILE.csv; if these folders are the classes, add --split .",
        )


def _check_repeated(top: _Folder) -> Doubt | None:
    """Whether a folder beside the class folders holds folders of their names, as a test set does."""
    for folder in top.inner.values():
        inner = folder.innermost
        if inner.has_classes and not inner.images and inner.inner.keys() < top.inner.keys():
            return Doubt(
                text=f"the folder {folder.path} holds folders of the names of those beside it "
                f"({_some(list(inner.inner))}), which all count for the class {folder.path}; if it is a part of the "
                "data set, move it out, if not, add --split .",
                serious=True,
            )
    return None


def _check_alone(top: _Folder) -> Doubt | None:
    """Whether one folder holds class folders, and the others are beside it: ``train`` and ``extra``."""
    nested = [folder for folder in top.inner.values() if folder.innermost.has_classes and not folder.innermost.images]
    if len(nested) != 1:
        return None
    one = nested[0].innermost
    if all(_DATE.fullmatch(name) or _part_name(name)[0] for name in one.inner):
        return None
    return Doubt(
        text=f"of the class folders, {one.path} alone holds folders ({_some(list(one.inner))}) and no images of its "
        f"own; they count for the class above; if those are the classes, audit with --split {shlex.quote(one.path)}, "
        "if not, add --split .",
        serious=bool(_part_name(nested[0].path)[0]),
    )


def _refuse_wrapped(root: Path, top: _Folder) -> None:
    inner = top.innermost
    if not inner.has_classes:
        return  # one class: said elsewhere
    parts = _parts(inner)
    raise DataError(
        f"{root} has one class folder only, {next(iter(top.inner))}, with more folders in it",
        fix=_fix(root, parts) if parts else f"give {root / inner.path} if those are the class folders",
    )


def _parts(top: _Folder) -> list[_Folder]:
    """The parts of a data set among the folders on top; none where they seem to be classes."""
    groups: dict[str, dict[str, str]] = {}
    for name in top.inner:
        kind, rest = _part_name(name)
        if kind:
            groups.setdefault(rest, {})[name] = kind
    for rest, kind_of in sorted(groups.items(), key=lambda item: -len(item[1])):
        if len(set(kind_of.values())) < 2:
            continue
        parts = [top.inner[name] for name in sorted(kind_of, key=lambda name: (_ORDER.find(kind_of[name]), name))]
        if any(part.innermost.has_classes for part in parts) and (
            rest not in _NUMBERED or len(_shared([part.innermost for part in parts])) > 1
        ):
            return parts
        if rest == "" and len(parts) == len(top.inner):
            return parts  # train and test, and nothing else
    return []


def _part_name(name: str) -> tuple[str, str]:
    """Kind of part and what else is in a folder's name: ``train2017`` → train, ``seg_test`` → test and seg."""
    words = re.findall(r"[A-Z]?[a-z]+|[A-Z]+(?![a-z])|[0-9]+", re.sub("(hold|k)[-_ ]?(out|fold)", r"\1\2", name))
    words = [word.lower() for word in words]
    for number, word in enumerate(words):
        if word in _PARTS:
            rest = [other for other in words[:number] + words[number + 1 :] if not other.isdigit()]
            return _PARTS[word], "".join(rest)
    if len(words) == 2 and words[0] in _NUMBERED and (words[1].isdigit() or len(words[1]) == 1):
        return words[1], words[0]
    return "", ""


def _is_divided(folder: _Folder) -> bool:
    """Whether a folder is a data set in parts with class folders in them; a class in parts has images in them."""
    return any(
        part.innermost.has_classes and not all(_DATE.fullmatch(name) for name in part.innermost.inner)
        for part in _parts(folder)
    )


def _check_shared(root: Path, top: _Folder) -> Doubt | None:
    """Whether the folders on top are all made of folders: classes in several data sets, or kinds in every class."""
    folders = [folder.innermost for folder in top.inner.values()]
    if any(folder.images or not folder.has_classes for folder in folders):
        return None
    names = list(dict.fromkeys(name for folder in folders for name in folder.inner))
    if all(_DATE.fullmatch(name) or _part_name(name)[0] for name in names):
        return None
    shared = _shared(folders)
    plain = not any(re.search(r"\d", name) or _part_name(name)[0] for name in names)
    if plain and len(shared) >= max(_LEAST_SHARED, len(folders) + 1, len(names) / 2):
        raise DataError(
            f"the folders {_listed(folders)} in {root} seem to be data sets: all hold {_some(shared)}",
            fix=_fix(root, folders),
        )
    serious = len(shared) > 1
    what = f"folders of the same names ({_some(shared)})" if serious else f"more folders ({_some(names)})"
    outer = shlex.quote(",".join(folder.path for folder in folders))
    return Doubt(
        text=f"all class folders hold {what}, which count for the class above; "
        f"if those are the classes, audit with --split {outer}, if not, add --split .",
        serious=serious,
    )


def _shared(folders: Sequence[_Folder]) -> list[str]:
    """The names of folders that are in each of these."""
    first, *others = folders
    return [name for name in first.inner if all(name in other.inner for other in others)]


def _fix(root: Path, parts: Sequence[_Folder]) -> str:
    with_classes = [inner for part in parts for inner in _innermost_parts(part) if inner.has_classes]
    flat = [part for part in parts if not part.innermost.has_classes]
    own = "if these folders are the classes, add --split ."
    if not with_classes:
        return f"they hold no class folders: give the labels with --labels FILE.csv; {own}"
    splits = shlex.quote(",".join(part.path for part in with_classes))
    but = f" ({_listed(flat)} without class folders)" if flat else ""
    together = "audit them as one data set" if len(with_classes) > 1 else "audit it"
    return f"{together} with --split {splits}{but}, or give one folder, as {root / with_classes[0].path}; {own}"


def _innermost_parts(part: _Folder) -> list[_Folder]:
    """The parts of a part, as of a fold with train and val; itself where it has none."""
    inner = part.innermost
    return [each for below in _parts(inner) for each in _innermost_parts(below)] if _is_divided(inner) else [inner]


def _listed(folders: Sequence[_Folder]) -> str:
    return _some([folder.path for folder in folders])


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
    return ", ".join(names[:_MOST_NAMED]) + more


def _tree(images: Sequence[str]) -> _Folder:
    top = _Folder(path="")
    for path in images:
        folder = top
        for name in _folders_of(path):
            below = f"{folder.path}/{name}" if folder.path else name
            folder = folder.inner.setdefault(name, _Folder(path=below))
        folder.images += 1
    return top


def _folders_of(path: str) -> Iterator[str]:
    return iter(path.split("/")[:-1])
