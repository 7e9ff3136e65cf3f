from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.detect.confident import ConfidentJoint, confident_joint
from labelaudit.detect.theory import held_out_interval, hidden_rate, noise_rate, probability, probability_by, wilson
from labelaudit.detect.transition import fit_transition
from tests.detect.helpers import certain


def everywhere(count):
    return np.ones(count, dtype=bool)


def logit(p_N):
    return np.log(p_N / (1 - p_N))


def model_with(p_N, doubt_N):
    """A noise transition model that says this of each sample."""
    label_N = np.zeros(len(p_N), dtype=np.int32)
    model = fit_transition(label_N, [certain(label_N, label_N)], 2)
    return replace(model, log_odds_N=logit(np.asarray(p_N)), doubt_N=np.asarray(doubt_N, dtype=float))


def test_the_shift_makes_the_mean_the_rate_and_keeps_the_distances():
    log_odds_N = np.array([-4.0, -1.0, np.nan, 0.5, 3.0])
    for rate in (0.001, 0.3, 0.999):
        p_N = probability(log_odds_N, rate)
        assert np.nanmean(p_N) == pytest.approx(rate, abs=1e-9)
        np.testing.assert_allclose(logit(p_N) - logit(p_N[0]), log_odds_N - log_odds_N[0], atol=1e-9)
    # By hand: two samples, log-odds ± 1 apart, are symmetric around a rate of a half.
    np.testing.assert_allclose(probability(np.array([4.0, 6.0]), 0.5), [1 / (1 + np.e), np.e / (1 + np.e)])
    np.testing.assert_array_equal(probability(np.array([9.0, np.nan]), 0.0), [0.0, np.nan])


@given(st.lists(st.floats(-1e3, 1e3) | st.just(np.nan), min_size=2, max_size=60), st.floats(0, 1))
def test_p_is_a_probability_and_rises_with_the_score(scores, rate):
    score_N = np.array([0.0, *scores])
    found_N = probability(score_N, rate)
    assert np.isnan(found_N).tolist() == np.isnan(score_N).tolist()
    assert np.nanmean(found_N) == pytest.approx(rate, abs=1e-9)
    found_N = found_N[np.argsort(score_N)][: np.isfinite(score_N).sum()]
    assert (np.diff(found_N, prepend=0, append=1) >= -1e-12).all()


def test_p_by_another_statistic_rises_with_it_and_keeps_the_mean():
    # By hand: .5 and .3 are in the wrong order, so both get their mean.
    suspicion_N, p_N = np.array([1.0, 2.0, 3.0, 4.0, np.nan]), np.array([0.1, 0.5, 0.3, 0.9, 0.7])
    np.testing.assert_allclose(probability_by(suspicion_N, p_N), [0.1, 0.4, 0.4, 0.9, np.nan])
    np.testing.assert_allclose(probability_by(-suspicion_N, p_N), [0.45] * 4 + [np.nan])
    assert np.isnan(probability_by(np.full(3, np.nan), np.full(3, 0.5))).all()


def test_the_rate_is_the_models_mean_if_held_out_and_else_the_joints():
    label_N = np.where(np.arange(60) % 10 == 0, 1, 0).astype(np.int32)
    joint = confident_joint(label_N, certain(label_N, np.zeros(60, dtype=np.int32)), 2)
    assert noise_rate(None, joint, everywhere(60)) == joint.noise_rate > 0.05
    model = model_with([0.1, 0.9, 0.5], [1.0] * 3)
    assert noise_rate(model, joint, np.array([True, True, False])) == pytest.approx(0.5)


def joint_of(rate, samples=1000):
    """A joint of two classes in which this share of the labels is wrong."""
    cells = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.5, rate, 0.5 - rate])
    given_Q, true_Q, share_Q = cells
    class_N = np.zeros(samples, dtype=np.int32)
    return ConfidentJoint(classes=2, samples=samples, given_Q=given_Q, true_Q=true_Q, share_Q=share_Q, class_N=class_N)


def test_the_high_end_is_not_below_the_rate_of_the_joint():
    doubting = model_with(np.full(1000, 0.1), np.full(1000, 0.3))
    low, high = held_out_interval(doubting, everywhere(1000), joint_of(0.0))
    assert held_out_interval(doubting, everywhere(1000), joint_of(0.1)) == (low, high)
    assert held_out_interval(doubting, everywhere(1000), joint_of(0.4)) == (low, wilson(400, 1000)[1])


