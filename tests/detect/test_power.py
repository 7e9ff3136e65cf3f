from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.controls import Controls
from labelaudit.detect.power import Found, Review, measure_power
from tests.detect.helpers import evidence_of, statistics_of


def with_controls(aul_N, kind_N, taught_label_N, taught_aul_N):
    """Evidence of these given labels' AULs, and of other AULs for the labels that were taught."""
    label_N = np.zeros(len(aul_N), dtype=np.int32)
    return replace(
        evidence_of(aul_N, classes=3),
        controls=Controls(kind_N=np.array(kind_N), label_N=np.array(taught_label_N, dtype=np.int32)),
        taught=statistics_of(taught_aul_N, label_N=label_N, classes=3),
    )


def test_planted_labels_above_the_cut_are_found():
    # The cut is 5: the least AUL of a flagged sample that is no control.
    aul_N = [1.0, 1.0, 5.0, 7.0, 9.0, 0.5, 0.5, 0.5]
    taught_N = [1.0, 1.0, 5.0, 7.0, 9.0, 4.9, 5.0, 8.0]
    evidence = with_controls(aul_N, [-1, -1, -1, -1, -1, 0, 0, 2], [0, 0, 0, 0, 0, 1, 2, 1], taught_N)
    flagged_N = np.array([False, False, True, True, True, False, False, False])
    power = measure_power(evidence, "aul", flagged_N.astype(float), flagged_N)
    assert power.found == (
        Found(kind="random", label=None, planted=2, found=1),
        Found(kind="random", label=1, planted=1, found=0),
        Found(kind="random", label=2, planted=1, found=1),
        Found(kind="look-alike", label=None, planted=1, found=1),
        Found(kind="look-alike", label=1, planted=1, found=1),
    )


def test_where_nothing_is_flagged_nothing_is_found():
    evidence = with_controls([1.0, 1.0, 0.5], [-1, -1, 0], [0, 0, 1], [1.0, 1.0, 99.0])
    power = measure_power(evidence, "aul", np.zeros(3), np.zeros(3, dtype=bool))
    assert power.found[0] == Found(kind="random", label=None, planted=1, found=0)
    assert power.reviews == ()


def test_who_reviews_the_list_catches_what_the_probabilities_add_up_to():
    p_N = np.array([np.nan, 1.0, 0.9, 0.8, 0.7, 0.1, 0.1, 0.2, 0.2])
    power = measure_power(evidence_of([1.0] * 9), "aul", p_N, p_N > 0.5)
    assert power.found == ()
    assert power.reviews[0] == Review(top=1, caught=pytest.approx(1.0 / 4))
    assert Review(top=4, caught=pytest.approx(3.4 / 4)) in power.reviews
    assert power.reviews[-1] == Review(top=8, caught=pytest.approx(1.0))


def test_nobody_is_asked_to_review_an_odd_number():
    p_N = np.repeat([0.9, 0.01], [1837, 50_000])
    tops = [review.top for review in measure_power(evidence_of([1.0] * len(p_N)), "aul", p_N, p_N > 0.5).reviews]
    assert tops == sorted(tops)
    assert all(len(str(top).rstrip("0")) <= 2 for top in tops)
    assert any(1800 <= top <= 2400 for top in tops)
