"""corrections.csv, the file that the report page saves; and telling the formats of corrections apart."""

from __future__ import annotations

import csv
import hashlib
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, get_args
from urllib.parse import parse_qs, unquote, urlsplit
from xml.parsers import expat

from labelaudit.cells import csv_lines, unguarded
from labelaudit.errors import DataError
from labelaudit.names import ActionName
from labelaudit.run.files import write_lines


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A decision about one sample.

    Attributes:
        path: Of the image, below the data folder, with ``/`` between the parts; not yet checked in any way.
        action: What to do with it.
        label: The right label, for ``change``; else empty.
        given_label: The label it had when it was reviewed; empty where the review does not say.
        sha256: Of the content that was reviewed, hex; empty where the review does not say.
        where: Its place in the review, such as ``line 3``.
        prefixed: True where ``path`` may begin with folders above the data folder, as in an address.
    """

    path: str
    action: ActionName
    label: str = ""
    given_label: str = ""
    sha256: str = ""
    where: str = ""
    prefixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A decision that is not carried out, and why."""

    path: str
    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Review:
    """The content of a file of corrections.

    Attributes:
        file: Where it was read.
        digest: SHA-256 (hex) of the file.
        corrections: The decisions, in the file's order.
        unreviewed: Number of samples that are in the file without a decision.
        unclear: Samples whose decision cannot be told.
    """

    file: Path
    digest: str
    corrections: tuple[Correction, ...]
    unreviewed: int = 0
    unclear: tuple[Refusal, ...] = ()


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


_ACTION_CONTROL = "action"
_DROP_LS, _KEEP_LS = "drop", "keep"
_NOT_OURS_LS = "export the annotations as JSON (not JSON-MIN) from Label Studio"


def read_label_studio(file: Path, content: bytes, digest: str) -> Review:
    """Read the export; the module's docstring says of what.

    A task's image is named by its ``data.path``, else by the address in ``data.image``. Its label is the choice of its
    annotations; predictions and skipped annotations do not count. A second set of choices with the name ``action`` may
    say ``drop`` or ``keep``.

    Raises:
        DataError: the file is no such export.
    """
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(
            f"{file} is not readable JSON ({' '.join(str(error).split())[:100]})", fix=_NOT_OURS_LS
        ) from error
    if not isinstance(tasks, list):
        raise DataError(f"{file} is not an export of Label Studio (no list of tasks)", fix=_NOT_OURS_LS)
    corrections: list[Correction] = []
    unclear: list[Refusal] = []
    unreviewed = 0
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict) or not isinstance(task.get("data"), dict):
            raise DataError(f"{file} is not an export of Label Studio (no data in task {number})", fix=_NOT_OURS_LS)
        where = f"task {task.get('id', number)}"
        path = _image_path(task["data"])
        decisions = _decisions(task)
        if not decisions:
            unreviewed += 1
        elif len(decisions) > 1:
            unclear.append(Refusal(path=path, where=where, reason="its annotations disagree"))
        elif isinstance(decision := decisions.pop(), str):
            unclear.append(Refusal(path=path, where=where, reason=decision))
        else:
            corrections.append(_ls_correction(task["data"], path, decision, where))
    return Review(
        file=file, digest=digest, corrections=tuple(corrections), unreviewed=unreviewed, unclear=tuple(unclear)
    )


def _ls_correction(data: dict[str, Any], path: str, decision: tuple[str, str], where: str) -> Correction:
    word, label = decision
    return Correction(
        path=path,
        action="drop" if word == _DROP_LS else "keep" if word == _KEEP_LS else "change",
        label=label,
        given_label=_text(data.get("given_label")),
        sha256=_text(data.get("sha256")).lower(),
        where=where,
        prefixed=not _text(data.get("path")),
    )


def _decisions(task: dict[str, Any]) -> set[tuple[str, str] | str]:
    """The different decisions of a task's annotators: (action, label), or why one cannot be told."""
    annotations = task.get("annotations")
    entries = annotations if isinstance(annotations, list) else []
    return {_decision(entry) for entry in entries if isinstance(entry, dict) and not entry.get("was_cancelled")}


