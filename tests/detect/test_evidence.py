import numpy as np
import pytest

from labelaudit.detect.confident import confident_joint
from labelaudit.detect.curves import Course, CurveAccumulator
from labelaudit.detect.evidence import Controls, density_ratio_probability, gather, plant, tail_rate
from labelaudit.names import CONTROL_KINDS
from tests.detect.helpers import beliefs_of

CLASSES = 5


def pilot(samples=3000, seed=0):
    """A pilot that is sure of most labels, and takes a tenth of class 1 for class 2: labels, beliefs, joint."""
    generator = np.random.default_rng(seed)
    label_N = generator.integers(0, CLASSES, samples).astype(np.int32)
    confused_N = (label_N == 1) & (generator.random(samples) < 0.1)
    given_N = np.where(confused_N, 0.1, 0.9 - 0.1 * generator.random(samples))
    others_2N = np.where(label_N == 1, [[2], [4]], np.add.outer([3, 2], label_N) % CLASSES)
    beliefs = beliefs_of(given_N, others_2N, [np.where(confused_N, 0.89, 0.09), np.full(samples, 0.01)])
    return label_N, beliefs, confident_joint(label_N, beliefs, CLASSES)


def planted(per_kind=60, **options):
    label_N, beliefs, joint = pilot(**options)
    return label_N, beliefs, joint, planted_in(label_N, beliefs, CLASSES, per_kind)


def planted_in(label_N, beliefs, classes, per_kind):
    joint = confident_joint(label_N, beliefs, classes)
    return plant(label_N, beliefs, joint, per_kind=per_kind, generator=np.random.default_rng(1))


def test_every_control_is_taught_another_label_and_no_other_sample_is():
    label_N, _, _, controls = planted()
    np.testing.assert_array_equal(controls.label_N != label_N, controls.planted_N)
    assert ((controls.label_N >= 0) & (controls.label_N < CLASSES)).all()
    # Two kinds may have drawn the same sample: then the first has it.
    assert all(40 <= controls.of_kind(kind).sum() <= 60 for kind in CONTROL_KINDS)
    again = planted()[3]
    np.testing.assert_array_equal([controls.kind_N, controls.label_N], [again.kind_N, again.label_N])


def test_confusion_controls_repeat_the_datas_own_confusion():
    label_N, _, joint, controls = planted()
    chosen = controls.of_kind("confusion")
    # Samples labeled 1 are taken for 2: so samples of class 2 get label 1.
    assert (set(label_N[chosen]), set(controls.label_N[chosen])) == ({2}, {1})
    assert (joint.class_N[chosen] == label_N[chosen]).all()


def test_look_alike_controls_get_the_pilots_other_guess_in_proportion_to_its_belief():
    label_N, beliefs, joint, controls = planted(per_kind=200, samples=20_000)
    chosen = controls.of_kind("look-alike")
    second = controls.label_N[chosen] == beliefs.class_MN[0, chosen]
    assert (second | (controls.label_N[chosen] == beliefs.class_MN[1, chosen])).all()
    assert second.mean() == pytest.approx(0.9, abs=0.07)  # beliefs .09 and .01
    assert (joint.class_N[chosen] == label_N[chosen]).all()
    first_N = np.arange(4000) < 2000
    beliefs = beliefs_of(np.full(4000, 0.6), [np.ones(4000)], [np.where(first_N, 0.3, 0.1)])
    controls = planted_in(np.zeros(4000, dtype=np.int32), beliefs, 2, 300)
    assert first_N[controls.of_kind("look-alike")].mean() == pytest.approx(0.75, abs=0.08)


