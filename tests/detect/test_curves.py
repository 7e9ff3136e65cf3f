import math
import operator

import numpy as np
import pytest
from sklearn.metrics import average_precision_score

from labelaudit.detect import constants
from labelaudit.detect.curves import STATISTICS, Course, CurveAccumulator, EpochTrust
from tests.detect.helpers import favorite

OTHERS = 998
"""Classes of the `accumulator` that are neither the given one nor the favorite."""
SAMPLES, WRONG = 200, 40
LONG = Course(epochs=100)


def accumulator(samples, course=LONG):
    """Of samples labeled 999, a class that no test takes for another one."""
    return CurveAccumulator(np.full(samples, 999, dtype=np.int32), 1000, course)


def add(curves, sample, loss, margin, alternative=None):
    loss_R, margin_R = (np.asarray(values, dtype=np.float32) for values in (loss, margin))
    alternative_R = np.zeros(len(sample)) if alternative is None else np.asarray(alternative)
    curves.add(np.asarray(sample, dtype=np.int32), loss_R, margin_R, alternative_R.astype(np.int32))


def one_sample(losses, margins, alternatives=None):
    """Statistics of a single sample with these records, one an epoch."""
    curves = accumulator(1)
    for epoch, (loss, margin) in enumerate(zip(losses, margins, strict=True)):
        add(curves, [0], [loss], [margin], None if alternatives is None else [alternatives[epoch]])
    return curves.result()


@pytest.mark.parametrize(
    ("statistic", "losses", "margins", "expected"),
    [
        ("aul", [0.75] * 8, [1.0] * 8, 6.0),
        ("aul", [1.0, 2.0, 6.0], [1.0, -2.0, 4.0], 9.0),
        ("aul", [2.0**26, 1.0], [1.0, 1.0], 2.0**26 + 1),  # double precision
        ("aum", [1.0, 2.0, 6.0], [1.0, -2.0, 4.0], 1.0),
        ("mean_probability", [math.log(2), math.log(8)], [1.0, 1.0], (1 / 2 + 1 / 8) / 2),
        ("misprediction_rate", [1.0] * 4, [1.0, -1.0, 2.0, 0.0], 0.5),
        ("misprediction_rate", [1.0] * 4, [1.0, -1.0, 2.0, 3.0], 0.25),
        ("soft_misprediction_rate", [1.0] * 2, [0.0, math.log(3) / 4], (1 / 2 + 1 / 4) / 2),
        *(
            ("forgetting_count", [1.0] * 4, [1.0 if bit == "1" else -1.0 for bit in right], count)
            for right, count in {"1111": 0, "0111": 0, "1011": 1, "1010": 2, "0001": 0, "1000": 1, "0000": 4}.items()
        ),
    ],
)
def test_statistics_by_hand(statistic, losses, margins, expected):
    assert getattr(one_sample(losses, margins), f"{statistic}_N")[0] == pytest.approx(expected, rel=1e-6)


def test_statistics_are_those_that_a_user_can_name_and_all_rank_the_wrong_sample_first():
    curves = accumulator(2)
    for _ in range(3):
        add(curves, [0, 1], [0.1, 3.0], [2.0, -2.0])
    found = curves.result()
    for name in STATISTICS:
        right, wrong = found.suspicion(name)
        assert wrong > right, name
    assert found.suspicion("aum").tolist() == [-2.0, 2.0]
    assert found.suspicion("aul").tolist() == pytest.approx([0.3, 9.0])


@pytest.mark.parametrize(
    ("beliefs", "expected", "belief"),
    [
        # In the second epoch 3 had its even part of what 7 and the given class left over.
        ([(3, 0.25), (7, 0.375), (3, 0.25)], 3, (0.5 + 0.125 / OTHERS) / 3),
        ([(1, 0.2), (2, 0.3), (3, 0.35), (4, 0.25), (1, 0.2)], 1, (0.4 + (0.2 + 0.15 + 0.25) / OTHERS) / 5),
        # A fifth class takes over the smallest slot without its mass: 5 now holds .2 + .3; with that of 4 it were .6.
        (
            [(1, 0.45), (2, 0.35), (3, 0.3), (4, 0.1), (5, 0.2), (5, 0.3)],
            5,
            (0.5 + (0.05 + 0.15 + 0.2 + 0.4) / OTHERS) / 6,
        ),
        # A class that lost its slot starts from nothing: had 4 kept its old mass, it would hold .5 and win.
        (
            [(1, 0.45), (2, 0.35), (3, 0.3), (4, 0.2), (5, 0.25), (4, 0.3)],
            1,
            (0.45 + (0.15 + 0.2 + 0.3 + 0.25 + 0.2) / OTHERS) / 6,
        ),
    ],
)
def test_belief_in_other_classes_by_hand(beliefs, expected, belief):
    # The best other class of each epoch, and its probability; the given one has a half.
    margins = [math.log(0.5 / other) for _, other in beliefs]
    found = one_sample([math.log(2)] * len(beliefs), margins, [number for number, _ in beliefs]).beliefs
    assert favorite(found) == [expected]
    assert found.alternative_belief_N[0] == pytest.approx(belief, rel=1e-6)


