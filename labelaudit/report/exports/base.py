"""The table of export formats, the samples that they write, and helpers for JSON and XML. It imports nothing heavy."""

from __future__ import annotations

import importlib
import json
import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from xml.sax.saxutils import escape

from labelaudit.errors import DataError
from labelaudit.names import ExportName


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One audited sample, with the columns of scores.parquet.

    ``sample`` is the row in samples.parquet, ``rank`` the place in the order of suspicion from 1, ``path`` is below the
    image folder. ``width`` and ``height`` are in pixels as displayed. Without kinds in the audit, ``kind`` is None;
    without another class that the probe believed in, or for an image of no class, so is ``suggested_label``.
    """

    sample: int
    rank: int
    path: str
    given_label: str
    suggested_label: str | None
    p_mislabeled: float
    label_score: float
    weight: float
    is_suspicious: bool
    kind: str | None
    width: int
    height: int
    sha256: str

    @property
    def proposed_label(self) -> str:
        """The label that the audit proposes: the suggested one where the sample is suspicious, else the given one.

        It is the given one as well where nothing is suggested, as for an image of no class.
        """
        return (self.is_suspicious and self.suggested_label) or self.given_label

    def fields(self, names: str) -> dict[str, object]:
        """Return the fields with these names, separated by blanks, and ``kind`` where the sample has one."""
        found = {name: getattr(self, name) for name in names.split()}
        return found if self.kind is None else {**found, "kind": self.kind}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to write where: samples in order, all classes sorted, the image folder, and the folder for the files.

    ``url_prefix`` is what Label Studio finds an image's path behind; ``created`` is ISO 8601 or empty.
    """

    samples: Sequence[Sample]
    classes: tuple[str, ...]
    root: Path
    folder: Path
    url_prefix: str
    created: str


@dataclass(frozen=True, kw_only=True)
class ExportFormat:
    """One format; ``files`` are what it writes, of which the last one is to be opened.

    It has the suspicious samples where it is ``ranked``, else every sample in the order of the paths. With
    ``reads_images`` the other tool reads the images on this machine. ``writer`` is a ``module:function`` for a `Job`.
    """

    name: ExportName
    summary: str
    files: tuple[str, ...]
    ranked: bool = False
    reads_images: bool = False
    writer: str

    def write(self, job: Job) -> None:
        """Write this format."""
        module, _, function = self.writer.partition(":")
        getattr(importlib.import_module(f"labelaudit.report.exports.{module}"), function)(job)


FORMATS = (
    ExportFormat(
        name="label-studio",
        summary="Tasks with a prediction each, and a labeling configuration with all classes.",
        files=("config.xml", "tasks.json"),
        ranked=True,
        writer="label_studio:write",
    ),
    ExportFormat(
        name="cvat",
        summary="CVAT for images 1.1: a tag per image, and the labels for the task.",
        files=("labels.json", "annotations.xml"),
        ranked=True,
        writer="cvat:write",
    ),
    ExportFormat(
        name="fiftyone",
        summary="An image classification dataset: the given labels, with the verdicts as attributes.",
        files=("data.json", "labels.json"),
        reads_images=True,
        writer="fiftyone:write",
    ),
    ExportFormat(
        name="huggingface",
        summary="An imagefolder for datasets.load_dataset: links to the images, and metadata.jsonl.",
        files=("README.md", "metadata.jsonl"),
        reads_images=True,
        writer="huggingface:write",
    ),
    ExportFormat(
        name="cleanlab",
        summary="The label issues as cleanlab's Datalab has them, for pandas.",
        files=("label_issues.parquet",),
        writer="parquet:write_cleanlab",
    ),
    ExportFormat(
        name="croissant",
        summary="A table of all verdicts, described in Croissant 1.1.",
        files=("verdicts.parquet", "croissant.json"),
        writer="parquet:write_croissant",
    ),
)


def json_text(value: object) -> str:
    """Return JSON on one line; NaN and infinity raise ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def json_members(items: Iterable[str], *, opening: str, closing: str) -> Iterator[str]:
    """Yield the text of a JSON list or object with these members, which are JSON already, one a line."""
    yield opening
    for number, item in enumerate(items):
        yield f"{',' * (number > 0)}\n{item}"
    yield f"\n{closing}\n"


NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) has no way to write, not even as a reference."""


def xml_text(text: str, what: str) -> str:
    """Return text as the content of an XML element; a DataError calls it ``what`` if XML 1.0 cannot hold it."""
    if bad := NOT_IN_XML.search(text):
        raise DataError(
            f"{what} {text!r} has the character U+{ord(bad[0]):04X}, which XML cannot hold",
            fix="rename it and audit again, or export to another format",
        )
    return escape(text, {"\r": "&#13;"})


def xml_attribute(text: str, what: str) -> str:
    """Return the same as an attribute's value, in double quotes."""
    inner = xml_text(text, what).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")
    return f'"{inner}"'
