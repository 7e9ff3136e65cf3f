"""The suspicious labels of an earlier audit, to tell new ones from those that are known."""

from __future__ import annotations

import csv
from pathlib import Path

from labelaudit.cells import unguarded
from labelaudit.errors import DataError, RunError
from labelaudit.run.layout import RunFolder

Finding = tuple[str, str]
"""A content hash and a given label: the same picture with the same label is the same finding, wherever it lies."""

_COLUMNS = ("given_label", "sha256")


def read_baseline(path: Path) -> frozenset[Finding]:
    """What an earlier audit found suspicious.

    Args:
        path: A run folder, or a CSV with the columns ``given_label`` and ``sha256``: a suspicious.csv.

    Raises:
        RunError: the folder is not of an audit with verdicts.
        DataError: the file cannot be read, or is no list of suspicious labels.
    """
    if path.is_dir():
        folder = RunFolder(path)
        folder.read_description()
        if not folder.suspicious.exists():
            raise RunError(f"{path} has no verdicts yet", fix=f"run labelaudit fit {path}")
        path = folder.suspicious
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:  # a spreadsheet may have added a byte order mark
            reader = csv.DictReader(handle, strict=True)
            missing = [name for name in _COLUMNS if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(
                    f"{path} has no column {' and '.join(missing)}", fix="give the suspicious.csv of an audit"
                )
            return frozenset(_finding(row, path, reader.line_num) for row in reader)
    except OSError as error:
        raise DataError(
            f"cannot read {path}: {(error.strerror or str(error)).lower()}",
            fix="give a run folder or the suspicious.csv of an audit",
        ) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(
            f"{path} is no list of suspicious labels ({error})", fix="give the suspicious.csv of an audit"
        ) from error


def _finding(row: dict[str, str | None], path: Path, line: int) -> Finding:
    sha256, given_label = row["sha256"], row["given_label"]
    if not sha256 or given_label is None:
        # It would match nothing: each label that it stands for would be called new.
        raise DataError(f"{path} line {line} has no content hash", fix="give the suspicious.csv of an audit")
    return sha256, unguarded(given_label)
