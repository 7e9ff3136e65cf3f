"""The noise that a selector would back-propagate."""

import numpy as np
import pytest

from labelaudit.detect.constants import HARMLESS, PriorityWatch, advise, choose_watched, largest_entropy

LOSS = ("loss", "50%")


def watched(loss_ES, margin_ES=None, *, classes=10):
    count = len(loss_ES[0])
    watch = PriorityWatch(np.arange(count), classes)
    for epoch, loss_S in enumerate(loss_ES):
        margin_S = np.zeros(count) if margin_ES is None else margin_ES[epoch]
        watch.add(np.arange(count, dtype=np.int32), np.asarray(loss_S, dtype=np.float32), margin_S.astype(np.float32))
    return watch.chances()


def test_chances_by_hand():
    chances = watched([[0.1, 0.4, 0.2, 0.3], [4, 3, 2, 1]])
    np.testing.assert_allclose(chances["loss", "50%"], np.array([0 + 0.75, 0.75 + 0.5, 0.25 + 0.25, 0.5 + 0]) / 2)
    np.testing.assert_allclose(chances["loss", "33%"][0], 0.75**2 / 2)


def test_half_and_a_third_of_the_samples_are_taken():
    chances = watched([np.random.default_rng(0).random(3000)])
    assert chances["loss", "50%"].mean() == pytest.approx(0.5, abs=0.001)
    assert chances["loss", "33%"].mean() == pytest.approx(1 / 3, abs=0.001)


def test_equal_losses_take_nothing_as_the_strict_percentile_has_it():
    chances = watched([np.ones(5)])
    assert chances[LOSS].tolist() == [0.0] * 5
    assert advise(np.full(5, 0.2), chances).selected[0].noise_share == pytest.approx(0.2)


def test_the_order_of_the_records_does_not_count():
    generator = np.random.default_rng(0)
    sample_R = generator.permutation(50).astype(np.int32)
    loss_N, margin_N = generator.random(50).astype(np.float32), generator.normal(size=50).astype(np.float32)
    watches = [PriorityWatch(np.arange(10, 20), 4) for _ in range(2)]
    watches[0].add(np.arange(50, dtype=np.int32), loss_N, margin_N)
    watches[1].add(sample_R, loss_N[sample_R], margin_N[sample_R])
    for name, chance_S in watches[0].chances().items():
        np.testing.assert_array_equal(chance_S, watches[1].chances()[name])


def test_an_epoch_that_lacks_a_sample_is_passed_over():
    watch = PriorityWatch(np.array([1, 3]), 4)
    for sample_R in ([], [1, 2], [0, 1], [3]):
        values = np.ones(len(sample_R), dtype=np.float32)
        watch.add(np.array(sample_R, dtype=np.int32), values, values)
    assert all((chance_S == 0).all() for chance_S in watch.chances().values())
    watch.add(np.array([3, 1], dtype=np.int32), np.array([5, 1], dtype=np.float32), np.zeros(2, dtype=np.float32))
    assert watch.chances()[LOSS].tolist() == [0.0, 0.5]


def test_entropy_by_hand_and_at_its_ends():
    # p = (1/2, 1/4, and the rest over two classes): ln 2 / 2 + ln 4 / 4 + ln 8 / 4.
    value = largest_entropy(np.array([np.log(2)]), np.array([np.log(2)]), 4)
    assert value[0] == pytest.approx(np.log(2) / 2 + np.log(4) / 4 + np.log(8) / 4)
    assert largest_entropy(np.array([0.0]), np.array([50.0]), 10)[0] == pytest.approx(0.0, abs=1e-9)
    assert largest_entropy(np.array([np.log(10)]), np.array([0.0]), 10)[0] == pytest.approx(np.log(10))
    assert largest_entropy(np.array([np.log(2)]), np.array([0.0]), 2)[0] == pytest.approx(np.log(2))


def test_the_entropy_does_not_know_the_label():
    # The same prediction, (.7, .2, .1), against its first and its second class.
    one = largest_entropy(-np.log([0.7]), np.log([0.7 / 0.2]), 3)
    other = largest_entropy(-np.log([0.2]), np.log([0.2 / 0.7]), 3)
    np.testing.assert_allclose(one, other)


def advice_for(noise_loss, *, entropy=None):
    """Ninety clean samples with a loss of 1, ten noisy ones with this."""
    generator = np.random.default_rng(0)
    noise_S = np.repeat([0.0, 1.0], [900, 100])
    loss_S = generator.uniform(0.9, 1.1, 1000) * np.where(noise_S > 0, noise_loss, 1.0)
    chances = watched([loss_S])
    chances |= {("entropy", share): chances["loss", share] if entropy is None else entropy for share in ("50%", "33%")}
    return advise(noise_S, chances)


def test_noise_with_high_losses_is_taken_more_often_than_there_is():
    advice = advice_for(5.0)
    assert advice.base_rate == pytest.approx(0.1)
    half, third = advice.selected[:2]
    assert half.noise_share == pytest.approx(0.1 * 0.95 / 0.5, abs=0.002)
    assert third.noise_share == pytest.approx(0.1 * (1 - 0.9**3) / 3 / 0.1 * 3, abs=0.003)
    assert advice.safe == "none"


def test_noise_with_low_losses_hurts_nobody():
    advice = advice_for(0.2)
    assert all(entry.noise_share < 0.02 for entry in advice.selected)
    assert advice.safe == "selective-backprop"


def test_the_entropy_is_advised_where_only_it_is_safe():
    advice = advice_for(5.0, entropy=np.full(1000, 0.5))
    assert advice.safe == "selective-backprop-entropy"
    assert advice.selected[2].noise_share - advice.base_rate < HARMLESS < advice.selected[0].noise_share - 0.1


def test_few_samples_are_watched():
    seen_N = np.ones(50_000, dtype=bool)
    seen_N[::2] = False
    chosen = choose_watched(seen_N, np.random.default_rng(0))
    assert len(np.unique(chosen)) == len(chosen) == 20_000
    assert (chosen % 2 == 1).all()
    assert (np.diff(chosen) > 0).all()
    assert choose_watched(np.array([True, False, True]), np.random.default_rng(0)).tolist() == [0, 2]
