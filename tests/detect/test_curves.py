import math
from typing import get_args

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from labelaudit.detect import curves as module
from labelaudit.detect.curves import STATISTICS, CurveAccumulator
from labelaudit.detect.epochs import Course
from labelaudit.names import StatisticName

OTHERS = 998
"""Classes of the `accumulator` that are neither the given one nor the favourite."""


def accumulator(samples):
    """Of samples labelled 999, a class that no test takes for another one."""
    return CurveAccumulator(np.full(samples, 999, dtype=np.int32), 1000)


def add(curves, sample, loss, margin, alternative=None):
    alternative = np.zeros(len(sample)) if alternative is None else alternative
    curves.add(
        np.asarray(sample, dtype=np.int32),
        np.asarray(loss, dtype=np.float32),
        np.asarray(margin, dtype=np.float32),
        np.asarray(alternative, dtype=np.int32),
    )


def one_sample(losses, margins, alternatives=None):
    """Statistics of a single sample with these records, one an epoch."""
    curves = accumulator(1)
    for epoch, (loss, margin) in enumerate(zip(losses, margins, strict=True)):
        add(curves, [0], [loss], [margin], None if alternatives is None else [alternatives[epoch]])
    return curves.result()


def one_believer(*beliefs):
    """Statistics of a sample whose best other class has this probability in each epoch: (class, probability)."""
    given = 0.5
    return one_sample(
        [-math.log(given)] * len(beliefs),
        [math.log(given / other) for _, other in beliefs],
        [number for number, _ in beliefs],
    )


def test_aul_of_a_constant_loss_is_epochs_times_loss():
    assert one_sample([0.75] * 8, [1.0] * 8).aul_N[0] == 6.0


def test_aul_is_the_sum_and_aum_the_mean():
    found = one_sample([1.0, 2.0, 6.0], [1.0, -2.0, 4.0])
    assert found.aul_N[0] == 9.0
    assert found.aum_N[0] == 1.0


def test_aum_of_the_margin_of_logits_1_2_3_with_label_1():
    logits_C, label = np.array([1.0, 2.0, 3.0]), 1
    margin = logits_C[label] - np.delete(logits_C, label).max()
    assert one_sample([1.4], [margin]).aum_N[0] == -1.0


def test_mean_probability_of_one_half_and_one_eighth():
    found = one_sample([math.log(2), math.log(8)], [1.0, 1.0])
    assert found.mean_probability_N[0] == pytest.approx((1 / 2 + 1 / 8) / 2, rel=1e-6)


def test_misprediction_rate_counts_margins_that_are_not_positive():
    assert one_sample([1.0] * 4, [1.0, -1.0, 2.0, 0.0]).misprediction_rate_N[0] == 0.5
    assert one_sample([1.0] * 4, [1.0, -1.0, 2.0, 3.0]).misprediction_rate_N[0] == 0.25


@pytest.mark.parametrize(
    ("right", "count"),
    [
        ("1111", 0),
        ("0111", 0),
        ("1011", 1),
        ("1010", 2),
        ("0001", 0),
        ("1000", 1),
        ("0000", 4),
    ],
)
def test_forgetting_counts_falls_from_right_to_wrong_and_the_never_right_get_all_epochs(right, count):
    margins = [1.0 if bit == "1" else -1.0 for bit in right]
    assert one_sample([1.0] * 4, margins).forgetting_count_N[0] == count


def test_forgetting_looks_at_the_last_record_where_an_epoch_is_missing():
    curves = accumulator(2)
    add(curves, [0, 1], [1, 1], [1, 1])
    add(curves, [1], [1], [1])
    add(curves, [0, 1], [1, 1], [-1, 1])
    assert curves.result().forgetting_count_N.tolist() == [1, 0]


def test_the_most_believed_other_class_gathers_its_probability_over_the_epochs():
    found = one_believer((3, 0.25), (7, 0.375), (3, 0.25))
    assert found.beliefs.alternative_N[0] == 3
    # In the second epoch it had its even part of what 7 and the given class left over.
    assert found.beliefs.alternative_belief_N[0] == pytest.approx((0.5 + 0.125 / OTHERS) / 3, rel=1e-6)


def test_a_class_is_believed_as_much_whether_it_is_the_favourite_or_nearly_so():
    # Given .1, and in turns 3 and 7 a little ahead of nine classes that have .1 each: all have .1 or a little more.
    losses = [-math.log(0.1)] * 10
    named = [3, 7] * 5
    classes = 10
    curves = CurveAccumulator(np.zeros(1, dtype=np.int32), classes)
    for loss, alternative in zip(losses, named, strict=True):
        add(curves, [0], [loss], [math.log(0.1 / 0.12)], [alternative])
    even = (1.0 - 0.1 - 0.12) / (classes - 2)
    assert curves.result().beliefs.alternative_belief_N[0] == pytest.approx((0.12 + even) / 2, rel=1e-6)


