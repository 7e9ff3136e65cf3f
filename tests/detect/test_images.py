import numpy as np
import pytest

from labelaudit.detect.images import IMAGE_STATISTICS, copy_statistics, image_statistics
from labelaudit.names import COPY_KINDS


def smooth(count=8, *, side=24, channels=3, seed=0):
    """Images of a slope with a little noise."""
    generator = np.random.default_rng(seed)
    slope_HW = np.add.outer(np.arange(side), np.arange(side)) * (200 / (2 * side))
    return (slope_HW + generator.integers(0, 12, (count, channels, side, side))).astype(np.uint8)


def of(value_BS, name):
    return value_BS[..., IMAGE_STATISTICS.index(name)]


def test_by_hand():
    # Columns 0, 8, 0, 8: v = 16; d = 64 to the right, 0 below, so 32; 2 x 2 means are all 4.
    x_BCHW = np.tile(np.array([0, 8, 0, 8], dtype=np.uint8), (1, 1, 4, 1))
    np.testing.assert_allclose(image_statistics(x_BCHW)[0], [np.log(17), 0.0, 0.0, 0.5], rtol=1e-6)
    np.testing.assert_allclose(image_statistics(np.full((1, 3, 16, 16), 77, dtype=np.uint8))[0], [0.0, 0.0, 0.0, 1.0])


def test_a_large_image_is_shrunk_by_a_whole_factor():
    small = smooth(side=32, channels=1)
    large = small.repeat(5, axis=2).repeat(5, axis=3)
    cut = np.concatenate([large, np.zeros((*large.shape[:3], 4), dtype=np.uint8)], axis=3)
    for each in (large, cut):
        np.testing.assert_allclose(image_statistics(each), image_statistics(small), atol=1e-5)


@pytest.mark.parametrize(("count", "side"), [(0, 8), (3, 4), (3, 5), (3, 28), (3, 70), (3, 224)])
def test_any_size_gives_figures(count, side):
    x_BCHW = np.random.default_rng(0).integers(0, 256, (count, 3, side, side)).astype(np.uint8)
    own, copies = image_statistics(x_BCHW), copy_statistics(x_BCHW, np.random.default_rng(0))
    for found, shape in ((own, (count,)), (copies, (count, len(COPY_KINDS)))):
        assert found.shape == (*shape, len(IMAGE_STATISTICS))
        assert np.isfinite(found).all()


def test_corrupted_copies_are_what_they_are_called():
    x_BCHW = smooth(60)
    own, copies = image_statistics(x_BCHW), copy_statistics(x_BCHW, np.random.default_rng(0))
    shuffled, gaussian, noise, blank = (copies[:, COPY_KINDS.index(kind)] for kind in COPY_KINDS)
    np.testing.assert_allclose(of(shuffled, "contrast"), of(own, "contrast"), atol=1e-4)
    assert np.abs(of(shuffled, "roughness")).max() < 0.2
    assert np.abs(of(gaussian, "roughness")).max() < 0.2
    assert np.abs(of(gaussian, "contrast") - of(own, "contrast")).max() < 0.3
    np.testing.assert_allclose(blank, np.tile([0.0, 0.0, 0.0, 1.0], (60, 1)))
    assert of(noise, "roughness").min() < -0.3 < of(noise, "roughness").max()
    assert (of(noise, "roughness") > of(own, "roughness")).all()
    again, other = (copy_statistics(x_BCHW, np.random.default_rng(seed)) for seed in (0, 4))
    np.testing.assert_array_equal(again, copies)
    assert (other != copies).any()
