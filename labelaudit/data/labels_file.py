"""Read a CSV with each file's label, or its annotators' labels, for images that do not lie in class folders.

Other programs write such files with semicolons or tabs, absolute paths, backslashes, or names in another Unicode form.
An unambiguous path or format is accepted with a note; everything else is refused with the line.
"""

from __future__ import annotations

import contextlib
import csv
import io
import itertools
import os
import posixpath
import re
import unicodedata
from collections import Counter, defaultdict
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import NamedTuple
from urllib.parse import unquote

from labelaudit.errors import DataError
from labelaudit.run.files import reading
from labelaudit.text import alike, folded, plural, unguarded

_PATH_NAMES = ("path", "file", "filename", "filepath", "image", "imagepath", "imagename", "imagefile", "imgpath", "img")
LABEL_NAMES = ("label", "class", "classname", "labelname", "category", "target")
"""Names of the two columns, without case, spaces, ``_`` and ``-``; the first name wins over the others."""
_ANNOTATOR_NAMES = ("annotator",)
"""The column that makes every row the label of one annotator."""
_SPLIT_NAMES = ("split",)
"""The column that puts every image into a part of the data set."""

_MISSING = frozenset({"nan", "null", "<na>"})
_SEPARATORS = {",": "commas", ";": "semicolons", "\t": "tabs", "|": "vertical bars"}
_ENCODING_MARKS = {b"\xef\xbb\xbf": "utf-8-sig", b"\xff\xfe": "utf-16", b"\xfe\xff": "utf-16"}
_DRIVE = re.compile(r"[A-Za-z]:[\\/]|\\\\")
_MOST_TRIED = 100


class Vote(NamedTuple):
    """The label that an annotator gave an image."""

    path: str
    annotator: str
    label: str


class LabelsFile(NamedTuple):
    """The content of a labels file: the rows that are not blank, and the numbers of the path's and the label's column.

    ``label_of`` has the labels by path in the image folder, in the order of the rows; with a column of annotators, the
    majority's. ``paths`` has the path of each row. ``votes`` are the rows as annotators' labels, none without that
    column. ``split_of`` has the splits by path, none without a column of them. ``notes`` say how format and paths were
    interpreted; ``warnings`` what looks wrong.
    """

    header: list[str]
    rows: list[list[str]]
    columns: tuple[int, int]
    separator: str
    label_of: dict[str, str]
    paths: list[str]
    votes: tuple[Vote, ...] = ()
    split_of: Mapping[str, str] = {}
    notes: Sequence[str] = ()
    warnings: Sequence[str] = ()


def read_labels(file: Path, root: Path | None = None, images: Sequence[str] = ()) -> LabelsFile:
    """Read ``path,label`` rows, or those of annotators; paths are relative to the folder, or matched with ``images``.

    A file that cannot be read, lacks a column or a label, has surplus cells, or names a path twice (for an annotator)
    or outside the folder is a DataError.
    """
    notes: list[str] = []
    header, columns, rows, numbers, separator = _read_rows(file, notes)
    annotator_at, split_at = (_only(file, header, names) for names in (_ANNOTATOR_NAMES, _SPLIT_NAMES))
    cells = [(unguarded(row[columns[0]]), unguarded(row[columns[1]]).strip()) for row in rows]
    annotators, splits = (
        ["" if place is None else unguarded(row[place]).strip() for row in rows] for place in (annotator_at, split_at)
    )
    resolve = _resolver(file, root, images, [path for path, _ in cells])
    votes: dict[tuple[str, str], Vote] = {}
    split_of: dict[str, str] = {}
    for (cell, label), annotator, split, number in zip(cells, annotators, splits, numbers, strict=True):
        where = f"{file} line {number}"
        if not cell.strip():
            raise DataError(f"{where}: no path", fix="give the path of an image, or delete the line")
        if not label:
            raise DataError(f"{where}: no label for {cell!r}", fix="give its label, or delete the line")
        if annotator_at is not None and not annotator:
            raise DataError(f"{where}: no annotator for {cell!r}", fix="name who gave the label, or delete the line")
        path = resolve(cell)
        if leads_out(path):
            raise DataError(f"{where}: {path!r} leads out of the image folder", fix="give paths below the folder")
        path = str(PurePosixPath(path))
        if (path, annotator) in votes:
            by, each = (f" for annotator {annotator!r}", " and annotator") if annotator else ("", "")
            raise DataError(f"{where}: {path!r} appears twice{by}", fix=f"keep one label per file{each}")
        votes[path, annotator] = Vote(path, annotator, label)
        if split_at is not None and (not split or {",", "="} & set(split) or split_of.setdefault(path, split) != split):
            other = f", which is in {split_of[path]} above" if path in split_of else ""
            raise DataError(f"{where}: {split!r} is no split for {cell!r}{other}", fix="give each image one, as train")
    paths = [vote.path for vote in votes.values()]
    if changed := [(cell, path) for (cell, _), path in zip(cells, paths, strict=True) if _normal(cell) != path]:
        cell, path = changed[0]
        notes.append(f"{len(changed):,} paths in {file} are matched with the folder, as {path!r} for {cell!r}")
    given = tuple(votes.values())
    label_of = {vote.path: vote.label for vote in given}
    warnings = _doubts(file, [vote.label for vote in given])
    if annotator_at is not None:
        label_of, ties = majority(given)
        notes.append(_said_of_majority(file, given, ties))
        warnings += _doubts_of_annotators(file, given, set(label_of.values()))
    voted = () if annotator_at is None else given
    return LabelsFile(header, rows, columns, separator, label_of, paths, voted, split_of, notes, warnings)


