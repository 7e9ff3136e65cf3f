from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest

from labelaudit.detect import constants as c
from labelaudit.detect import near

SIDE = c.SIDE


def pictures(count, generator, *, side=SIDE):
    """Made-up images of blots: coarse noise and finer noise, enlarged."""
    parts = [
        generator.normal(size=(count, cells, cells)).repeat(side // cells, 1).repeat(side // cells, 2)
        for cells in (4, 8, 16)
    ]
    x = parts[0] + 0.7 * parts[1] + 0.4 * parts[2]
    return np.clip(128 + 35 * x, 0, 255).astype(np.uint8)


def shifted(x, step):
    """The part of twice enlarged images that begins ``step`` pixels from the top left, at the size of a thumbnail."""
    cut = x[:, step : step + 2 * SIDE - 8, step : step + 2 * SIDE - 8].astype(np.float32)
    weight = near._resampling(SIDE, 2 * SIDE - 8)
    return (weight @ cut @ weight.T).astype(np.uint8)


def halved(x):
    return x.reshape(len(x), SIDE, 2, SIDE, 2).mean(axis=(2, 4)).astype(np.uint8)


def correlated(one, other):
    image = near.band_passed(np.concatenate([one, other]))
    pairs = np.stack([np.arange(len(one)), len(one) + np.arange(len(one))], axis=1)
    return near.correlation(image, pairs, c.SCALES)


def test_the_correlation_of_two_images_by_hand():
    # A bright and a dark dot side by side, against one dot only: of norm 1, their product is 1/√2, mirrored or not.
    two, one = np.zeros((2, 1, 16, 16), dtype=np.float32)
    two[0, 8, 8], two[0, 8, 9] = np.sqrt(0.5), -np.sqrt(0.5)
    one[0, 8, 8], one[0, 0, 0] = np.sqrt(0.5), -np.sqrt(0.5)
    image = np.concatenate([two, one, two[:, :, ::-1], -two])
    pairs = np.array([[0, 0], [0, 1], [0, 2], [0, 3]])
    assert near.correlation(image, pairs, ()) == pytest.approx(
        [1.0, 0.5, 1.0, 0.0], abs=1e-6
    )  # the negative of the mirror image is elsewhere


def test_nearly_uniform_images_are_like_nothing():
    generator = np.random.default_rng(0)
    sky = np.linspace(90, 110, SIDE)[:, None] + np.zeros((6, SIDE, SIDE))
    sky = (sky + generator.random(sky.shape)).astype(np.uint8)
    assert correlated(sky[:3], sky[3:]).max() < 0.5
    assert near.near_pairs(np.full((5, SIDE, SIDE), 200, dtype=np.uint8), None)[0].shape == (0, 2)


@pytest.mark.parametrize("features", [True, False])
def test_planted_copies_are_found_and_nothing_else(features):
    generator = np.random.default_rng(1)
    large = pictures(150, generator, side=2 * SIDE)
    whole = halved(large)
    copies = np.concatenate([whole[:10, :, ::-1], shifted(large[10:20], 6), 0.6 * whole[20:30] + 40]).astype(np.uint8)
    x = np.concatenate([whole, copies])
    vectors = generator.normal(size=(len(x), 20)).astype(np.float32)
    told = []
    pairs, similarity = near.near_pairs(x, near.projection(vectors)(vectors) if features else None, told.append)
    assert pairs.tolist() == [[number, 150 + number] for number in range(30)]
    assert ((similarity > c.LEAST_ALIKE) & (similarity <= 1)).all()
    assert sum(told) == len(x)
    assert min(told) >= 0


@pytest.mark.parametrize("count", [0, 1, 2])
def test_few_images_are_no_error(count):
    x = pictures(1, np.random.default_rng(0)).repeat(count, axis=0)
    pairs, _ = near.near_pairs(x, np.ones((count, 3), dtype=np.float32))
    assert pairs.tolist() == [[0, 1]][: count // 2]


def test_images_that_are_all_alike_need_more():
    generator = np.random.default_rng(2)
    assert near.least_alike(pictures(200, generator)) == c.LEAST_ALIKE
    one = pictures(1, generator).astype(np.float32)
    alike = np.clip(0.8 * one + 0.2 * pictures(200, generator) + 10, 0, 255).astype(np.uint8)
    least = near.least_alike(alike)
    assert c.LEAST_ALIKE + 0.05 < least < 1
    # More images have more chance copies.
    assert near.least_alike(np.concatenate([alike, alike[:, ::-1, ::-1]])) != least
    assert near.near_pairs(alike, None)[0].size <= 2 * len(alike) / c.IMAGES_PER_FALSE_COPY * 3
    assert near.least_alike(alike[: c.FEW_IMAGES - 1]) == c.LEAST_ALIKE


def brute_force(query, base, most):
    product = query @ base.T
    np.fill_diagonal(product, -2)
    return np.sort(np.argsort(-product, axis=1)[:, :most], axis=1)


def test_neighbors_are_those_of_a_search_among_all(monkeypatch):
    generator = np.random.default_rng(3)
    value = near._unit(generator.normal(size=(1500, 8)))
    monkeypatch.setattr(c, "PRODUCTS_AT_ONCE", 200_000)  # several parts, and blocks in each
    other = near._unit(generator.normal(size=(1500, 8)))
    with ThreadPoolExecutor(2) as pool:
        for query, each in ((value, map), (other, pool.map)):
            found = near.neighbors(query, value, each)
            assert np.array_equal(np.sort(found, axis=1), brute_force(query, value, c.NEIGHBORS))


def test_cells_find_copies_among_more_images(monkeypatch):
    generator = np.random.default_rng(4)
    value = near._unit(generator.normal(size=(3000, 16)))
    value[1500:] = near._unit(value[:1500] + 0.1 * generator.normal(size=(1500, 16)))
    monkeypatch.setattr(c, "MOST_EXACT", 100)
    monkeypatch.setattr(c, "CELLS_AROUND", 8)
    found = near.neighbors(value, value)
    partner = (np.arange(3000) + 1500) % 3000
    assert (found == partner[:, None]).any(axis=1).mean() > 0.98
    assert found.shape == (3000, c.NEIGHBORS)
    assert (found >= 0).all()


def test_groups_join_pairs_and_equal_images():
    pairs = np.array([[0, 3], [3, 5], [1, 7]])
    equal = np.array([-1, -1, 0, -1, 0, -1, -1, 1, 1, -1])
    assert near.groups(10, pairs, equal).tolist() == [0, 1, 2, 0, 2, 0, -1, 1, 1, -1]
    assert near.groups(3, np.empty((0, 2), dtype=int), np.full(3, -1)).tolist() == [-1, -1, -1]
