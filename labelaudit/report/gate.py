"""The report of an audit, and the data-quality gate: which limits it exceeds.

By default a limit is exceeded only where even the lower end of a rate's interval is above it, so that chance alone
rarely fails a pipeline. Where a sample was reviewed, its rates and intervals are compared.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from labelaudit.auditing.model import Audit
from labelaudit.data.walk import NO_LOSS
from labelaudit.detect.theory import wilson
from labelaudit.errors import RunError, UsageError
from labelaudit.run.documents import Noise
from labelaudit.run.lists import Listed, Row, list_suspicious, read_baseline, suspicious_rows, unreadable_rows
from labelaudit.text import plural

Outcome = Literal["passed", "failed", "skipped"]
CheckName = Literal["noise_rate", "class_noise_rate", "suspicious_labels", "unreadable_images", "warnings"]
_Found = tuple[bool, str, tuple[tuple[str, str], ...]]
"""Whether the limit is exceeded, and the text and the subjects of the check."""

TITLES: dict[CheckName, str] = {
    "noise_rate": "Noise rate",
    "class_noise_rate": "Noise rate per class",
    "suspicious_labels": "Suspicious labels",
    "unreadable_images": "Unreadable images",
    "warnings": "Warnings",
}

_MOST_NAMED = 5
_MOST_LISTED = 50_000  # suspicious labels that a report holds: the page has the longest list


@dataclass(frozen=True, kw_only=True)
class Limits:
    """The limits of the gate, rates as shares in [0, 1]; None sets no limit, and a UsageError refuses other numbers.

    With a baseline ``max_suspicious`` is of new labels. With ``fail_on_warning`` unreadable and left-out images fail
    too. ``strict`` compares the estimated rates, not the lower ends of their intervals.
    """

    max_noise: float | None = None
    max_class_noise: float | None = None
    max_suspicious: int | None = None
    max_unreadable: int | None = None
    fail_on_warning: bool = False
    strict: bool = False

    def __post_init__(self) -> None:
        for option, share in (("--max-noise", self.max_noise), ("--max-class-noise", self.max_class_noise)):
            if share is not None and not 0 <= share <= 1:
                raise UsageError(f"{option} {share:g} is not a share", fix="give a number from 0 to 1")
        for option, most in (("--max-suspicious", self.max_suspicious), ("--max-unreadable", self.max_unreadable)):
            if most is not None and most < 0:
                raise UsageError(f"{option} {most} is negative", fix="give a number from 0")


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check; its text says what was compared with what, without names from the data.

    ``subjects`` are the classes that fail, the worst first: (name, what is said of it); or warnings, without a name.
    """

    name: CheckName
    outcome: Outcome
    text: str
    subjects: tuple[tuple[str, str], ...] = ()

    @property
    def sentence(self) -> str:
        """The text and the first classes that fail, in one line; names are in it as Python writes strings."""
        named = [f"{name!r} {said}" for name, said in self.subjects if name]
        left = len(named) - _MOST_NAMED
        shown = named[:_MOST_NAMED] + ([f"and {left} more"] if left > 0 else [])
        return f"{self.text}: {'; '.join(shown)}" if shown else self.text


@dataclass(frozen=True, kw_only=True)
class Report:
    """An audit and the outcome of every check of the gate; a list for people shows ``top`` suspicious labels.

    ``unreadable`` has the rows of unreadable.csv, ``kept`` the labels that a person kept, where they are asked for.
    """

    noise: Noise
    listed: Listed
    checks: tuple[Check, ...]
    top: int
    unreadable: tuple[Row, ...] = ()
    kept: tuple[Row, ...] = ()

    @property
    def failures(self) -> list[str]:
        """A sentence for each check that failed."""
        return [check.sentence for check in self.checks if check.outcome == "failed"]

    @property
    def shown(self) -> list[Row]:
        """The suspicious labels that a list for people shows."""
        return self.listed.rows[: self.top]


def make_report(
    audit: Audit, limits: Limits, *, baseline: Path | None = None, top: int, list_kept: bool = False
) -> Report:
    """Check a finished audit; labels that are in ``baseline`` (a run folder or suspicious.csv) do not count.

    With ``list_kept`` the report has the labels that a person kept, too; they never count. Raises a RunError where the
    run is damaged or lacks what a limit is set for, a UsageError or a DataError for a baseline that is of no use.
    """
    run = audit.run
    run.read_description()  # says what is wrong with a folder that is no run
    noise, known = audit.summary, None
    if baseline is not None:
        if baseline.resolve() in (run.root.resolve(), run.suspicious.resolve()):
            raise UsageError(
                f"--baseline {baseline} is this audit itself: nothing could be new",
                fix="give an earlier run, or a copy of its suspicious.csv",
            )
        known = read_baseline(baseline)
    listed = list_suspicious(
        suspicious_rows(run.suspicious), noise.suspicious, most=max(top, _MOST_LISTED), baseline=known
    )
    return Report(
        noise=noise,
        listed=listed,
        checks=check(noise, limits, new=listed.new),
        top=top,
        unreadable=tuple(unreadable_rows(audit.catalogue)) if noise.unreadable else (),
        kept=tuple(audit.kept_rows) if list_kept else (),
    )