def majority(votes: Sequence[Vote]) -> tuple[dict[str, str], int]:
    """Return the label that most annotators gave each path, in the order of the votes, and how many were tied.

    Of tied labels, the one of the annotators wins whom the others agree with most: by the sum over them of

        (1 + how many others on the same images gave the same label) / (2 + how many others there were).

    That is half for those who share no image; after that the order of the labels decides.
    """
    by_path: defaultdict[str, Counter[str]] = defaultdict(Counter)
    for vote in votes:
        by_path[vote.path][vote.label] += 1
    same: Counter[str] = Counter()
    others: Counter[str] = Counter()
    for vote in votes:
        same[vote.annotator] += by_path[vote.path][vote.label] - 1
        others[vote.annotator] += by_path[vote.path].total() - 1
    trust: defaultdict[tuple[str, str], float] = defaultdict(float)
    for vote in votes:
        trust[vote.path, vote.label] += (1 + same[vote.annotator]) / (2 + others[vote.annotator])
    label_of, ties = {}, 0
    for path, count in by_path.items():
        most = max(count.values())
        tied = sorted(label for label in count if count[label] == most)
        label_of[path] = max(tied, key=lambda label: trust[path, label])
        ties += len(tied) > 1
    return label_of, ties


def _said_of_majority(file: Path, votes: Sequence[Vote], ties: int) -> str:
    who = plural(len({vote.annotator for vote in votes}), "annotator")
    images = plural(len({vote.path for vote in votes}), "image")
    broken = f"; {plural(ties, 'tie goes', 'ties go')} to those whom the others agree with most" if ties else ""
    return f"{len(votes):,} labels by {who} in {file}: each of {images} has the label of most{broken}"


def _doubts_of_annotators(file: Path, votes: Sequence[Vote], classes: set[str]) -> Iterator[str]:
    """Yield a sentence for annotators who differ only in spelling, and for labels that no majority chose."""
    for other, who in itertools.islice(alike({vote.annotator for vote in votes}), 1):
        yield f"the annotators {other!r} and {who!r} in {file} count as two; if one is meant, write them alike"
    if outvoted := [vote.label for vote in votes if vote.label not in classes]:
        count = plural(len(outvoted), "label is", "labels are")
        yield f"{count} of no class in {file}, as {outvoted[0]!r}: no image has it from most"


def leads_out(path: str) -> bool:
    """Return whether a path may lead out of the folder that it is given below, or is none."""
    return path.startswith("/") or bool(_DRIVE.match(path)) or ".." in path.split("/") or "\0" in path


