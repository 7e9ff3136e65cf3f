"""The gate: which limits an audit exceeds."""

import pytest

from labelaudit.errors import RunError, UsageError
from labelaudit.report.gate import Limits, check

NOISE = {"noise_rate": 0.1, "suspicious": 7, "warnings": ["a", "b"]}


def test_no_limits_are_never_exceeded() -> None:
    assert check(NOISE, Limits()) == []
    assert not Limits().any


@pytest.mark.parametrize(
    "limits",
    [Limits(max_noise=0.1), Limits(max_noise=1.0), Limits(max_suspicious=7), Limits(max_noise=0.5, max_suspicious=9)],
)
def test_a_limit_may_be_reached(limits: Limits) -> None:
    assert check(NOISE, limits) == []
    assert limits.any


def test_each_limit_that_is_exceeded_is_a_sentence() -> None:
    limits = Limits(max_noise=0.0999, max_suspicious=6, fail_on_warning=True)
    assert check(NOISE, limits) == [
        "noise rate 10.00% is above 9.99%",
        "7 suspicious labels are more than 6",
        "2 warning(s)",
    ]


def test_a_limit_of_zero_is_a_limit() -> None:
    assert Limits(max_suspicious=0).any
    assert Limits(max_noise=0.0).any
    assert len(check(NOISE, Limits(max_noise=0.0, max_suspicious=0))) == 2
    assert check({**NOISE, "noise_rate": 0.0, "suspicious": 0}, Limits(max_noise=0.0, max_suspicious=0)) == []


def test_warnings_fail_only_when_asked_and_there() -> None:
    assert check(NOISE, Limits(max_noise=1.0)) == []
    assert check({**NOISE, "warnings": []}, Limits(fail_on_warning=True)) == []
    assert Limits(fail_on_warning=True).any


@pytest.mark.parametrize("share", [-0.01, 1.01, float("nan"), float("inf")])
def test_a_share_is_between_0_and_1(share: float) -> None:
    with pytest.raises(UsageError, match="is no share"):
        check(NOISE, Limits(max_noise=share))


def test_a_count_is_not_negative() -> None:
    with pytest.raises(UsageError, match="--max-suspicious -1 is negative"):
        check(NOISE, Limits(max_suspicious=-1))


def test_an_unknown_rate_is_no_pass() -> None:
    unknown = {**NOISE, "noise_rate": None}
    with pytest.raises(RunError, match="no noise rate to check"):
        check(unknown, Limits(max_noise=1.0))
    assert check(unknown, Limits(max_suspicious=7)) == []
