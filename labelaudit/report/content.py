"""What a report says, whatever the format: an audit, its suspicious labels, and the checks of the gate."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labelaudit.audit.model import Audit
from labelaudit.errors import UsageError
from labelaudit.report.gate import Check, Limits, check
from labelaudit.run.documents import Noise
from labelaudit.run.lists import Listed, Row, list_suspicious, read_baseline, suspicious_rows, unreadable_rows


@dataclass(frozen=True, kw_only=True)
class Report:
    """An audit and what the gate makes of it.

    Attributes:
        noise: The content of noise.json.
        listed: The suspicious labels.
        unreadable: The first images that cannot be read, as unreadable.csv has them.
        checks: Every check of the gate.
        top: How many suspicious labels a list for people shows.
    """

    noise: Noise
    listed: Listed
    checks: tuple[Check, ...]
    top: int
    unreadable: tuple[Row, ...] = ()

    @property
    def failures(self) -> list[str]:
        """A sentence for each check that failed."""
        return [check.sentence for check in self.checks if check.outcome == "failed"]

    @property
    def checked(self) -> bool:
        """True when a limit was set."""
        return any(check.outcome != "skipped" for check in self.checks)

    @property
    def shown(self) -> list[Row]:
        """The suspicious labels that a list for people shows."""
        return self.listed.rows[: self.top]


def make_report(audit: Audit, limits: Limits, *, baseline: Path | None = None, top: int, most: int) -> Report:
    """Check an audit.

    Args:
        audit: A finished audit.
        limits: What to check.
        baseline: Run folder or suspicious.csv; the labels in it do not count as suspicious.
        top: How many suspicious labels a list for people shows.
        most: How many suspicious labels and unreadable images to keep for other formats, if more than ``top``.

    Raises:
        RunError: the run has no verdicts, is damaged, or lacks what a limit is set for.
        UsageError: the baseline is the run itself.
        DataError: the baseline cannot be read.
    """
    run, most = audit.run, max(top, most)
    run.read_description()
    noise, known = audit.summary, None
    if baseline is not None:
        if baseline.resolve() in (run.root.resolve(), run.suspicious.resolve()):
            raise UsageError(
                f"--baseline {baseline} is this audit itself: nothing could be new",
                fix="give an earlier run, or a copy of its suspicious.csv",
            )
        known = read_baseline(baseline)
    listed = list_suspicious(suspicious_rows(run.suspicious), noise.suspicious, most=most, baseline=known)
    return Report(
        noise=noise,
        listed=listed,
        checks=check(noise, limits, new=listed.new),
        top=top,
        unreadable=tuple(unreadable_rows(audit.catalogue)[:most]) if noise.unreadable else (),
    )
