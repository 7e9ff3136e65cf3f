"""Read a review: decisions.csv, another CSV of corrections, Label Studio's JSON export or CVAT's XML."""

from __future__ import annotations

import hashlib
import io
import json
import lzma
import struct
import zipfile
import zlib
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit
from xml.etree import ElementTree

from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import DataError, brief
from labelaudit.review import decisions as ledger
from labelaudit.review.decisions import Decision, LedgerAction, Refusal
from labelaudit.run.files import reading
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import UNREADABLE_COLUMNS, read_csv
from labelaudit.text import unguarded


@dataclass(frozen=True, kw_only=True)
class ReviewFile:
    """The decisions of a file with this SHA-256 (hex), the unclear ones, and the number of samples without one.

    What was answered about a drawn sample is among the decisions, also where it changes nothing: wrong and skip.
    """

    file: Path
    digest: str
    corrections: tuple[Decision, ...]
    unreviewed: int = 0
    unclear: tuple[Refusal, ...] = ()


COLUMNS = ("path", "given_label", "action", "label", "sha256")
"""The columns of a CSV of corrections; only path, action and label have to be there."""

_ACTIONS: dict[str, LedgerAction] = {name: name for name in (*ledger.ACTIONS, *ledger.UNDECIDED)}

MAX_BYTES = 1 << 29  # of an annotations.xml, so that a small archive cannot fill the memory
_DAMAGED = (OSError, EOFError, RuntimeError, ValueError, struct.error, zlib.error, lzma.LZMAError, zipfile.BadZipFile)
_ARCHIVE_START = b"PK\x03\x04"
_GIVEN_LABEL = "attribute[@name='given_label']"
_FOR_CVAT = "export the task from CVAT as 'CVAT for images 1.1'"
_FOR_LABEL_STUDIO = "export the annotations as JSON (not JSON-MIN) from Label Studio"

_Entry = Decision | Refusal | None  # a decision, an unclear one, or a sample without one
_Said = tuple[LedgerAction, str] | str  # action and label, or why there are none


def read_review(file: Path, *, accept_suggestions: bool = False) -> ReviewFile:
    """Read decisions.csv, answers.csv, another CSV, Label Studio's JSON export, or CVAT's XML, also in its ZIP.

    Of a run's unreadable.csv every image is dropped.

    With ``accept_suggestions`` tags of CVAT that nobody touched are taken as accepted; else they are not reviewed.
    Raises a DataError that says the place where the file cannot be read, or is none of these.
    """
    with reading(file):
        content = file.read_bytes()
    start = content.removeprefix(b"\xef\xbb\xbf").lstrip()[:4]
    found: list[_Entry]
    if start[:1] in (b"[", b"{"):
        found = [*_read_label_studio(file, content)]
    elif start[:1] == b"<" or start == _ARCHIVE_START:
        found = [*_read_cvat(file, content, accept_suggestions=accept_suggestions)]
    elif start == b"time":
        found = _read_ledger(file)
    else:
        found = [*_read_csv(file, content)]
    return _review(file, hashlib.sha256(content).hexdigest(), found)


def _review(file: Path, digest: str, found: Sequence[_Entry]) -> ReviewFile:
    return ReviewFile(
        file=file,
        digest=digest,
        corrections=tuple(entry for entry in found if isinstance(entry, Decision)),
        unreviewed=found.count(None),
        unclear=tuple(entry for entry in found if isinstance(entry, Refusal)),
    )


def read_decided(run: RunFolder, catalogue: Catalogue) -> ReviewFile:
    """Read what was decided about the images of a run's audit, in answers too; a DataError where nothing was."""
    digest, found = ledger.digest_of(run.decisions, run.answers), ledger.decisions_in(run)
    if not digest:
        raise DataError(f"{run.root} has no decisions yet", fix="review it first, or name a file of decisions")
    about = [(decision, [catalogue.paths[sample]]) for sample, decision in ledger.decided(catalogue, found).items()]
    known = frozenset(catalogue.paths)
    about += [(one, [one.path]) for one in found.values() if one.action in ledger.COPY_ACTIONS and one.path in known]
    return _review(run.decisions, digest, _entries(about))


