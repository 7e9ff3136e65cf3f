"""Write data folders with hostile names, and compare everything that must be the same after an undo."""

import hashlib
import os
from collections.abc import Iterable
from pathlib import Path

from labelaudit.review.corrections import ReviewFile, read_review
from labelaudit.review.decisions import Decision
from labelaudit.text import csv_lines


def everything(root: Path) -> list[Path]:
    """Return all paths below a data folder, and its folder for dropped files with all below that."""
    dropped = root.parent / f"{root.name}-dropped"
    return sorted([*root.rglob("*"), *dropped.rglob("*"), *([dropped] if dropped.exists() else [])])


def snapshot(root: Path) -> dict[bytes, tuple[object, ...]]:
    """Return everything of a data folder: for files content, mode and time; for links their target."""
    found: dict[bytes, tuple[object, ...]] = {}
    for path in everything(root):
        status = path.lstat()
        if path.is_symlink():
            what: tuple[object, ...] = ("link", path.readlink())
        elif path.is_dir():
            what = ("folder", status.st_mode)
        elif not path.is_file() or status.st_size > 1 << 30:
            what = ("no file", status.st_mode, status.st_size, status.st_mtime_ns)
        else:
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            what = ("file", digest, status.st_mode, status.st_mtime_ns, status.st_nlink)
        found[os.fsencode(os.path.relpath(path, root))] = what
    return found


def write_tree(root: Path, files: Iterable[str]) -> Path:
    """Write files; the content of each is its path."""
    for path in files:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(path)
    return root


def contents(root: Path) -> dict[str, str]:
    """Return the text of every file but relabeling's own, by path."""
    return {
        os.path.relpath(path, root): path.read_text()
        for path in everything(root)
        if path.is_file() and not path.name.lstrip(".").startswith("labelaudit-relabel")
    }


def sha256(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def change(path: str, label: str, **others: str) -> Decision:
    return Decision(path=path, action="change", label=label, **others)


def drop(path: str, **others: str) -> Decision:
    return Decision(path=path, action="drop", **others)


def keep(path: str, **others: str) -> Decision:
    return Decision(path=path, action="keep", **others)


def write_corrections(file: Path, corrections: Iterable[Decision]) -> None:
    rows = ((one.path, one.given_label, one.action, one.label, one.sha256) for one in corrections)
    file.write_text("".join(csv_lines(("path", "given_label", "action", "label", "sha256"), rows)))


def saved(file: Path, *corrections: Decision) -> ReviewFile:
    write_corrections(file, corrections)
    return read_review(file)
