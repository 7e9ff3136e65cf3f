from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.confident import confident_joint
from labelaudit.detect.estimators import ESTIMATORS, transition_estimate
from labelaudit.detect.evidence import Controls, TailRate
from labelaudit.detect.theory import held_out_interval
from labelaudit.detect.transition import fit_transition
from tests.detect.helpers import beliefs_of, certain, evidence_of

CLASSES, SAMPLES, CONTROLS = 10, 6000, 300


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
    made = {"beliefs": certain(label_N, believed_N), "classes": CLASSES, "log_odds_N": -margin_N}
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
    taught, statistics = replace(statistics, log_odds_N=-taught_margin_N), replace(statistics, joint=joint)
    controls = Controls(kind_N=kind_N, label_N=taught_N)
    return replace(evidence, statistics=statistics, controls=controls, taught=taught), wrong_N


def own_rate(evidence):
    """The estimate for the samples that are no controls."""
    return transition_estimate(evidence, "log_odds").p_mislabeled_N[evidence.own_N].mean()


def test_random_controls_correct_a_rate_that_hard_samples_make_too_high():
    evidence, wrong_N = audit(None)
    truth = wrong_N[evidence.own_N].mean()
    assert evidence.statistics.joint.noise_rate > truth + 0.02
    assert own_rate(evidence) == pytest.approx(truth, abs=0.01)
    # The rate is that of all samples; controls were mostly right, so it is a little lower.
    found = transition_estimate(evidence, "log_odds")
    assert found.noise_rate == pytest.approx(found.p_mislabeled_N.mean())
    assert found.noise_rate < own_rate(evidence) - 0.002


@pytest.mark.parametrize(("step", "controls"), [(1, CONTROLS), (None, 0), (None, 4)])
def test_under_structured_errors_or_without_enough_controls_the_joint_is_the_rate(step, controls):
    evidence, _ = audit(step, controls=controls)
    joint = evidence.statistics.joint
    assert joint.evenness == 0.0 if step else joint.evenness > 0.5
    assert own_rate(evidence) == pytest.approx(joint.noise_rate)


def test_controls_estimate_the_rate_of_errors_like_them():
    evidence, wrong_N = audit(None)
    found = ESTIMATORS["controls"].estimate(evidence, "log_odds")
    assert found.noise_rate == pytest.approx(wrong_N[evidence.own_N].mean(), abs=0.01)
    assert set(found.tails) == {"random"}
    assert (found.p_mislabeled_N[wrong_N] > 0.5).mean() > 0.95
    # The given labels of controls are judged as others of their score.
    assert (found.p_mislabeled_N[~evidence.own_N] < 0.5).all()


def doubting(samples=1000, *, held_out):
    """Of a probe that is sure of seven tenths, and of two tenths that they are wrong; a tenth it half doubts."""
    kind_N = np.arange(samples) % 10
    label_N = (np.arange(samples) // 10 % 2).astype(np.int32)
    given_N = np.select([kind_N < 7, kind_N < 9], [0.99, 0.01], 0.6)
    beliefs = beliefs_of(given_N, [1 - label_N], [1 - given_N])
    alone = fit_transition(label_N, [beliefs], 2) if held_out else None
    return evidence_of(1 - given_N, label_N=label_N, beliefs=beliefs, held_out=alone)


def test_held_out_beliefs_give_rate_and_p_themselves_and_others_those_of_the_joint():
    for held_out in (True, False):
        evidence = doubting(held_out=held_out)
        model, joint = evidence.statistics.transition, evidence.statistics.joint
        found = transition_estimate(evidence, "log_odds")
        rate = model.p_mislabeled_N.mean() if held_out else joint.noise_rate
        assert found.noise_rate == pytest.approx(rate, abs=1e-4)
        assert found.p_mislabeled_N.mean() == pytest.approx(found.noise_rate)
        assert model.p_mislabeled_N.mean() != pytest.approx(joint.noise_rate, abs=0.002)
        if held_out:
            np.testing.assert_allclose(found.p_mislabeled_N, model.p_mislabeled_N, atol=1e-3)


def test_held_out_beliefs_have_their_own_interval():
    evidence = doubting(held_out=True)
    found = transition_estimate(evidence, "log_odds").interval(evidence)
    assert found == pytest.approx(held_out_interval(evidence.statistics.transition, evidence.own_N))
    assert found != pytest.approx(transition_estimate(evidence, "log_odds").interval(doubting(held_out=False)))


def test_another_statistic_ranks_and_gets_the_same_rate():
    evidence = doubting(held_out=True)
    suspicion_N = np.random.default_rng(0).normal(evidence.statistics.aul_N, 0.3)
    evidence = replace(evidence, statistics=replace(evidence.statistics, aul_N=suspicion_N))
    by_model, by_aul = (transition_estimate(evidence, rank_by) for rank_by in ("log_odds", "aul"))
    assert by_aul.noise_rate == by_model.noise_rate
    assert by_aul.p_mislabeled_N.mean() == pytest.approx(by_model.noise_rate)
    rising_N = by_aul.p_mislabeled_N[np.argsort(suspicion_N)]
    assert (np.diff(rising_N) >= 0).all()
    assert rising_N[0] < 0.1
    assert rising_N[-1] > 0.9


def test_without_a_sample_to_count_there_is_no_estimate():
    assert transition_estimate(evidence_of([np.nan] * 3), "log_odds") is None


def leaning(sure, leaning, right):
    """So many samples of which the probe is sure that they are wrong, leans to another class, or agrees."""
    count = sure + leaning + right
    # Class 0 is believed at .8 where the label is right; class 1, without samples of its own but one, at .9.
    given = [0.05] * sure + [0.2] * leaning + [0.8] * right + [0.9]
    other = [0.95] * sure + [0.4] * leaning + [0.2] * right + [0.1]
    label_N = np.append(np.zeros(count), 1).astype(np.int32)
    return evidence_of([1.0] * (count + 1), label_N=label_N, beliefs=beliefs_of(given, [1 - label_N], [other]))


def interval_of(evidence, tails=None):
    estimate = replace(ESTIMATORS["transition"].estimate(evidence, "log_odds"), tails=tails or {})
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
