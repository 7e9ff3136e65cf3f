from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.detect.confident import ConfidentJoint
from labelaudit.detect.theory import (
    held_out_interval,
    hidden_rate,
    probability,
    probability_by,
    transition_estimate,
    wilson,
)
from labelaudit.detect.transition import fit_transition
from tests.detect.helpers import beliefs_of, certain, statistics_of


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


def joint_of(rate, samples=1000):
    """A joint of two classes in which this share of the labels is wrong."""
    cells = np.array([0, 0, 1]), np.array([0, 1, 1]), np.array([0.5, rate, 0.5 - rate])
    given_Q, true_Q, share_Q = cells
    class_N = np.zeros(samples, dtype=np.int32)
    return ConfidentJoint(classes=2, samples=samples, given_Q=given_Q, true_Q=true_Q, share_Q=share_Q, class_N=class_N)


def ends(p, doubt, *, samples=1000, joint=0.0):
    """The interval of a held-out model that says this of every sample, beside a joint of this rate."""
    model = model_with(np.full(samples, p), np.full(samples, doubt))
    return held_out_interval(model, everywhere(samples), joint_of(joint))


def test_the_held_out_interval_by_hand():
    # Rate .1, doubt .3: of the .2 that is doubt only, a tenth less and three tenths more are errors.
    low, high = ends(0.1, 0.3)
    assert (low, high) == pytest.approx((wilson(80, 1000)[0], wilson(160, 1000)[1]))
    # A surer probe and more samples narrow it; samples without a record do not count.
    assert ends(0.1, 0.1) == pytest.approx(wilson(100, 1000))
    few = ends(0.1, 0.3, samples=100)
    assert few[0] < low < high < few[1]
    mixed = model_with(np.r_[np.full(1000, 0.1), np.full(500, 0.9)], np.full(1500, 0.3))
    assert held_out_interval(mixed, np.arange(1500) < 1000, joint_of(0.0)) == pytest.approx((low, high))
    # The high end is not below the rate of the joint.
    assert ends(0.1, 0.3, joint=0.1) == (low, high)
    assert ends(0.1, 0.3, joint=0.4) == (low, wilson(400, 1000)[1])


def test_a_held_out_rate_below_half_an_error_begins_at_nothing():
    low, high = ends(0.004, 0.004, samples=100)
    assert low == 0.0
    assert 0.03 < high < 0.05
    assert ends(0.9, 0.95, samples=100)[1] <= 1.0


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


def doubting(samples=1000, *, held_out):
    """Of a probe that is sure of seven tenths, and of two tenths that they are wrong; a tenth it half doubts.

    The last sample has no record.
    """
    kind_N = np.arange(samples) % 10
    label_N = (np.arange(samples) // 10 % 2).astype(np.int32)
    given_N = np.select([kind_N < 7, kind_N < 9], [0.99, 0.01], 0.6)
    given_N[-1] = np.nan
    beliefs = beliefs_of(given_N, [1 - label_N], [1 - given_N])
    alone = fit_transition(label_N, [beliefs], 2) if held_out else None
    return statistics_of(1 - given_N, label_N=label_N, beliefs=beliefs, held_out=alone)


def test_held_out_beliefs_give_rate_and_p_and_interval_themselves_and_others_those_of_the_joint():
    ends = set()
    for held_out in (True, False):
        statistics = doubting(held_out=held_out)
        model, joint = statistics.transition, statistics.joint
        found = transition_estimate(statistics, "log_odds")
        rate = np.nanmean(model.p_mislabeled_N) if held_out else joint.noise_rate
        assert found.noise_rate == pytest.approx(rate, abs=1e-4)
        assert np.nanmean(found.p_mislabeled_N) == pytest.approx(found.noise_rate)
        assert np.nanmean(model.p_mislabeled_N) != pytest.approx(joint.noise_rate, abs=0.002)
        ends.add(found.interval(statistics))
        if held_out:
            np.testing.assert_allclose(found.p_mislabeled_N, model.p_mislabeled_N, atol=1e-3)
            assert ends == {held_out_interval(model, statistics.seen_N, joint)}
    assert len(ends) == 2


def test_another_statistic_ranks_and_gets_the_same_rate():
    statistics = doubting(held_out=True)
    suspicion_N = np.random.default_rng(0).normal(statistics.aul_N, 0.3)
    statistics = replace(statistics, aul_N=suspicion_N)
    by_model, by_aul = (transition_estimate(statistics, rank_by) for rank_by in ("log_odds", "aul"))
    assert by_aul.noise_rate == by_model.noise_rate
    assert np.nanmean(by_aul.p_mislabeled_N) == pytest.approx(by_model.noise_rate)
    rising_N = by_aul.p_mislabeled_N[np.argsort(suspicion_N)][:-1]
    assert (np.diff(rising_N) >= 0).all()
    assert rising_N[0] < 0.1
    assert rising_N[-1] > 0.9
    assert transition_estimate(statistics_of([np.nan] * 3), "log_odds") is None


def leaning(sure, leaning, right):
    """So many samples of which the probe is sure that they are wrong, leans to another class, or agrees."""
    count = sure + leaning + right
    # Class 0 is believed at .8 where the label is right; class 1, without samples of its own but one, at .9.
    given = [0.05] * sure + [0.2] * leaning + [0.8] * right + [0.9]
    other = [0.95] * sure + [0.4] * leaning + [0.2] * right + [0.1]
    label_N = np.append(np.zeros(count), 1).astype(np.int32)
    return statistics_of([1.0] * (count + 1), label_N=label_N, beliefs=beliefs_of(given, [1 - label_N], [other]))


def interval_of(statistics):
    estimate = transition_estimate(statistics, "log_odds")
    return estimate.noise_rate, estimate.interval(statistics)


def test_the_interval_goes_from_what_the_probe_is_sure_of_to_what_it_leans_to():
    rate, (low, high) = interval_of(leaning(1000, 500, 8499))
    assert 0.093 < low < 0.1 < rate < 0.15 < high < 0.158
    few = interval_of(leaning(10, 5, 84))[1]
    assert few[0] < low < high < few[1]


def test_its_lower_end_counts_half_of_what_the_records_leave_open():
    statistics = leaning(1000, 500, 8499)
    beliefs = statistics.beliefs
    # Of the 1,000, 400 are above the threshold of class 1 only by more than half of what the records leave open.
    rest_N = np.where(np.arange(len(beliefs.given_N)) < 400, 0.6, 0.0)
    weaker = replace(statistics, beliefs=replace(beliefs, rest_N=rest_N))
    rate, (lower, same) = interval_of(weaker)
    assert lower == pytest.approx(0.06, abs=0.006)
    assert same == interval_of(statistics)[1][1]
    assert rate == pytest.approx(1000 / 9500, abs=0.01)
