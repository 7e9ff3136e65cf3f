"""Decisions in CVAT's export "CVAT for images 1.1": an XML file of images, each with its tags."""

from __future__ import annotations

import io
import lzma
import struct
import zipfile
import zlib
from dataclasses import dataclass, field
from pathlib import Path
from xml.parsers import expat

from labelaudit.errors import DataError
from labelaudit.relabel.review import Correction, Refusal, Review

MAX_BYTES = 1 << 29
"""An annotations.xml above this is refused, so that a small archive cannot fill the memory."""

_UNPACKING = (
    *(zipfile.BadZipFile, zlib.error, lzma.LZMAError, struct.error),
    *(OSError, EOFError, RuntimeError, NotImplementedError, ValueError),
)
"""What reading a damaged archive raises."""

_UNTOUCHED = {"auto", "file"}
_NOT_OURS = "export the task from CVAT as 'CVAT for images 1.1'"
_DROP, _KEEP = "drop", "keep"


def read_cvat(file: Path, content: bytes, digest: str, *, accept_suggestions: bool) -> Review:
    """Read annotations.xml, or the archive that CVAT packs it into.

    An image's label is that of its tag. Tags with the source ``auto`` or ``file`` came with the task and say nothing of
    a review, unless they are to be taken as accepted. An attribute ``action`` of a tag may say ``drop`` or ``keep``,
    and ``given_label`` which label the image had.

    Raises:
        DataError: the file is no such export.
    """
    images = _parse(file, _unpacked(file, content))
    corrections: list[Correction] = []
    unclear: list[Refusal] = []
    unreviewed = 0
    for image in images:
        where = f"image {image.number}"
        touched = [tag for tag in image.tags if tag.source not in _UNTOUCHED]
        if not touched and accept_suggestions:
            touched = image.tags
        decisions = {(tag.action, "" if tag.action else tag.label) for tag in touched}
        if not decisions:
            unreviewed += 1
        elif len(decisions) > 1:
            unclear.append(Refusal(path=image.name, where=where, reason="it has more than one tag"))
        else:
            corrections.append(_correction(image.name, touched[0], where))
    return Review(
        file=file, digest=digest, corrections=tuple(corrections), unreviewed=unreviewed, unclear=tuple(unclear)
    )


def _correction(name: str, tag: _Tag, where: str) -> Correction:
    return Correction(
        path=name,
        action="drop" if tag.action == _DROP else "keep" if tag.action == _KEEP else "change",
        label="" if tag.action else tag.label,
        given_label=tag.attributes.get("given_label", ""),
        where=where,
        prefixed=True,
    )


@dataclass
class _Tag:
    label: str
    source: str
    attributes: dict[str, str] = field(default_factory=dict)

    @property
    def action(self) -> str:
        """What the attribute says, if it is one of the two words."""
        word = self.attributes.get("action", "").strip()
        return word if word in (_DROP, _KEEP) else ""


@dataclass
class _Image:
    number: str
    name: str
    tags: list[_Tag] = field(default_factory=list)


def _unpacked(file: Path, content: bytes) -> bytes:
    if not content.startswith(b"PK\x03\x04"):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open("annotations.xml") as member:
            unpacked = member.read(MAX_BYTES + 1)
    except KeyError as error:
        raise DataError(f"{file} has no annotations.xml in it", fix=_NOT_OURS) from error
    except _UNPACKING as error:
        raise DataError(f"{file} is a damaged archive ({' '.join(str(error).split())[:100]})", fix=_NOT_OURS) from error
    if len(unpacked) > MAX_BYTES:
        raise DataError(f"{file} unpacks to more than {MAX_BYTES >> 20} MiB", fix=_NOT_OURS)
    return unpacked


def _parse(file: Path, content: bytes) -> list[_Image]:
    reader = _Reader()
    try:
        reader.parser.Parse(content, True)
    except (expat.ExpatError, LookupError, ValueError, _UnknownError) as error:
        what = " ".join(str(error).split())[:100]
        raise DataError(f"{file} is not a readable XML file of CVAT ({what})", fix=_NOT_OURS) from error
    if reader.root != "annotations":
        raise DataError(f"{file} is not an export of CVAT (it begins with {reader.root!r})", fix=_NOT_OURS)
    return reader.images


class _UnknownError(Exception):
    """Something that CVAT does not write."""


class _Reader:
    """Collects images and tags while expat reads; tags of videos lie elsewhere and are not seen."""

    def __init__(self) -> None:
        self.images: list[_Image] = []
        self.root = ""
        self._path: list[str] = []
        self._attribute: str | None = None
        self._text = ""
        self.parser = expat.ParserCreate()
        self.parser.buffer_text = True
        self.parser.StartDoctypeDeclHandler = self._doctype
        self.parser.StartElementHandler = self._start
        self.parser.EndElementHandler = self._end
        self.parser.CharacterDataHandler = self._characters

    def _doctype(self, *_declared: object) -> None:
        raise _UnknownError("it has a document type")  # CVAT writes none, and entities in one can grow without bound

    def _start(self, name: str, values: dict[str, str]) -> None:
        self.root = self.root or name
        self._path.append(name)
        if self._path == ["annotations", "image"]:
            self.images.append(_Image(number=_needed(values, "id"), name=_needed(values, "name")))
        elif self._path == ["annotations", "image", "tag"]:
            source = values.get("source", "manual").lower()
            self.images[-1].tags.append(_Tag(label=_needed(values, "label"), source=source))
        elif self._path == ["annotations", "image", "tag", "attribute"]:
            self._attribute, self._text = values.get("name"), ""

    def _characters(self, text: str) -> None:
        if self._attribute is not None:
            self._text += text

    def _end(self, _name: str) -> None:
        self._path.pop()
        if self._attribute is not None:
            self.images[-1].tags[-1].attributes[self._attribute] = self._text
        self._attribute = None


def _needed(values: dict[str, str], name: str) -> str:
    if name not in values:
        raise _UnknownError(f"an image or tag without {name}")
    return values[name]
