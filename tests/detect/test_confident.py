import numpy as np
import pytest

from labelaudit.detect.confident import confident_joint, indistinct_pairs, looks_symmetric, surely_wrong
from tests.detect.helpers import beliefs_of, certain, favorite


def dense(joint):
    share_KK = np.zeros((joint.classes, joint.classes))
    share_KK[joint.given_Q, joint.true_Q] = joint.share_Q
    return share_KK


def joint_of(count_KK):
    """A joint with these counts."""
    count = np.ravel(count_KK).astype(int)
    given_N, true_N = (np.repeat(side.ravel(), count).astype(np.int32) for side in np.indices(np.shape(count_KK)))
    return confident_joint(given_N, certain(given_N, true_N), len(count_KK))


@pytest.mark.parametrize(
    ("label", "given", "other", "sure", "counts"),
    [
        # Thresholds: class 0 (.9 + .5 + .1) / 3 = .5, class 1 (.8 + .4) / 2 = .6.
        ("00011", [0.9, 0.5, 0.1, 0.8, 0.4], [0.1, 0.5, 0.9, 0.2, 0.55], [0, 0, 1, 1, 0], [[2, 1], [1, 1]]),
        # Threshold of class 0: .5. The last two of it reach neither class, and go like the others of their class.
        ("00001", [1.0, 0.4, 0.3, 0.3, 1.0], [0.0, 1.0, 0.3, 0.3, 0.0], [0, 1, -1, -1, 1], [[2, 2], [0, 1]]),
        # A sample without a record is neither counted nor sure.
        ("0011", [0.9, np.nan, 0.8, 0.8], [0.1, np.nan, 0.2, 0.2], [0, -1, 1, 1], [[1, 0], [0, 2]]),
        # A class without samples is never sure.
        ("000", [0.2] * 3, [1.0] * 3, [0, 0, 0], [[1, 0], [0, 0]]),
    ],
    ids=["sure", "unsure", "no record", "no samples"],
)
def test_by_hand(label, given, other, sure, counts):
    label_N = np.array(list(label), dtype=np.int32)
    joint = confident_joint(label_N, beliefs_of(given, [np.where(np.isnan(given), -1, 1 - label_N)], [other]), 2)
    assert joint.class_N.tolist() == sure
    np.testing.assert_allclose(dense(joint), np.array(counts) / np.sum(counts))


def test_the_most_probable_of_several_sure_classes_counts_and_all_slots_are_used():
    label_N = np.array([0, 1, 2, 0], dtype=np.int32)
    found = beliefs_of([0.5, 0.2, 0.3, 0.5], [[1, -1, -1, 1], [2, -1, -1, 2]], [[0.3, 0, 0, 0.2], [0.6, 0, 0, 0.4]])
    assert confident_joint(label_N, found, 3).class_N.tolist() == [2, 1, 2, 0]
    assert favorite(found) == [2, -1, -1, 2]


def test_classes_that_cannot_be_told_apart_by_hand():
    """Sixty images each of 0, 1 and 2, and two of 3; all as much like the next class as is given."""
    label_N = np.repeat([0, 1, 2, 3], [60, 60, 60, 2]).astype(np.int32)
    for to_1, to_0, expected in ((0.4, 0.35, 0.35 / 0.85), (0.6, 0.24, None), (0.0, 0.4, None)):
        other_K = np.array([to_1, to_0, 0.1, 0.5])
        found = beliefs_of(np.full(182, 0.5), [np.array([1, 0, 3, 2])[label_N]], [other_K[label_N]])
        pairs = indistinct_pairs(label_N, found, 4)
        assert pairs == ({} if expected is None else {(0, 1): pytest.approx(expected)})


def test_ten_thousand_classes_take_no_table_of_all_pairs():
    label_N = np.arange(20_000, dtype=np.int32) % 10_000
    true_N = np.where(np.arange(20_000) < 500, (label_N + 7) % 10_000, label_N).astype(np.int32)
    joint = confident_joint(label_N, certain(label_N, true_N), 10_000)
    assert joint.noise_rate == pytest.approx(500 / 20_000)
    assert indistinct_pairs(label_N, certain(label_N, true_N), 10_000) == {}
    assert len(joint.share_Q) <= 10_500
    assert joint.share_Q[(joint.given_Q == 0) & (joint.true_Q == 7)] == pytest.approx(1 / 20_000)


@pytest.mark.parametrize(
    ("errors", "structure"),
    # Four classes, 12 pairs; 24 errors: mean 2, so even errors fill 12 · 2/3 = 8 pairs.
    [([2] * 12, 0.0), ([24] + [0] * 11, 1 - 1 / 8), ([6] * 4 + [0] * 8, 1 - 4 / 8), ([0] * 12, 0.0)],
)
def test_structure_by_hand(errors, structure):
    count_KK = np.diag([10] * 4)
    count_KK[~np.eye(4, dtype=bool)] = errors
    assert joint_of(count_KK).structure == pytest.approx(structure)


@pytest.mark.parametrize(("classes", "most"), [(3, 3), (10, 2), (10, 10)])
def test_noise_over_all_pairs_looks_symmetric_whatever_is_predicted_and_noise_of_few_does_not(classes, most):
    draws = np.random.default_rng(0)
    predicted_D = draws.integers(0, most, 4000)
    even_D, next_D = (predicted_D + draws.integers(1, classes, 4000)) % classes, (predicted_D + 1) % classes
    assert looks_symmetric(even_D, predicted_D, classes)
    assert looks_symmetric(even_D[:30], predicted_D[:30], classes)
    assert not looks_symmetric(next_D, predicted_D, classes)
    assert not looks_symmetric(np.where(draws.random(4000) < 0.8, next_D, even_D), predicted_D, classes)
    assert looks_symmetric(even_D[:0], even_D[:0], classes)
    assert looks_symmetric(np.array([0, 1]), np.array([1, 0]), 2)


def test_surely_wrong_is_what_a_network_believes_as_much_as_of_samples_labeled_so():
    p_NK = np.array([[0.9, 0.1], [0.6, 0.4], [0.3, 0.7], [0.45, 0.55]])  # class 1 is sure from (.7 + .1) / 2 on
    assert surely_wrong(np.array([1, 0, 1, 0]), p_NK).tolist() == [True, False, False, True]
    assert surely_wrong(np.array([0, 0, 1, 0]), p_NK).tolist() == [False, False, False, False]
