"""What a report says, whatever the format."""

from __future__ import annotations

import itertools
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from labelaudit.errors import UsageError
from labelaudit.recipes.audits import read_catalogue
from labelaudit.recipes.fit import read_noise
from labelaudit.report.findings import Findings, gather
from labelaudit.report.gate import Check, Limits, check
from labelaudit.report.unused import unreadable
from labelaudit.run.baseline import read_baseline
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import suspicious_rows, unreadable_rows


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
