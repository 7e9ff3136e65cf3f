import math
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.engine.optimizers import has_turned, rate_factor
from labelaudit.names import ScheduleName

NAMES = get_args(ScheduleName)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("constant", {0.0: 1.0, 0.3: 1.0, 0.99: 1.0}),
        ("step", {0.0: 1.0, 0.4999: 1.0, 0.5: 0.1, 0.7499: 0.1, 0.75: 0.01, 0.99: 0.01}),
        ("linear", {0.0: 1.0, 0.25: 0.75, 0.9: 0.1}),
        ("cosine", {0.0: 1.0, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 0.75: 0.5 - math.sqrt(0.125)}),
        ("late-linear", {0.0: 1.0, 0.4: 1.0, 0.55: 0.75, 0.7: 0.5, 0.94: 0.1}),
        ("milestones", {0.0: 1.0, 0.99: 1.0}),
        ("one-cycle", {0.0: 0.1, 0.1: 0.55, 0.2: 1.0, 0.6: 0.5, 0.92: 0.1}),
    ],
)
def test_factors_by_hand(name, factors):
    assert {done: rate_factor(name, done) for done in factors} == pytest.approx(factors)


def test_milestones_hold_from_their_start_to_the_next():
    milestones = ((0.25, 0.5), (0.5, 0.2), (0.9, 0.0))
    factors = {0.0: 1.0, 0.2499: 1.0, 0.25: 0.5, 0.4999: 0.5, 0.5: 0.2, 0.8999: 0.2, 0.9: 0.0, 0.99: 0.0}
    assert {done: rate_factor("milestones", done, milestones) for done in factors} == factors


def test_only_late_linear_turns():
    assert [has_turned("late-linear", done) for done in (0.0, 0.3999, 0.4, 0.9)] == [False, False, True, True]
    assert not any(has_turned(name, 0.9) for name in NAMES if name != "late-linear")


@given(st.sampled_from(NAMES), st.floats(0, 1, exclude_max=True))
def test_factors_never_exceed_the_base_rate_nor_turn_negative(name, done):
    assert 0 <= rate_factor(name, done) <= 1 + 1e-12


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ("constant", "milestones")])
def test_every_other_schedule_ends_low(name):
    assert rate_factor(name, 0.999) <= 0.011


def test_one_cycle_has_no_jump_at_its_peak():
    assert rate_factor("one-cycle", 0.2 - 1e-9) == pytest.approx(rate_factor("one-cycle", 0.2), abs=1e-7)
