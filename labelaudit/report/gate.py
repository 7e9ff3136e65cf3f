"""The data-quality gate: which limits an audit exceeds."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from labelaudit.errors import RunError, UsageError


@dataclass(frozen=True, kw_only=True)
class Limits:
    """What an audit may not exceed; None sets no limit.

    Attributes:
        max_noise: Noise rate, a share in [0, 1].
        max_suspicious: Number of suspicious labels.
        fail_on_warning: Whether a warning is a failure.
    """

    max_noise: float | None = None
    max_suspicious: int | None = None
    fail_on_warning: bool = False

    @property
    def any(self) -> bool:
        """True when there is something to check."""
        return self.max_noise is not None or self.max_suspicious is not None or self.fail_on_warning


def check(noise: dict[str, Any], limits: Limits) -> list[str]:
    """The limits that are exceeded, a sentence each; none when the audit passes.

    Args:
        noise: The content of noise.json.
        limits: What to check.

    Raises:
        UsageError: a limit that cannot be meant.
        RunError: a noise limit, but the audit has no noise rate.
    """
    failures = []
    if limits.max_noise is not None:
        if not 0 <= limits.max_noise <= 1:
            raise UsageError(f"--max-noise {limits.max_noise:g} is no share", fix="give a number from 0 to 1")
        rate = noise["noise_rate"]
        if rate is None:
            raise RunError("this audit has no noise rate to check", fix="see the warnings of labelaudit report")
        if rate > limits.max_noise:
            failures.append(f"noise rate {rate:.2%} is above {limits.max_noise:.2%}")
    if limits.max_suspicious is not None:
        if limits.max_suspicious < 0:
            raise UsageError(f"--max-suspicious {limits.max_suspicious} is negative", fix="give a number from 0")
        if noise["suspicious"] > limits.max_suspicious:
            failures.append(f"{noise['suspicious']} suspicious labels are more than {limits.max_suspicious}")
    if limits.fail_on_warning and noise["warnings"]:
        failures.append(f"{len(noise['warnings'])} warning(s)")
    return failures
