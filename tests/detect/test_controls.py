import numpy as np
import pytest

from labelaudit.detect.confident import confident_joint
from labelaudit.detect.controls import Controls, density_ratio_probability, plant, same_place, tail_rate
from labelaudit.names import CONTROL_KINDS
from tests.detect.helpers import beliefs_of

CLASSES = 5


def pilot(samples=3000, seed=0):
    """A pilot that is sure of most labels, and takes a tenth of class 1 for class 2: labels, beliefs, joint."""
    generator = np.random.default_rng(seed)
    label_N = generator.integers(0, CLASSES, samples).astype(np.int32)
    confused_N = (label_N == 1) & (generator.random(samples) < 0.1)
    given_N = np.where(confused_N, 0.1, 0.9 - 0.1 * generator.random(samples))
    second_N = np.where(label_N == 1, 2, (label_N + 3) % CLASSES)
    third_N = np.where(label_N == 1, 4, (label_N + 2) % CLASSES)
    other_N = np.where(confused_N, 0.89, 0.09)
    beliefs = beliefs_of(given_N, [second_N, third_N], [other_N, np.full(samples, 0.01)])
    return label_N, beliefs, confident_joint(label_N, beliefs, CLASSES)


def planted(per_kind=60, **options):
    label_N, beliefs, joint = pilot(**options)
    controls = plant(label_N, beliefs, joint, per_kind=per_kind, generator=np.random.default_rng(1))
    return label_N, beliefs, joint, controls


def test_every_control_is_taught_another_label_and_nobody_else_is():
    label_N, _, _, controls = planted()
    np.testing.assert_array_equal(controls.label_N != label_N, controls.planted_N)
    assert ((controls.label_N >= 0) & (controls.label_N < CLASSES)).all()
    # Two kinds may have drawn the same sample: then the first has it.
    counts = [int(controls.of_kind(kind).sum()) for kind in CONTROL_KINDS]
    assert all(40 <= count <= 60 for count in counts)


def test_random_controls_get_every_other_class_alike():
    label_N, _, _, controls = planted(per_kind=300, samples=30_000)
    chosen = controls.of_kind("random")
    step = (controls.label_N - label_N)[chosen] % CLASSES
    assert np.bincount(step, minlength=CLASSES).tolist()[0] == 0
    assert np.bincount(step, minlength=CLASSES)[1:] == pytest.approx([75] * 4, abs=30)


def test_confusion_controls_repeat_the_datas_own_confusion():
    label_N, _, joint, controls = planted()
    chosen = controls.of_kind("confusion")
    # Samples labelled 1 are taken for 2: so samples of class 2 get label 1.
    assert set(label_N[chosen]) == {2}
    assert set(controls.label_N[chosen]) == {1}
    assert (joint.class_N[chosen] == label_N[chosen]).all()


def test_look_alike_controls_get_the_pilots_other_guess():
    label_N, beliefs, joint, controls = planted(per_kind=200, samples=20_000)
    chosen = controls.of_kind("look-alike")
    second = controls.label_N[chosen] == beliefs.class_MN[0, chosen]
    assert (second | (controls.label_N[chosen] == beliefs.class_MN[1, chosen])).all()
    assert second.mean() == pytest.approx(0.9, abs=0.07)  # beliefs .09 and .01
    assert (joint.class_N[chosen] == label_N[chosen]).all()


def test_the_more_the_pilot_believes_in_another_class_the_more_often_it_is_planted():
    samples = 4000
    label_N = np.zeros(samples, dtype=np.int32)
    other_N = np.where(np.arange(samples) < 2000, 0.3, 0.1)
    beliefs = beliefs_of(np.full(samples, 0.6), [np.ones(samples)], [other_N])
    joint = confident_joint(label_N, beliefs, 2)
    controls = plant(label_N, beliefs, joint, per_kind=300, generator=np.random.default_rng(0))
    chosen = np.flatnonzero(controls.of_kind("look-alike"))
    assert (chosen < 2000).mean() == pytest.approx(0.75, abs=0.08)