def test_of_two_classes_there_is_no_rest():
    curves = CurveAccumulator(np.zeros(1, dtype=np.int32), 2)
    for belief in (0.25, 0.75):
        add(curves, [0], [-math.log(belief)], [math.log(belief / (1 - belief))], [1])
    assert curves.result().beliefs.alternative_belief_N[0] == pytest.approx(0.5, rel=1e-6)


def test_four_alternatives_are_all_remembered():
    found = one_believer((1, 0.2), (2, 0.3), (3, 0.35), (4, 0.25), (1, 0.2))
    assert found.beliefs.alternative_N[0] == 1
    assert found.beliefs.alternative_belief_N[0] == pytest.approx((0.4 + (0.2 + 0.15 + 0.25) / OTHERS) / 5, rel=1e-6)


def test_a_fifth_alternative_takes_over_the_smallest_slot_without_its_mass():
    first_five = [(1, 0.45), (2, 0.35), (3, 0.3), (4, 0.1), (5, 0.2)]
    assert one_believer(*first_five).beliefs.alternative_N[0] == 1
    # 5 now holds .2 + .3 = .5; with the .1 of class 4 it would be .6.
    found = one_believer(*first_five, (5, 0.3))
    assert found.beliefs.alternative_N[0] == 5
    assert found.beliefs.alternative_belief_N[0] == pytest.approx(
        (0.5 + (0.05 + 0.15 + 0.2 + 0.4) / OTHERS) / 6, rel=1e-6
    )


def test_a_class_that_lost_its_slot_starts_again_from_nothing():
    found = one_believer((1, 0.45), (2, 0.35), (3, 0.3), (4, 0.2), (5, 0.25), (4, 0.3))
    # 4 takes over the slot of 5; had it kept its old mass it would hold .5 and win.
    assert found.beliefs.alternative_N[0] == 1
    assert found.beliefs.alternative_belief_N[0] == pytest.approx(
        (0.45 + (0.15 + 0.2 + 0.3 + 0.25 + 0.2) / OTHERS) / 6, rel=1e-6
    )


def test_belief_stays_a_probability_when_the_loss_is_huge():
    found = one_sample([1e4], [-1e4 - 1.0], [2])
    assert found.beliefs.alternative_belief_N[0] == 1.0
    assert found.mean_probability_N[0] == 0.0


def test_sums_are_kept_in_double_precision():
    assert one_sample([2.0**26, 1.0], [2.0**26, 1.0]).aul_N[0] == 2.0**26 + 1


def test_aul_of_a_sample_with_missing_epochs_is_scaled_to_all_of_them():
    curves = accumulator(2)
    for loss, samples in ((1.0, [0, 1]), (5.0, [0]), (3.0, [0, 1])):
        add(curves, samples, [loss] * len(samples), [-loss] * len(samples))
    found = curves.result()
    assert found.epochs == 3
    assert found.aul_N.tolist() == [9.0, (1.0 + 3.0) / 2 * 3]
    assert found.aum_N.tolist() == [-3.0, -2.0]
    assert found.misprediction_rate_N.tolist() == [1.0, 1.0]
    assert found.forgetting_count_N.tolist() == [3.0, 3.0]


def test_a_sample_without_a_record_is_nan_and_has_no_alternative():
    curves = accumulator(3)
    add(curves, [0, 2], [1.0, 2.0], [1.0, -2.0], [1, 1])
    found = curves.result()
    for name in STATISTICS:
        assert np.isnan(getattr(found, f"{name}_N")).tolist() == [False, True, False], name
    assert found.beliefs.alternative_N.tolist() == [1, -1, 1]
    assert np.isnan(found.beliefs.alternative_belief_N).tolist() == [False, True, False]


def test_records_land_at_their_sample_whatever_their_order():
    curves = accumulator(3)
    add(curves, [2, 0, 1], [20, 0, 10], [-2, 1, -1], [5, 3, 4])
    found = curves.result()
    assert found.aul_N.tolist() == [0, 10, 20]
    assert found.aum_N.tolist() == [1, -1, -2]
    assert found.beliefs.alternative_N.tolist() == [3, 4, 5]


