from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.controls import TailRate
from labelaudit.detect.estimators import ESTIMATORS
from labelaudit.detect.interval import noise_interval, wilson
from tests.detect.helpers import beliefs_of, evidence_of


def audit(sure, leaning, right):
    """So many samples of which the probe is sure that they are wrong, leans to another class, or agrees."""
    count = sure + leaning + right
    # Class 0 is believed at .8 where the label is right; class 1, without samples of its own but one, at .9.
    given = [0.05] * sure + [0.2] * leaning + [0.8] * right + [0.9]
    other = [0.95] * sure + [0.4] * leaning + [0.2] * right + [0.1]
    label_N = np.append(np.zeros(count), 1).astype(np.int32)
    beliefs = beliefs_of(given, [1 - label_N], [other])
    return evidence_of([1.0] * (count + 1), label_N=label_N, beliefs=beliefs)


def interval_of(evidence, tails=None):
    estimate = replace(ESTIMATORS["confident-joint"].estimate(evidence, "cell_margin"), tails=tails or {})
    return estimate.noise_rate, noise_interval(evidence, estimate)


def test_it_goes_from_what_the_probe_is_sure_of_to_what_it_leans_to():
    rate, (low, high) = interval_of(audit(1000, 500, 8499))
    assert low == pytest.approx(0.1, abs=0.007)
    assert low < 0.1
    assert high == pytest.approx(0.15, abs=0.008)
    assert high > 0.15
    assert low <= rate <= high


def test_its_lower_end_counts_half_of_what_the_records_leave_open():
    evidence = audit(1000, 500, 8499)
    beliefs = evidence.statistics.beliefs
    # Of the 1,000, 400 are above the threshold of class 1 only by more than half of what the records leave open.
    rest_N = np.zeros(len(beliefs.given_N))
    rest_N[:400] = 0.6
    weaker = replace(evidence, statistics=replace(evidence.statistics, beliefs=replace(beliefs, rest_N=rest_N)))
    _, (low, high) = interval_of(evidence)
    rate, (lower, same) = interval_of(weaker)
    assert lower == pytest.approx(0.06, abs=0.006)
    assert lower < low
    assert same == high
    assert rate == pytest.approx(1000 / 9500, abs=0.01)


def test_it_widens_with_fewer_samples():
    (_, many), (_, few) = interval_of(audit(1000, 500, 8499)), interval_of(audit(10, 5, 84))
    assert few[0] < many[0]
    assert few[1] > many[1]


def test_clean_labels_of_few_samples_may_hide_an_error():
    rate, (low, high) = interval_of(audit(0, 0, 99))
    assert rate == low == 0.0
    assert 0.02 < high < 0.06


def test_controls_have_an_interval_of_their_own():
    tails = {
        "random": TailRate(rate=0.0, low=0.0, high=0.0),
        "confusion": TailRate(rate=0.12, low=0.1, high=0.14),
        "look-alike": TailRate(rate=0.2, low=0.18, high=0.22),
    }
    _, (low, high) = interval_of(audit(1000, 500, 8499), tails)
    assert (low, high) == (0.1, 0.22)
    _, (low, high) = interval_of(audit(1000, 500, 8499), {"random": TailRate(rate=0.1, low=0.05, high=0.3)})
    assert (low, high) == (0.05, 0.3)


def test_wilsons_interval_by_hand():
    # 1 of 10: (0.1 + z²/20 ± z √(0.009 + z²/400)) / (1 + z²/10) with z = 1.96.
    assert wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)
