import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelaudit.detect.calibration import calibrated_probability


def logistic_task(count=20_000, seed=0):
    """Scores and the truth, drawn from P(wrong) = σ(2 · score − 3)."""
    generator = np.random.default_rng(seed)
    score_N = generator.normal(0, 2, count)
    p_N = 1 / (1 + np.exp(3 - 2 * score_N))
    return score_N, p_N, generator.random(count) < p_N


def test_a_logistic_truth_is_found():
    score_N, truth_N, wrong_N = logistic_task()
    everywhere = np.ones(len(score_N), dtype=bool)
    found_N = calibrated_probability(score_N, everywhere, wrong_N, wrong_N.mean())
    assert np.abs(found_N - truth_N).max() < 0.05
    assert np.abs(found_N - truth_N).mean() < 0.01


@pytest.mark.parametrize("rate", [0.001, 0.05, 0.5, 0.999])
def test_the_mean_probability_is_the_rate(rate):
    score_N, _, wrong_N = logistic_task(2000)
    found_N = calibrated_probability(score_N, np.ones(2000, dtype=bool), wrong_N, rate)
    assert found_N.mean() == pytest.approx(rate, abs=1e-6)


def test_half_the_steepness_is_half_the_slope():
    score_N, _, wrong_N = logistic_task(2000)
    everywhere = np.ones(2000, dtype=bool)
    steep_N, flat_N = (calibrated_probability(score_N, everywhere, wrong_N, 0.3, steepness=step) for step in (1, 0.5))
    slope = [np.polyfit(score_N, np.log(p_N / (1 - p_N)), 1)[0] for p_N in (steep_N, flat_N)]
    assert slope[1] == pytest.approx(slope[0] / 2)
    assert flat_N.mean() == pytest.approx(0.3)


def test_only_sure_samples_teach():
    score_N, _, wrong_N = logistic_task(2000)
    sure_N = np.arange(2000) < 1000
    nonsense_N = np.where(sure_N, wrong_N, ~wrong_N)
    np.testing.assert_array_equal(
        calibrated_probability(score_N, sure_N, nonsense_N, 0.2), calibrated_probability(score_N, sure_N, wrong_N, 0.2)
    )


def test_the_other_way_round_is_no_evidence_at_all():
    score_N, _, wrong_N = logistic_task(2000)
    found_N = calibrated_probability(-score_N, np.ones(2000, dtype=bool), wrong_N, 0.2)
    np.testing.assert_allclose(found_N, 0.2, atol=1e-6)


@pytest.mark.parametrize("rate", [0.0, 0.1])
def test_without_a_wrong_label_nothing_is_suspicious(rate):
    found_N = calibrated_probability(np.arange(5.0), np.ones(5, dtype=bool), np.zeros(5, dtype=bool), rate)
    assert found_N.tolist() == [0.0] * 5


def test_a_clean_cut_is_found_and_stays_finite():
    score_N = np.concatenate([np.linspace(-1, 0, 900), np.linspace(5, 6, 100)])
    found_N = calibrated_probability(score_N, np.ones(1000, dtype=bool), score_N > 3, 0.1)
    assert found_N[:900].max() < 0.1
    assert found_N[900:].min() > 0.9


def test_samples_without_a_score_have_no_probability():
    found_N = calibrated_probability(np.array([np.nan, 0.0, 1.0, 9.0]), np.ones(4, bool), np.arange(4) == 3, 0.25)
    assert np.isnan(found_N).tolist() == [True, False, False, False]


@settings(deadline=None, max_examples=50)
@given(st.lists(st.floats(-1e6, 1e6), min_size=2, max_size=60), st.integers(0, 2**32 - 1), st.floats(0.0, 1.0))
def test_p_is_a_probability_and_rises_with_the_score(scores, seed, rate):
    score_N = np.array(scores)
    generator = np.random.default_rng(seed)
    found_N = calibrated_probability(
        score_N, generator.random(len(score_N)) < 0.8, generator.random(len(score_N)) < 0.3, rate
    )
    assert ((found_N >= 0) & (found_N <= 1)).all()
    assert (np.diff(found_N[np.argsort(score_N)]) >= -1e-12).all()


def test_only_counted_samples_set_the_rate_and_the_others_get_the_same_curve():
    suspicion_N, sure_N, wrong_N = np.linspace(-3, 3, 200), np.ones(200, dtype=bool), np.arange(200) > 150
    counted_N = np.arange(200) % 4 != 3
    suspicion_N[~counted_N] = 3.0
    p_N = calibrated_probability(suspicion_N, sure_N & counted_N, wrong_N, 0.2, counted_N=counted_N)
    assert p_N[counted_N].mean() == pytest.approx(0.2, abs=1e-6)
    assert p_N.mean() > 0.3
    assert p_N[~counted_N] == pytest.approx(np.interp(3.0, suspicion_N[counted_N], p_N[counted_N]), abs=0.05)


def test_values_that_hardly_differ_are_no_trouble():
    score_N = np.concatenate([np.zeros(50), np.full(30, 5e-324), [1e6, -1e6]])
    found_N = calibrated_probability(score_N, np.ones(82, dtype=bool), score_N > 0, 0.3)
    assert found_N.mean() == pytest.approx(0.3, abs=1e-6)
