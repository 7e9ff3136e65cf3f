"""corrections.csv, the file that the report page saves; and telling the formats of corrections apart."""

from __future__ import annotations

import csv
import hashlib
import io
from collections.abc import Iterable
from pathlib import Path
from typing import get_args

from labelaudit.cells import csv_lines, unguarded
from labelaudit.errors import DataError
from labelaudit.names import ActionName
from labelaudit.relabel.cvat import read_cvat
from labelaudit.relabel.label_studio import read_label_studio
from labelaudit.relabel.review import Correction, Review
from labelaudit.run.files import write_lines

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
        return [_correction(row, f"{file} line {rows.line_num}", f"line {rows.line_num}") for row in rows]
    except csv.Error as error:
        raise DataError(
            f"{file} is not a readable CSV: {error}", fix="check its quotes, or save it as CSV again"
        ) from error


def _correction(row: dict[str, str | None], place: str, where: str) -> Correction:
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
