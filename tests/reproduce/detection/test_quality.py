"""Calibration, flags, rankings and spreads, by hand."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from labelaudit.reproduce.detection.curves import correlation
from labelaudit.reproduce.detection.quality import calibration_error, flag_quality, rank_quality, spread


def test_calibration_error_by_hand() -> None:
    # Two bins: (0, 1/2] holds .1, .3 and .5 with one wrong label, (1/2, 1] holds .9 and 1.0 with one.
    p_N = np.array([0.1, 0.3, 0.5, 0.9, 1.0])
    wrong_N = np.array([False, True, False, True, False])
    # 3/5 · |1/3 − .3| + 2/5 · |1/2 − .95|
    assert calibration_error(wrong_N, p_N, bins=2) == pytest.approx(0.02 + 0.18)


def test_bins_are_closed_above_and_the_first_has_zero_in_it() -> None:
    # In 15 bins, 1/15 belongs to the first: together with 0 its mean p is 1/30, of which half is wrong.
    assert calibration_error(np.array([True, False]), np.array([0.0, 1 / 15])) == pytest.approx(0.5 - 1 / 30)
    # Just above it the two are in different bins: |1 − 0| / 2 + |0 − .067| / 2.
    assert calibration_error(np.array([True, False]), np.array([0.0, 0.067])) == pytest.approx(0.5 + 0.0335)


def test_a_probability_that_is_right_is_calibrated_and_its_opposite_is_not() -> None:
    wrong_N = np.array([True] * 8 + [False] * 2)
    assert calibration_error(wrong_N, np.full(10, 0.8)) == pytest.approx(0)
    assert calibration_error(wrong_N, np.full(10, 0.2)) == pytest.approx(0.6)
    assert math.isnan(calibration_error(np.zeros(0, dtype=bool), np.zeros(0)))


@given(hnp.arrays(np.float64, st.integers(1, 40), elements=st.floats(0, 1)), st.data())
def test_calibration_error_is_a_share_and_at_least_the_error_of_the_mean(p_N: np.ndarray, data: st.DataObject) -> None:
    wrong_N = np.array(data.draw(st.lists(st.booleans(), min_size=len(p_N), max_size=len(p_N))))
    error = calibration_error(wrong_N, p_N)
    assert abs(wrong_N.mean() - p_N.mean()) - 1e-12 <= error <= 1 + 1e-12


def test_flags_by_hand() -> None:
    wrong_N = np.array([True, True, True, True, False, False, False, False, False, False])
    flagged_N = np.array([True, True, True, False, True, False, False, False, False, False])
    found = flag_quality(wrong_N, flagged_N)
    assert (found.share, found.precision, found.recall, found.f1) == (0.4, 0.75, 0.75, 0.75)


def test_what_is_not_defined_is_no_number() -> None:
    nothing, everything = np.zeros(4, dtype=bool), np.ones(4, dtype=bool)
    found = flag_quality(nothing, nothing)
    assert found.share == 0
    assert all(map(math.isnan, (found.precision, found.recall, found.f1)))
    assert flag_quality(nothing, everything).precision == 0
    assert flag_quality(everything, nothing).f1 == 0
    for wrong_N in (nothing, everything):
        assert math.isnan(rank_quality(wrong_N, np.arange(4.0)).auroc)


def test_a_ranking_by_hand() -> None:
    # From the top: wrong, right, wrong, right. Pairs in the right order: 3 of 4; precision 1 and 2/3 at the wrong ones.
    found = rank_quality(np.array([False, True, False, True]), np.array([1.0, 2.0, 3.0, 4.0]))
    assert found.auroc == 0.75
    assert found.average_precision == pytest.approx((1 + 2 / 3) / 2)
    assert rank_quality(np.array([True, False]), np.array([1.0, 2.0])).auroc == 0


def test_mean_and_spread_by_hand() -> None:
    found = spread([1.0, 2.0, 6.0])
    assert (found.mean, found.count) == (3.0, 3)
    assert found.deviation == pytest.approx(math.sqrt((4 + 1 + 9) / 2))
    assert spread([0.5, math.nan]).count == 1
    assert math.isnan(spread([0.5]).deviation)
    assert math.isnan(spread([math.nan]).mean)


def test_a_correlation_by_hand() -> None:
    one_N, other_N = np.array([1.0, 2.0, 3.0, np.nan]), np.array([1.0, 3.0, 2.0, 9.0])
    assert correlation(one_N, other_N) == pytest.approx(0.5)
    assert correlation(one_N, -other_N) == pytest.approx(-0.5)
    assert math.isnan(correlation(np.ones(3), np.arange(3.0)))
    assert math.isnan(correlation(one_N[:1], other_N[:1]))
