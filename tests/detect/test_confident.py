import numpy as np
import pytest

from labelaudit.detect.confident import ConfidentJoint, cell_log_odds, confident_joint
from tests.detect.helpers import beliefs_of, certain


def dense(joint):
    share_KK = np.zeros((joint.classes, joint.classes))
    share_KK[joint.given_Q, joint.true_Q] = joint.share_Q
    return share_KK


def joint_of(share_KK, samples):
    """A joint with these shares."""
    given_Q, true_Q = np.nonzero(share_KK)
    return ConfidentJoint(
        classes=len(share_KK),
        samples=samples,
        given_Q=given_Q,
        true_Q=true_Q,
        share_Q=share_KK[given_Q, true_Q],
        class_N=np.zeros(samples, dtype=np.int32),
    )


def test_a_probe_that_knows_the_truth_counts_the_true_confusion():
    generator = np.random.default_rng(0)
    true_N = generator.integers(0, 4, 500).astype(np.int32)
    label_N = np.where(generator.random(500) < 0.3, (true_N + 1) % 4, true_N).astype(np.int32)
    joint = confident_joint(label_N, certain(label_N, true_N), 4)
    expected_KK = np.zeros((4, 4))
    np.add.at(expected_KK, (label_N, true_N), 1 / 500)
    np.testing.assert_allclose(dense(joint), expected_KK)
    assert joint.noise_rate == pytest.approx((label_N != true_N).mean())
    np.testing.assert_array_equal(joint.class_N, true_N)


def test_by_hand():
    # Thresholds: class 0 (.9 + .5 + .1) / 3 = .5, class 1 (.8 + .4) / 2 = .6.
    label_N = np.array([0, 0, 0, 1, 1], dtype=np.int32)
    found = beliefs_of([0.9, 0.5, 0.1, 0.8, 0.4], [[1, 1, 1, 0, 0]], [[0.1, 0.5, 0.9, 0.2, 0.55]])
    joint = confident_joint(label_N, found, 2)
    assert joint.class_N.tolist() == [0, 0, 1, 1, 0]
    np.testing.assert_allclose(dense(joint), [[2 / 5, 1 / 5], [1 / 5, 1 / 5]])


def test_samples_of_which_nothing_is_sure_go_like_the_others_of_their_class():
    # Threshold of class 0: .5; the last two samples reach neither class.
    label_N = np.array([0, 0, 0, 0, 1], dtype=np.int32)
    found = beliefs_of([1.0, 0.4, 0.3, 0.3, 1.0], [[1] * 4 + [0]], [[0.0, 1.0, 0.3, 0.3, 0.0]])
    joint = confident_joint(label_N, found, 2)
    assert joint.class_N.tolist() == [0, 1, -1, -1, 1]
    np.testing.assert_allclose(dense(joint), [[2 / 5, 2 / 5], [0, 1 / 5]])


def test_the_most_probable_of_several_sure_classes_counts_and_all_slots_are_looked_at():
    label_N = np.array([0, 1, 2, 0], dtype=np.int32)
    found = beliefs_of([0.5, 0.2, 0.3, 0.5], [[1, -1, -1, 1], [2, -1, -1, 2]], [[0.3, 0, 0, 0.2], [0.6, 0, 0, 0.4]])
    assert confident_joint(label_N, found, 3).class_N.tolist() == [2, 1, 2, 0]


@pytest.mark.parametrize("label", [0, 2])
def test_classes_without_samples_are_never_sure(label):
    label_N = np.full(3, label, dtype=np.int32)
    found = beliefs_of([0.2, 0.2, 0.2], [[1, 1, 1]], [[1.0, 1.0, 1.0]])
    joint = confident_joint(label_N, found, 3)
    assert joint.noise_rate == 0
    assert joint.share_Q.sum() == pytest.approx(1)


def test_log_odds_of_a_cell_are_its_share_of_errors():
    # Given 1, believed 0: 4 samples, of which 2 are counted as wrong; no prior.
    label_N = np.array([1, 1, 1, 1, 0, 0], dtype=np.int32)
    alternative_N = np.array([0, 0, 0, 0, 1, 1], dtype=np.int32)
    joint = joint_of(np.array([[2, 0], [2, 2]]) / 6, 6)
    log_odds_N = cell_log_odds(label_N, alternative_N, joint, prior_samples=1e-9)
    np.testing.assert_allclose(log_odds_N[:4], 0.0, atol=1e-8)
    np.testing.assert_allclose(log_odds_N[4:], np.log(0.002 / 0.998))