def _decision(annotation: dict[str, Any]) -> tuple[str, str] | str:
    results = annotation.get("result")
    labels: set[str] = set()
    words: set[str] = set()
    for result in results if isinstance(results, list) else []:
        value = result.get("value") if isinstance(result, dict) else None
        choices = value.get("choices") if isinstance(value, dict) else None
        into = words if isinstance(result, dict) and result.get("from_name") == _ACTION_CONTROL else labels
        into.update(choice for choice in (choices if isinstance(choices, list) else ()) if isinstance(choice, str))
    if words & {_DROP_LS, _KEEP_LS}:
        return (words.pop(), "") if len(words) == 1 else "more than one action is chosen"
    if not labels:
        return "no label is chosen"
    return ("change", labels.pop()) if len(labels) == 1 else "more than one label is chosen"


def _image_path(data: dict[str, Any]) -> str:
    """The path in a task's data, or the one that its address ends with."""
    if path := _text(data.get("path")):
        return path
    address = _text(data.get("image"))
    try:
        parsed = urlsplit(address)
    except ValueError:
        return address
    local = parse_qs(parsed.query).get("d")  # /data/local-files/?d=cat/1.jpg
    return local[0] if local else unquote(parsed.path).lstrip("/")


def _text(value: object) -> str:
    return value if isinstance(value, str) else ""


COLUMNS = ("path", "given_label", "action", "label", "sha256", "sample")
_NEEDED = ("path", "action", "label")
_ACTIONS: dict[str, ActionName] = {name: name for name in get_args(ActionName)}


def read_review(file: Path, *, accept_suggestions: bool = False) -> Review:
    """Read a file of corrections; which of the formats it is, its first bytes say.

    Args:
        file: corrections.csv, Label Studio's JSON export, or CVAT's export (annotations.xml, or the ZIP it comes in).
        accept_suggestions: Take tags of CVAT that nobody touched as accepted; else they count as not reviewed.

    Raises:
        DataError: the file cannot be read, or is none of these; says the place.
    """
    try:
        content = file.read_bytes()
    except OSError as error:
        raise DataError(
            f"cannot read the corrections {file}: {(error.strerror or '').lower()}", fix="check the path"
        ) from error
    digest = hashlib.sha256(content).hexdigest()
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:4]
    if start[:1] in (b"[", b"{"):
        return read_label_studio(file, content, digest)
    if start[:1] == b"<" or start == b"PK\x03\x04":
        return read_cvat(file, content, digest, accept_suggestions=accept_suggestions)
    return Review(file=file, digest=digest, corrections=tuple(_read_rows(file, content)))


def write_corrections(file: Path, corrections: Iterable[Correction]) -> None:
    """Write a corrections.csv; the column ``sample`` stays empty."""
    rows = ((c.path, c.given_label, c.action, c.label, c.sha256, None) for c in corrections)
    write_lines(file, csv_lines(COLUMNS, rows, numbers={"sample"}))


def _read_rows(file: Path, content: bytes) -> list[Correction]:
    try:
        text = content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text", fix="save it as CSV in UTF-8") from error
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        missing = [name for name in _NEEDED if name not in (rows.fieldnames or ())]
        if missing:
            raise DataError(
                f"{file} has no column {' and no column '.join(missing)}",
                fix="give a corrections.csv, Label Studio's JSON export or CVAT's export for images",
            )
        return [_correction_corrections(row, f"{file} line {rows.line_num}", f"line {rows.line_num}") for row in rows]
    except csv.Error as error:
        raise DataError(
            f"{file} is not a readable CSV: {error}", fix="check its quotes, or save it as CSV again"
        ) from error


def _correction_corrections(row: dict[str, str | None], place: str, where: str) -> Correction:
    path, given_label, label, sha256 = (
        unguarded(row.get(name) or "") for name in ("path", "given_label", "label", "sha256")
    )
    word = (row["action"] or "").strip().lower()
    action = _ACTIONS.get(word)
    if action is None:
        raise DataError(f"{place}: {word!r} is no action", fix="write keep, change or drop")
    if action == "change" and not label:
        raise DataError(f"{place}: no label to change {path!r} to", fix="give one, or write keep or drop")
    return Correction(
        path=path,
        action=action,
        label=label if action == "change" else "",
        given_label=given_label,
        sha256=sha256.strip().lower(),
        where=where,
    )