def test_the_held_out_interval_by_hand():
    # Rate .1, doubt .3: of the .2 that is doubt only, a tenth less and three tenths more are errors.
    model = model_with(np.full(1000, 0.1), np.full(1000, 0.3))
    low, high = held_out_interval(model, everywhere(1000), joint_of(0.0))
    assert (low, high) == pytest.approx((wilson(80, 1000)[0], wilson(160, 1000)[1]))
    assert low < 0.08
    assert high > 0.16
    # A surer probe and more samples narrow it; samples without a record do not count.
    sure = held_out_interval(model_with(np.full(1000, 0.1), np.full(1000, 0.1)), everywhere(1000), joint_of(0.0))
    assert sure == pytest.approx(wilson(100, 1000))
    few = held_out_interval(model, np.arange(1000) < 100, joint_of(0.0))
    assert few[0] < low < high < few[1]
    mixed = model_with(np.r_[np.full(1000, 0.1), np.full(500, 0.9)], np.full(1500, 0.3))
    assert held_out_interval(mixed, np.arange(1500) < 1000, joint_of(0.0)) == pytest.approx((low, high))


def test_a_held_out_rate_below_half_an_error_begins_at_nothing():
    low, high = held_out_interval(model_with(np.full(100, 0.004), np.full(100, 0.004)), everywhere(100), joint_of(0.0))
    assert low == 0.0
    assert 0.03 < high < 0.05
    assert (
        held_out_interval(model_with(np.full(100, 0.9), np.full(100, 0.95)), everywhere(100), joint_of(0.0))[1] <= 1.0
    )


def test_wilsons_interval_by_hand():
    # 1 of 10: (0.1 + z²/20 ± z √(0.009 + z²/400)) / (1 + z²/10) with z = 1.96.
    assert wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)


def hidden_of(errors_KK, doubt_KK, *, found=0.1, doubt=0.5):
    """Return the hidden rate of a model that finds this share of errors, between these pairs, beside this doubt."""
    samples, classes = 100, len(errors_KK)
    true_Q, given_Q = (index.ravel() for index in np.indices((classes, classes)))
    model = replace(
        model_with(np.full(samples, found), np.full(samples, found + doubt)),
        true_Q=true_Q,
        given_Q=given_Q,
        count_Q=np.where(true_Q == given_Q, 90.0, np.ravel(errors_KK)),
        doubt_Q=np.where(true_Q == given_Q, 0.0, np.ravel(doubt_KK)),
    )
    return hidden_rate(model, everywhere(samples), classes)


def confusing(pairs, classes=8):
    """Return [K, K] with 1 for these pairs, both ways, and a little for the others."""
    found_KK = np.full((classes, classes), 0.01)
    for a, b in pairs:
        found_KK[a, b] = found_KK[b, a] = 1.0
    return found_KK


def test_errors_between_the_classes_that_the_probe_confuses_hide_as_many_again():
    doubt_KK = confusing([(0, 1), (2, 3)])
    assert hidden_of(doubt_KK, doubt_KK) == pytest.approx(0.1, rel=0.01)
    # At most three tenths of the doubt.
    assert hidden_of(doubt_KK, doubt_KK, doubt=0.2) == pytest.approx(0.06, rel=0.01)


def test_errors_that_are_not_like_the_doubt_hide_none():
    doubt_KK = confusing([(0, 1), (2, 3)])
    assert hidden_of(np.ones((8, 8)), doubt_KK) < 0.01
    assert hidden_of(confusing([(4, 5), (6, 7)]), doubt_KK) < 0.03
    half = hidden_of(doubt_KK + confusing([(4, 5), (6, 7)]), doubt_KK)
    assert 0.03 < half < 0.09


def test_nothing_hides_where_there_are_no_errors_or_no_doubt():
    doubt_KK = confusing([(0, 1)])
    assert hidden_of(np.zeros((8, 8)), doubt_KK) == 0.0
    assert hidden_of(doubt_KK, np.zeros((8, 8))) == 0.0
