"""List the images of a data set wherever they lie, with the labels that do not come from class folders.

photos/cat/1.jpg                  class folders; so are photos.zip and photos.tar
photos/metadata.csv               a Hugging Face imagefolder: file_name and label, also as jsonl or parquet
train.parquet, data/*.parquet     a column of images as bytes, and one of labels
shard-0000.tar, shards/*.tar      WebDataset: 0001.jpg beside 0001.cls, or 0001.json with a label
"""

from __future__ import annotations

import csv
import io
import os
import posixpath
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path, PurePosixPath

import msgspec
import pyarrow as pa
import pyarrow.parquet as pq

from labelaudit.data.catalogue import is_in_split
from labelaudit.data.containers import Table, inside, opened, read_file
from labelaudit.data.images import UnreadableImageError
from labelaudit.data.labels_file import leads_out, matching
from labelaudit.data.walk import NO_IMAGE, NO_LABEL, OTHER_SPLIT, Walk, part_name, part_rank, walk_folder, walk_names
from labelaudit.errors import DataError, brief
from labelaudit.text import listed

_METADATA = frozenset({"metadata.csv", "metadata.jsonl", "metadata.parquet"})
_FILE_NAME = "file_name"
_SHARDS = frozenset({".parquet", ".tar", ".zip"})


class _Described(msgspec.Struct):
    label: str | int


def walk_data(root: Path) -> Walk:
    """Return the images of a folder, an archive, a folder in one, a Parquet file, or a folder of such shards."""
    if found := inside(root):
        return _walk_file(root, *found)
    walk = walk_folder(root)
    if described := _described(root, walk):
        return described
    shards = [path for path in _not_images(walk) if os.path.splitext(path)[1].lower() in _SHARDS]
    return walk if walk.images or not shards else _walk_shards(root, walk, sorted(shards))


def in_split(root: Path, walk: Walk, split: Sequence[str]) -> dict[str, str]:
    """Return the labels of a walk that are in one of these folders or shards; others are left out.

    Without a ``split``, parts of a data set in one walk are a DataError, as in class folders.
    """
    label_of = dict(walk.label_of or {})
    places = {posixpath.dirname(path) for path in label_of}
    kind_of = {part: kind for place in places for part in place.split("/") if (kind := part_name(part)[0])}
    parts = sorted(kind_of, key=part_rank)
    names = list(dict.fromkeys(re.split(r"[-.]", part)[0] for part in parts))
    if not split and len(set(kind_of.values())) > 1:
        what = f"{root} holds {listed(names, 6)}: parts of a data set"
        raise DataError(what, fix=f"audit them as one data set with --split {','.join(names)}, or one of them")
    kept = {place for place in places if not split or any(is_in_split(place, name) for name in split)}
    if not kept:
        fix = f"there are: {listed(names, 6)}" if names else "leave --split out"
        raise DataError(f"--split: there is no {' or '.join(split)} in {root}", fix=fix)
    for path in [path for path in label_of if posixpath.dirname(path) not in kept]:
        walk.left[path] = OTHER_SPLIT
        del label_of[path]
    return label_of


def _walk_file(root: Path, file: Path, folder: str) -> Walk:
    container = opened(file)
    if isinstance(container, Table):
        if folder:
            raise DataError(f"there is no folder {folder} in {file}", fix=f"give {file}")
        rows = dict(zip(container.names, container.labels, strict=True))
        label_of = {row: label for row, label in rows.items() if label}
        left = {row: NO_LABEL for row, label in rows.items() if not label}
        return Walk(images=list(rows), left=left, label_of=label_of, labels_from=f"the column {container.label!r}")
    names = list(_below(container.members, folder))
    if not names:
        raise DataError(f"there are no files in {root}", fix="check the archive, or the name of the folder in it")
    walk = walk_names(root, names, _below(container.folders, folder))
    return _described(root, walk) or _paired(root, walk) or walk


def _below(names: Iterable[str], folder: str) -> Iterator[str]:
    before = f"{folder}/" if folder else ""
    return (name.removeprefix(before) for name in names if name.startswith(before))


def _walk_shards(root: Path, walk: Walk, shards: Sequence[str]) -> Walk:
    whole = replace(walk, images=[], left=walk.left_but(shards), label_of={})
    for shard in shards:
        found = _walk_file(root / shard, root / shard, "")
        if found.label_of is None:
            what = f"{root / shard} has no labels: a shard has a file .cls, or .json with a label, beside each image"
            raise DataError(what, fix="write the labels there, or give them with --labels FILE.csv")
        whole = whole.with_part(shard, found)
    return replace(whole, labels_from=f"{found.labels_from} of {len(shards)} shards")


