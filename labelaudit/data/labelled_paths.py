"""What the paths of a labels file mean in an image folder: other programs and machines write them their own way."""

from __future__ import annotations

import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from urllib.parse import unquote

from labelaudit.errors import DataError

_MOST_TRIED = 100


def resolver(file: Path, root: Path | None, images: Sequence[str], cells: Sequence[str]) -> Callable[[str], str]:
    """What gives a path of the file as the image folder has it; one that it does not have stays as it is.

    A path is changed only where it leads nowhere, and the folders that are taken off its front are the same in all
    rows.
    """
    if root is None:
        return lambda cell: cell
    known = set(images)
    alike: dict[str, set[str]] = {}
    for path in images:
        for name in (path, os.path.splitext(path)[0]):
            alike.setdefault(_folded(name), set()).add(path)

    def found(path: str) -> str:
        """The only path of the folder that one of the file can mean; empty where there is none or more."""
        if path in known:
            return path
        meant = alike.get(_folded(path), set())
        same_form = {
            other for other in meant if unicodedata.normalize("NFC", other) == unicodedata.normalize("NFC", path)
        }
        (only,) = same_form if len(same_form) == 1 else meant if len(meant) == 1 else ("",)
        return only

    by_name: dict[str, list[str]] = {}
    for path in images:
        by_name.setdefault(path.rpartition("/")[2], []).append(path)

    own = f"{root.resolve().as_posix()}/"
    prefix = _prefix(file, root, found, own, cells)

    def resolve(cell: str) -> str:
        without = ""
        for plain in _forms(cell):
            if path := found(plain):
                return path
            for before in (own, prefix):
                if before and plain.startswith(before):
                    if path := found(plain[len(before) :]):
                        return path
                    without = without or plain[len(before) :]
            if not plain.startswith("/") and ".." not in plain and os.path.lexists(root / plain):
                return plain
        named = by_name.get(cell.strip(), [])
        return without or (named[0] if len(named) == 1 else cell)

    return resolve


def require_one_here(file: Path, paths: Sequence[str], root: Path, images: Sequence[str]) -> None:
    """Refuse a labels file none of whose paths leads to a file in the image folder.

    Args:
        file: The labels file.
        paths: Its paths, as the folder would have them.
        root: The image folder.
        images: Paths of the images in it.

    Raises:
        DataError: names a path that the file may mean.
    """
    if not images or any("\0" not in path and os.path.lexists(root / path) for path in paths):
        return
    stem, name = os.path.splitext(paths[0])[0], paths[0].rpartition("/")[2]
    meant = [path for path in images if os.path.splitext(path)[0] == stem or path.rpartition("/")[2] == name]
    raise DataError(
        f"none of the {len(paths):,} paths in {file} leads to a file in {root}, as {paths[0]!r}",
        fix=f"if {meant[0]!r} is meant, write that" if meant else f"give paths below the folder, as {images[0]!r}",
    )


def _prefix(file: Path, root: Path, found: Callable[[str], str], own: str, cells: Sequence[str]) -> str:
    """The folders before the paths of a file that was written elsewhere, where the image folder has the rest of them.

    Empty where there are such folders here, and they are not the image folder.
    """
    nowhere = 0
    for cell in cells:
        forms = list(_forms(cell))
        if any(found(path) or path.startswith(own) for path in forms):
            continue
        for path in forms:
            parts = path.split("/")
            for start in range(1, len(parts)):
                if found("/".join(parts[start:])):
                    before = "/".join(parts[:start]) + "/"
                    here = [place for place in (file.parent / before, root / before) if _is_folder(place)]
                    return before if all(place.samefile(root) for place in here) else ""
        nowhere += 1
        if nowhere == _MOST_TRIED:
            break
    return ""


def _is_folder(place: Path) -> bool:
    try:
        return place.is_dir()
    except (OSError, ValueError):  # a name that no folder can have
        return False


def _forms(cell: str) -> Iterator[str]:
    """What a path in a file may mean, the literal first."""
    if "\0" not in cell:
        yield normal(cell)
        yield normal(cell.strip())
        if "\\" in cell:
            yield normal(cell.strip().replace("\\", "/"))
        if "%" in cell and "\0" not in (decoded := unquote(cell)):
            yield normal(decoded.strip())


def _folded(path: str) -> str:
    return unicodedata.normalize("NFC", path).casefold()


def normal(path: str) -> str:
    """``path`` without superfluous parts."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)