@pytest.mark.parametrize("block", [4, 100])
def test_many_samples_are_added_as_each_alone_and_those_without_a_record_have_nothing(monkeypatch, block):
    monkeypatch.setattr(constants, "SAMPLES_AT_ONCE", block)
    monkeypatch.setattr(EpochTrust, "add", lambda *_: 1.0)  # it is of all samples together
    sample, generator = np.array([0, 1, 2, 4, 5, 7, 9, 10]), np.random.default_rng(0)
    together, alone = accumulator(11), [accumulator(1) for _ in sample]
    for _ in range(40):
        loss_R, margin_R = generator.exponential(1.0, len(sample)), generator.normal(0.0, 2.0, len(sample))
        alternative_R = generator.integers(0, 7, len(sample))
        add(together, sample, loss_R, margin_R, alternative_R)
        for place, curves in enumerate(alone):
            add(curves, [0], loss_R[[place]], margin_R[[place]], alternative_R[[place]])
    found, expected = together.result(), [curves.result() for curves in alone]
    assert np.flatnonzero(found.seen_N).tolist() == sample.tolist()
    for name in (*(f"{name}_N" for name in STATISTICS), "beliefs.given_N", "beliefs.alternative_belief_N"):
        value_N = operator.attrgetter(name)(found)
        assert np.isfinite(value_N).tolist() == found.seen_N.tolist(), name
        if name != "log_odds_N":  # which depends on all samples
            assert value_N[sample].tolist() == [operator.attrgetter(name)(one)[0] for one in expected], name
    assert np.array(favorite(found.beliefs))[sample].tolist() == [favorite(one.beliefs)[0] for one in expected]
    assert len(set(favorite(found.beliefs))) > 3
    assert found.last_wrong_N.sum() == sum(one.last_wrong_N[0] for one in expected) > 0


def test_an_epoch_that_is_not_trusted_does_not_count_in_the_beliefs(monkeypatch):
    trusts = iter([1.0, 0.5, 0.0])
    monkeypatch.setattr(EpochTrust, "add", lambda *_: next(trusts))
    curves = CurveAccumulator(np.array([0, 0], dtype=np.int32), 3, Course(epochs=3))
    for label, other in ((0.25, 0.5), (0.5, 0.375), (1.0, 0.0001)):
        add(curves, [0, 1], [-math.log(label)] * 2, [math.log(label / other), 2.0], [1, 1])
    found = curves.result()
    assert found.beliefs.given_N[0] == pytest.approx((0.25 + 0.5 * 0.5) / 1.5, rel=1e-6)
    assert found.beliefs.alternative_belief_N[0] == pytest.approx((0.5 + 0.5 * 0.375) / 1.5, rel=1e-6)
    assert found.mean_probability_N[0] == pytest.approx((0.25 + 0.5 + 1.0) / 3, rel=1e-6)


def margins(right, wrong):
    """160 samples with the one margin, then 40 with the other."""
    return np.where(np.arange(SAMPLES) < SAMPLES - WRONG, right, wrong).astype(np.float32)


def trusts_of(*epochs, length=100):
    """The trust in each of these epochs of margins, and the epoch from which on they memorized."""
    trust = EpochTrust(length)
    found = [trust.add(np.asarray(each, dtype=np.float32)) for each in epochs]
    return found, trust.memorized_from


@pytest.mark.parametrize(
    ("wrong", "trusts", "memorized_from"),
    [
        ([-1.0, -2.0, -3.0, -3.0, -3.5], [1.0] * 5, None),
        ([-2.0, -2.0, -1.5, -0.5, -0.4, 1.0], [1.0, 1.0, 0.75, 0.25, 0.2, 1e-6], 5),
        ([-2.0, -2.0, -0.2, -2.0], [1.0, 1.0, 0.1, 1.0], None),  # doubt that comes back
        ([-3.0, 2.0, -1.0, 3.0], [1.0] * 4, None),  # by the second epoch no longer doubted
    ],
)
def test_the_trust_is_what_is_left_of_the_doubt(wrong, trusts, memorized_from):
    found, epoch = trusts_of(*[margins(3.0, margin) for margin in wrong])
    assert found == pytest.approx(trusts)
    assert epoch == memorized_from


