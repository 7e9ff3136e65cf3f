"""The lists of a run folder: suspicious.csv, corrupted.csv and unreadable.csv.

Shapes: N samples, S of them in a list.
"""

from __future__ import annotations

import csv
import itertools
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from labelaudit.cells import csv_lines, unguarded
from labelaudit.data.catalogue import LONELY, Catalogue
from labelaudit.detect.curves import CurveStatistics
from labelaudit.detect.kinds import Kinds
from labelaudit.detect.verdicts import Verdicts
from labelaudit.errors import RunError
from labelaudit.names import KINDS
from labelaudit.run.files import require_regular, write_lines

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
    """The ranked list as CSV text: the flagged samples, or the ``top`` most suspicious ones, flagged or not."""
    count = verdicts.flagged if top is None else min(top, len(verdicts.order))
    return "".join(_suspicious_lines(catalogue, statistics, verdicts, kinds, count))


def write_suspicious(
    path: Path, catalogue: Catalogue, statistics: CurveStatistics, verdicts: Verdicts, kinds: Kinds | None = None
) -> None:
    """Write the ranked list of the flagged samples."""
    write_lines(path, _suspicious_lines(catalogue, statistics, verdicts, kinds, verdicts.flagged))


def write_corrupted(path: Path, catalogue: Catalogue, verdicts: Verdicts, kinds: Kinds) -> None:
    """Write the samples whose picture is corrupted, suspicious or not, the surest first."""
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


def unreadable_rows(catalogue: Catalogue) -> Iterator[dict[str, str]]:
    """The samples whose image cannot be read, in the order of their paths, cells by column name."""
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


def read_suspicious(path: Path, *, most: int) -> list[dict[str, str]]:
    """The first rows of suspicious.csv, cells by column name.

    Raises:
        RunError: the file is missing or damaged.
    """
    return list(itertools.islice(suspicious_rows(path), most))


def suspicious_rows(path: Path) -> Iterator[dict[str, str]]:
    """Each row of suspicious.csv in turn, cells by column name.

    Raises:
        RunError: the file is missing or damaged.
    """
    try:
        with open(require_regular(path), encoding="utf-8", newline="") as handle:
            reader = csv.DictReader(handle, strict=True)
            if tuple(reader.fieldnames or ()) not in (SUSPICIOUS_COLUMNS, (*SUSPICIOUS_COLUMNS, _SPLIT)):
                raise RunError(f"{path} has other columns than labelaudit writes", fix="run labelaudit fit again")
            for row in reader:
                yield {name: unguarded(cell or "") for name, cell in row.items() if name}
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise RunError(f"{path} is missing or damaged", fix="run labelaudit fit again") from error


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
