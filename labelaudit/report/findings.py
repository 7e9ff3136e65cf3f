"""The suspicious labels of an audit, as far as a report lists them, and which of them a baseline knows."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field

from labelaudit.errors import RunError
from labelaudit.run.baseline import Finding

Row = dict[str, str]


@dataclass(frozen=True, kw_only=True)
class Findings:
    """Suspicious labels in the order of suspicious.csv.

    Attributes:
        rows: The first that count: the new ones where there is a baseline, else all. Cells by column name.
        known_rows: The first that the baseline knows; none without a baseline.
        total: How many labels are suspicious, listed or not.
        new: How many of them the baseline does not know; None without a baseline.
        gone: How many findings of the baseline are suspicious no more.
    """

    rows: list[Row]
    known_rows: list[Row] = field(default_factory=list)
    total: int
    new: int | None = None
    gone: int = 0

    @property
    def counted(self) -> int:
        """How many suspicious labels count."""
        return self.total if self.new is None else self.new


def gather(rows: Iterable[Row], total: int, *, most: int, baseline: frozenset[Finding] | None = None) -> Findings:
    """List the first suspicious labels; with a baseline, tell the new ones from those that it knows.

    Labels are matched by content hash and given label. So a picture that was moved or renamed is known, and so is each
    copy of it with the same label; the same picture with another label is new.

    Args:
        rows: Those of suspicious.csv; without a baseline no more than ``most`` are taken.
        total: How many labels are suspicious, when there is no baseline.
        most: How many rows to list.
        baseline: The findings of an earlier audit.

    Raises:
        RunError: a row without a probability.
    """
    if baseline is None:
        return Findings(rows=[_checked(row) for row in itertools.islice(rows, most)], total=total)
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
            listed.append(_checked(row))
    return Findings(rows=new_rows, known_rows=known_rows, total=new + known, new=new, gone=len(baseline) - len(met))


def _checked(row: Row) -> Row:
    try:
        valid = 0 <= float(row["p_mislabeled"]) <= 1
    except (TypeError, ValueError):
        valid = False
    if not valid:
        raise RunError(
            f"suspicious.csv has {row['p_mislabeled']!r} where P(mislabeled) of {row['path']!r} should be",
            fix="run labelaudit fit again",
        )
    return row
