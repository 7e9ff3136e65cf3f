import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.data.noise import choose_samples, flip_labels

KINDS = ("uniform", "pair-flip")
cases = {
    "count": st.integers(0, 200),
    "classes": st.integers(2, 12),
    "kind": st.sampled_from(KINDS),
    "rate": st.floats(0, 1),
    "seed": st.integers(0, 2**32 - 1),
}


def drawn(count, classes, seed):
    return np.random.default_rng([seed, 1]).integers(0, classes, count).astype(np.int32)


def flipped(label_N, *, classes=10, kind="uniform", rate=0.3, seed=0, exact=True):
    generator = np.random.default_rng(seed)
    return flip_labels(label_N, classes=classes, kind=kind, rate=rate, generator=generator, exact=exact)


@given(**cases)
def test_exactly_the_asked_share_is_wrong(count, classes, kind, rate, seed):
    label_N = drawn(count, classes, seed)
    noisy_N = flipped(label_N, classes=classes, kind=kind, rate=rate, seed=seed)
    assert (noisy_N != label_N).sum() == round(rate * count)


@given(**cases)
def test_a_label_is_a_class_and_keeps_its_type(count, classes, kind, rate, seed):
    noisy_N = flipped(drawn(count, classes, seed), classes=classes, kind=kind, rate=rate, seed=seed, exact=False)
    assert noisy_N.dtype == np.int32
    assert ((noisy_N >= 0) & (noisy_N < classes)).all()


@given(**{name: cases[name] for name in ("count", "classes", "seed")})
def test_a_pair_flip_goes_to_the_next_class(count, classes, seed):
    label_N = drawn(count, classes, seed)
    noisy_N = flipped(label_N, classes=classes, kind="pair-flip", rate=1.0, seed=seed)
    assert noisy_N.tolist() == [(label + 1) % classes for label in label_N]


def test_a_pair_flip_by_hand():
    assert flipped(np.array([0, 1, 2], dtype=np.int32), classes=3, kind="pair-flip", rate=1.0).tolist() == [1, 2, 0]


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("exact", [True, False])
def test_no_rate_changes_nothing_and_the_full_rate_everything(kind, exact):
    label_N = drawn(500, 10, 0)
    assert (flipped(label_N, kind=kind, rate=0.0, exact=exact) == label_N).all()
    assert (flipped(label_N, kind=kind, rate=1.0, exact=exact) != label_N).all()


@pytest.mark.parametrize("kind", KINDS)
def test_the_given_labels_are_left_alone(kind):
    label_N = drawn(100, 10, 0)
    before = label_N.copy()
    flipped(label_N, kind=kind, rate=0.9)
    assert (label_N == before).all()


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("rate", [0.1, 0.45, 0.8])
def test_independent_draws_flip_the_rate_on_average_but_not_exactly(kind, rate):
    count, tries = 2000, 40
    wrong = [
        (flipped(np.zeros(count, dtype=np.int32), kind=kind, rate=rate, seed=seed, exact=False) != 0).sum()
        for seed in range(tries)
    ]
    sigma = np.sqrt(count * tries * rate * (1 - rate))
    assert abs(sum(wrong) - count * tries * rate) < 4 * sigma
    # The spread of a binomial count, which a fixed number of flips would not have.
    assert 0.5 < np.std(wrong) / np.sqrt(count * rate * (1 - rate)) < 1.6


def test_uniform_noise_reaches_every_other_class_equally_often():
    count, classes = 45_000, 10
    noisy_N = flipped(np.full(count, 3, dtype=np.int32), rate=1.0, classes=classes)
    seen_K = np.bincount(noisy_N, minlength=classes)
    others_K = np.delete(seen_K, 3)
    assert seen_K[3] == 0
    assert (np.abs(others_K - count / 9) < 4 * np.sqrt(count / 9 * 8 / 9)).all()


@pytest.mark.parametrize("exact", [True, False])
def test_the_wrong_ones_are_spread_over_the_whole_list(exact):
    label_N = np.zeros(10_000, dtype=np.int32)
    wrong_N = flipped(label_N, rate=0.4, exact=exact) != 0
    first, second = wrong_N[:5000].sum(), wrong_N[5000:].sum()
    assert abs(first - second) < 4 * np.sqrt(10_000 * 0.4 * 0.6)