def test_a_strong_prior_makes_all_cells_alike():
    label_N = np.array([1, 1, 0, 0, 2], dtype=np.int32)
    alternative_N = np.array([0, 0, 1, 2, -1], dtype=np.int32)
    joint = joint_of(np.array([[2, 0, 0], [1, 1, 0], [0, 0, 1]]) / 5, 5)
    log_odds_N = cell_log_odds(label_N, alternative_N, joint, prior_samples=1e9)
    np.testing.assert_allclose(log_odds_N, np.log(0.25 / 0.75), atol=1e-6)


def test_the_favorite_other_class_is_that_of_the_fullest_slot():
    found = beliefs_of([0.5, 0.5], [[2, -1], [1, -1]], [[0.1, 0.0], [0.4, 0.0]])
    assert found.alternative_N.tolist() == [1, -1]


def test_samples_that_do_not_count_get_a_class_but_change_nothing():
    generator = np.random.default_rng(1)
    true_N = generator.integers(0, 3, 300).astype(np.int32)
    label_N = np.where(generator.random(300) < 0.2, (true_N + 1) % 3, true_N).astype(np.int32)
    counted_N = np.arange(300) < 200
    whole = confident_joint(label_N, certain(label_N, true_N), 3, counted_N=counted_N)
    part = confident_joint(label_N[:200], certain(label_N[:200], true_N[:200]), 3)
    np.testing.assert_allclose(dense(whole), dense(part))
    np.testing.assert_array_equal(whole.class_N, true_N)
    log_odds_N = cell_log_odds(label_N, certain(label_N, true_N).alternative_N, whole, counted_N=counted_N)
    expected_N = cell_log_odds(label_N[:200], certain(label_N[:200], true_N[:200]).alternative_N, part)
    np.testing.assert_allclose(log_odds_N[:200], expected_N)


def test_samples_without_a_record_are_neither_counted_nor_sure():
    label_N = np.array([0, 0, 1, 1], dtype=np.int32)
    found = beliefs_of([0.9, np.nan, 0.8, 0.8], [[1, -1, 0, 0]], [[0.1, np.nan, 0.2, 0.2]])
    joint = confident_joint(label_N, found, 2)
    assert joint.class_N.tolist() == [0, -1, 1, 1]
    np.testing.assert_allclose(dense(joint), [[1 / 3, 0], [0, 2 / 3]])


def test_ten_thousand_classes_take_no_table_of_all_pairs():
    label_N = np.arange(20_000, dtype=np.int32) % 10_000
    true_N = np.where(np.arange(20_000) < 500, (label_N + 7) % 10_000, label_N).astype(np.int32)
    joint = confident_joint(label_N, certain(label_N, true_N), 10_000)
    assert joint.noise_rate == pytest.approx(500 / 20_000)
    assert len(joint.share_Q) <= 10_500
    assert joint.share_of(np.array([0, 0]), np.array([7, 8])).tolist() == [pytest.approx(1 / 20_000), 0.0]


def test_structure_by_hand():
    # Four classes, 12 pairs; 24 errors: mean 2, so even errors fill 12 · 2/3 = 8 pairs.
    def of(errors):
        share_KK = np.diag([10.0] * 4)
        share_KK[~np.eye(4, dtype=bool)] = errors
        return joint_of(share_KK / share_KK.sum(), int(share_KK.sum())).structure

    assert of([2] * 12) == 0.0  # more even than chance
    assert of([24] + [0] * 11) == pytest.approx(1 - 1 / 8)
    assert of([6] * 4 + [0] * 8) == pytest.approx(1 - 4 / 8)
    assert of([0] * 12) == 0.0


@pytest.mark.parametrize(("structure", "evenness"), [(0.0, 1.0), (0.25, 0.5), (0.5, 0.0), (0.9, 0.0)])
def test_evenness_is_what_chance_outweighs_structure_by(structure, evenness, monkeypatch):
    monkeypatch.setattr(ConfidentJoint, "structure", property(lambda _: structure))
    assert joint_of(np.eye(2) / 2, 10).evenness == evenness


def test_errors_by_chance_have_hardly_any_structure_and_pair_flips_nearly_all():
    generator = np.random.default_rng(0)
    true_N = generator.integers(0, 10, 5000).astype(np.int32)
    for step_N, least, most in ((generator.integers(1, 10, 5000), 0.0, 0.2), (1, 0.85, 1.0)):
        label_N = np.where(generator.random(5000) < 0.1, (true_N + step_N) % 10, true_N).astype(np.int32)
        assert least <= confident_joint(label_N, certain(label_N, true_N), 10).structure <= most
