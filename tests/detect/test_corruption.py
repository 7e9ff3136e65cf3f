"""Which pictures are corrupted."""

import numpy as np
import pytest

from labelaudit.detect.corruption import Pictures, find_corrupted
from labelaudit.detect.pictures import picture_statistics, spoiled_statistics


def natural(count, generator, *, side=16):
    """Smooth pictures, each of its own roughness: coarse noise, enlarged, with fine noise on top."""
    coarse = generator.integers(0, 200, (count, 1, side // 4, side // 4)).repeat(4, axis=2).repeat(4, axis=3)
    fine = generator.integers(0, 55, (count, 1, side, side)) * generator.random((count, 1, 1, 1))
    return (coarse + fine).astype(np.uint8)


def shuffled(x_BCHW, generator):
    flat = x_BCHW.reshape(len(x_BCHW), x_BCHW.shape[1], -1)
    return flat[:, :, generator.permutation(flat.shape[2])].reshape(x_BCHW.shape)


def pictures_of(x_BCHW, generator, *, spoiled=200):
    spoiled_P = np.sort(generator.permutation(len(x_BCHW))[:spoiled]).astype(np.int32)
    return Pictures(
        sample_U=np.arange(len(x_BCHW), dtype=np.int32),
        value_US=picture_statistics(x_BCHW),
        spoiled_P=spoiled_P,
        value_PMS=spoiled_statistics(x_BCHW[spoiled_P], generator),
        digest_U=np.full(len(x_BCHW), ""),
    )


def found_in(x_BCHW, *, seed=0, spoiled=200):
    found = find_corrupted(
        pictures_of(x_BCHW, np.random.default_rng(seed), spoiled=spoiled), np.random.default_rng(seed)
    )
    assert found is not None
    return found


@pytest.mark.parametrize("share", [0.01, 0.1, 0.4])
def test_corrupted_pictures_are_found_however_many_they_are(share):
    generator = np.random.default_rng(5)
    x_BCHW, bad = natural(1500, generator), int(share * 1500)
    x_BCHW[:bad] = shuffled(x_BCHW[:bad], generator)
    found = found_in(x_BCHW)
    assert (found.p_U[:bad] > 0.5).mean() > 0.97
    assert (found.p_U[bad:] > 0.5).mean() < 0.01
    assert found.score_U[:bad].min() > np.quantile(found.score_U[bad:], 0.99)
    assert found.rate == pytest.approx(share, abs=0.01)


def test_in_clean_data_nothing_is_corrupted_and_copies_are_still_known():
    found = found_in(natural(1500, np.random.default_rng(1)))
    assert (found.p_U > 0.5).sum() <= 1
    assert found.rate < 0.003
    assert (found.p_PM[:, [0, 1, 3]] > 0.5).mean() > 0.9  # the partly noisy ones less


def test_a_single_blank_picture_is_found():
    x_BCHW = natural(600, np.random.default_rng(2))
    x_BCHW[77] = 255
    found = found_in(x_BCHW)
    assert np.flatnonzero(found.p_U > 0.5).tolist() == [77]


def test_rough_data_is_not_corrupted_only_because_it_is_rough():
    noise = np.random.default_rng(0).integers(0, 256, (800, 1, 16, 16)).astype(np.uint8)
    found = found_in(noise)
    assert (found.p_U > 0.5).mean() < 0.05
    blank = found.p_PM[:, 3]
    assert (blank > 0.5).all()


def test_probabilities_rise_with_the_score():
    generator = np.random.default_rng(3)
    x_BCHW = natural(500, generator)
    x_BCHW[:50] = shuffled(x_BCHW[:50], generator)
    found = found_in(x_BCHW)
    assert (np.diff(found.p_U[np.argsort(found.score_U)]) >= 0).all()


def test_too_few_copies_say_nothing():
    x_BCHW = natural(100, np.random.default_rng(0))
    for spoiled, said in ((19, False), (20, True)):
        pictures = pictures_of(x_BCHW, np.random.default_rng(0), spoiled=spoiled)
        assert (find_corrupted(pictures, np.random.default_rng(0)) is not None) == said


def test_equal_draws_give_equal_verdicts():
    x_BCHW = natural(300, np.random.default_rng(0))
    np.testing.assert_array_equal(found_in(x_BCHW).p_U, found_in(x_BCHW).p_U)


def test_one_picture_repeated_is_no_error():
    x_BCHW = np.full((50, 1, 8, 8), 9, dtype=np.uint8)
    assert np.isfinite(found_in(x_BCHW, spoiled=50).p_U).all()