def test_no_class_loses_more_than_a_tenth():
    label_N, _, _, controls = planted(per_kind=5000)
    taken_K = np.bincount(label_N[controls.planted_N], minlength=CLASSES)
    assert (taken_K <= np.bincount(label_N) // 10).all()
    assert (taken_K > 0).all()


def test_samples_without_a_record_are_never_taken():
    label_N, beliefs, _ = pilot()
    given_N = np.where(np.arange(len(label_N)) % 2 == 0, np.nan, beliefs.given_N)
    beliefs = beliefs_of(given_N, beliefs.class_MN, beliefs.other_MN)
    joint = confident_joint(label_N, beliefs, CLASSES)
    controls = plant(label_N, beliefs, joint, per_kind=100, generator=np.random.default_rng(0))
    assert controls.planted_N.any()
    assert not controls.planted_N[::2].any()


def test_equal_draws_plant_equal_controls():
    one, other = planted()[3], planted()[3]
    np.testing.assert_array_equal(one.kind_N, other.kind_N)
    np.testing.assert_array_equal(one.label_N, other.label_N)


def test_without_confusion_there_are_no_confusion_controls():
    label_N = np.array([0, 1] * 100, dtype=np.int32)
    beliefs = beliefs_of(np.ones(200), [np.full(200, -1)], [np.zeros(200)])
    joint = confident_joint(label_N, beliefs, 2)
    controls = plant(label_N, beliefs, joint, per_kind=3, generator=np.random.default_rng(0))
    assert [int(controls.of_kind(kind).sum()) for kind in CONTROL_KINDS] == [3, 0, 0]


def test_the_tail_rate_is_the_share_of_scores_like_the_controls():
    generator = np.random.default_rng(0)
    own_U = np.concatenate([generator.normal(0, 1, 9000), generator.normal(6, 1, 1000)])
    found = tail_rate(own_U, generator.normal(6, 1, 300), generator)
    assert found.rate == pytest.approx(0.1, abs=0.01)
    assert found.low <= found.rate <= found.high
    assert found.low > 0.07
    assert found.high < 0.13


def test_scores_below_those_of_the_controls_are_no_errors():
    generator = np.random.default_rng(0)
    found = tail_rate(generator.normal(0, 1, 9000), generator.normal(9, 1, 300), generator)
    assert found.rate == 0.0


def test_random_flips_that_became_right_are_made_up_for():
    # Every label is wrong before; of three other classes one is right, so that a third of the controls is clean.
    generator = np.random.default_rng(0)
    planted_P = np.concatenate([generator.normal(6, 1, 4000), generator.normal(0, 1, 2000)])
    own_U = generator.normal(6, 1, 5000)
    assert tail_rate(own_U, planted_P, generator, classes=4).rate == pytest.approx(0.75, abs=0.03)
    assert tail_rate(own_U, planted_P, generator).rate == 1.0


@pytest.mark.parametrize("count", [0, 4])
def test_too_few_controls_tell_nothing(count):
    assert tail_rate(np.zeros(100), np.ones(count), np.random.default_rng(0)) is None


def test_fewer_controls_give_a_wider_interval():
    generator = np.random.default_rng(0)
    own_U = np.concatenate([generator.normal(0, 1, 9000), generator.normal(3, 1, 1000)])
    many, few = (tail_rate(own_U, generator.normal(3, 1, count), generator) for count in (2000, 30))
    assert few.high - few.low > 2 * (many.high - many.low)


def test_p_is_the_share_of_wrong_labels_at_each_score():
    generator = np.random.default_rng(0)
    own_U = np.concatenate([generator.normal(0, 1, 20_000), generator.normal(2, 1, 5000)])
    p_U = density_ratio_probability(own_U, generator.normal(2, 1, 3000), 0.2)
    expected_U = 0.2 / (0.2 + 0.8 * np.exp(2 - 2 * own_U))
    assert np.abs(p_U - expected_U).mean() < 0.02
    assert (np.diff(p_U[np.argsort(own_U)]) >= 0).all()


def test_a_score_keeps_its_place_in_another_training():
    from_U, to_U = np.arange(101.0), 1000 * np.arange(101.0)
    np.testing.assert_allclose(
        same_place(np.array([-5.0, 49.5, 500.0]), from_U, to_U), [0.0, 49_500, 100_000], atol=500
    )


def test_kinds_are_told_apart():
    controls = Controls(kind_N=np.array([-1, 0, 1, 2]), label_N=np.zeros(4, dtype=np.int32))
    assert controls.planted_N.tolist() == [False, True, True, True]
    assert [np.flatnonzero(controls.of_kind(kind)).tolist() for kind in CONTROL_KINDS] == [[1], [2], [3]]
