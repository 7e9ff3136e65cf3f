"""The lists of a run folder: suspicious.csv and unreadable.csv.

Shapes: N samples, S of them in a list.
"""

from __future__ import annotations

import contextlib
import csv
import io
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from labelaudit.codes import BY_NAME, CODES
from labelaudit.data.catalogue import LONELY, Catalogue
from labelaudit.errors import DataError
from labelaudit.run.files import reading, write_bytes, write_lines
from labelaudit.run.layout import newest
from labelaudit.run.parquet import columns, read_table
from labelaudit.text import csv_lines, listed, unguarded

Row = dict[str, str]
"""Cells by column name."""

Finding = tuple[str, str]
"""A content hash and a given label: the same image with the same label is the same finding, wherever it is.

In the place of the hash of a file that cannot be opened there is its path.
"""

_LABELS = ("rank", "path", "given_label", "suggested_label", "p_mislabeled", "label_score")
SUSPICIOUS_COLUMNS = (*_LABELS, "aul", "aum", "kind", "sample", "sha256")
"""Where the data are in splits, ``split`` follows."""
UNREADABLE_COLUMNS = ("path", "given_label", "reason", "sha256")

_FORMATS = {
    **dict.fromkeys(("p_mislabeled", "label_score", "score"), ".6f"),
    **dict.fromkeys(("aul", "aum"), ".6g"),
    "weight": ".9g",
}
"""How the columns of figures are written."""


def ranked(table: pa.Table, catalogue: Catalogue, samples: npt.NDArray[np.int64], rank: int = 1) -> pa.Table:
    """Return these samples of a `verdict_table`, ranked in this order, with ``rank`` and ``sha256``."""
    rank_S = np.arange(rank, rank + len(samples), dtype=np.int32)
    found = table.take(pa.array(samples, pa.int64())).add_column(0, "rank", pa.array(rank_S))
    return found.append_column("sha256", pa.array([catalogue.sha256[i] for i in samples.tolist()], pa.string()))


def ranked_rows(table: pa.Table) -> Iterator[Row]:
    """Yield the rows of suspicious.csv of a table that is `ranked`."""
    return rows_of(_written(table))


def ranked_lines(table: pa.Table) -> Iterator[str]:
    """Yield the lines of suspicious.csv of a table that is `ranked`."""
    return lines_of(_written(table))


def _written(table: pa.Table) -> pa.Table:
    return table.select([name for name in (*SUSPICIOUS_COLUMNS, "split") if name in table.column_names])


def unreadable_samples(catalogue: Catalogue) -> npt.NDArray[np.int64]:
    """Return the numbers of the samples whose image cannot be read."""
    # Samples without a reason take part; a lonely one is readable, and cannot be judged.
    return np.flatnonzero([reason not in ("", LONELY) for reason in catalogue.reasons])


def unreadable_rows(catalogue: Catalogue) -> list[Row]:
    """Return the samples whose image cannot be read, in the order of their paths."""
    columns = catalogue.paths, [catalogue.classes[label] for label in catalogue.label_N], catalogue.reasons
    return [
        dict(zip(UNREADABLE_COLUMNS, [each[sample] for each in (*columns, catalogue.sha256)], strict=True))
        for sample in unreadable_samples(catalogue).tolist()
    ]


def write_unreadable(path: Path, catalogue: Catalogue) -> None:
    """Write the samples whose image cannot be read."""
    write_lines(path, csv_lines(UNREADABLE_COLUMNS, (tuple(row.values()) for row in unreadable_rows(catalogue))))


def rows_of(table: pa.Table) -> Iterator[Row]:
    """Yield the rows of a table as a list has them; empty for null."""
    for part in table.to_batches(max_chunksize=4096):
        yield from (dict(zip(table.column_names, row, strict=True)) for row in _texts(part))


def lines_of(table: pa.Table) -> Iterator[str]:
    """Yield the lines of a list with the content of a table."""
    return csv_lines(table.column_names, _texts(table), numbers=_FORMATS)


