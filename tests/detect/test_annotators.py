from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.annotators import Votes, fit_annotators
from labelaudit.detect.theory import wilson
from tests.detect.helpers import beliefs_in, beliefs_of

CLASSES = 4


def witness_of(true_N, label_N, generator, *, sure=(0.4, 1.0)):
    """A calibrated witness: it believes with p in a class that is the true one as often; p differs by image."""
    samples = len(true_N)
    p_N = generator.uniform(*sure, samples)
    shown_N = np.where(generator.random(samples) < p_N, true_N, (true_N + generator.integers(1, 4, samples)) % CLASSES)
    p_NK = np.where(np.eye(CLASSES, dtype=bool)[shown_N], p_N[:, None], (1 - p_N[:, None]) / (CLASSES - 1))
    return beliefs_in(p_NK.T, label_N)


def drawn(errors, *, images=4000, each=(1, 3), sure=(0.4, 1.0), seed=0):
    """Votes of annotators with these error rates, each image seen by so many of them, and what is true."""
    generator = np.random.default_rng(seed)
    true_N = generator.integers(0, CLASSES, images)
    count_N = generator.integers(each[0], each[1] + 1, images)
    annotator_V = np.concatenate([generator.permutation(len(errors))[:count] for count in count_N])
    sample_V = np.repeat(np.arange(images), count_N)
    wrong_V = generator.random(len(sample_V)) < np.array(errors)[annotator_V]
    other_V = (true_N[sample_V] + generator.integers(1, 4, len(sample_V))) % CLASSES
    label_V = np.where(wrong_V, other_V, true_N[sample_V]).astype(np.int32)
    first_N = label_V[np.searchsorted(sample_V, np.arange(images))]
    return Votes(sample_V, annotator_V, label_V), first_N, witness_of(true_N, first_N, generator, sure=sure), wrong_V


def fitted(votes, label_N, witness, annotators):
    return fit_annotators(votes, label_N, witness, CLASSES, annotators, 1.0)


def test_rates_of_a_witness_who_knows_the_truth_are_counts_by_hand():
    """100 images of class 0 and of class 1; annotator 0 calls ten of class 0 a 1, and annotator 1 is right."""
    sample_V = np.tile(np.arange(200), 2)
    label_V = (sample_V >= 100).astype(np.int32)
    label_V[:10] = 1
    annotator_V = np.repeat([0, 1], 200)
    label_N = label_V[200:]
    sure = beliefs_of(np.ones(200), np.full((1, 200), -1), np.zeros((1, 200)))
    found = fit_annotators(Votes(sample_V, annotator_V, label_V), label_N, sure, 2, 2, 1.0)
    np.testing.assert_allclose(found.rate_A, [10 / 200, 0], atol=1e-3)
    np.testing.assert_allclose(found.p_wrong_V, [1] * 10 + [0] * 390, atol=1e-3)
    np.testing.assert_allclose([found.low_A[0], found.high_A[0]], wilson(10, 200), atol=1e-3)
    assert found.true_V[:10].tolist() == [0] * 10
    assert (found.true_V[10:200] == -1).all()  # nobody names another class


@pytest.mark.parametrize("each", [(1, 3), (1, 1)])
def test_each_rate_is_near_the_truth_and_in_its_interval(each):
    errors = [0.02, 0.1, 0.3]
    votes, label_N, witness, wrong_V = drawn(errors, each=each)
    found = fitted(votes, label_N, witness, 3)
    truth_A = np.array([wrong_V[votes.annotator_V == a].mean() for a in range(3)])
    np.testing.assert_allclose(found.rate_A, truth_A, atol=0.02)
    assert ((found.low_A < truth_A) & (truth_A < found.high_A)).all()
    assert found.p_wrong_V[wrong_V].mean() > 0.4 > 4 * found.p_wrong_V[~wrong_V].mean()


def test_a_habit_is_found_also_where_only_one_annotator_saw_the_image():
    """Annotator 0 calls half of class 2 a 3, and is right otherwise."""
    votes, *_ = drawn([0.0, 0.0], each=(1, 1))
    true_V, is_mine_V = votes.label_V, votes.annotator_V == 0
    habit_V = is_mine_V & (true_V == 2) & (np.arange(len(true_V)) % 2 == 0)
    label_V = np.where(habit_V, 3, true_V).astype(np.int32)
    witness = witness_of(true_V, label_V, np.random.default_rng(1))
    found = fitted(votes._replace(label_V=label_V), label_V, witness, 2)
    np.testing.assert_allclose(found.rate_A, [habit_V[is_mine_V].mean(), 0.0], atol=0.03)
    others_V = is_mine_V & ~habit_V & (label_V < 3)
    assert found.p_wrong_V[habit_V].mean() > 0.4 > 10 * found.p_wrong_V[others_V].mean()


def test_other_annotators_are_believed_by_their_skill():
    """Without a witness's opinion, the vote of a good annotator outweighs that of a bad one."""
    votes, label_N, witness, wrong_V = drawn([0.02, 0.02, 0.4], each=(2, 3), sure=(0.25, 0.26))
    found = fitted(votes, label_N, witness, 3)
    truth_A = [wrong_V[votes.annotator_V == a].mean() for a in range(3)]
    np.testing.assert_allclose(found.rate_A, truth_A, atol=0.02)


def test_order_and_few_labels_and_unknown_labels_and_unseen_images():
    votes, label_N, witness, _ = drawn([0.05, 0.2], images=1000, each=(1, 2))
    turned = fitted(Votes(*(each[::-1] for each in votes)), label_N, witness, 2)
    found = fitted(votes, label_N, witness, 2)
    np.testing.assert_allclose(turned.p_wrong_V[::-1], found.p_wrong_V, atol=1e-6)
    # A third annotator with 29 labels has no rate; a label that is no class is wrong; unseen images have no verdict.
    sample_V = np.concatenate([votes.sample_V, np.arange(29)])
    annotator_V = np.concatenate([votes.annotator_V, np.full(29, 2)])
    label_V = np.concatenate([votes.label_V, np.full(29, -1)]).astype(np.int32)
    given_N = witness.given_N.copy()
    given_N[0] = np.nan
    more = fitted(Votes(sample_V, annotator_V, label_V), label_N, replace(witness, given_N=given_N), 3)
    assert np.isnan(more.rate_A).tolist() == [False, False, True]
    np.testing.assert_array_equal(np.isnan(more.p_wrong_V), sample_V == 0)
    np.testing.assert_array_equal(more.true_V == -1, sample_V == 0)
    assert (more.p_wrong_V[-28:] == 1).all()
    np.testing.assert_allclose(more.rate_A[:2], found.rate_A, atol=0.01)