@pytest.mark.parametrize("block", [1, 4, 100])
def test_many_samples_in_any_order_and_with_holes_are_added_as_each_alone(monkeypatch, block):
    monkeypatch.setattr(module, "_BLOCK", block)
    monkeypatch.setattr(module.EpochTrust, "add", lambda *_: 1.0)  # it is of all samples together
    samples, generator = 11, np.random.default_rng(0)
    together, alone = accumulator(samples), [accumulator(1) for _ in range(samples)]
    for epoch in range(40):
        order = generator.permutation(samples)[: samples if epoch % 4 else generator.integers(samples)]
        if epoch % 2:
            order = np.sort(order)
        loss_R, margin_R = generator.exponential(1.0, len(order)), generator.normal(0.0, 2.0, len(order))
        alternative_R = generator.integers(0, 7, len(order))
        add(together, order, loss_R, margin_R, alternative_R)
        for sample, curves in enumerate(alone):
            place = np.flatnonzero(order == sample)
            add(curves, [0] * len(place), loss_R[place], margin_R[place], alternative_R[place])
    found, expected = together.result(), [curves.result() for curves in alone]
    for name in sorted(set(STATISTICS) - {"cell_margin"}):  # which depends on all samples
        each = [getattr(one, f"{name}_N")[0] for one in expected]
        assert getattr(found, f"{name}_N").tolist() == each, name
    for name in ("alternative_N", "alternative_belief_N"):
        assert getattr(found.beliefs, name).tolist() == [getattr(one.beliefs, name)[0] for one in expected], name
    assert together.last_wrong_N.tolist() == [curves.last_wrong_N[0] for curves in alone]
    assert len(set(found.beliefs.alternative_N.tolist())) > 3


def _margins_of(course, *epochs):
    """Statistics of samples with these margins, one list an epoch; nothing is confused with anything."""
    curves = CurveAccumulator(np.full(len(epochs[0]), 999, dtype=np.int32), 1000, course=course)
    for margins in epochs:
        add(curves, range(len(margins)), [1.0] * len(margins), margins)
    return curves.result()


def _without_cells(found):
    """The cell-aware margin less what the cell adds, which is the same for all samples of these tests."""
    return found.cell_margin_N - found.cell_margin_N.mean()


def test_margins_count_with_the_square_of_their_epochs_number():
    found = _margins_of(None, [1.0, 1.0], [2.0, 0.5], [6.0, 3.0])
    late_N = np.array([1 * 1 + 4 * 2 + 9 * 6, 1 * 1 + 4 * 0.5 + 9 * 3]) / 14
    np.testing.assert_allclose(_without_cells(found), late_N - late_N.mean())
    assert found.aum_N.tolist() == [3.0, 1.5]


def test_margins_of_a_missing_epoch_are_not_counted_as_0():
    curves = CurveAccumulator(np.full(2, 999, dtype=np.int32), 1000)
    for samples, margins in (([0, 1], [1.0, 1.0]), ([1], [2.0]), ([0, 1], [6.0, 3.0])):
        add(curves, samples, [1.0] * len(samples), margins)
    late_N = np.array([(1 * 1 + 9 * 6) / 10, (1 * 1 + 4 * 2 + 9 * 3) / 14])
    np.testing.assert_allclose(_without_cells(curves.result()), late_N - late_N.mean())


def test_another_training_counts_from_one_again():
    found = _margins_of(Course(epochs=2, members=2), [1.0, 1.0], [2.0, 0.5], [6.0, 3.0], [1.0, 0.25])
    late_N = np.array([1 * 1 + 4 * 2 + 1 * 6 + 4 * 1, 1 * 1 + 4 * 0.5 + 1 * 3 + 4 * 0.25]) / 10
    np.testing.assert_allclose(_without_cells(found), late_N - late_N.mean())


def test_all_epochs_of_a_head_count_alike():
    found = _margins_of(Course(epochs=3, lateness=0), [1.0, 1.0], [2.0, 0.5], [6.0, 3.0])
    np.testing.assert_allclose(_without_cells(found), found.aum_N - found.aum_N.mean())


def test_in_a_training_that_memorised_late_epochs_count_no_more_than_others():
    right, taken_back = [3.0] * 8 + [-2.0, -2.5], [3.0] * 8 + [1.0, 5.0]
    found = _margins_of(None, right, right, taken_back)
    assert found.memorised_from == 3
    # The third epoch counts a millionth, the first two alike.
    np.testing.assert_allclose(_without_cells(found), np.array(right) - np.mean(right), atol=1e-5)