def _read_rows(file: Path, notes: list[str]) -> tuple[list[str], tuple[int, int], list[list[str]], list[int], str]:
    """Return the header, the two columns, the rows that are not blank, their line numbers, and the separator."""
    lines, separator = _separated(file, notes)
    header, rows, numbers = [], [], []
    try:
        reader = csv.reader(lines, delimiter=separator, strict=True)
        header = next(reader, [])
        if any(cell.startswith(" ") for cell in header[1:]):
            lines.seek(0)
            reader = csv.reader(lines, delimiter=separator, strict=True, skipinitialspace=True)
            header = next(reader)
        columns = _columns(file, header)
        for row in reader:
            if any(row):
                numbers.append(reader.line_num)
                if any(cell.strip() for cell in row[len(header) :]):
                    fix = 'put quotes around a label or path with a comma in it, as "fox, red"'
                    raise DataError(f"{file} line {numbers[-1]}: {len(row)} cells for {len(header)} columns", fix=fix)
                rows.append(row[: len(header)] + [""] * (len(header) - len(row)))
    except csv.Error as error:
        what = f"{file} is not a readable CSV from line {(numbers or [int(bool(header))])[-1] + 1} on: {error}"
        raise DataError(what, fix="check its quotes, or save it as CSV again") from error
    if not rows:
        raise DataError(f"{file} lists no files", fix="give one line per image: path,label")
    return header, columns, rows, numbers, separator


def require_one_here(file: Path, label_of: Mapping[str, str], root: Path, images: Sequence[str]) -> None:
    """Raise a DataError where none of the paths in a labels file exists in the image folder with these images."""
    paths = list(label_of)
    known = frozenset(images)
    if not images or any(path in known or ("\0" not in path and os.path.lexists(root / path)) for path in paths):
        return
    stem, name = os.path.splitext(paths[0])[0], posixpath.basename(paths[0])
    meant = [path for path in images if os.path.splitext(path)[0] == stem or posixpath.basename(path) == name]
    fix = f"if {meant[0]!r} is meant, write that" if meant else f"give paths below the folder, as {images[0]!r}"
    raise DataError(f"none of the {len(paths):,} paths in {file} leads to a file in {root}, as {paths[0]!r}", fix=fix)


def _resolver(file: Path, root: Path | None, images: Sequence[str], cells: Sequence[str]) -> Callable[[str], str]:
    """Return a function from a path of the file to a path of the image folder; others and unknown ones are unchanged.

    The folders that are removed from the front of a path are the same in all rows.
    """
    if root is None:
        return str
    known = set(images)
    twins: defaultdict[str, set[str]] = defaultdict(set)
    by_name: defaultdict[str, list[str]] = defaultdict(list)
    for path in images:
        by_name[posixpath.basename(path)].append(path)
        for name in (path, os.path.splitext(path)[0]):
            twins[folded(name)].add(path)

    def find(path: str) -> str:
        """Return the only path of the folder that one of the file can mean; empty where there is none or more."""
        if path in known:
            return path
        meant = twins.get(folded(path), set())
        plain = unicodedata.normalize("NFC", path)
        same_case = {other for other in meant if unicodedata.normalize("NFC", other) == plain}
        return next(iter(same_case if len(same_case) == 1 else meant if len(meant) == 1 else ()), "")

    prefix = _prefix(file, root, find, cells)

    def resolve(cell: str) -> str:
        without = ""
        for plain in _forms(cell):
            if path := find(plain) or find(plain.removeprefix(prefix)):
                return path
            if prefix and plain.startswith(prefix):
                without = without or plain.removeprefix(prefix)
            if not plain.startswith("/") and ".." not in plain and os.path.lexists(root / plain):
                return plain
        named = by_name.get(cell.strip(), [])
        return without or (named[0] if len(named) == 1 else cell)

    return resolve