def test_no_class_loses_more_than_a_tenth_and_samples_without_a_record_nothing():
    label_N, beliefs, _, controls = planted(per_kind=5000)
    taken_K = np.bincount(label_N[controls.planted_N], minlength=CLASSES)
    assert (taken_K <= np.bincount(label_N) // 10).all()
    assert (taken_K > 0).all()
    given_N = np.where(np.arange(len(label_N)) % 2 == 0, np.nan, beliefs.given_N)
    controls = planted_in(label_N, beliefs_of(given_N, beliefs.class_MN, beliefs.other_MN), CLASSES, 100)
    assert controls.planted_N.any()
    assert not controls.planted_N[::2].any()


def test_without_confusion_there_are_no_confusion_controls():
    label_N = np.array([0, 1] * 100, dtype=np.int32)
    beliefs = beliefs_of(np.ones(200), [np.full(200, -1)], [np.zeros(200)])
    controls = planted_in(label_N, beliefs, 2, 3)
    assert [int(controls.of_kind(kind).sum()) for kind in CONTROL_KINDS] == [3, 0, 0]


def own_scores(generator, gap, *, clean=9000, wrong=1000):
    return np.concatenate([generator.normal(0, 1, clean), generator.normal(gap, 1, wrong)])


def test_the_tail_rate_is_the_share_of_scores_like_the_controls():
    generator = np.random.default_rng(0)
    found = tail_rate(own_scores(generator, 6), generator.normal(6, 1, 300), generator)
    assert found.rate == pytest.approx(0.1, abs=0.01)
    assert 0.07 < found.low <= found.rate <= found.high < 0.13
    # Scores below those of the controls are no errors.
    assert tail_rate(generator.normal(0, 1, 9000), generator.normal(9, 1, 300), generator).rate == 0.0
    many, few = (tail_rate(own_scores(generator, 3), generator.normal(3, 1, count), generator) for count in (2000, 30))
    assert few.high - few.low > 2 * (many.high - many.low)
    for count in (0, 4):
        assert tail_rate(np.zeros(100), np.ones(count), generator) is None


def test_random_flips_that_became_right_are_compensated():
    # Every label is wrong before; of three other classes one is right, so that a third of the controls is clean.
    generator = np.random.default_rng(0)
    planted_P, own_U = own_scores(generator, 6, clean=2000, wrong=4000), generator.normal(6, 1, 5000)
    assert tail_rate(own_U, planted_P, generator, classes=4).rate == pytest.approx(0.75, abs=0.03)
    assert tail_rate(own_U, planted_P, generator).rate == 1.0


def test_p_is_the_share_of_wrong_labels_at_each_score():
    generator = np.random.default_rng(0)
    own_U = own_scores(generator, 2, clean=20_000, wrong=5000)
    p_U = density_ratio_probability(own_U, generator.normal(2, 1, 3000), 0.2)
    expected_U = 0.2 / (0.2 + 0.8 * np.exp(2 - 2 * own_U))
    assert np.abs(p_U - expected_U).mean() < 0.02
    assert (np.diff(p_U[np.argsort(own_U)]) >= 0).all()


def curves_of(label_N, loss_N, margin_N, alternative_N, **options):
    curves = CurveAccumulator(label_N, 3, Course(epochs=1), **options)
    values = (np.asarray(value, dtype=np.float32) for value in (loss_N, margin_N))
    curves.add(np.arange(len(label_N), dtype=np.int32), *values, np.asarray(alternative_N, dtype=np.int32))
    return curves


def test_controls_are_judged_by_their_given_labels_and_others_keep_what_was_recorded():
    # The last ten of 300 samples are controls; five of them were wrong before, which only the pilot can tell.
    noise_N = np.random.default_rng(0).random(300)
    label_N = (np.arange(300) % 3).astype(np.int32)
    wrong_N = np.zeros(300, dtype=bool)
    wrong_N[:30] = wrong_N[-5:] = True
    kind_N = np.where(np.arange(300) >= 290, 0, -1).astype(np.int32)
    taught_N = np.where(kind_N >= 0, (label_N + 1) % 3, label_N).astype(np.int32)
    margin_N = np.where(wrong_N, -4.0, 4.0) + noise_N
    pilot = curves_of(label_N, np.where(wrong_N, 5.0 - noise_N, 0.01 * noise_N), margin_N, (label_N + 2) % 3)
    taught_wrong_N = wrong_N | (kind_N >= 0)
    curves = curves_of(
        taught_N,
        10 * np.where(taught_wrong_N, 5.0 - noise_N, 0.01 * noise_N),
        10 * np.where(taught_wrong_N, noise_N - 5.0, 5.0 - noise_N),
        (taught_N + 2) % 3,
        counted_N=kind_N < 0,
    )
    evidence = gather(label_N, curves, controls=Controls(kind_N=kind_N, label_N=taught_N), pilot=pilot)
    aul_N = evidence.statistics.aul_N
    assert aul_N[-10:-5].max() < 20 < aul_N[-5:].min()
    assert aul_N[~wrong_N].max() < aul_N[wrong_N].min()
    np.testing.assert_array_equal(evidence.statistics.beliefs.alternative_N[-10:], (evidence.label_N[-10:] + 2) % 3)
    np.testing.assert_array_equal(evidence.statistics.transition.true_N[-10:], (evidence.label_N[-10:] + 2) % 3)
    assert evidence.last_wrong_N[-10:].tolist() == [False] * 5 + [True] * 5
    np.testing.assert_array_equal(aul_N[:-10], evidence.taught.aul_N[:-10])
    np.testing.assert_array_equal(evidence.own_N, np.arange(300) < 290)
    assert evidence.planted("random", "aul").min() > 40
    assert len(evidence.planted("look-alike", "aul")) == 0
    assert evidence.statistics.joint.noise_rate == pytest.approx(wrong_N[:-10].mean())  # without the controls
