from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.detect.confident import ConfidentJoint, cell_log_odds, confident_joint
from labelaudit.detect.estimators import ESTIMATORS, confident_joint_estimate
from labelaudit.detect.evidence import Controls, TailRate
from labelaudit.detect.theory import cell_margin, probability, wilson
from tests.detect.helpers import beliefs_of, certain, evidence_of

CLASSES, SAMPLES, CONTROLS = 10, 6000, 300


def everywhere(count):
    return np.ones(count, dtype=bool)


def logistic_task(count=2000, seed=0):
    """Return scores, P(wrong) = σ(2 · score − 3) and the truth drawn from it."""
    generator = np.random.default_rng(seed)
    score_N = generator.normal(0, 2, count)
    p_N = 1 / (1 + np.exp(3 - 2 * score_N))
    return score_N, p_N, generator.random(count) < p_N


@pytest.mark.parametrize(("structure", "share"), [(0.3, 0.05), (0.6, 0.2), (0.99, 0.75)])
def test_a_cell_counts_as_much_as_structure_outweighs_chance(structure, share, monkeypatch):
    monkeypatch.setattr(ConfidentJoint, "structure", property(lambda _: structure))
    true_N = np.arange(400, dtype=np.int32) % 4
    label_N = np.where(np.arange(400) < 40, (true_N + 1) % 4, true_N).astype(np.int32)
    beliefs, margin_N = certain(label_N, true_N), np.linspace(-1, 1, 400)
    joint = confident_joint(label_N, beliefs, 4)
    log_odds_N = cell_log_odds(label_N, beliefs.alternative_N, joint, everywhere(400))
    assert log_odds_N.min() > 1
    found_N = cell_margin(margin_N, label_N, beliefs, joint, everywhere(400))
    np.testing.assert_allclose(found_N, margin_N - share * log_odds_N)


def test_a_logistic_truth_is_found():
    score_N, truth_N, wrong_N = logistic_task(20_000)
    off_N = np.abs(probability(score_N, everywhere(20_000), wrong_N, wrong_N.mean()) - truth_N)
    assert off_N.max() < 0.05
    assert off_N.mean() < 0.01


def test_the_mean_probability_is_the_rate_and_even_errors_halve_the_slope():
    score_N, _, wrong_N = logistic_task()
    for rate in (0.001, 0.05, 0.5, 0.999):
        assert probability(score_N, everywhere(2000), wrong_N, rate).mean() == pytest.approx(rate, abs=1e-9)
    steep_N, flat_N = (probability(score_N, everywhere(2000), wrong_N, 0.3, evenness=even) for even in (0, 1))
    slope = [np.polyfit(score_N, np.log(p_N / (1 - p_N)), 1)[0] for p_N in (steep_N, flat_N)]
    assert slope[1] == pytest.approx(slope[0] / 2)
    assert flat_N.mean() == pytest.approx(0.3)


def test_only_sure_samples_teach():
    score_N, _, wrong_N = logistic_task()
    sure_N = np.arange(2000) < 1000
    nonsense_N = np.where(sure_N, wrong_N, ~wrong_N)
    np.testing.assert_array_equal(
        probability(score_N, sure_N, nonsense_N, 0.2), probability(score_N, sure_N, wrong_N, 0.2)
    )


def test_only_counted_samples_set_the_rate_and_the_others_get_the_same_curve():
    suspicion_N, wrong_N = np.linspace(-3, 3, 200), np.arange(200) > 150
    counted_N = np.arange(200) % 4 != 3
    suspicion_N[~counted_N] = 3.0
    p_N = probability(suspicion_N, counted_N, wrong_N, 0.2, counted_N=counted_N)
    assert p_N[counted_N].mean() == pytest.approx(0.2)
    assert p_N.mean() > 0.3
    assert p_N[~counted_N] == pytest.approx(np.interp(3.0, suspicion_N[counted_N], p_N[counted_N]), abs=0.05)


