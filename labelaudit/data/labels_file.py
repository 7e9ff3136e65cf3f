"""Reading a CSV that says each file's label, for images that do not lie in class folders."""

from __future__ import annotations

import csv
import io
from pathlib import Path, PurePosixPath

from labelaudit.cells import unguarded
from labelaudit.errors import DataError


def read_labels_csv(file: Path) -> dict[str, str]:
    """Read ``path,label`` rows; other columns are ignored.

    Args:
        file: A UTF-8 CSV with a header that names the columns ``path`` and ``label``. Paths are relative to the image
            folder.

    Returns:
        Label by normalised path, in the file's order.

    Raises:
        DataError: the file cannot be read, lacks a column or a label, or names a path twice or outside the folder.
    """
    try:
        text = file.read_bytes().decode("utf-8-sig")
    except OSError as error:
        raise DataError(
            f"cannot read the labels file {file}: {(error.strerror or '').lower()}", fix="check the path"
        ) from error
    except UnicodeDecodeError as error:
        raise DataError(f"{file} is not UTF-8 text", fix="save it as CSV in UTF-8") from error
    labels: dict[str, str] = {}
    try:
        rows = csv.DictReader(io.StringIO(text, newline=""), strict=True)
        header = rows.fieldnames or []
        missing = [name for name in ("path", "label") if name not in header]
        if missing:
            raise DataError(
                f"{file} has no column {' and no column '.join(missing)}",
                fix="its first line must name the columns path and label",
            )
        for row in rows:
            path, label = _checked(row["path"], row["label"], f"{file} line {rows.line_num}")
            if path in labels:
                raise DataError(f"{file} line {rows.line_num}: {path!r} is there twice", fix="keep one label a file")
            labels[path] = label
    except csv.Error as error:
        raise DataError(
            f"{file} is not a readable CSV: {error}", fix="check its quotes, or save it as CSV again"
        ) from error
    if not labels:
        raise DataError(f"{file} lists no files", fix="give one line per image: path,label")
    return labels


def _checked(path: str | None, label: str | None, where: str) -> tuple[str, str]:
    path, label = unguarded(path or ""), unguarded(label or "")
    if not path.strip():
        raise DataError(f"{where}: no path", fix="give the path of an image, or delete the line")
    if not label.strip():
        raise DataError(f"{where}: no label for {path!r}", fix="give its label, or delete the line")
    parts = PurePosixPath(path).parts
    if path.startswith("/") or ".." in parts or "\0" in path:
        raise DataError(f"{where}: {path!r} leads out of the image folder", fix="give paths below the folder")
    return str(PurePosixPath(*parts)), label.strip()
