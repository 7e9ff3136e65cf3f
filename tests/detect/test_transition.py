"""Tests of the noise transition model on samples that were drawn from it.

Shapes: N samples, K classes, M slots, Q pairs of classes.
"""

import time
from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import average_precision_score, roc_auc_score

from labelaudit.detect.curves import Course, CurveAccumulator
from labelaudit.detect.transition import fit_transition
from tests.detect.helpers import beliefs_in, beliefs_of, certain

CLASSES = 6


def fit_alone(label_N, beliefs, classes):
    """Return the model of one witness."""
    return fit_transition(label_N, [beliefs], classes)


def uniform(rate, classes=CLASSES):
    """Return the T of errors that are spread evenly: [K, K], rows are true classes."""
    return np.where(np.eye(classes) > 0, 1 - rate, rate / (classes - 1))


def pair_flip(rate, classes=CLASSES):
    """Return the T of errors that take each class for the next one."""
    return (1 - rate) * np.eye(classes) + rate * np.roll(np.eye(classes), 1, axis=1)


def drawn_by(p_NK, generator):
    """Return one class a sample, drawn with these probabilities."""
    return (p_NK.cumsum(axis=1) < generator.random(len(p_NK))[:, None]).sum(axis=1).clip(max=p_NK.shape[1] - 1)


def simulated(t_KK, *, samples=5000, spread=4.0, sharpness=1.0, seed=0):
    """Return true labels, given labels and all beliefs [K, N] of a probe that is right with probability belief^a.

    The larger the spread of its logits, the surer it is.
    """
    generator = np.random.default_rng(seed)
    logit_KN = generator.normal(0, spread, (len(t_KK), samples))
    p_KN = np.exp(sharpness * logit_KN)
    true_N = drawn_by((p_KN / p_KN.sum(axis=0)).T, generator)
    label_N = drawn_by(t_KK[true_N], generator).astype(np.int32)
    belief_KN = np.exp(logit_KN)
    return true_N, label_N, belief_KN / belief_KN.sum(axis=0)


def fitted(t_KK, **options):
    """Return true and given labels, and the model of them."""
    true_N, label_N, belief_KN = simulated(t_KK, **options)
    return true_N, label_N, fit_alone(label_N, beliefs_in(belief_KN, label_N), len(t_KK))


def share_of_pairs(model, classes=CLASSES):
    """Return T as it was counted: [K, K]."""
    count_KK = np.zeros((classes, classes))
    count_KK[model.true_Q, model.given_Q] = model.count_Q
    return count_KK / count_KK.sum(axis=1, keepdims=True)


NOISES = {"uniform": uniform(0.2), "pair flip": pair_flip(0.2), "clean": np.eye(CLASSES)}


@pytest.mark.parametrize("sharpness", [0.5, 1.0, 2.0])
@pytest.mark.parametrize("noise", NOISES)
def test_transition_sharpness_and_rate_are_found(noise, sharpness):
    true_N, label_N, model = fitted(NOISES[noise], sharpness=sharpness, spread=4.0 / sharpness**0.5)
    p_N, wrong_N = model.p_mislabeled_N, true_N != label_N
    np.testing.assert_allclose(share_of_pairs(model), NOISES[noise], atol=0.05)
    assert model.sharpness_W[0] == pytest.approx(sharpness, rel=0.1)
    assert p_N.mean() == pytest.approx(wrong_N.mean(), abs=0.015)
    # P is calibrated: as many of the samples are wrong as it says, also among the suspicious ones.
    assert p_N[p_N > 0.5].sum() == pytest.approx(wrong_N[p_N > 0.5].sum(), rel=0.05, abs=1)
    assert p_N[wrong_N].sum() >= 0.6 * wrong_N.sum()


def test_a_weak_probe_accuses_nobody_of_clean_data():
    _, label_N, belief_KN = simulated(np.eye(CLASSES), spread=1.0)
    disagrees_N = belief_KN.argmax(axis=0) != label_N
    assert disagrees_N.mean() > 0.5
    p_N = fit_alone(label_N, beliefs_in(belief_KN, label_N), CLASSES).p_mislabeled_N
    assert p_N.mean() < 0.05
    assert (p_N > 0.5).mean() < 0.005


def test_errors_between_two_of_many_classes_are_found_though_the_probe_has_learned_some():
    t_KK = np.eye(24)
    t_KK[:2, :2] = [[0.7, 0.3], [0.3, 0.7]]
    for seed in range(3):
        true_N, label_N, belief_KN = simulated(t_KK, samples=2000, sharpness=2.0, seed=seed)
        belief_KN[:2] = [[0.85, 0.15], [0.15, 0.85]] @ belief_KN[:2]
        found = fit_alone(label_N, beliefs_in(belief_KN, label_N), 24)
        assert average_precision_score(true_N != label_N, found.log_odds_N) > 0.75  # by one prior for all rows: .53
        clean = fit_alone(true_N, beliefs_in(belief_KN, true_N), 24)
        assert clean.p_mislabeled_N.mean() < 0.001


