"""The lists of a run folder: suspicious.csv, corrupted.csv and unreadable.csv.

Shapes: N samples, S of them in a list.
"""

from __future__ import annotations

import csv
import io
import itertools
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt

from labelaudit.cells import csv_lines, unguarded
from labelaudit.data.catalogue import LONELY, Catalogue
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.kinds import Kinds
from labelaudit.detect.verdicts import Verdicts
from labelaudit.errors import DataError, RunError
from labelaudit.names import KINDS
from labelaudit.run.files import require_regular, write_bytes, write_lines
from labelaudit.run.layout import RunFolder

Row = dict[str, str]
"""Cells by column name."""

Finding = tuple[str, str]
"""A content hash and a given label: the same image with the same label is the same finding, wherever it is."""

SUSPICIOUS_COLUMNS = (
    "rank",
    "path",
    "given_label",
    "suggested_label",
    "p_mislabeled",
    "label_score",
    "aul",
    "aum",
    "kind",
    "sample",
    "sha256",
)

_SPLIT = "split"
"""The last column, where the data are in splits."""

CORRUPTED_COLUMNS = ("rank", "path", "given_label", "p_corrupted", "corruption", "p_mislabeled", "sample", "sha256")

UNREADABLE_COLUMNS = ("path", "given_label", "reason", "sha256")

_NO_FAULT = ("", LONELY)
"""Reasons of the samples that take part, and of those that are readable and cannot be judged."""

_FIGURES = frozenset({"p_mislabeled", "label_score", "aul", "aum", "p_corrupted", "corruption"})
"""The columns of numbers that are written with a fixed number of digits, as text."""


def suspicious_csv(
    catalogue: Catalogue,
    statistics: CurveStatistics,
    verdicts: Verdicts,
    kinds: Kinds | None = None,
    *,
    top: int | None = None,
) -> str:
    """Return the ranked list as CSV text: the flagged samples, or the ``top`` most suspicious ones, flagged or not."""
    count = verdicts.flagged if top is None else min(top, len(verdicts.order))
    return "".join(_suspicious_lines(catalogue, statistics, verdicts, kinds, count))


def write_suspicious(
    path: Path, catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts, kinds: Kinds | None = None
) -> None:
    """Write the ranked list of the flagged samples."""
    write_lines(path, _suspicious_lines(catalogue, statistics, verdicts, kinds, verdicts.flagged))


def write_corrupted(path: Path, catalogue: Catalogue, verdicts: Verdicts, kinds: Kinds) -> None:
    """Write the samples whose image is corrupted, suspicious or not, the most certain first."""
    rows = (
        (
            rank,
            catalogue.paths[i],
            catalogue.classes[catalogue.label_N[i]],
            f"{kinds.p_corrupted_N[i]:.6f}",
            f"{kinds.corruption_N[i]:.6g}",
            f"{verdicts.p_mislabeled_N[i]:.6f}",
            i,
            catalogue.sha256[i],
        )
        for rank, i in enumerate(kinds.corrupted.tolist(), start=1)
    )
    write_lines(path, csv_lines(CORRUPTED_COLUMNS, rows, numbers=_FIGURES))


def unreadable_rows(catalogue: Catalogue) -> Iterator[Row]:
    """Yield the samples whose image cannot be read, in the order of their paths."""
    for i in [i for i, reason in enumerate(catalogue.reasons) if reason not in _NO_FAULT]:
        cells = (
            catalogue.paths[i],
            catalogue.classes[catalogue.label_N[i]],
            catalogue.reasons[i],
            catalogue.sha256[i],
        )
        yield dict(zip(UNREADABLE_COLUMNS, cells, strict=True))


def write_unreadable(path: Path, catalogue: Catalogue) -> None:
    """Write the samples whose image cannot be read."""
    rows = (tuple(row.values()) for row in unreadable_rows(catalogue))
    write_lines(path, csv_lines(UNREADABLE_COLUMNS, rows))


def read_suspicious(path: Path, *, most: int) -> list[Row]:
    """Read the first rows of suspicious.csv.

    Raises:
        RunError: the file is missing or damaged.
    """
    return list(itertools.islice(suspicious_rows(path), most))


