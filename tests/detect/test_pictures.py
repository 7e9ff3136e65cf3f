"""What is told of a picture without a network."""

import numpy as np
import pytest

from labelaudit.detect.pictures import (
    PICTURE_STATISTICS,
    picture_statistics,
    spoiled_statistics,
)
from labelaudit.names import SPOILED_KINDS


def smooth(count=8, *, side=24, channels=3, seed=0):
    """Pictures of a slope with a little noise."""
    generator = np.random.default_rng(seed)
    slope_HW = np.add.outer(np.arange(side), np.arange(side)) * (200 / (2 * side))
    noise_BCHW = generator.integers(0, 12, (count, channels, side, side))
    return (slope_HW + noise_BCHW).astype(np.uint8)


def of(value_BS, name):
    return value_BS[..., PICTURE_STATISTICS.index(name)]


def test_by_hand():
    # Columns 0, 8, 0, 8: v = 16; d = 64 to the right, 0 below, so 32; 2 x 2 means are all 4.
    x_BCHW = np.tile(np.array([0, 8, 0, 8], dtype=np.uint8), (1, 1, 4, 1))
    (value_S,) = picture_statistics(x_BCHW)
    expected = [np.log(17), np.log(33 / 33), np.log(1 / 1), 0.5]
    np.testing.assert_allclose(value_S, expected, rtol=1e-6)


def test_rough_pictures_are_rough_at_both_scales_and_smooth_ones_are_not():
    noise = np.random.default_rng(1).integers(0, 256, (40, 1, 28, 28)).astype(np.uint8)
    for name in ("roughness", "coarse_roughness"):
        assert np.abs(of(picture_statistics(noise), name)).max() < 0.3
        assert of(picture_statistics(smooth()), name).max() < -1.0


def test_a_blank_picture():
    (value_S,) = picture_statistics(np.full((1, 3, 16, 16), 77, dtype=np.uint8))
    np.testing.assert_allclose(value_S, [0.0, 0.0, 0.0, 1.0])


def test_neither_brightness_nor_turning_nor_the_order_of_the_channels_counts():
    x_BCHW = smooth()
    for other in (x_BCHW + 20, x_BCHW[:, ::-1], x_BCHW.transpose(0, 1, 3, 2), x_BCHW[:, :, ::-1, ::-1]):
        np.testing.assert_allclose(picture_statistics(other), picture_statistics(x_BCHW), rtol=2e-4, atol=2e-4)


def test_a_large_picture_is_shrunk_by_a_whole_factor():
    small = smooth(side=32, channels=1)
    large = small.repeat(5, axis=2).repeat(5, axis=3)
    np.testing.assert_allclose(picture_statistics(large), picture_statistics(small), atol=1e-5)
    cut = np.concatenate([large, np.zeros((*large.shape[:3], 4), dtype=np.uint8)], axis=3)
    np.testing.assert_allclose(picture_statistics(cut), picture_statistics(small), atol=1e-5)


def test_blocks_change_nothing(monkeypatch):
    whole = picture_statistics(smooth(30))
    monkeypatch.setattr("labelaudit.detect.pictures._BLOCK_VALUES", 3 * 24 * 24 * 7)
    np.testing.assert_allclose(picture_statistics(smooth(30)), whole, rtol=1e-6)


@pytest.mark.parametrize("side", [4, 5, 28, 70, 224])
def test_any_size_gives_figures(side):
    x_BCHW = np.random.default_rng(0).integers(0, 256, (3, 3, side, side)).astype(np.uint8)
    assert np.isfinite(picture_statistics(x_BCHW)).all()
    spoiled = spoiled_statistics(x_BCHW, np.random.default_rng(0))
    assert spoiled.shape == (3, len(SPOILED_KINDS), len(PICTURE_STATISTICS))
    assert np.isfinite(spoiled).all()


def test_no_pictures_give_no_figures():
    none = np.empty((0, 1, 8, 8), dtype=np.uint8)
    assert picture_statistics(none).shape == (0, len(PICTURE_STATISTICS))
    assert spoiled_statistics(none, np.random.default_rng(0)).shape[0] == 0


def test_spoiled_copies_are_what_they_are_called():
    x_BCHW = smooth(60)
    own, spoiled = picture_statistics(x_BCHW), spoiled_statistics(x_BCHW, np.random.default_rng(0))
    shuffled, gaussian, noise, blank = (spoiled[:, SPOILED_KINDS.index(kind)] for kind in SPOILED_KINDS)
    np.testing.assert_allclose(of(shuffled, "contrast"), of(own, "contrast"), atol=1e-4)
    assert np.abs(of(shuffled, "roughness")).max() < 0.2
    assert np.abs(of(gaussian, "roughness")).max() < 0.2
    assert np.abs(of(gaussian, "contrast") - of(own, "contrast")).max() < 0.3
    np.testing.assert_allclose(blank, np.tile([0.0, 0.0, 0.0, 1.0], (60, 1)))
    assert of(noise, "roughness").min() < -0.3 < of(noise, "roughness").max()
    assert (of(noise, "roughness") > of(own, "roughness")).all()


def test_equal_draws_give_equal_copies():
    one, again, other = (spoiled_statistics(smooth(), np.random.default_rng(seed)) for seed in (3, 3, 4))
    np.testing.assert_array_equal(one, again)
    assert (one != other).any()
