"""The list of samples in a folder, and its fingerprint.

Shapes: N samples, V votes.
"""

from __future__ import annotations

import hashlib
import posixpath
import re
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import AbstractContextManager
from dataclasses import dataclass, replace
from functools import cache, cached_property
from pathlib import Path
from typing import TypeVar

import joblib
import numpy as np

from labelaudit.data.rendering import PLAIN, Rendering
from labelaudit.detect import BoolArray, IntArray
from labelaudit.errors import DataError
from labelaudit.progress import Advance
from labelaudit.text import listed, plural

Item = TypeVar("Item")
Result = TypeVar("Result")

READERS = min(8, joblib.cpu_count() + 1)
"""Threads that read and decode: decoding releases the interpreter lock, and one more hides waiting for the disk."""


def in_parts(items: Sequence[Item], size: int = 64) -> Iterator[Sequence[Item]]:
    """Yield ``items`` in order, in slices of ``size``; the last may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


def in_parallel(
    items: Sequence[Item], work: Callable[[Sequence[Item]], Result], size: int = 64, workers: int | None = None
) -> Iterator[tuple[Sequence[Item], Result]]:
    """Yield the parts of `in_parts` in order, each with what ``work`` makes of it; threads work a few parts ahead."""
    workers = workers or READERS
    pool = ThreadPoolExecutor(workers)
    try:
        waiting = []
        for part in in_parts(items, size):
            waiting.append((part, pool.submit(work, part)))
            if len(waiting) > 2 * workers:
                ready, future = waiting.pop(0)
                yield ready, future.result()
        for ready, future in waiting:
            yield ready, future.result()
    finally:  # after an error or a signal, nothing else is begun
        pool.shutdown(cancel_futures=True)


def each_in_parallel(
    items: Sequence[Item], work: Callable[[Item], Result], bar: AbstractContextManager[Advance]
) -> Iterator[Result]:
    """Yield what ``work`` makes of each item, in order, and show the progress in ``bar``."""
    with bar as advance:
        for part, results in in_parallel(items, lambda part: [work(item) for item in part]):
            yield from results
            advance(len(part))


LONELY = "the only readable image of its class"
"""The reason of an image that is set aside because its label cannot be judged from another."""


@dataclass(frozen=True, kw_only=True)
class LeftOut:
    """Files of one kind that are in the folder and not in the audit: their number, and the path of one below the root.

    ``suffix`` is in lower case with the dot; empty where files of a folder are counted together.
    """

    reason: str
    suffix: str
    files: int
    example: str

    @property
    def text(self) -> str:
        """What is left out, in words: ``12 .heic: read when … (iphone/0.heic)``."""
        unit = self.suffix or ("file" if self.files == 1 else "files")
        what = f"× {self.reason}" if self.reason.startswith("a ") else f"{unit}: {self.reason}"
        return f"{self.files:,} {what} ({self.example})"


@dataclass(frozen=True)
class Annotations:
    """The V votes on the samples of a catalogue, sorted: number of the sample, annotator, label.

    A label that no majority chose is no class.
    """

    rows: tuple[tuple[int, str, str], ...]

    @cached_property
    def annotators(self) -> tuple[str, ...]:
        """The names of the annotators, sorted."""
        return tuple(sorted({annotator for _, annotator, _ in self.rows}))

    def numbers(self, classes: Sequence[str]) -> tuple[IntArray, IntArray, IntArray]:
        """Return sample_V, annotator_V and label_V as numbers; a label that is no class is −1."""
        class_of = {name: number for number, name in enumerate(classes)}
        annotator_of = {name: number for number, name in enumerate(self.annotators)}
        found = [(sample, annotator_of[who], class_of.get(label, -1)) for sample, who, label in self.rows]
        sample_V, annotator_V, label_V = np.array(found, dtype=np.int32).T
        return sample_V, annotator_V, label_V


@dataclass(frozen=True, kw_only=True)
class Catalogue:
    """Every sample of a folder; a sample's number is its row here and in every file of a run.

    Attributes:
        classes: Class names, sorted; a label is an index into them.
        paths: N paths below ``root`` with ``/`` between the parts.
        label_N: The given label of each sample.
        width_N, height_N: In pixels as displayed; 0 where unreadable.
        grey_N: True for images without color channels.
        sha256: N hex digests of the files' content; empty where a file could not be read.
        reasons: N texts: why a sample was set aside; empty for those that are used.
        remarks: Warnings of the scan, a sentence each.
        split: What ``--split`` names: see `split_places`; empty for ``root`` itself.
        split_N: N names of the samples' splits; empty where there are none.
        annotations: The labels of several annotators, of which ``label_N`` are the majority; None without annotators.
        fixed: True where the labels stand in an archive, a table or a metadata file, so that no file can be moved.
    """

    root: Path
    classes: tuple[str, ...]
    paths: tuple[str, ...]
    label_N: IntArray
    width_N: IntArray
    height_N: IntArray
    grey_N: BoolArray
    sha256: tuple[str, ...]
    reasons: tuple[str, ...]
    rendering: Rendering = PLAIN
    left_out: tuple[LeftOut, ...] = ()
    remarks: tuple[str, ...] = ()
    split: tuple[str, ...] = ()
    split_N: tuple[str, ...] = ()
    annotations: Annotations | None = None
    fixed: bool = False

    def __len__(self) -> int:
        return len(self.paths)

    @cached_property
    def used_N(self) -> BoolArray:
        """True for samples that take part in the audit: readable, and not the only one of their class."""
        return np.array([not reason for reason in self.reasons], dtype=bool)

    @cached_property
    def fingerprint(self) -> str:
        """SHA-256 (hex) over paths, labels, contents, annotations and splits: equal for equal data anywhere."""
        digest = hashlib.sha256()
        for path, label, content in zip(self.paths, self.label_N, self.sha256, strict=True):
            digest.update(f"{path}\0{self.classes[label]}\0{content}\n".encode())
        for sample, annotator, given in () if self.annotations is None else self.annotations.rows:
            digest.update(f"{sample}\0{annotator}\0{given}\n".encode())
        for path, name in zip(self.paths, self.split_N, strict=False):
            if not is_in_split(posixpath.dirname(path), name):  # the path does not say it
                digest.update(f"{path}\0{name}\n".encode())
        return digest.hexdigest()

    @property
    def median_short_side(self) -> int:
        """Median over the used images of the shorter side, in pixels."""
        short_N = np.minimum(self.width_N, self.height_N)[self.used_N]
        return int(np.median(short_N)) if len(short_N) else 0

    @property
    def is_grey(self) -> bool:
        """True when no used image has color channels."""
        return bool(self.grey_N[self.used_N].all())

    def set_aside(self, reasons: Mapping[int, str]) -> Catalogue:
        """Return a catalogue in which the samples with these numbers are unreadable for these reasons."""
        return replace(self, reasons=tuple(why or reasons.get(sample, "") for sample, why in enumerate(self.reasons)))

    @property
    def warnings(self) -> list[str]:
        """A sentence for each remark, and for each cause by which whole classes are not in the audit."""
        absent = self._absent_classes
        texts = list(self.remarks)
        if lonely := absent.pop(LONELY, []):
            texts.append(f"{_named(lonely)} not in the audit: one readable image only, which none can be compared with")
        return [*texts, *(_unreadable(names, why) for why, names in absent.items())]

    @property
    def _absent_classes(self) -> dict[str, list[str]]:
        """The classes of which no image is used, by the reason why: that of the first image, or `LONELY`."""
        reason_of: dict[int, str] = {}
        for label, reason in zip(self.label_N.tolist(), self.reasons, strict=True):
            reason_of[label] = LONELY if reason == LONELY else reason_of.get(label, reason)
        absent: defaultdict[str, list[str]] = defaultdict(list)
        for label in sorted(reason_of.keys() - set(self.label_N[self.used_N].tolist())):
            absent[reason_of[label]].append(self.classes[label])
        return absent

    @property
    def splits(self) -> tuple[str, ...]:
        """The names of the splits, in the order in which they were named."""
        return tuple(split_places(self.split).values())


def split_places(split: Iterable[str]) -> dict[str, str]:
    """Return the name of each folder, shard or column's value that ``--split`` gives as NAME or as NAME=FOLDER."""
    parts = (entry.partition("=") for entry in split)
    return {posixpath.normpath(folder or name): name for name, _, folder in parts}