def _paired(root: Path, walk: Walk) -> Walk | None:
    """Return the walk with WebDataset's labels: ``a/1.jpg`` has that in ``a/1.cls``, or in ``a/1.json`` as ``label``.

    None where there are none.
    """
    ends = (".cls", ".json")
    texts_of = {end: {each[: -len(end)]: each for each in _not_images(walk) if each.endswith(end)} for end in ends}
    end = next((end for end in ends if texts_of[end]), "")
    if not end:
        return None
    texts, label_of = texts_of[end], dict[str, str]()
    fix = "store one text or number in it"
    for path in walk.images:
        stem = os.path.splitext(path)[0]
        if stem not in texts:
            walk.left[path] = NO_LABEL
            continue
        try:
            content = read_file(root / texts[stem])
            if end == ".json":
                content = str(msgspec.json.decode(content, type=_Described).label).encode()
            label_of[path] = content.decode().strip()
        except msgspec.ValidationError:
            if not label_of:  # it describes something else
                return None
            raise DataError(f"{root / texts[stem]} has no label", fix='store {"label": …} in it') from None
        except (UnreadableImageError, UnicodeDecodeError, msgspec.DecodeError) as error:
            raise DataError(f"{root / texts[stem]} is no label ({error})", fix=fix) from error
        if not label_of[path]:
            raise DataError(f"{root / texts[stem]} is empty", fix=fix)
    return replace(walk, left=walk.left_but(texts.values()), label_of=label_of, labels_from=f"the {end} files")


def _described(root: Path, walk: Walk) -> Walk | None:
    """Return the walk with the labels of Hugging Face's metadata files; None where they have no labels."""
    label_of: dict[str, str] = {}
    files: list[str] = []
    for file in (path for path in _not_images(walk) if posixpath.basename(path) in _METADATA):
        if (rows := _labels_in(root / file)) is None:
            continue
        files.append(file)
        for where, name, label in rows:
            if leads_out(name):
                raise DataError(f"{where}: {name!r} leads out of its folder", fix="give paths below the folder")
            path = str(PurePosixPath(posixpath.dirname(file), name))
            if path in label_of:
                raise DataError(f"{where}: {path!r} appears twice", fix="keep one label per file")
            label_of[path] = label
    if not files:
        return None
    label_of = {path: label for path, label in label_of.items() if label}
    for path in walk.images:
        if path not in label_of:
            walk.left[path] = NO_LABEL
    return replace(walk, left=walk.left_but([*label_of, *files]), label_of=label_of, labels_from=listed(files, 3))


def _labels_in(file: Path) -> list[tuple[str, str, str]] | None:
    """Return place, name and label of each row of a metadata file; None where it has no column of one of them."""
    try:
        content = read_file(file)
        if file.suffix == ".parquet":
            rows = pq.read_table(pa.BufferReader(content)).to_pylist()
        elif file.suffix == ".jsonl":
            rows = msgspec.json.Decoder(dict[str, object]).decode_lines(content)
        else:
            rows = list(csv.DictReader(io.StringIO(content.decode("utf-8-sig"), newline="")))
    except (UnreadableImageError, pa.ArrowException, msgspec.MsgspecError, UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"cannot read {file} ({brief(error)})", fix="check the file, or delete it") from error
    header = [str(name) for name in (rows[0] if rows else ())]
    columns = [header[place] for place in matching(header)]
    if _FILE_NAME not in header or not columns:
        return None
    if len(columns) > 1:
        what = f"{file}: the columns {' and '.join(map(repr, columns))} mean the same"
        raise DataError(what, fix="keep one of them")
    found = []
    for number, row in enumerate(rows, 1):
        name, label = row.get(_FILE_NAME), row.get(columns[0])
        where = f"{file} row {number}"
        if not isinstance(name, str) or not name:
            raise DataError(f"{where}: no {_FILE_NAME}", fix="give the path of an image, or delete the row")
        if not isinstance(label, str | int | None):
            raise DataError(f"{where}: {label!r} is not one label", fix="give a text or a whole number")
        found.append((where, name, "" if label is None else str(label).strip()))
    return found


def _not_images(walk: Walk) -> list[str]:
    return [path for path, why in walk.left.items() if why == NO_IMAGE]