def _read_ledger(file: Path) -> list[_Entry]:
    paths_of: defaultdict[ledger.Key, dict[str, None]] = defaultdict(dict)  # equal files in one class have one decision
    for decision in ledger.decisions_from(file)[0]:
        paths_of[decision.key][decision.path] = None
        if decision.action == "undo":
            paths_of[decision.key].clear()
    return _entries([(decision, [*paths_of[key]]) for key, decision in ledger.read_decisions(file).items()])


def _entries(about: Sequence[tuple[Decision, Sequence[str]]]) -> list[_Entry]:
    """Return what decisions say of the files at these paths.

    A copy is dropped where another one of its group is kept, whatever else was decided about it. Its correction passes
    to those that are kept, if they have its given label and nothing was decided about them.
    """
    kept_of = defaultdict[str, list[Decision]](list)
    for one, _ in about:
        if one.action == "keep-copy":
            kept_of[one.label].append(one)
    copies = [one for one, _ in about if one.action == "drop-copy" and one.label in kept_of]
    dropped = {one.path: replace(one, action="drop", label="", where=one.time) for one in copies}
    found: list[_Entry] = [*dropped.values()]
    settled = {(path, one.given_label) for path, one in dropped.items()}
    for one, paths in about:
        if one.action in _ACTIONS:
            found += [replace(one, path=path, where=one.time) for path in paths if path not in dropped]
            settled.update((path, one.given_label) for path in paths)
    change_of = {one.key: one for one, _ in about if one.action == "change"}
    for copy in copies:
        if change := change_of.get(copy.key[:2]):
            found += [
                replace(kept, action="change", label=change.label, where=change.time, inherited=True)
                for kept in kept_of[copy.label]
                if kept.given_label == copy.given_label and (kept.path, kept.given_label) not in settled
            ]
    return found


def _read_csv(file: Path, content: bytes) -> Iterator[Decision | None]:
    fix = "give a decisions.csv, an unreadable.csv, Label Studio's JSON export or CVAT's export for images"
    header = content.partition(b"\n")[0].decode("utf-8-sig", "replace").rstrip()
    is_unreadable = tuple(header.replace('"', "").split(",")) == UNREADABLE_COLUMNS
    for line, row in read_csv(file, ("path",) if is_unreadable else ("path", "action", "label"), fix, content):
        where = f"line {line}"
        cells = {name: unguarded(row.get(name) or "") for name in COLUMNS}
        # In a sample the right label alone says enough.
        word = "drop" if is_unreadable else cells["action"].strip().lower() or ("change" if cells["label"] else "")
        if not word:
            yield None
            continue
        if word not in _ACTIONS:
            raise DataError(f"{file} {where}: {word!r} is no action", fix=f"write one of {', '.join(_ACTIONS)}")
        if word == "change" and not cells["label"]:
            what = f"{file} {where}: no label to change {cells['path']!r} to"
            raise DataError(what, fix="give one, or write keep or drop")
        yield Decision(
            path=cells["path"],
            action=_ACTIONS[word],
            label=cells["label"] if word == "change" else "",
            given_label=cells["given_label"],
            sha256=cells["sha256"].strip().lower(),
            where=where,
        )


def _read_label_studio(file: Path, content: bytes) -> Iterator[_Entry]:
    """Read Label Studio's JSON export.

    A task's image is named by ``data.path``, else by the address in ``data.image``. Its label is the choice of its
    annotations that were not skipped.
    """
    try:
        tasks = json.loads(content)
    except (ValueError, RecursionError) as error:
        raise DataError(f"{file} is not readable JSON ({brief(error)})", fix=_FOR_LABEL_STUDIO) from error
    not_ours = f"{file} is not an export of Label Studio"
    if not isinstance(tasks, list):
        raise DataError(f"{not_ours} (no list of tasks)", fix=_FOR_LABEL_STUDIO)
    for number, task in enumerate(tasks, start=1):
        if not isinstance(task, dict) or not isinstance(data := task.get("data"), dict):
            raise DataError(f"{not_ours} (no data in task {number})", fix=_FOR_LABEL_STUDIO)
        annotations = [entry for entry in _list(task.get("annotations")) if isinstance(entry, dict)]
        yield _entry(
            {_decision(entry) for entry in annotations if not entry.get("was_cancelled")},
            "its annotations disagree",
            path=_image_path(data),
            where=f"task {task.get('id', number)}",
            given_label=_text(data.get("given_label")),
            sha256=_text(data.get("sha256")).lower(),
            prefixed=not _text(data.get("path")),
        )