def splits_of(paths: Iterable[str], split: Sequence[str]) -> tuple[str, ...]:
    """Return the name of the split that each path lies in, the innermost; none where the classes are on top."""
    inner_first = sorted(split_places(split).items(), key=lambda place: -len(place[0]))

    @cache
    def name_of(folder: str) -> str:
        above = [name for place, name in inner_first if f"{folder}/".startswith(f"{place}/")]
        return [*above, *(name for place, name in inner_first if is_in_split(folder, place)), ""][0]

    return () if tuple(split) in ((), (".",)) else tuple(name_of(posixpath.dirname(path)) for path in paths)


@cache
def is_in_split(folder: str, name: str) -> bool:
    """Return whether a folder or shard belongs to a split: ``data/train-00000-of-00002.parquet`` to ``train``."""
    named = re.compile(rf"{re.escape(name)}([-_.].*)?")
    return name == "." or f"{folder}/".startswith(f"{name}/") or any(map(named.fullmatch, folder.split("/")))


def trainable(catalogue: Catalogue) -> Catalogue:
    """Return the catalogue with the classes of one readable image set aside: a classifier can be trained on the others.

    Raises a DataError without a readable image, or with fewer than two classes that have two of them.
    """
    root, used_N = catalogue.root, catalogue.used_N
    if not used_N.any():
        first = next((f" ({p}: {r})" for p, r in zip(catalogue.paths, catalogue.reasons, strict=True) if r), "")
        fix = "check that the files are images and that you may read them"
        raise DataError(f"none of the {plural(len(catalogue), 'image')} in {root} can be read{first}", fix=fix)
    if len(catalogue.classes) < 2:
        lost = f"; {catalogue.remarks[0]}" if catalogue.remarks else ""
        fix = "an audit compares classes: give a folder with at least two class folders"
        raise DataError(f"{root} has one class only ({catalogue.classes[0]!r}){lost}", fix=fix)
    count_K = np.bincount(catalogue.label_N[used_N], minlength=len(catalogue.classes))
    lonely_N = used_N & (count_K[catalogue.label_N] == 1)
    settled = catalogue.set_aside(dict.fromkeys(np.flatnonzero(lonely_N).tolist(), LONELY))
    if (count_K > 1).sum() < 2:
        few = listed([repr(catalogue.classes[k]) for k in np.flatnonzero(count_K < 2)], 3)
        unread = [_unreadable(names, why) for why, names in settled._absent_classes.items() if why != LONELY]
        why = f" ({unread[0]})" if unread else ""
        fix = "a label can only be judged from other images of its class, in at least two classes: add images"
        raise DataError(f"{root}: fewer than two readable images in class {few}{why}", fix=fix)
    return settled


def _unreadable(classes: list[str], why: str) -> str:
    return f"{_named(classes)} not in the audit: no image can be read ({why})"


def _named(classes: list[str]) -> str:
    names = listed([repr(name) for name in classes], 3)
    return f"class {names} is" if len(classes) == 1 else f"the classes {names} are"