@pytest.mark.parametrize("exact", [True, False])
def test_equal_seeds_draw_equal_noise_and_others_other_noise(exact):
    label_N = drawn(300, 10, 0)
    assert (flipped(label_N, seed=1, exact=exact) == flipped(label_N, seed=1, exact=exact)).all()
    assert (flipped(label_N, seed=1, exact=exact) != flipped(label_N, seed=2, exact=exact)).any()


@pytest.mark.parametrize(("rate", "classes"), [(-0.01, 10), (1.01, 10), (float("nan"), 10), (0.5, 1)])
def test_impossible_noise_is_refused(rate, classes):
    with pytest.raises(ValueError, match=r"rate must be in \[0, 1\] and classes at least 2"):
        flipped(np.zeros(4, dtype=np.int32), rate=rate, classes=classes)


def test_random_labels_are_drawn_from_all_classes_alike_whatever_the_truth():
    count, classes = 45_000, 10
    label_N = drawn(count, classes, 0)
    noisy_N = flipped(label_N, kind="random-labels", rate=1.0, classes=classes)
    # Of each true class, every given class has a tenth, the true one too.
    table_KK = np.zeros((classes, classes))
    np.add.at(table_KK, (label_N, noisy_N), 1)
    share_KK = table_KK / table_KK.sum(axis=1, keepdims=True)
    assert np.abs(share_KK - 1 / classes).max() < 4.5 * np.sqrt(0.09 / (count / classes))


@pytest.mark.parametrize("rate", [0.25, 0.5])
def test_of_random_labels_a_tenth_is_right_by_chance(rate):
    count, classes = 40_000, 10
    label_N = drawn(count, classes, 1)
    wrong = (flipped(label_N, kind="random-labels", rate=rate, classes=classes) != label_N).mean()
    expected = rate * (classes - 1) / classes
    assert abs(wrong - expected) < 4 * np.sqrt(expected * (1 - expected) / count)


def test_random_labels_at_no_rate_change_nothing():
    label_N = drawn(300, 10, 0)
    assert (flipped(label_N, kind="random-labels", rate=0.0) == label_N).all()


def chosen(count, *rates, seed=0, exact=True):
    return choose_samples(count, rates, generator=np.random.default_rng(seed), exact=exact)


@given(st.integers(0, 300), st.lists(st.floats(0, 0.3), max_size=3), st.integers(0, 2**32 - 1))
def test_every_rate_chooses_its_share_and_no_sample_is_chosen_twice(count, rates, seed):
    chosen_N = chosen(count, *rates, seed=seed)
    assert chosen_N.shape == (count,)
    for number, rate in enumerate(rates):
        assert abs((chosen_N == number).sum() - rate * count) <= 1
    assert ((chosen_N >= -1) & (chosen_N < len(rates))).all()


def test_rates_that_make_up_the_whole_choose_every_sample():
    assert sorted(chosen(7, 0.5, 0.5).tolist()) == [0, 0, 0, 0, 1, 1, 1]
    assert (chosen(1000, 0.5, 0.5, exact=False) >= 0).all()


def test_independent_choices_vary_around_their_rates():
    counts_T3 = np.array([np.bincount(chosen(2000, 0.1, 0.3, seed=seed, exact=False) + 1) for seed in range(40)])
    for number, rate in ((0, 0.6), (1, 0.1), (2, 0.3)):
        assert abs(counts_T3[:, number].mean() - 2000 * rate) < 4 * np.sqrt(2000 * rate * (1 - rate) / 40)
        assert 0.5 < counts_T3[:, number].std() / np.sqrt(2000 * rate * (1 - rate)) < 1.6


@pytest.mark.parametrize("rates", [[-0.1], [0.6, 0.5], [float("nan")]])
def test_impossible_rates_are_refused(rates):
    with pytest.raises(ValueError, match="together at most 1"):
        chosen(10, *rates)
