"""A loss weight for each sample: weights.csv and weights.npy.

Shapes: N samples.
"""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.cells import csv_lines, unguarded
from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import DataError
from labelaudit.run.files import write_bytes, write_lines


def write_weights(csv_path: Path, npy_path: Path, catalogue: Catalogue, weight_N: npt.NDArray[np.float64]) -> None:
    """Write loss weights (how much a sample counts, not how often it is drawn) as CSV and as a float64 array."""
    rows = zip(catalogue.paths, (f"{weight:.9g}" for weight in weight_N.tolist()), catalogue.sha256, strict=True)
    write_lines(csv_path, csv_lines(("path", "weight", "sha256"), rows, numbers={"weight"}))
    content = io.BytesIO()
    np.save(content, weight_N.astype(np.float64))
    write_bytes(npy_path, content.getvalue())


def read_weights(file: Path, catalogue: Catalogue) -> npt.NDArray[np.float64]:
    """Read a weights.csv for these samples.

    Args:
        file: CSV with the columns ``path``, ``weight`` and, if its content is to be checked, ``sha256``.
        catalogue: The data it must belong to.

    Returns:
        float64 weights [N], non-negative.

    Raises:
        DataError: the file cannot be read, holds no number where a weight should be, or is of other data.
    """
    rows = _read_weight_rows(file)
    missing = [
        path for path, fine in zip(catalogue.paths, catalogue.readable_N, strict=True) if fine and path not in rows
    ]
    if missing:
        raise DataError(
            f"{file} belongs to other data: it has no weight for {missing[0]!r}"
            + (f" and {len(missing) - 1} more files" if len(missing) > 1 else ""),
            fix=f"give the weights of an audit of {catalogue.root}",
        )
    changed = [
        path
        for path, sha256 in zip(catalogue.paths, catalogue.sha256, strict=True)
        if path in rows and rows[path][1] not in ("", sha256)
    ]
    if changed:
        raise DataError(
            f"{file} belongs to other data: the content of {changed[0]!r}"
            + (f" and {len(changed) - 1} more files" if len(changed) > 1 else "")
            + " has changed since",
            fix="audit the folder again",
        )
    return np.array([rows.get(path, (0.0, ""))[0] for path in catalogue.paths])


def _read_weight_rows(file: Path) -> dict[str, tuple[float, str]]:
    rows: dict[str, tuple[float, str]] = {}
    try:
        with open(file, encoding="utf-8-sig", newline="") as handle:  # a spreadsheet may have added a byte order mark
            reader = csv.DictReader(handle, strict=True)
            if not {"path", "weight"} <= set(reader.fieldnames or ()):
                raise DataError(f"{file} has no columns path and weight", fix="give the weights.csv of an audit")
            for row in reader:
                weight = float(row["weight"] or "nan")
                if not (0.0 <= weight < np.inf):
                    raise DataError(
                        f"{file} line {reader.line_num}: {row['weight']!r} is no weight", fix="use numbers from 0"
                    )
                path = unguarded(row["path"] or "")
                if path in rows:
                    raise DataError(
                        f"{file} line {reader.line_num}: {path!r} is there twice", fix="keep one line a file"
                    )
                rows[path] = (weight, row.get("sha256") or "")
    except OSError as error:
        raise DataError(f"cannot read {file}: {(error.strerror or '').lower()}", fix="check the path") from error
    except (UnicodeDecodeError, csv.Error, ValueError) as error:
        raise DataError(f"{file} is not a weights file ({error})", fix="give the weights.csv of an audit") from error
    return rows
