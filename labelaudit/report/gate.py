"""The report of an audit, and the data-quality gate: which limits it exceeds.

By default a limit is exceeded only where even the lower end of a rate's interval is above it, so that chance alone
rarely fails a pipeline; by the upper end, a rate passes only where it is surely within the limit. Where a sample was
reviewed, its rates and intervals are compared.

Limits, and which findings count, are from the command line, or else from a file: labelaudit.toml, or pyproject.toml
with a table ``[tool.labelaudit]``, the nearest one from the current folder upwards.
"""

from __future__ import annotations

import tomllib
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Literal

import msgspec

from labelaudit.auditing.model import Audit
from labelaudit.codes import BY_CODE, CODES, find_code
from labelaudit.data.walk import NO_LOSS
from labelaudit.detect.theory import wilson
from labelaudit.errors import RunError, UsageError, brief, reason
from labelaudit.names import JudgeName
from labelaudit.run import lists
from labelaudit.run.documents import AnnotatorsNoise, Noise
from labelaudit.run.layout import newest
from labelaudit.run.lists import Listed, Row, code_of
from labelaudit.text import plural

Outcome = Literal["passed", "failed", "skipped"]
_Found = tuple[bool, str, tuple[tuple[str, str], ...]]
"""Whether the limit is exceeded, and the text and the subjects of the check."""

TITLES: dict[str, str] = {
    "noise_rate": "Noise rate",
    "class_noise_rate": "Noise rate per class",
    "suspicious_labels": "Suspicious labels",
    "unreadable_images": "Unreadable images",
    "warnings": "Warnings",
}

_FIGURES: dict[JudgeName, str] = {"lower": "lower end", "estimate": "estimate itself", "upper": "upper end"}

_MOST_NAMED = 5
_MOST_LISTED = 50_000  # suspicious labels that a report holds: the page has the longest list


class ChosenCodes(msgspec.Struct, frozen=True, kw_only=True):
    """The codes of the findings that count, and by glob of their path those that do not; ``*`` stands for ``/`` too."""

    codes: frozenset[str] = frozenset(each.code for each in CODES)
    ignored: dict[str, frozenset[str]] = {}

    def takes(self, code: str, path: str) -> bool:
        """Return whether a finding counts."""
        return code in self.codes and not any(
            code in codes and fnmatchcase(path, glob) for glob, codes in self.ignored.items()
        )


class Limits(msgspec.Struct, frozen=True, kw_only=True, rename="kebab"):
    """The limits of the gate, rates as shares in [0, 1]; None sets no limit, and a UsageError refuses other numbers.

    With a baseline ``max_suspicious`` is of new labels, and ``max`` of the new findings with a code. With
    ``fail_on_warning`` unreadable and left-out images fail too. ``judge`` says which figure of a rate is compared: an
    end of its interval, or the estimate itself.
    """

    max_noise: float | None = None
    max_class_noise: float | None = None
    max_suspicious: int | None = None
    max_unreadable: int | None = None
    fail_on_warning: bool = False
    judge: JudgeName = "lower"
    max: Mapping[str, int] = {}

    def __post_init__(self) -> None:
        """Refuse numbers that are no limits."""
        for option, share in (("--max-noise", self.max_noise), ("--max-class-noise", self.max_class_noise)):
            if share is not None and not 0 <= share <= 1:
                raise UsageError(f"{option} {share:g} is not a share", fix="give a number from 0 to 1, as 0.05")
        for option, most in (("--max-suspicious", self.max_suspicious), ("--max-unreadable", self.max_unreadable)):
            if most is not None and most < 0:
                raise UsageError(f"{option} {most} is negative", fix="give a number from 0")


_FILE, _PROJECT = "labelaudit.toml", "pyproject.toml"