def _entry(decisions: set[_Said], disagreement: str, *, path: str, where: str, **more: Any) -> _Entry:
    """Return what the decisions about one image come to; ``disagreement`` is why several of them do not count."""
    if not decisions:
        return None
    decision = decisions.pop() if len(decisions) == 1 else disagreement
    if isinstance(decision, str):
        return Refusal(path=path, where=where, reason=decision)
    return Decision(path=path, action=decision[0], label=decision[1], where=where, **more)


def _decision(annotation: Mapping[str, object]) -> _Said:
    labels: set[str] = set()
    for result in _list(annotation.get("result")):
        if isinstance(result, dict) and isinstance(value := result.get("value"), dict):
            labels.update(choice for choice in _list(value.get("choices")) if isinstance(choice, str))
    if not labels:
        return "no label is chosen"
    return ("change", labels.pop()) if len(labels) == 1 else "more than one label is chosen"


def _image_path(data: Mapping[str, object]) -> str:
    """Return the path in a task's data, or the one that its address ends with."""
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


def _list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []


def _read_cvat(file: Path, content: bytes, *, accept_suggestions: bool) -> Iterator[_Entry]:
    """Read annotations.xml, or the archive that CVAT packs it into.

    An image's label is that of its tag; the sources ``auto`` and ``file`` are those of tags that came with the task. A
    tag's attribute ``given_label`` may say which label the image had.
    """
    for number, path, tags in _images(file, _unpacked(file, content)):
        touched = [tag for tag in tags if tag.get("source", "manual").lower() not in ("auto", "file")]
        if not touched and accept_suggestions:
            touched = tags
        decisions: set[_Said] = {("change", tag.attrib["label"]) for tag in touched}
        given = next((item.text or "" for tag in touched for item in tag.iterfind(_GIVEN_LABEL)), "")
        where, torn = f"image {number}", "it has more than one tag"
        yield _entry(decisions, torn, path=path, where=where, given_label=given, prefixed=True)


def _images(file: Path, content: bytes) -> Iterator[tuple[str, str, list[ElementTree.Element]]]:
    """Yield number, name and tags of each image; those of videos lie elsewhere and are not seen."""
    # CVAT writes no document type, and entities in one can grow without bound. Zeros are those of UTF-16.
    if b"<!DOCTYPE" in content.replace(b"\0", b""):
        raise DataError(f"{file} is not a readable XML file of CVAT (it has a document type)", fix=_FOR_CVAT)
    depth = 0
    try:
        for event, element in ElementTree.iterparse(io.BytesIO(content), events=("start", "end")):
            depth += 1 if event == "start" else -1
            if event == "start" and depth == 1 and element.tag != "annotations":
                raise DataError(f"{file} is not an export of CVAT (it begins with {element.tag!r})", fix=_FOR_CVAT)
            if event == "end" and depth == 1 and element.tag == "image":
                tags = element.findall("tag")
                for each, needed in ((element, "id"), (element, "name"), *((tag, "label") for tag in tags)):
                    if needed not in each.attrib:
                        raise ValueError(f"an image or tag without {needed}")
                yield element.attrib["id"], element.attrib["name"], tags
                element.clear()
    except (ElementTree.ParseError, LookupError, ValueError) as error:
        raise DataError(f"{file} is not a readable XML file of CVAT ({brief(error)})", fix=_FOR_CVAT) from error


def _unpacked(file: Path, content: bytes) -> bytes:
    if not content.startswith(_ARCHIVE_START):
        return content
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive, archive.open("annotations.xml") as member:
            unpacked = member.read(MAX_BYTES + 1)
    except KeyError as error:
        raise DataError(f"{file} has no annotations.xml in it", fix=_FOR_CVAT) from error
    except _DAMAGED as error:
        raise DataError(f"{file} is a damaged archive ({brief(error)})", fix=_FOR_CVAT) from error
    if len(unpacked) > MAX_BYTES:
        raise DataError(f"{file} unpacks to more than {MAX_BYTES >> 20} MiB", fix=_FOR_CVAT)
    return unpacked