def test_scores_without_evidence_give_everyone_the_rate_or_nothing():
    score_N, _, wrong_N = logistic_task()
    np.testing.assert_allclose(probability(-score_N, everywhere(2000), wrong_N, 0.2), 0.2, atol=1e-9)
    np.testing.assert_allclose(probability(score_N, everywhere(2000), everywhere(2000), 0.2), 0.2, atol=1e-9)
    for rate, wrong in ((0.1, False), (0.0, True)):
        assert not probability(score_N, everywhere(2000), np.full(2000, wrong), rate).any()
    assert np.isnan(probability(np.full(3, np.nan), everywhere(3), everywhere(3), 0.5)).all()


@given(
    st.lists(st.floats(-1e6, 1e6) | st.just(np.nan), min_size=2, max_size=60), st.integers(0, 2**32), st.floats(0, 1)
)
def test_p_is_a_probability_and_rises_with_the_score(scores, seed, rate):
    score_N, generator = np.array(scores), np.random.default_rng(seed)
    sure_N, wrong_N = generator.random(len(score_N)) < 0.8, generator.random(len(score_N)) < 0.3
    found_N = probability(score_N, sure_N, wrong_N, rate)
    assert np.isnan(found_N).tolist() == np.isnan(score_N).tolist()
    found_N = found_N[np.argsort(score_N)][: np.isfinite(score_N).sum()]
    assert (np.diff(found_N, prepend=0, append=1) >= -1e-12).all()


def audit(step, *, controls=CONTROLS, seed=0):
    """A tenth is labeled ``step`` classes on (None: any other class); the probe takes 3% hard ones for wrong too.

    Wrong labels, planted ones too, have far higher scores than the hard ones.
    """
    generator = np.random.default_rng(seed)
    right_N = generator.integers(0, CLASSES, SAMPLES)
    moved_N = generator.integers(1, CLASSES, SAMPLES) if step is None else np.full(SAMPLES, step)
    other_N = (right_N + moved_N) % CLASSES
    wrong_N, hard_N = np.arange(SAMPLES) % 10 == 0, np.arange(SAMPLES) % 33 == 5
    label_N = np.where(wrong_N, other_N, right_N).astype(np.int32)
    believed_N = np.where(wrong_N, right_N, np.where(hard_N, other_N, label_N)).astype(np.int32)
    margin_N = np.where(wrong_N, -6.0, np.where(hard_N, -1.0, 6.0)) + generator.normal(0, 0.5, SAMPLES)
    made = {"beliefs": certain(label_N, believed_N), "classes": CLASSES, "cell_margin_N": margin_N}
    evidence = evidence_of(-margin_N, margin_N < 0, label_N=label_N, **made)
    statistics = evidence.statistics
    if not controls:
        return evidence, wrong_N
    planted = np.flatnonzero(~wrong_N & ~hard_N)[:controls]
    kind_N, taught_N, taught_margin_N = np.full(SAMPLES, -1, dtype=np.int32), label_N.copy(), margin_N.copy()
    kind_N[planted] = 0
    taught_N[planted] = (taught_N[planted] + 1) % CLASSES
    taught_margin_N[planted] = generator.normal(-6, 0.5, len(planted))
    joint = confident_joint(label_N, statistics.beliefs, CLASSES, counted_N=kind_N < 0)
    taught, statistics = replace(statistics, cell_margin_N=taught_margin_N), replace(statistics, joint=joint)
    controls = Controls(kind_N=kind_N, label_N=taught_N)
    return replace(evidence, statistics=statistics, controls=controls, taught=taught), wrong_N


def own_rate(evidence):
    """The estimate for the samples that are no controls."""
    return confident_joint_estimate(evidence, "cell_margin").p_mislabeled_N[evidence.own_N].mean()


def test_random_controls_correct_a_rate_that_hard_samples_make_too_high():
    evidence, wrong_N = audit(None)
    truth = wrong_N[evidence.own_N].mean()
    assert evidence.statistics.joint.noise_rate > truth + 0.02
    assert own_rate(evidence) == pytest.approx(truth, abs=0.01)


