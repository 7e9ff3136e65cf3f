import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.audit.corrupt import draw_permutation, gaussian_pixels, shuffle_pixels

sizes = st.integers(1, 9)


def picture(height=8, width=6, channels=3, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels)).astype(np.uint8)


def gaussian(pixels_HWC, seed=0):
    return gaussian_pixels(pixels_HWC, np.random.default_rng(seed))


def test_a_shuffle_by_hand():
    pixels_HWC = np.array([[[1, 10], [2, 20]], [[3, 30], [4, 40]]], dtype=np.uint8)
    shuffled = shuffle_pixels(pixels_HWC, np.array([2, 0, 3, 1]))
    assert shuffled.tolist() == [[[3, 30], [1, 10]], [[4, 40], [2, 20]]]


@given(sizes, sizes, st.sampled_from([1, 3]), st.integers(0, 100))
def test_the_inverse_permutation_restores_a_picture(height, width, channels, seed):
    pixels_HWC = picture(height, width, channels, seed)
    from_P = draw_permutation(height, width, seed=seed)
    shuffled = shuffle_pixels(pixels_HWC, from_P)
    assert (shuffle_pixels(shuffled, from_P.argsort()) == pixels_HWC).all()
    # Whole pixels move: the same colours are there as often as before.
    before, after = (sorted(map(tuple, p.reshape(-1, channels).tolist())) for p in (pixels_HWC, shuffled))
    assert before == after
    assert shuffled.dtype == np.uint8


def test_all_pictures_of_a_size_get_the_same_permutation_and_it_moves_pixels():
    first, again = draw_permutation(8, 6, seed=3), draw_permutation(8, 6, seed=3)
    assert (first == again).all()
    assert (first != draw_permutation(8, 6, seed=4)).any()
    assert (first != np.arange(48)).mean() > 0.8


@pytest.mark.parametrize("channels", [1, 3])
def test_gaussian_pixels_have_the_mean_and_variance_of_the_picture(channels):
    # Far from 0 and 255, so that hardly anything is clipped.
    pixels_HWC = (90 + picture(64, 64, channels) // 4).astype(np.uint8)
    noise = gaussian(pixels_HWC).astype(float)
    count, std = noise.size, pixels_HWC.std()
    assert abs(noise.mean() - pixels_HWC.mean()) < 4 * std / np.sqrt(count)
    assert abs(noise.var() - pixels_HWC.var()) < 4 * std**2 * np.sqrt(2 / count) + 1 / 6
    # Nothing of the picture is left, and no pixel knows its neighbour or its other channels.
    assert abs(np.corrcoef(noise.ravel(), pixels_HWC.ravel())[0, 1]) < 4 / np.sqrt(count)
    assert abs(np.corrcoef(noise[:-1].ravel(), noise[1:].ravel())[0, 1]) < 4 / np.sqrt(count)
    if channels == 3:
        assert abs(np.corrcoef(noise[..., 0].ravel(), noise[..., 1].ravel())[0, 1]) < 0.1


def test_the_gaussian_of_each_picture_is_its_own():
    dark, bright = np.full((8, 8, 1), 20, np.uint8), np.full((8, 8, 1), 200, np.uint8)
    assert (gaussian(dark) == 20).all()
    assert (gaussian(bright) == 200).all()


def test_equal_seeds_give_equal_noise_and_others_other_noise():
    pixels_HWC = picture()
    assert (gaussian(pixels_HWC, 1) == gaussian(pixels_HWC, 1)).all()
    assert (gaussian(pixels_HWC, 1) != gaussian(pixels_HWC, 2)).any()
    assert gaussian(pixels_HWC).dtype == np.uint8


def test_strong_contrast_is_clipped():
    pixels_HWC = np.zeros((16, 16, 1), np.uint8)
    pixels_HWC[::2] = 255
    noise = gaussian(pixels_HWC)
    assert noise.min() == 0
    assert noise.max() == 255
