import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.auditing.corrupt import draw_permutation, gaussian_pixels, shuffle_pixels
from labelaudit.data.noise import choose_samples, flip_labels


def drawn(count, classes, seed):
    return np.random.default_rng([seed, 1]).integers(0, classes, count).astype(np.int32)


def flipped(label_N, *, classes=10, kind="uniform", rate=0.3, seed=0):
    return flip_labels(label_N, classes=classes, kind=kind, rate=rate, generator=np.random.default_rng(seed))


seeds = st.integers(0, 2**32 - 1)


@given(st.integers(0, 200), st.integers(2, 12), st.sampled_from(("uniform", "pair-flip")), st.floats(0, 1), seeds)
def test_exactly_the_given_share_is_wrong(count, classes, kind, rate, seed):
    label_N = drawn(count, classes, seed)
    before = label_N.copy()
    noisy_N = flipped(label_N, classes=classes, kind=kind, rate=rate, seed=seed)
    assert (noisy_N != label_N).sum() == round(rate * count)
    assert noisy_N.dtype == np.int32
    assert ((noisy_N >= 0) & (noisy_N < classes)).all()
    assert (label_N == before).all()
    assert (flipped(label_N, classes=classes, kind="random-labels", rate=0.0, seed=seed) == label_N).all()


def test_noise_by_hand():
    label_N = np.array([0, 1, 2], dtype=np.int32)
    assert flipped(label_N, classes=3, kind="pair-flip", rate=1.0).tolist() == [1, 2, 0]
    assert flipped(label_N, classes=3, kind="asymmetric", rate=1.0).tolist() == [1, 0, 2]
    assert flipped(label_N, classes=3, kind="one-class", rate=1.0).tolist()[1:] == [1, 2]


def test_uniform_noise_reaches_every_other_class_and_the_whole_list():
    count, classes = 45_000, 10
    seen_K = np.bincount(flipped(np.full(count, 3, dtype=np.int32), rate=1.0, classes=classes), minlength=classes)
    assert seen_K[3] == 0
    assert (np.abs(np.delete(seen_K, 3) - count / 9) < 4 * np.sqrt(count / 9 * 8 / 9)).all()
    wrong_N = flipped(np.zeros(10_000, dtype=np.int32), rate=0.4) != 0
    assert abs(wrong_N[:5000].sum() - wrong_N[5000:].sum()) < 4 * np.sqrt(10_000 * 0.4 * 0.6)


def test_random_labels_are_drawn_from_all_classes_whatever_the_truth():
    for label in (0, 3):
        noisy_N = flipped(np.full(10_000, label, dtype=np.int32), kind="random-labels", rate=1.0)
        assert np.abs(np.bincount(noisy_N, minlength=10) - 1000).max() < 4 * np.sqrt(900)


def chosen(count, *rates, seed=0, exact=True):
    return choose_samples(count, rates, generator=np.random.default_rng(seed), exact=exact)


@given(st.integers(0, 300), st.lists(st.floats(0, 0.3), max_size=3), seeds)
def test_every_rate_chooses_its_share_and_no_sample_is_chosen_twice(count, rates, seed):
    chosen_N = chosen(count, *rates, seed=seed)
    assert chosen_N.shape == (count,)
    for number, rate in enumerate(rates):
        assert abs((chosen_N == number).sum() - rate * count) <= 1
    assert ((chosen_N >= -1) & (chosen_N < len(rates))).all()
    assert (chosen(1000, 0.5, 0.5, exact=False) >= 0).all()


def test_independent_choices_vary_around_their_rates():
    counts_T3 = np.array([np.bincount(chosen(2000, 0.1, 0.3, seed=seed, exact=False) + 1) for seed in range(40)])
    for number, rate in ((0, 0.6), (1, 0.1), (2, 0.3)):
        assert abs(counts_T3[:, number].mean() - 2000 * rate) < 4 * np.sqrt(2000 * rate * (1 - rate) / 40)
        assert 0.5 < counts_T3[:, number].std() / np.sqrt(2000 * rate * (1 - rate)) < 1.6


def test_a_shuffle_by_hand_and_its_permutation():
    pixels_HWC = np.array([[[1, 10], [2, 20]], [[3, 30], [4, 40]]], dtype=np.uint8)
    shuffled = shuffle_pixels(pixels_HWC, np.array([2, 0, 3, 1]))
    assert shuffled.tolist() == [[[3, 30], [1, 10]], [[4, 40], [2, 20]]]
    first = draw_permutation(8, 6, seed=3)
    assert (first == draw_permutation(8, 6, seed=3)).all()
    assert (first != draw_permutation(8, 6, seed=4)).any()
    assert (first != np.arange(48)).mean() > 0.8


def test_gaussian_pixels_have_mean_and_variance_of_the_image_and_nothing_else_of_it():
    generator = np.random.default_rng(0)
    pixels_HWC = generator.integers(90, 154, (64, 64, 3)).astype(np.uint8)  # hardly anything is clipped
    noise = gaussian_pixels(pixels_HWC, generator).astype(float)
    count, std = noise.size, pixels_HWC.std()
    assert abs(noise.mean() - pixels_HWC.mean()) < 4 * std / np.sqrt(count)
    assert abs(noise.var() - pixels_HWC.var()) < 4 * std**2 * np.sqrt(2 / count) + 1 / 6
    for one, other in [(noise, pixels_HWC), (noise[:-1], noise[1:]), (noise[..., 0], noise[..., -1])]:
        assert abs(np.corrcoef(one.ravel(), other.ravel())[0, 1]) < 4 / np.sqrt(one.size)
