"""The data-quality gate: which limits an audit exceeds.

A rate is an estimate. By default a limit is exceeded only where even the lower end of the rate's interval is above it,
so that chance alone rarely fails a pipeline; `Limits.strict` compares the estimates themselves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from labelaudit.detect.theory import wilson
from labelaudit.errors import RunError, UsageError
from labelaudit.report.unused import maybe_images, unreadable

Outcome = Literal["passed", "failed", "skipped"]
CheckName = Literal["noise_rate", "class_noise_rate", "suspicious_labels", "unreadable_images", "warnings"]

TITLES: dict[CheckName, str] = {
    "noise_rate": "Noise rate",
    "class_noise_rate": "Noise rate per class",
    "suspicious_labels": "Suspicious labels",
    "unreadable_images": "Unreadable images",
    "warnings": "Warnings",
}

_MOST_NAMED = 5


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an audit may not exceed; None sets no limit.

    Attributes:
        max_noise: Noise rate, a share in [0, 1].
        max_class_noise: Noise rate of each class, a share in [0, 1].
        max_suspicious: Number of suspicious labels; of new ones, where there is a baseline.
        max_unreadable: Number of images that cannot be read.
        fail_on_warning: Whether a warning is a failure, and an image that is unreadable or left out.
        strict: Compare the estimated rates, not the lower ends of their intervals.

    Raises:
        UsageError: a limit that cannot be meant.
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
                raise UsageError(f"{option} {share:g} is no share", fix="give a number from 0 to 1")
        for option, most in (("--max-suspicious", self.max_suspicious), ("--max-unreadable", self.max_unreadable)):
            if most is not None and most < 0:
                raise UsageError(f"{option} {most} is negative", fix="give a number from 0")


@dataclass(frozen=True, kw_only=True)
class Check:
    """How one check ended.

    Attributes:
        name: Stable, for machines; `TITLES` has it in words.
        outcome: ``skipped`` where no limit was set.
        text: What was compared with what; without names from the data.
        subjects: The classes that fail, the worst first: (name, what is said of it); or the warnings, without a name.
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


def check(noise: dict[str, Any], limits: Limits, *, new: int | None = None) -> tuple[Check, ...]:
    """Every check in a fixed order, also those without a limit.

    Args:
        noise: The content of noise.json.
        limits: What to check.
        new: How many suspicious labels are new since a baseline; None without one.

    Raises:
        RunError: a limit on a noise rate, but the audit has none.
    """
    return (
        _check_noise(noise, limits),
        _check_classes(noise, limits),
        _check_suspicious(noise, limits, new),
        _check_unreadable(noise, limits),
        _check_warnings(noise, limits),
    )


def lower_end(rate: float, samples: int) -> float:
    """Lower end of Wilson's 95% interval of a share ``rate`` among ``samples``.

    ``rate`` is a mean of probabilities here; their variance is at most p(1−p), that of the zeros and ones for which the
    interval is made.
    """
    return wilson(rate * samples, samples)[0]


def _check_noise(noise: dict[str, Any], limits: Limits) -> Check:
    limit = limits.max_noise
    if limit is None:
        return Check(name="noise_rate", outcome="skipped", text="no --max-noise")
    rate, interval = _noise_rate(noise), noise_interval(noise)
    if limits.strict or interval is None:
        why = "the estimate itself: " + ("--strict" if limits.strict else "this audit has no interval")
        text = f"noise rate {_compared(rate, limit)} ({why})"
        return Check(name="noise_rate", outcome=_outcome(rate > limit), text=text)
    low, high = interval
    text = f"noise rate {rate:.2%} ({low:.2%} to {high:.2%}): the lower end {_compared(low, limit)}"
    return Check(name="noise_rate", outcome=_outcome(low > limit), text=text)