def test_averaged_beliefs_count_where_most_labels_are_wrong():
    true_N, label_N, belief_KN = simulated(uniform(0.8), spread=1.0)
    beliefs = [beliefs_in(belief_KN, label_N)]
    free = fit_transition(label_N, beliefs, CLASSES, held_out=False)
    model = fit_transition(label_N, beliefs, CLASSES, held_out=False, averaged=True)
    assert free.sharpness_W.sum() < 0.5
    assert model.sharpness_W.sum() >= 1.0
    assert free.p_mislabeled_N.mean() < 0.5
    assert model.p_mislabeled_N.mean() == pytest.approx(0.8, abs=0.05)
    aucs = [roc_auc_score(true_N != label_N, each.log_odds_N) for each in (free, model)]
    assert aucs[0] + 0.02 < aucs[1]


def test_a_label_that_nobody_confuses_is_less_suspicious_than_one_of_a_confused_pair():
    # The probe believes the same of both samples; class 0 is taken for class 1 only.
    _, label_N, belief_KN = simulated(pair_flip(0.3))
    label_N[:2] = 1, 2
    belief_KN[:, :2] = 0.02
    belief_KN[0, :2] = belief_KN[[1, 2], [0, 1]] = 0.46
    model = fit_alone(label_N, beliefs_in(belief_KN, label_N), CLASSES)
    assert model.log_odds_N[0] > model.log_odds_N[1] + 2
    assert model.true_N[0] == 0


def dense(label_N, belief_KN, model, t_KK):
    """Return P(mislabeled) and P(another class | image) with all classes, and this T: the model's own formula."""
    p_KN = belief_KN ** model.sharpness_W[0]
    p_KN /= p_KN.sum(axis=0)
    joint_KN = p_KN * t_KK[:, label_N]
    row_N = np.arange(len(label_N))
    return 1 - joint_KN[label_N, row_N] / joint_KN.sum(axis=0), 1 - p_KN[label_N, row_N]


def test_candidates_agree_with_a_dense_computation_of_the_formula():
    _, label_N, belief_KN = simulated(uniform(0.2, 4), samples=400)
    model = fit_alone(label_N, beliefs_in(belief_KN, label_N), 4)
    # All classes have a slot. T is the mean under the prior and the counts; even errors make the prior strong.
    p_N = model.p_mislabeled_N
    count_KK = np.zeros((4, 4))
    count_KK[model.true_Q, model.given_Q] = model.count_Q
    prior_KK = model.strength * uniform(1 - np.trace(count_KK) / count_KK.sum(), 4)
    t_KK = (count_KK + prior_KK) / (count_KK + prior_KK).sum(axis=1, keepdims=True)
    expected_N, doubt_N = dense(label_N, belief_KN, model, t_KK)
    np.testing.assert_allclose(p_N, expected_N, atol=2e-3)
    np.testing.assert_allclose(model.doubt_N, doubt_N, atol=1e-9)


@pytest.mark.parametrize("slots", [1, 2, 4])
def test_classes_without_a_slot_count_together(slots):
    # The probe's rest is spread evenly, so fewer slots lose nothing but the pairs of classes.
    generator = np.random.default_rng(0)
    belief_KN = np.full((12, 3000), 0.2 / 11)
    likely_N = generator.integers(0, 12, 3000)
    belief_KN[likely_N, np.arange(3000)] = 0.8
    label_N = drawn_by(uniform(0.1, 12)[drawn_by(belief_KN.T, generator)], generator).astype(np.int32)
    few = fit_alone(label_N, beliefs_in(belief_KN, label_N, slots), 12)
    every = fit_alone(label_N, beliefs_in(belief_KN, label_N, 11), 12)
    np.testing.assert_allclose(few.p_mislabeled_N, every.p_mislabeled_N, atol=0.02)
    assert few.sharpness_W[0] == pytest.approx(every.sharpness_W[0], rel=0.05)