@pytest.mark.parametrize(("step", "controls"), [(1, CONTROLS), (None, 0), (None, 4)])
def test_under_structured_errors_or_without_enough_controls_the_joint_is_the_rate(step, controls):
    evidence, _ = audit(step, controls=controls)
    joint = evidence.statistics.joint
    assert joint.evenness == 0.0 if step else joint.evenness > 0.5
    assert own_rate(evidence) == pytest.approx(joint.noise_rate)


def test_controls_estimate_the_rate_of_errors_like_them():
    evidence, wrong_N = audit(None)
    found = ESTIMATORS["controls"].estimate(evidence, "cell_margin")
    assert found.noise_rate == pytest.approx(wrong_N[evidence.own_N].mean(), abs=0.01)
    assert set(found.tails) == {"random"}
    assert (found.p_mislabeled_N[wrong_N] > 0.5).mean() > 0.95
    # The given labels of controls are judged as others of their score.
    assert (found.p_mislabeled_N[~evidence.own_N] < 0.5).all()


def leaning(sure, leaning, right):
    """So many samples of which the probe is sure that they are wrong, leans to another class, or agrees."""
    count = sure + leaning + right
    # Class 0 is believed at .8 where the label is right; class 1, without samples of its own but one, at .9.
    given = [0.05] * sure + [0.2] * leaning + [0.8] * right + [0.9]
    other = [0.95] * sure + [0.4] * leaning + [0.2] * right + [0.1]
    label_N = np.append(np.zeros(count), 1).astype(np.int32)
    return evidence_of([1.0] * (count + 1), label_N=label_N, beliefs=beliefs_of(given, [1 - label_N], [other]))


def interval_of(evidence, tails=None):
    estimate = replace(ESTIMATORS["confident-joint"].estimate(evidence, "cell_margin"), tails=tails or {})
    return estimate.noise_rate, estimate.interval(evidence)


def test_the_interval_goes_from_what_the_probe_is_sure_of_to_what_it_leans_to():
    rate, (low, high) = interval_of(leaning(1000, 500, 8499))
    assert 0.093 < low < 0.1 < rate < 0.15 < high < 0.158
    few = interval_of(leaning(10, 5, 84))[1]
    assert few[0] < low < high < few[1]


def test_its_lower_end_counts_half_of_what_the_records_leave_open():
    evidence = leaning(1000, 500, 8499)
    beliefs = evidence.statistics.beliefs
    # Of the 1,000, 400 are above the threshold of class 1 only by more than half of what the records leave open.
    rest_N = np.where(np.arange(len(beliefs.given_N)) < 400, 0.6, 0.0)
    weaker = replace(evidence, statistics=replace(evidence.statistics, beliefs=replace(beliefs, rest_N=rest_N)))
    rate, (lower, same) = interval_of(weaker)
    assert lower == pytest.approx(0.06, abs=0.006)
    assert same == interval_of(evidence)[1][1]
    assert rate == pytest.approx(1000 / 9500, abs=0.01)


def test_controls_have_an_interval_of_their_own():
    for rates, interval in (
        ({"random": (0, 0, 0), "confusion": (0.12, 0.1, 0.14), "look-alike": (0.2, 0.18, 0.22)}, (0.1, 0.22)),
        ({"random": (0.1, 0.05, 0.3)}, (0.05, 0.3)),
    ):
        tails = {kind: TailRate(rate=rate, low=low, high=high) for kind, (rate, low, high) in rates.items()}
        assert interval_of(leaning(1000, 500, 8499), tails)[1] == interval


def test_wilsons_interval_by_hand():
    # 1 of 10: (0.1 + z²/20 ± z √(0.009 + z²/400)) / (1 + z²/10) with z = 1.96.
    assert wilson(1, 10) == pytest.approx((0.0179, 0.4042), abs=1e-4)
    assert wilson(0, 10)[0] == 0.0
    assert wilson(10, 10)[1] == 1.0
    assert wilson(0, 0) == (0.0, 1.0)
