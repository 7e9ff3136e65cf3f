from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.estimators import transition_estimate
from labelaudit.detect.theory import held_out_interval
from labelaudit.detect.transition import fit_transition
from tests.detect.helpers import beliefs_of, statistics_of


def doubting(samples=1000, *, held_out):
    """Of a probe that is sure of seven tenths, and of two tenths that they are wrong; a tenth it half doubts."""
    kind_N = np.arange(samples) % 10
    label_N = (np.arange(samples) // 10 % 2).astype(np.int32)
    given_N = np.select([kind_N < 7, kind_N < 9], [0.99, 0.01], 0.6)
    beliefs = beliefs_of(given_N, [1 - label_N], [1 - given_N])
    alone = fit_transition(label_N, [beliefs], 2) if held_out else None
    return statistics_of(1 - given_N, label_N=label_N, beliefs=beliefs, held_out=alone)


def test_held_out_beliefs_give_rate_and_p_themselves_and_others_those_of_the_joint():
    for held_out in (True, False):
        statistics = doubting(held_out=held_out)
        model, joint = statistics.transition, statistics.joint
        found = transition_estimate(statistics, "log_odds")
        rate = model.p_mislabeled_N.mean() if held_out else joint.noise_rate
        assert found.noise_rate == pytest.approx(rate, abs=1e-4)
        assert found.p_mislabeled_N.mean() == pytest.approx(found.noise_rate)
        assert model.p_mislabeled_N.mean() != pytest.approx(joint.noise_rate, abs=0.002)
        if held_out:
            np.testing.assert_allclose(found.p_mislabeled_N, model.p_mislabeled_N, atol=1e-3)


def test_held_out_beliefs_have_their_own_interval():
    statistics = doubting(held_out=True)
    found = transition_estimate(statistics, "log_odds").interval(statistics)
    assert found == pytest.approx(held_out_interval(statistics.transition, statistics.seen_N, statistics.joint))
    assert found != pytest.approx(transition_estimate(statistics, "log_odds").interval(doubting(held_out=False)))


def test_another_statistic_ranks_and_gets_the_same_rate():
    statistics = doubting(held_out=True)
    suspicion_N = np.random.default_rng(0).normal(statistics.aul_N, 0.3)
    statistics = replace(statistics, aul_N=suspicion_N)
    by_model, by_aul = (transition_estimate(statistics, rank_by) for rank_by in ("log_odds", "aul"))
    assert by_aul.noise_rate == by_model.noise_rate
    assert by_aul.p_mislabeled_N.mean() == pytest.approx(by_model.noise_rate)
    rising_N = by_aul.p_mislabeled_N[np.argsort(suspicion_N)]
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