def _prefix(file: Path, root: Path, find: Callable[[str], str], cells: Sequence[str]) -> str:
    """Return the folders before the paths of a file, where the image folder has the rest of them.

    Empty where such folders exist here and are not the image folder.
    """
    meanings = (list(_forms(cell)) for cell in cells)
    unknown = (forms for forms in meanings if not any(find(path) for path in forms))
    for forms in itertools.islice(unknown, _MOST_TRIED):
        for path in forms:
            parts = path.split("/")
            for start in range(1, len(parts)):
                if find("/".join(parts[start:])):
                    before = "/".join(parts[:start]) + "/"
                    places = (file.parent / before, root / before)
                    here = [place for place in places if os.path.isdir(place)]  # noqa: PTH112 (any name, no error)
                    return before if all(place.samefile(root) for place in here) else ""
    return ""


def _forms(cell: str) -> Iterator[str]:
    """Yield the meanings of a path in a file, the literal one first."""
    if "\0" not in cell:
        yield _normal(cell)
        yield _normal(cell.strip())
        if "\\" in cell:
            yield _normal(cell.strip().replace("\\", "/"))
        if "%" in cell and "\0" not in (decoded := unquote(cell)):
            yield _normal(decoded.strip())


def _normal(path: str) -> str:
    """Return ``path`` without superfluous parts."""
    parts = [part for part in path.split("/") if part not in ("", ".")]
    return ("/" if path.startswith("/") else "") + "/".join(parts)


def _separated(file: Path, notes: list[str]) -> tuple[io.StringIO, str]:
    """Return the text, and the separator that gives its header the two columns."""
    with reading(file):
        content = file.read_bytes()
        encoding = next((name for mark, name in _ENCODING_MARKS.items() if content.startswith(mark)), "utf-8")
        text = content.decode(encoding)
    first = re.split(r"[\r\n]", text, maxsplit=1)[0]
    for separator, name in _SEPARATORS.items():
        with contextlib.suppress(csv.Error):
            header = next(csv.reader([first], delimiter=separator), [])
            if all(matching(header, names) for names in (_PATH_NAMES, LABEL_NAMES)):
                if separator != ",":
                    notes.append(f"{file} is read with {name} between its cells")
                return io.StringIO(text, newline=""), separator
    return io.StringIO(text, newline=""), ","


def _columns(file: Path, header: Sequence[str]) -> tuple[int, int]:
    """Return the numbers of the two columns; refuse a header without one of them, or with several."""
    path, label = (_only(file, header, names) for names in (_PATH_NAMES, LABEL_NAMES))
    if path is None or label is None:
        missing = [name for name, place in (("path", path), ("label", label)) if place is None]
        first = ", ".join(repr(cell[:40]) for cell in header[:4]) or "nothing"
        fix = "its first line must name the columns path and label"
        raise DataError(f"{file} has no column {' and no column '.join(missing)} (its first line has {first})", fix=fix)
    return path, label


def _only(file: Path, header: Sequence[str], names: Sequence[str]) -> int | None:
    """Return the column with one of these names, None without any; refuse several."""
    places = matching(header, names)
    if len(places) > 1:
        both = " and ".join(repr(header[place]) for place in places)
        raise DataError(f"{file} line 1: the columns {both} mean the same", fix="keep one of them")
    return places[0] if places else None


def matching(header: Sequence[str], names: Sequence[str] = LABEL_NAMES) -> list[int]:
    """Return the numbers of the columns of the first of these names, or all that have any of the others."""
    plain = [re.sub(r"[\s_-]", "", cell).lower() for cell in header]
    exact = [place for place, name in enumerate(plain) if name == names[0]]
    return exact or [place for place, name in enumerate(plain) if name in names]


def _doubts(file: Path, labels: Sequence[str]) -> list[str]:
    """Return a sentence for labels that differ only in spelling, that seem to be missing, or to be several."""
    known = set(labels)
    texts = [
        f"the labels {other!r} and {label!r} in {file} are two classes; if one is meant, write them alike"
        for other, label in itertools.islice(alike(known), 1)
    ]
    if missing := [label for label in labels if label.lower() in _MISSING]:
        count = plural(len(missing), "label is", "labels are")
        texts.append(f"{count} {missing[0]!r} in {file}, which programs write for a missing value")
    if several := [label for label in labels if any(part in known for part in re.split(r"[|;,]", label)[:-1])]:
        count = plural(len(several), "label looks", "labels look")
        texts.append(f"{count} like several in {file}, as {several[0]!r}: each text is one class")
    return texts