def _check_classes(noise: dict[str, Any], limits: Limits) -> Check:
    limit = limits.max_class_noise
    if limit is None:
        return Check(name="class_noise_rate", outcome="skipped", text="no --max-class-noise")
    _noise_rate(noise)  # without one, the classes' rates are zeros that mean nothing
    judged = []
    for entry in noise["classes"]:
        if entry["samples"] > 0:
            rate = _share(entry["noise_rate"])
            judged.append((rate, lower_end(rate, entry["samples"]), entry))
    above = [(rate, low, entry) for rate, low, entry in judged if (rate if limits.strict else low) > limit]
    above.sort(key=lambda found: -found[0 if limits.strict else 1])
    are = "is" if len(above) == 1 else "are"
    text = f"{len(above)} of {_count(len(judged), 'class', 'classes')} {are} above a noise rate of {limit:.2%} "
    if limits.strict:
        text += "(the estimate itself: --strict)"
    else:
        by_estimate = sum(rate > limit for rate, _, _ in judged)
        text += f"by the lower end of its 95% interval ({by_estimate} by the estimate itself)"
    return Check(
        name="class_noise_rate",
        outcome=_outcome(bool(above)),
        text=text,
        subjects=tuple(
            (str(entry["class"]), f"{rate:.2%} of {_count(entry['samples'], 'image')}, at least {low:.2%}")
            for rate, low, entry in above
        ),
    )


def _check_suspicious(noise: dict[str, Any], limits: Limits, new: int | None) -> Check:
    limit = limits.max_suspicious
    if limit is None:
        return Check(name="suspicious_labels", outcome="skipped", text="no --max-suspicious")
    counted = noise["suspicious"] if new is None else new
    text = (
        f"{_count(counted, 'suspicious label')} {'is' if counted == 1 else 'are'} "
        f"{'new since the baseline, ' if new is not None else ''}{'' if counted > limit else 'not '}more than {limit}"
    )
    return Check(name="suspicious_labels", outcome=_outcome(counted > limit), text=text)


def _check_unreadable(noise: dict[str, Any], limits: Limits) -> Check:
    limit, counted = limits.max_unreadable, unreadable(noise)
    said = _count(counted, "unreadable image")
    if limit is None:
        text = "no --max-unreadable" + (f" ({said})" if counted else "")
        return Check(name="unreadable_images", outcome="skipped", text=text)
    text = f"{said} {'is' if counted == 1 else 'are'} {'' if counted > limit else 'not '}more than {limit}"
    return Check(name="unreadable_images", outcome=_outcome(counted > limit), text=text)


def _check_warnings(noise: dict[str, Any], limits: Limits) -> Check:
    if not limits.fail_on_warning:
        return Check(name="warnings", outcome="skipped", text="no --fail-on-warning")
    warnings = [str(warning) for warning in noise["warnings"]]
    counts = [_count(len(warnings), "warning")]
    if bad := unreadable(noise):
        counts.append(_count(bad, "unreadable image"))
    if absent := maybe_images(noise):
        counts.append(f"{_count(absent, 'file')} left out that may be images")
    return Check(
        name="warnings",
        outcome=_outcome(bool(warnings or bad or absent)),
        text=", ".join(counts),
        subjects=tuple(("", warning) for warning in warnings),
    )


def _noise_rate(noise: dict[str, Any]) -> float:
    if noise["noise_rate"] is None:
        raise RunError("this audit has no noise rate to check", fix="see the warnings of labelaudit report")
    return _share(noise["noise_rate"])


def noise_interval(noise: dict[str, Any]) -> tuple[float, float] | None:
    """Lower and upper end of the noise rate's interval; None where the audit has none.

    Raises:
        RunError: it is no pair of shares.
    """
    interval = noise.get("noise_rate_interval")
    if interval is None:
        return None
    if not isinstance(interval, list) or len(interval) != 2:
        raise _damaged(interval)
    return _share(interval[0]), _share(interval[1])


def _share(value: object) -> float:
    """A rate of noise.json; NaN in particular would exceed no limit."""
    if not isinstance(value, int | float) or not 0 <= value <= 1:
        raise _damaged(value)
    return float(value)


def _damaged(value: object) -> RunError:
    return RunError(f"this audit has {value!r} where a noise rate should be", fix="run labelaudit fit again")


def _outcome(exceeded: bool) -> Outcome:
    return "failed" if exceeded else "passed"


def _compared(value: float, limit: float) -> str:
    """Both in percent, with as many digits as it takes to tell them apart."""
    digits = 2
    while value != limit and f"{value:.{digits}%}" == f"{limit:.{digits}%}" and digits < 12:
        digits += 1
    relation = "is above" if value > limit else "is not above"
    return f"{value:.{digits}%} {relation} {limit:.{digits}%}"


def _count(count: int, noun: str, plural: str = "") -> str:
    return f"{count} {noun if count == 1 else plural or noun + 's'}"