def test_little_doubt_may_be_taken_back_and_one_diverging_sample_does_not_decide():
    slight = np.where(np.arange(SAMPLES) < SAMPLES - 1, 3.0, -1.0)  # of one image: .005 a sample
    assert trusts_of(slight, slight, np.full(SAMPLES, 3.0))[0] == pytest.approx([1.0, 1.0, 0.9], abs=0.001)
    diverged = margins(3.0, -2.0)
    diverged[-1] = -1e6
    assert trusts_of(margins(3.0, -2.0), margins(3.0, -2.0), diverged, margins(3.0, -2.0))[0][3] > 0.9


def test_a_later_training_is_judged_by_itself():
    unknown, good, memorized = np.full(SAMPLES, -0.1), margins(3.0, -2.0), margins(3.0, 2.0)
    found, epoch = trusts_of(good, good, memorized, unknown, good, good, length=3)
    assert found[2] < 1e-5
    assert found[3:] == [1.0] * 3
    assert epoch is None
    assert trusts_of(good, good, good, good, good, memorized, length=3)[1] == 3
    assert Course(epochs=16, members=3).recorded == 48


def recorded(label_N, true_N, right, *, held_out, seed=0):
    """Return the curves of three epochs of a probe that knows this share of the true classes, of three."""
    generator = np.random.default_rng(seed)
    curves = CurveAccumulator(label_N, 3, Course(epochs=3, held_out=held_out))
    samples = len(label_N)
    seen_N = np.where(generator.random(samples) < right, true_N, generator.integers(0, 3, samples))
    for _ in range(3):
        agrees_N = seen_N == label_N
        strength_N = generator.uniform(0.5, 3.0, samples)
        p_N = np.where(agrees_N, 1.0, np.exp(-strength_N)) / (1 + 1.2 * np.exp(-strength_N))
        margin_N = np.where(agrees_N, strength_N, -strength_N).astype(np.float32)
        alternative_N = np.where(agrees_N, (label_N + 1) % 3, seen_N).astype(np.int32)
        curves.add(np.arange(samples, dtype=np.int32), -np.log(p_N).astype(np.float32), margin_N, alternative_N)
    return curves


def test_heads_beside_a_network_are_a_second_witness_and_give_the_rate_if_they_are_sure(monkeypatch):
    generator = np.random.default_rng(3)
    true_N = generator.integers(0, 3, 3000)
    wrong_N = np.arange(3000) % 5 == 0
    label_N = np.where(wrong_N, (true_N + 1) % 3, true_N).astype(np.int32)
    heads = recorded(label_N, true_N, 0.85, held_out=True, seed=1)
    network = recorded(label_N, true_N, 0.85, held_out=False, seed=2)
    alone, held_out, both = network.result(), heads.result(), network.result(heads)
    assert alone.held_out is None
    assert held_out.held_out is held_out.transition
    np.testing.assert_array_equal(both.held_out.log_odds_N, held_out.log_odds_N)
    assert both.joint.noise_rate == held_out.joint.noise_rate != alone.joint.noise_rate
    assert len(both.transition.sharpness_W) == 2
    ap = [average_precision_score(wrong_N, each.log_odds_N) for each in (alone, held_out, both)]
    assert ap[2] > max(ap[:2]) + 0.02
    # All but the log-odds is the network's own.
    np.testing.assert_array_equal(both.aul_N, alone.aul_N)
    # Heads that are less sure than they should be have not learned yet.
    assert 0.7 < heads.beliefs.certainty < 1.2
    monkeypatch.setattr(constants, "LEAST_CERTAINTY", 1.5)
    unsure = network.result(heads)
    assert unsure.held_out is None
    assert unsure.joint.noise_rate == alone.joint.noise_rate
    assert len(unsure.transition.sharpness_W) == 2


def test_a_label_that_taught_its_own_probe_counts_a_little_less(monkeypatch):
    true_N = np.random.default_rng(0).integers(0, 3, 900)
    label_N = np.where(np.arange(900) % 10 == 0, (true_N + 1) % 3, true_N).astype(np.int32)
    found = recorded(label_N, true_N, 0.8, held_out=False).result().transition.p_mislabeled_N.mean()
    monkeypatch.setattr(constants, "SELF_INFLUENCE", 0.0)
    assert recorded(label_N, true_N, 0.8, held_out=False).result().transition.p_mislabeled_N.mean() < found
