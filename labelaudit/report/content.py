"""What a report says, whatever the format."""

from __future__ import annotations

import itertools
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from labelaudit.audit.judge import read_noise
from labelaudit.audit.model import read_catalogue
from labelaudit.errors import RunError, UsageError
from labelaudit.report.gate import Check, Limits, check
from labelaudit.report.unused import unreadable
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import Finding, read_baseline, suspicious_rows, unreadable_rows

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


@dataclass(frozen=True, kw_only=True)
class Report:
    """An audit and what the gate makes of it.

    Attributes:
        noise: The content of noise.json.
        findings: The suspicious labels.
        unreadable: The first images that cannot be read, cells by column of unreadable.csv; `noise` has their number.
        checks: Every check of the gate.
        top: How many suspicious labels a list for people shows.
    """

    noise: dict[str, Any]
    findings: Findings
    checks: tuple[Check, ...]
    top: int
    unreadable: tuple[dict[str, str], ...] = ()

    @property
    def failures(self) -> list[str]:
        """A sentence for each check that failed."""
        return [check.sentence for check in self.checks if check.outcome == "failed"]

    @property
    def checked(self) -> bool:
        """True when a limit was set."""
        return any(check.outcome != "skipped" for check in self.checks)

    @property
    def shown(self) -> list[dict[str, str]]:
        """The suspicious labels that a list for people shows."""
        return self.findings.rows[: self.top]


def read_report(folder: RunFolder, limits: Limits, *, baseline: Path | None = None, top: int, most: int) -> Report:
    """Read an audit and check it.

    Args:
        folder: A run with verdicts.
        limits: What to check.
        baseline: Run folder or suspicious.csv; the labels that it knows do not count as suspicious.
        top: How many suspicious labels a list for people shows.
        most: How many suspicious labels and unreadable images to keep for other formats, if more than ``top``.

    Raises:
        RunError: the run has no verdicts, is damaged, or lacks what a limit is set for.
        UsageError: the baseline is the run itself.
        DataError: the baseline cannot be read.
    """
    folder.read_description()
    noise = read_noise(folder)
    known = None
    if baseline is not None:
        if baseline.resolve() in (folder.root.resolve(), folder.suspicious.resolve()):
            raise UsageError(
                f"--baseline {baseline} is this audit itself: nothing could be new",
                fix="give an earlier run, or a copy of its suspicious.csv",
            )
        known = read_baseline(baseline)
    findings = gather(suspicious_rows(folder.suspicious), noise["suspicious"], most=max(top, most), baseline=known)
    return Report(
        noise=noise,
        findings=findings,
        checks=check(noise, limits, new=findings.new),
        top=top,
        # From the catalogue, so that runs of versions that wrote no unreadable.csv have them too.
        unreadable=tuple(itertools.islice(unreadable_rows(read_catalogue(folder)), max(top, most)))
        if unreadable(noise)
        else (),
    )