class Config(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The content of a file, None where it says nothing, and ``where`` it is."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    per_path_ignores: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    baseline: str | None = None
    where: str = ""

    @property
    def baseline_file(self) -> Path | None:
        """The baseline; its path is relative to the folder of the file."""
        return None if self.baseline is None else Path(self.where).parent / self.baseline


def read_config(folder: Path | None = None) -> Config:
    """Read the nearest file from a folder upwards, by default the current one; a UsageError where it is wrong."""
    start = (folder or Path.cwd()).absolute()
    for place in (start, *start.parents):
        for file in (place / _FILE, place / _PROJECT):
            if not file.is_file() or (table := _table(file)) is None:
                continue
            try:
                config = msgspec.convert(table, Config)
            except msgspec.ValidationError as error:
                keys = ", ".join(sorted(each.encode_name for each in msgspec.structs.fields(Config)[:-1]))
                raise UsageError(f"{file}: {brief(error)}", fix=f"the keys are {keys}") from error
            return msgspec.structs.replace(config, where=str(file))
    return Config()


def _table(file: Path) -> Mapping[str, object] | None:
    """Return what a file says of labelaudit; None where it says nothing."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {reason(error)}", fix="check the file") from error
    except ValueError as error:
        if file.name == _PROJECT and "labelaudit" not in file.read_bytes().decode("utf-8", "replace"):
            return None
        raise UsageError(f"{file} is not TOML ({brief(error)})", fix="correct it") from error
    if file.name == _FILE:
        return content
    tool = content.get("tool")
    table = tool.get("labelaudit") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def selection_of(config: Config, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> ChosenCodes:
    """Return the selection of a command line, each option codes with commas between them, and of a file otherwise."""
    chosen = _codes(",".join(select).split(","), "--select") if select else _codes(config.select or (), config.where)
    spared = _codes(",".join(ignore).split(","), "--ignore") if ignore else _codes(config.ignore or (), config.where)
    ignored = {glob: _codes(codes, f"{config.where} {glob}") for glob, codes in config.per_path_ignores.items()}
    all_codes = ChosenCodes().codes
    return ChosenCodes(codes=(chosen or all_codes) - spared, ignored=ignored)


def limits_of(config: Config, codes: Sequence[str], **given: float | bool | str | None) -> Limits:
    """Return the limits of a command line by name, None where it sets none, and of a file otherwise."""
    own = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(config, max=limits_of_codes(config, codes), **own)


def limits_of_codes(config: Config, given: Sequence[str] = ()) -> dict[str, int]:
    """Return the most findings by code: those of the file, and in their place ``CODE=NUMBER`` of the command line."""
    limits = {find_code(code, config.where).code: most for code, most in config.max.items()}
    for text in given:
        code, _, number = text.partition("=")
        if not number.isdecimal():
            raise UsageError(f"--max {text} is no CODE=NUMBER", fix="give for example --max LA006=0")
        limits[find_code(code, "--max").code] = int(number)
    if negative := [f"{code} = {most}" for code, most in limits.items() if most < 0]:
        raise UsageError(f"{config.where}: the limit {negative[0]} is negative", fix="give a number from 0")
    return limits


def _codes(texts: Sequence[str], where: str) -> frozenset[str]:
    return frozenset(find_code(text, where).code for text in texts)


@dataclass(frozen=True, kw_only=True)
class Check:
    """The outcome of one check; its text says what was compared with what, without names from the data.

    ``subjects`` are the classes that fail, the worst first: (name, what is said of it); or warnings, without a name.
    """

    name: str
    outcome: Outcome
    text: str
    subjects: tuple[tuple[str, str], ...] = ()

    @property
    def title(self) -> str:
        """What was checked, in a few words."""
        return TITLES.get(self.name) or f"{self.name} ({BY_CODE[self.name].name})"

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

    ``unreadable`` has the rows of unreadable.csv, ``kept`` the labels that a person kept, where they are asked for, and
    ``findings`` the rows of findings.csv that count. ``known`` are code and path of the rows that a baseline knows.
    ``annotators`` is the content of annotators.json, where the labels are by annotator.
    """

    noise: Noise
    listed: Listed
    checks: tuple[Check, ...]
    top: int
    unreadable: tuple[Row, ...] = ()
    kept: tuple[Row, ...] = ()
    findings: tuple[Row, ...] = ()
    known: frozenset[tuple[str, str]] = frozenset()
    annotators: AnnotatorsNoise | None = None

    @property
    def failures(self) -> list[str]:
        """A sentence for each check that failed."""
        return [check.sentence for check in self.checks if check.outcome == "failed"]

    @property
    def shown(self) -> list[Row]:
        """The suspicious labels that a list for people shows."""
        return self.listed.rows[: self.top]

    def is_new(self, row: Row) -> bool:
        """Return whether a row of unreadable.csv or findings.csv is unknown to the baseline, if there is one."""
        return (code_of(row), row["path"]) not in self.known

    @property
    def found(self) -> Counter[str]:
        """How many findings each code has."""
        return Counter(row["code"] for row in self.findings)

    @property
    def new_found(self) -> Counter[str]:
        """How many of them are new; all without a baseline."""
        return Counter(row["code"] for row in self.findings if self.is_new(row))

    @property
    def others(self) -> list[Row]:
        """The findings that are neither suspicious labels, which have a suggestion, nor unreadable images."""
        return [
            row
            for row in self.findings
            if row["code"] > "LA005" or (row["code"] < "LA005" and not row["suggested_label"])
        ]

    @property
    def new_others(self) -> list[Row]:
        """The first of these that a list for people shows."""
        return [row for row in self.others if self.is_new(row)][: self.top]


def make_report(
    audit: Audit,
    limits: Limits,
    *,
    baseline: Path | None = None,
    top: int,
    list_kept: bool = False,
    selection: ChosenCodes | None = None,
) -> Report:
    """Check a finished audit; what ``baseline`` (a run folder, or a file of it) knows does not count.

    With ``list_kept`` the report has the labels that a person kept, too; they never count. Findings that are not in the
    ``selection`` are left out, and do not count either; rates are of all images. Raises a RunError where the run is
    damaged or lacks what a limit is set for, a UsageError or a DataError for a baseline that is of no use.
    """
    run, taken = audit.run, selection or ChosenCodes()
    run.read_description()  # says what is wrong with a folder that is no run
    noise, known = audit.summary, None
    if baseline is not None:
        own = {file.resolve() for file in (run.root, run.samples, run.suspicious, run.findings_csv)}
        if {baseline.resolve(), newest(baseline).root.resolve()} & own:
            raise UsageError(
                f"--baseline {baseline} is this audit itself: nothing could be new",
                fix="give an earlier run, or a copy of its samples.parquet",
            )
        known = lists.read_baseline(baseline).against(audit.catalogue)
    rows = [row for row in lists.ranked_rows(audit.suspicious) if taken.takes(code_of(row), row["path"])]
    listed = lists.list_suspicious(rows, most=max(top, _MOST_LISTED), baseline=known)
    unreadable = [row for row in lists.unreadable_rows(audit.catalogue) if taken.takes("LA005", row["path"])]
    findings = [row for row in lists.rows_of(audit.findings) if taken.takes(row["code"], row["path"])]
    copies = [row for row in findings if row["code"] == "LA006"]
    # The best copy of a group names none: here the next one.
    second = {row["other_path"]: row["path"] for row in reversed(copies)}
    for row in copies:
        row["other_path"] = row["other_path"] or second.get(row["path"], "")
    known_rows = [row for row in (*unreadable, *findings) if known and known.knows(row)]
    known_ids = frozenset((code_of(row), row["path"]) for row in known_rows)
    unreadable.sort(key=lambda row: ("LA005", row["path"]) in known_ids)
    flagged = {str(sample) for sample in audit.flagged_S.tolist()}
    new_groups = {row["group"] for row in copies if ("LA006", row["path"]) not in known_ids}
    listed = replace(
        listed,
        copies=[row for row in copies if row["group"] in new_groups],
        of_no_class=[row for row in findings if row["code"] == "LA008" and row["sample"] not in flagged],
    )
    return Report(
        noise=noise,
        listed=listed,
        checks=check(
            noise,
            limits,
            listed=listed,
            found=Counter(row["code"] for row in findings),
            known=Counter(row["code"] for row in known_rows if "code" in row),
        ),
        top=top,
        unreadable=tuple(unreadable),
        kept=tuple(lists.ranked_rows(audit.kept)) if list_kept else (),
        findings=tuple(findings),
        known=known_ids,
        annotators=audit.annotators,
    )


def check(
    noise: Noise,
    limits: Limits,
    *,
    listed: Listed | None = None,
    found: Mapping[str, int] | None = None,
    known: Mapping[str, int] = {},
) -> tuple[Check, ...]:
    """Make every check, in a fixed order; those without a limit are skipped, and left out where they are of a code.

    ``listed`` and ``found`` say how many suspicious labels and findings of each code count: by default all. ``known``
    are those of ``found`` that a baseline knows. Raises a RunError where a rate that has a limit is unknown.
    """
    listed = listed or Listed(rows=[], total=noise.suspicious)
    found = {**noise.findings, "LA005": noise.unreadable} if found is None else found
    has_baseline = listed.new is not None
    bad = found.get("LA005", 0)
    noted = f" ({plural(bad, 'unreadable image')})" if bad else ""
    known_labels = listed.total - listed.counted if has_baseline else None
    suspicious = _count(listed.counted, "suspicious label", limits.max_suspicious, known_labels)
    made: list[tuple[str, str, _Found | None]] = [
        ("noise_rate", "--max-noise", _check_noise(noise, limits)),
        ("class_noise_rate", "--max-class-noise", _check_classes(noise, limits)),
        ("suspicious_labels", "--max-suspicious", suspicious),
        ("unreadable_images", f"--max-unreadable{noted}", _count(bad, "unreadable image", limits.max_unreadable)),
        ("warnings", "--fail-on-warning", _check_warnings(noise) if limits.fail_on_warning else None),
    ]
    for code, most in sorted(limits.max.items()):
        old = known.get(code, 0)
        what = f"{BY_CODE[code].name} image"
        made.append((code, "", _count(found.get(code, 0) - old, what, most, old if has_baseline else None)))
    return tuple(
        Check(name=name, outcome="failed" if result[0] else "passed", text=result[1], subjects=result[2])
        if result
        else Check(name=name, outcome="skipped", text=f"no {option}")
        for name, option, result in made
    )


def _check_noise(noise: Noise, limits: Limits) -> _Found | None:
    limit, interval = limits.max_noise, noise.best_interval
    if limit is None:
        return None
    rate, named = _noise_rate(noise), "noise rate" if noise.reviewed is None else "reviewed noise rate"
    if interval is None:
        if limits.judge == "upper":
            return True, f"{named} {rate:.2%}: this audit has no interval, so its upper end is unknown", ()
        return rate > limit, f"{named} {_compared(rate, limit)} (the estimate itself: this audit has no interval)", ()
    figures = dict(zip(_FIGURES, (interval[0], rate, interval[1]), strict=True))
    text = f"{named} {rate:.2%} ({interval[0]:.2%} to {interval[1]:.2%}): the {_FIGURES[limits.judge]} "
    judged = figures[limits.judge]
    more = f"; the upper end {interval[1]:.2%} is" if judged <= limit < interval[1] else ""
    return judged > limit, text + _compared(judged, limit) + more, ()


def _check_classes(noise: Noise, limits: Limits) -> _Found | None:
    limit, judge = limits.max_class_noise, limits.judge
    if limit is None:
        return None
    _noise_rate(noise)  # without one, the rates of the classes are zeros that mean nothing
    reviewed = {row.name: row for row in noise.reviewed.classes} if noise.reviewed else {}
    judged = []
    for row in [row for row in noise.classes if row.samples]:
        if found := reviewed.get(row.name):
            rate, (low, high) = found.noise_rate, found.noise_rate_interval
        else:  # the interval is made for zeros and ones; the variance of probabilities is at most theirs, p(1−p)
            rate, (low, high) = row.noise_rate, wilson(row.noise_rate * row.samples, row.samples)
        judged.append(({"lower": low, "estimate": rate, "upper": high}[judge], rate, (low, high), row))
    above = sorted((entry for entry in judged if entry[0] > limit), key=lambda entry: -entry[0])
    by_estimate = sum(rate > limit for _, rate, _, _ in judged)
    how = "" if judge == "estimate" else f" of its 95% interval ({by_estimate} by the estimate itself)"
    text = (
        f"{len(above)} of {plural(len(judged), 'class', 'classes')} {'is' if len(above) == 1 else 'are'} "
        f"above a noise rate of {limit:.2%} by the {_FIGURES[judge]}{how}"
    )
    ends = ("at most", 1) if judge == "upper" else ("at least", 0)
    subjects = tuple(
        (row.name, f"{rate:.2%} of {plural(row.samples, 'image')}, {ends[0]} {interval[ends[1]]:.2%}")
        for _, rate, interval, row in above
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


def _count(counted: int, noun: str, limit: int | None, known: int | None = None) -> _Found | None:
    """Compare a number of findings, beside those that a baseline knows; None without one."""
    if limit is None:
        return None
    are, more = "is" if counted == 1 else "are", "more" if counted > limit else "not more"
    ignored = f" ({known:,} of images that it has {'is' if known == 1 else 'are'} not counted)" if known else ""
    since = "" if known is None else f"new since the baseline{ignored}, "
    return counted > limit, f"{plural(counted, noun)} {are} {since}{more} than {limit}", ()


def _compared(value: float, limit: float) -> str:
    """Return both as percentages, with as many digits as it takes to tell them apart."""
    digits = 2
    while value != limit and f"{value:.{digits}%}" == f"{limit:.{digits}%}" and digits < 12:
        digits += 1
    return f"{value:.{digits}%} is {'' if value > limit else 'not '}above {limit:.{digits}%}"