def _texts(table: pa.Table | pa.RecordBatch) -> Iterator[tuple[str, ...]]:
    def texts(name: str, values: Iterable[object]) -> Iterator[str]:
        form = _FORMATS.get(name, "")
        return ("" if value is None else format(value, form) for value in values)

    return zip(*(texts(*column) for column in table.to_pydict().items()), strict=True)


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The first suspicious labels of an audit, in the order of suspicious.csv, and how many there are (``total``).

    Where there is a baseline, ``rows`` are new since it and ``known_rows`` are not; ``new`` counts the new ones, listed
    or not. ``copies`` are the rows of findings.csv about near duplicates, ``of_no_class`` those about images without a
    class whose label is not suspicious.
    """

    rows: list[Row]
    known_rows: list[Row] = field(default_factory=list)
    total: int
    new: int | None = None
    copies: list[Row] = field(default_factory=list)
    of_no_class: list[Row] = field(default_factory=list)

    @property
    def counted(self) -> int:
        """The number of suspicious labels that count."""
        return self.total if self.new is None else self.new


def code_of(row: Row) -> str:
    """Return the code of a row of suspicious.csv, unreadable.csv or findings.csv."""
    name = "unreadable" if "reason" in row else row.get("kind")
    return row.get("code") or next((each.code for each in CODES if each.name == name), BY_NAME["mislabeled"].code)


_OF_COPIES = frozenset(BY_NAME[name].code for name in ("duplicate", "near-duplicate", "leaked"))
_FILES = columns("path:str class:str sha256:str split:str")
"""The columns of samples.parquet that a baseline needs; ``split`` may be missing."""


@dataclass(frozen=True, kw_only=True)
class Baseline:
    """The files of an earlier audit, or those that a list of it names: nothing about them is new.

    ``files`` are by path: image, given label and split. ``added`` are paths of a later audit, see `against`.
    """

    files: Mapping[str, tuple[str, ...]]
    added: frozenset[str] = frozenset()

    def against(self, catalogue: Catalogue) -> Baseline:
        """Return it with the files that a later audit has more of: which of several equal ones were added.

        Those at a path that had the same image, label and split before were not; of the others the first were moved.
        """
        labels = [catalogue.classes[label] for label in catalogue.label_N.tolist()]
        images = [sha256 or path for sha256, path in zip(catalogue.sha256, catalogue.paths, strict=True)]
        files = zip(images, labels, catalogue.split_N or [""] * len(catalogue), strict=True)
        now = dict(zip(catalogue.paths, files, strict=True))
        # A split is told from another only where both audits have splits.
        width = 3 if catalogue.split_N and any(file[2] for file in self.files.values()) else 2
        left, added = Counter(file[:width] for file in self.files.values()), set()
        for path in sorted(now, key=lambda path: self.files.get(path, ())[:width] != now[path][:width]):
            left[now[path][:width]] -= 1
            if left[now[path][:width]] < 0:
                added.add(path)
        return replace(self, added=frozenset(added))

    @cached_property
    def findings(self) -> frozenset[Finding]:
        """The files by their content."""
        return frozenset((image, label) for image, label, _ in self.files.values())

    def knows(self, row: Row) -> bool:
        """Return whether a row of suspicious.csv, unreadable.csv or findings.csv is about a file that is not new.

        Whatever is found in it now; but what is about copies is new of an added file.
        """
        finding = row["sha256"] or row["path"], row["given_label"]
        return finding in self.findings and not (code_of(row) in _OF_COPIES and row["path"] in self.added)


def list_suspicious(rows: Iterable[Row], *, most: int, baseline: Baseline | None = None) -> Listed:
    """Return the first suspicious labels; with a baseline, separate the new ones from the known ones."""
    found: tuple[list[Row], list[Row]] = ([], [])
    for row in rows:
        found[baseline is not None and baseline.knows(row)].append(row)
    new, known = found
    count = None if baseline is None else len(new)
    return Listed(rows=new[:most], known_rows=known[:most], total=len(new) + len(known), new=count)


def read_baseline(path: Path) -> Baseline:
    """Read which files an earlier audit had: its run folder, or a copy of samples.parquet or of a list of findings.

    What is no run folder, and a damaged table, is a RunError, a file that is no such list a DataError.
    """
    fix = "give a run folder, or the samples.parquet, suspicious.csv or findings.csv of an audit"
    if path.is_dir():
        folder = newest(path)
        folder.read_description()
        return Baseline(files=_read_files(folder.samples, fix))
    if path.suffix == ".parquet":
        return Baseline(files=_read_files(path, fix))
    files = {}
    for _, row in read_csv(path, ("path", "given_label", "sha256"), fix):
        if "action" in row:
            what = f"{path} has decisions, and a baseline has findings"
            raise DataError(what, fix="copy it to decisions.csv in the run folder, and run labelaudit fit on that")
        image = unguarded(row["path"] or "")
        files[image] = row["sha256"] or image, unguarded(row["given_label"] or ""), ""
    return Baseline(files=files)


def _read_files(path: Path, fix: str) -> dict[str, tuple[str, ...]]:
    table = read_table(path, _FILES, fix)
    if absent := [name for name in _FILES.names[:3] if table.column(name).null_count]:
        raise DataError(f"{path} has no column {' and '.join(absent)}, or gaps there", fix=fix)
    rows = zip(*(table.column(name).to_pylist() for name in _FILES.names), strict=True)
    return {path: (sha256 or path, label, split or "") for path, label, sha256, split in rows}


def write_weights(csv_path: Path, npy_path: Path, catalogue: Catalogue, weight_N: npt.NDArray[np.float64]) -> None:
    """Write loss weights (how much a sample counts, not how often it is drawn) as CSV and as a float64 array."""
    table = pa.table({"path": catalogue.paths, "weight": weight_N, "sha256": catalogue.sha256})
    write_lines(csv_path, lines_of(table))
    content = io.BytesIO()
    np.save(content, weight_N.astype(np.float64))
    write_bytes(npy_path, content.getvalue())


def read_weights(file: Path, catalogue: Catalogue) -> npt.NDArray[np.float64]:
    """Read non-negative weights [N], float64, of these samples from a weights.csv; ``sha256`` may be missing there.

    A file that cannot be read, lacks a weight or is of other data is a DataError.
    """
    rows: dict[str, tuple[float, str]] = {}
    other = f"{file} belongs to other data"
    for line, row in read_csv(file, ("path", "weight"), "give the weights.csv of an audit"):
        weight = np.nan
        with contextlib.suppress(ValueError):
            weight = float(row["weight"] or "nan")
        if not 0.0 <= weight < np.inf:
            raise DataError(f"{file} line {line}: {row['weight']!r} is no weight", fix="use numbers from 0")
        path = unguarded(row["path"] or "")
        if path in rows:
            raise DataError(f"{file} line {line}: {path!r} appears twice", fix="keep one line per file")
        rows[path] = (weight, row.get("sha256") or "")
    if missing := [catalogue.paths[i] for i in np.flatnonzero(catalogue.used_N) if catalogue.paths[i] not in rows]:
        fix = f"give the weights of an audit of {catalogue.root}"
        raise DataError(f"{other}: it has no weight for {listed(map(repr, missing), 1)}", fix=fix)
    digests = zip(catalogue.paths, catalogue.sha256, strict=True)
    if changed := [repr(path) for path, sha256 in digests if path in rows and rows[path][1] not in ("", sha256)]:
        what = f"{other}: the content of {listed(changed, 1)} has changed since"
        raise DataError(what, fix="audit the folder again")
    return np.array([rows.get(path, (0.0, ""))[0] for path in catalogue.paths])


def read_csv(
    path: Path, columns: tuple[str, ...], fix: str, content: bytes | None = None
) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Read a CSV that a user gave: line number and cells of each row.

    Its ``content`` is given where it was read before: of a pipe there is no second time.
    """
    with reading(path), open(path, "rb") if content is None else io.BytesIO(content) as source:
        handle = io.TextIOWrapper(source, encoding="utf-8-sig", newline="")  # a spreadsheet may add a mark
        reader = csv.DictReader(handle, strict=True)
        if missing := [name for name in columns if name not in (reader.fieldnames or ())]:
            raise DataError(f"{path} has no column {' and '.join(missing)}", fix=fix)
        for row in reader:
            yield reader.line_num, row