def check(noise: Noise, limits: Limits, *, new: int | None = None) -> tuple[Check, ...]:
    """Make every check, in a fixed order; those without a limit are skipped.

    ``new`` is how many suspicious labels are new since a baseline. Raises a RunError where a rate that has a limit is
    unknown.
    """
    counted, since = (noise.suspicious, "") if new is None else (new, "new since the baseline, ")
    noted = f" ({plural(noise.unreadable, 'unreadable image')})" if noise.unreadable else ""
    unreadable = _count(noise.unreadable, "unreadable image", limits.max_unreadable)
    found: tuple[tuple[CheckName, str, _Found | None], ...] = (
        ("noise_rate", "--max-noise", _check_noise(noise, limits)),
        ("class_noise_rate", "--max-class-noise", _check_classes(noise, limits)),
        ("suspicious_labels", "--max-suspicious", _count(counted, "suspicious label", limits.max_suspicious, since)),
        ("unreadable_images", f"--max-unreadable{noted}", unreadable),
        ("warnings", "--fail-on-warning", _check_warnings(noise) if limits.fail_on_warning else None),
    )
    return tuple(
        Check(name=name, outcome="failed" if made[0] else "passed", text=made[1], subjects=made[2])
        if made
        else Check(name=name, outcome="skipped", text=f"no {option}")
        for name, option, made in found
    )


def _check_noise(noise: Noise, limits: Limits) -> _Found | None:
    limit, interval = limits.max_noise, noise.best_interval
    if limit is None:
        return None
    rate, named = _noise_rate(noise), "noise rate" if noise.reviewed is None else "reviewed noise rate"
    if limits.strict or interval is None:
        why = "the estimate itself: " + ("--strict" if limits.strict else "this audit has no interval")
        return rate > limit, f"{named} {_compared(rate, limit)} ({why})", ()
    low, high = interval
    text = f"{named} {rate:.2%} ({low:.2%} to {high:.2%}): the lower end {_compared(low, limit)}"
    return low > limit, text + (f"; the upper end {high:.2%} is" if low <= limit < high else ""), ()


def _check_classes(noise: Noise, limits: Limits) -> _Found | None:
    limit, strict = limits.max_class_noise, limits.strict
    if limit is None:
        return None
    _noise_rate(noise)  # without one, the rates of the classes are zeros that mean nothing
    reviewed = {row.name: row for row in noise.reviewed.classes} if noise.reviewed else {}
    judged = []
    for row in [row for row in noise.classes if row.samples]:
        if found := reviewed.get(row.name):
            rate, low = found.noise_rate, found.noise_rate_interval[0]
        else:  # the interval is made for zeros and ones; the variance of probabilities is at most theirs, p(1−p)
            rate, low = row.noise_rate, wilson(row.noise_rate * row.samples, row.samples)[0]
        judged.append((rate if strict else low, rate, low, row))
    above = sorted((entry for entry in judged if entry[0] > limit), key=lambda entry: -entry[0])
    by_estimate = sum(rate > limit for _, rate, _, _ in judged)
    how = f"by the lower end of its 95% interval ({by_estimate} by the estimate itself)"
    text = (
        f"{len(above)} of {plural(len(judged), 'class', 'classes')} {'is' if len(above) == 1 else 'are'} "
        f"above a noise rate of {limit:.2%} {'(the estimate itself: --strict)' if strict else how}"
    )
    subjects = tuple(
        (row.name, f"{rate:.2%} of {plural(row.samples, 'image')}, at least {low:.2%}") for _, rate, low, row in above
    )
    return bool(above), text, subjects


def _check_warnings(noise: Noise) -> _Found:
    counts = [plural(len(noise.warnings), "warning")]
    if noise.unreadable:
        counts.append(plural(noise.unreadable, "unreadable image"))
    # Notes, hidden files and the like beside the images are no loss.
    if absent := sum(entry.files for entry in noise.left_out if entry.reason not in NO_LOSS):
        counts.append(f"{plural(absent, 'file')} left out that may be images")
    exceeded = bool(noise.warnings or noise.unreadable or absent)
    return exceeded, ", ".join(counts), tuple(("", warning) for warning in noise.warnings)


def _noise_rate(noise: Noise) -> float:
    if noise.best_rate is None:
        raise RunError("this audit has no noise rate to check", fix="see the warnings of labelaudit report")
    return noise.best_rate


def _count(counted: int, noun: str, limit: int | None, since: str = "") -> _Found | None:
    if limit is None:
        return None
    are, more = "is" if counted == 1 else "are", "more" if counted > limit else "not more"
    return counted > limit, f"{plural(counted, noun)} {are} {since}{more} than {limit}", ()


def _compared(value: float, limit: float) -> str:
    """Return both as percentages, with as many digits as it takes to tell them apart."""
    digits = 2
    while value != limit and f"{value:.{digits}%}" == f"{limit:.{digits}%}" and digits < 12:
        digits += 1
    return f"{value:.{digits}%} is {'' if value > limit else 'not '}above {limit:.{digits}%}"