def suspicious_rows(path: Path) -> Iterator[Row]:
    """Read suspicious.csv row by row; ranks, sample numbers and probabilities are checked.

    Raises:
        RunError: the file is missing or damaged.
    """
    fix = f"run labelaudit fit {path.parent}"
    try:
        with open(require_regular(path), encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            if tuple(reader.fieldnames or ()) not in (SUSPICIOUS_COLUMNS, (*SUSPICIOUS_COLUMNS, _SPLIT)):
                raise RunError(f"{path} has other columns than labelaudit writes", fix=fix)
            for row in reader:
                try:
                    valid = 0 <= float(row["p_mislabeled"]) <= 1 and all(
                        0 <= int(row[name]) < 1 << 31 for name in ("rank", "sample")
                    )
                except (TypeError, ValueError):
                    valid = False
                if not valid:
                    raise RunError(f"{path} is damaged in line {reader.line_num}", fix=fix)
                yield {name: unguarded(cell or "") for name, cell in row.items() if name}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is missing or damaged", fix=fix) from error


@dataclass(frozen=True, kw_only=True)
class Listed:
    """The first suspicious labels of an audit, in the order of suspicious.csv.

    Attributes:
        rows: The first that count: the new ones where there is a baseline, else all.
        known_rows: The first that are in the baseline; none without a baseline.
        total: Number of suspicious labels, listed or not.
        new: How many of them are not in the baseline; None without a baseline.
        gone: How many findings of the baseline are no longer suspicious.
    """

    rows: list[Row]
    known_rows: list[Row] = field(default_factory=list)
    total: int
    new: int | None = None
    gone: int = 0

    @property
    def counted(self) -> int:
        """The number of suspicious labels that count."""
        return self.total if self.new is None else self.new


def list_suspicious(
    rows: Iterable[Row], total: int, *, most: int, baseline: frozenset[Finding] | None = None
) -> Listed:
    """Return the first suspicious labels; with a baseline, separate the new ones from the known ones.

    Labels are matched by content hash and given label. A moved or renamed image is known, and so is each copy of it
    with the same label; the same image with another label is new.

    Args:
        rows: Those of suspicious.csv; without a baseline no more than ``most`` are read.
        total: The number of suspicious labels, where there is no baseline.
        most: How many rows to list.
        baseline: The findings of an earlier audit.
    """
    if baseline is None:
        return Listed(rows=list(itertools.islice(rows, most)), total=total)
    new_rows: list[Row] = []
    known_rows: list[Row] = []
    new, known, met = 0, 0, set()
    for row in rows:
        finding = (row["sha256"], row["given_label"])
        if finding in baseline:
            known += 1
            met.add(finding)
            listed = known_rows
        else:
            new += 1
            listed = new_rows
        if len(listed) < most:
            listed.append(row)
    return Listed(rows=new_rows, known_rows=known_rows, total=new + known, new=new, gone=len(baseline) - len(met))


def read_baseline(path: Path) -> frozenset[Finding]:
    """Read what an earlier audit found suspicious.

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
    fix = "give a run folder or the suspicious.csv of an audit"
    found = set()
    for line, row in _read_csv(path, ("given_label", "sha256"), "list of suspicious labels", fix):
        if not row["sha256"] or row["given_label"] is None:
            # It would match nothing, and each label that it stands for would be called new.
            raise DataError(f"{path} line {line} has no content hash", fix=fix)
        found.add((row["sha256"], unguarded(row["given_label"])))
    return frozenset(found)


def _suspicious_lines(
    catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts, kinds: Kinds | None, count: int
) -> Iterator[str]:
    first = verdicts.order[:count]
    kind_S = np.full(len(first), -1) if kinds is None else kinds.kind_N[first]
    columns = (
        verdicts.p_mislabeled_N[first].tolist(),
        statistics.aul_N[first].tolist(),
        statistics.aum_N[first].tolist(),
        catalogue.label_N[first].tolist(),
        statistics.beliefs.alternative_N[first].tolist(),
        kind_S.tolist(),
        first.tolist(),
    )
    # The last ones are those of number −1.
    split_of = catalogue.split_names
    names, kind_names = (*catalogue.classes, None), (*KINDS, "")
    rows = (
        (
            rank,
            catalogue.paths[i],
            names[given],
            names[other],
            f"{p:.6f}",
            f"{1 - p:.6f}",
            f"{aul:.6g}",
            f"{aum:.6g}",
            kind_names[kind],
            i,
            catalogue.sha256[i],
            *split_of[i : i + 1],
        )
        for rank, (p, aul, aum, given, other, kind, i) in enumerate(zip(*columns, strict=True), start=1)
    )
    return csv_lines((*SUSPICIOUS_COLUMNS, *([_SPLIT] if split_of else [])), rows, numbers=_FIGURES)


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
    for line, row in _read_csv(file, ("path", "weight"), "weights file", "give the weights.csv of an audit"):
        try:
            weight = float(row["weight"] or "nan")
        except ValueError:
            weight = np.nan
        if not 0.0 <= weight < np.inf:
            raise DataError(f"{file} line {line}: {row['weight']!r} is no weight", fix="use numbers from 0")
        path = unguarded(row["path"] or "")
        if path in rows:
            raise DataError(f"{file} line {line}: {path!r} is there twice", fix="keep one line per file")
        rows[path] = (weight, row.get("sha256") or "")
    return rows


def _read_csv(path: Path, columns: tuple[str, ...], what: str, fix: str) -> Iterator[tuple[int, dict[str, str | None]]]:
    """Read a CSV that a user gave: line number and cells of each row."""
    try:
        with open(path, encoding="utf-8-sig", newline="") as handle:  # a spreadsheet may have added a byte order mark
            reader = csv.DictReader(handle, strict=True)
            missing = [name for name in columns if name not in (reader.fieldnames or ())]
            if missing:
                raise DataError(f"{path} has no column {' and '.join(missing)}", fix=fix)
            for row in reader:
                yield reader.line_num, row
    except OSError as error:
        raise DataError(f"cannot read {path}: {(error.strerror or str(error)).lower()}", fix=fix) from error
    except (UnicodeDecodeError, csv.Error) as error:
        raise DataError(f"{path} is not a {what} ({error})", fix=fix) from error