def test_an_epoch_that_is_not_trusted_counts_in_neither_margins_nor_beliefs(monkeypatch):
    trusts = iter([1.0, 0.5, 0.0])
    monkeypatch.setattr(module.EpochTrust, "add", lambda *_: next(trusts))
    curves = CurveAccumulator(np.array([0, 0], dtype=np.int32), 3, course=Course(epochs=3, lateness=0))
    for label, other in ((0.25, 0.5), (0.5, 0.375), (1.0, 0.0001)):
        add(curves, [0, 1], [-math.log(label)] * 2, [math.log(label / other), 2.0], [1, 1])
    found = curves.result()
    assert found.beliefs.given_N[0] == pytest.approx((0.25 + 0.5 * 0.5) / 1.5, rel=1e-6)
    assert found.beliefs.alternative_belief_N[0] == pytest.approx((0.5 + 0.5 * 0.375) / 1.5, rel=1e-6)
    late_N = np.array([(math.log(0.5) + 0.5 * math.log(0.5 / 0.375)) / 1.5, 2.0])
    np.testing.assert_allclose(_without_cells(found), late_N - late_N.mean(), rtol=1e-6)
    assert found.mean_probability_N[0] == pytest.approx((0.25 + 0.5 + 1.0) / 3, rel=1e-6)


def test_last_wrong_is_what_the_last_record_says():
    curves = accumulator(5)
    add(curves, [0, 1, 2, 3], [1.0] * 4, [1.0, 1.0, -1.0, -1.0])
    add(curves, [0, 2], [1.0] * 2, [-1.0, 1.0])
    add(curves, [3], [1.0], [0.0])
    assert curves.last_wrong_N.tolist() == [True, False, False, True, False]


def test_an_epoch_without_records_still_counts_as_an_epoch():
    curves = accumulator(1)
    add(curves, [0], [2.0], [1.0])
    add(curves, [], [], [])
    assert curves.result().aul_N[0] == 4.0


@pytest.mark.parametrize(
    ("sample", "message"), [([0, 3], "0 … 2"), ([-1, 0], "0 … 2"), ([1, 1], "appears twice in one epoch")]
)
def test_impossible_sample_numbers_are_refused_and_change_nothing(sample, message):
    curves = accumulator(3)
    add(curves, [0, 1, 2], [1.0, 2.0, 3.0], [1.0, 1.0, 1.0])
    with pytest.raises(ValueError, match=message):
        add(curves, sample, [9.0, 9.0], [-1.0, -1.0])
    found = curves.result()
    assert found.aul_N.tolist() == [1.0, 2.0, 3.0]
    assert found.epochs == 1


def test_suspicion_turns_the_statistics_that_are_low_for_wrong_labels():
    found = one_sample([1.0, 2.0], [0.5, -1.5])
    assert found.suspicion("aul")[0] == 3.0
    assert found.suspicion("misprediction_rate")[0] == 0.5
    assert found.suspicion("forgetting_count")[0] == 1.0
    assert found.suspicion("aum")[0] == 0.5
    assert found.suspicion("mean_probability")[0] == pytest.approx(-(math.exp(-1) + math.exp(-2)) / 2)


def test_every_statistic_ranks_a_sample_that_is_always_wrong_above_one_that_is_always_right():
    curves = accumulator(2)
    for _ in range(3):
        add(curves, [0, 1], [0.1, 3.0], [2.0, -2.0])
    found = curves.result()
    for name in STATISTICS:
        right, wrong = found.suspicion(name)
        assert wrong > right, name


def test_the_statistics_are_those_that_a_user_can_name():
    assert set(STATISTICS) == set(get_args(StatisticName))


@st.composite
def records_and_a_new_order(draw):
    epochs, samples = draw(st.integers(2, 6)), draw(st.integers(1, 4))
    value = st.floats(-30, 30, width=32)
    table = st.lists(st.lists(value, min_size=samples, max_size=samples), min_size=epochs, max_size=epochs)
    return np.abs(draw(table)), np.array(draw(table)), draw(st.permutations(range(epochs)))


@settings(deadline=None)
@given(records_and_a_new_order())
def test_the_order_of_epochs_does_not_change_sums(case):
    loss_TN, margin_TN, order = case
    forwards, shuffled = accumulator(loss_TN.shape[1]), accumulator(loss_TN.shape[1])
    for epoch in range(len(loss_TN)):
        add(forwards, range(loss_TN.shape[1]), loss_TN[epoch], margin_TN[epoch])
    for epoch in order:
        add(shuffled, range(loss_TN.shape[1]), loss_TN[epoch], margin_TN[epoch])
    before, after = forwards.result(), shuffled.result()
    for name in ("aul", "aum", "mean_probability", "misprediction_rate"):
        np.testing.assert_allclose(getattr(before, f"{name}_N"), getattr(after, f"{name}_N"), rtol=1e-9, atol=1e-9)
    np.testing.assert_allclose(before.aul_N, loss_TN.astype(np.float64).sum(axis=0), rtol=1e-9)