def test_samples_without_a_record_are_not_judged_and_change_nothing():
    _, label_N, belief_KN = simulated(uniform(0.2), samples=1200)
    lost_N = np.arange(1200) % 10 == 0
    beliefs = beliefs_in(belief_KN, label_N)
    given_N, other_MN = np.where(lost_N, np.nan, beliefs.given_N), np.where(lost_N, np.nan, beliefs.other_MN)
    beliefs = replace(beliefs, given_N=given_N, other_MN=other_MN, class_MN=np.where(lost_N, -1, beliefs.class_MN))
    model = fit_alone(label_N, beliefs, CLASSES)
    for values in (model.log_odds_N, model.doubt_N, model.p_mislabeled_N):
        np.testing.assert_array_equal(np.isnan(values), lost_N)
    np.testing.assert_array_equal(model.true_N < 0, lost_N)
    kept = fit_alone(label_N[~lost_N], beliefs_in(belief_KN[:, ~lost_N], label_N[~lost_N]), CLASSES)
    np.testing.assert_allclose(model.log_odds_N[~lost_N], kept.log_odds_N)
    assert model.count_Q.sum() == pytest.approx(kept.count_Q.sum())
    # Nor are those that one of two witnesses did not see.
    both = fit_transition(label_N, [beliefs, beliefs_in(belief_KN, label_N)], CLASSES)
    np.testing.assert_array_equal(np.isnan(both.log_odds_N), lost_N)


@pytest.mark.parametrize("t_KK", [uniform(0.1, 2), np.array([[0.75, 0.25], [0.0, 1.0]])], ids=["even", "one way"])
def test_two_classes(t_KK):
    true_N, label_N, model = fitted(t_KK)
    assert model.p_mislabeled_N.mean() == pytest.approx((true_N != label_N).mean(), abs=0.01)
    np.testing.assert_allclose(share_of_pairs(model, 2), t_KK, atol=0.02)
    np.testing.assert_array_equal(model.true_N, 1 - label_N)


def test_one_class_with_samples_is_right():
    label_N = np.zeros(50, dtype=np.int32)
    model = fit_alone(label_N, beliefs_of(np.linspace(0.5, 1, 50), [[1] * 50], [np.linspace(0.5, 0, 50)]), 3)
    assert np.isfinite(model.log_odds_N).all()
    assert model.p_mislabeled_N.max() < 0.01


def test_log_odds_are_finite_where_the_probe_is_sure():
    true_N = np.arange(600, dtype=np.int32) % 3
    label_N = np.where(np.arange(600) < 60, (true_N + 1) % 3, true_N).astype(np.int32)
    model = fit_alone(label_N, certain(label_N, true_N), 3)
    assert np.isfinite(model.log_odds_N).all()
    np.testing.assert_allclose(model.p_mislabeled_N, label_N != true_N, atol=1e-6)
    np.testing.assert_array_equal(model.true_N[:60], true_N[:60])
    # So they are from recorded losses, with the largest that float32 holds.
    curves = CurveAccumulator(label_N, 3, Course(epochs=1))
    huge = np.float32(3e38)
    wrong_N = label_N != true_N
    curves.add(np.arange(600), np.where(wrong_N, huge, 0), np.where(wrong_N, -huge, huge), (label_N + 2) % 3)
    log_odds_N = curves.result().log_odds_N
    assert np.isfinite(log_odds_N).all()
    assert log_odds_N[wrong_N].min() > 0 > log_odds_N[~wrong_N].max()


def test_a_thousand_classes_take_seconds_and_no_table_of_all_pairs():
    true_N, label_N, belief_KN = simulated(uniform(0.1, 1000), samples=5000, spread=7.0)
    beliefs, start = beliefs_in(belief_KN, label_N), time.process_time()
    model = fit_alone(label_N, beliefs, 1000)
    assert time.process_time() - start < 30
    assert len(model.count_Q) <= 5 * 5000
    assert model.p_mislabeled_N.mean() == pytest.approx((true_N != label_N).mean(), abs=0.03)


def test_a_second_witness_makes_the_ranking_better_and_one_that_knows_nothing_does_not_count():
    generator = np.random.default_rng(1)
    true_N, label_N, belief_KN = simulated(uniform(0.2), spread=2.0)
    one = beliefs_in(belief_KN, label_N)
    logit_KN = generator.normal(0, 2.0, belief_KN.shape)
    nothing = beliefs_in(np.exp(logit_KN) / np.exp(logit_KN).sum(axis=0), label_N)
    logit_KN[true_N, np.arange(len(true_N))] += 5.0
    other = beliefs_in(np.exp(logit_KN) / np.exp(logit_KN).sum(axis=0), label_N)
    wrong_N = true_N != label_N
    alone, useless, both = (fit_transition(label_N, each, CLASSES) for each in ([one], [one, nothing], [one, other]))
    ap = [average_precision_score(wrong_N, each.log_odds_N) for each in (alone, useless, both)]
    assert ap[2] > ap[0] + 0.05
    assert ap[1] == pytest.approx(ap[0], abs=0.005)
    assert useless.sharpness_W[1] < 0.05 * useless.sharpness_W[0]
    assert both.p_mislabeled_N.mean() == pytest.approx(wrong_N.mean(), abs=0.02)
    # The order of the witnesses does not matter.
    turned = fit_transition(label_N, [other, one], CLASSES)
    np.testing.assert_allclose(turned.p_mislabeled_N, both.p_mislabeled_N, atol=0.01)
