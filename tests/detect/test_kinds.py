from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from labelaudit.detect.images import IMAGE_STATISTICS, ImageTable, copy_statistics, image_statistics
from labelaudit.detect.kinds import Copies, ambiguous_below, conflicting, equal_images, find_corrupted, tell_kinds
from labelaudit.names import COPY_KINDS, KINDS
from tests.detect.helpers import beliefs_of, statistics_of


def natural(count, generator, *, side=16):
    """Smooth images, each of its own roughness: coarse noise, enlarged, with fine noise on top."""
    coarse = generator.integers(0, 200, (count, 1, side // 4, side // 4)).repeat(4, axis=2).repeat(4, axis=3)
    fine = generator.integers(0, 55, (count, 1, side, side)) * generator.random((count, 1, 1, 1))
    return (coarse + fine).astype(np.uint8)


def table_of(x_BCHW, *, copied=200):
    generator = np.random.default_rng(0)
    copied_P = np.sort(generator.permutation(len(x_BCHW))[:copied]).astype(np.int32)
    return ImageTable(
        sample_U=np.arange(len(x_BCHW), dtype=np.int32),
        value_US=image_statistics(x_BCHW),
        copied_P=copied_P,
        copy_PMS=copy_statistics(x_BCHW[copied_P], generator),
        digest_U=np.full(len(x_BCHW), ""),
    )


def found_in(x_BCHW, *, copied=200):
    found = find_corrupted(table_of(x_BCHW, copied=copied), np.random.default_rng(0))
    return found and SimpleNamespace(**dict(zip(("p_U", "score_U", "p_PM"), found, strict=True)))


@pytest.mark.parametrize("share", [0.01, 0.4])
def test_corrupted_images_are_found_however_many_they_are(share):
    generator = np.random.default_rng(5)
    x_BCHW, bad = natural(800, generator), int(share * 800)
    x_BCHW[:bad] = generator.permuted(x_BCHW[:bad].reshape(bad, -1), axis=1).reshape(bad, 1, 16, 16)
    found = found_in(x_BCHW)
    assert (found.p_U[:bad] > 0.5).mean() > 0.97
    assert (found.p_U[bad:] > 0.5).mean() < 0.01
    assert found.score_U[:bad].min() > np.quantile(found.score_U[bad:], 0.99)
    assert found.p_U.mean() == pytest.approx(share, abs=0.01)
    assert (np.diff(found.p_U[np.argsort(found.score_U)]) >= 0).all()
    np.testing.assert_array_equal(found_in(x_BCHW).p_U, found.p_U)


def test_in_clean_data_a_single_blank_image_is_found_and_copies_are_still_known():
    x_BCHW = natural(600, np.random.default_rng(2))
    x_BCHW[77] = 255
    found = found_in(x_BCHW)
    assert np.flatnonzero(found.p_U > 0.5).tolist() == [77]
    assert np.delete(found.p_U, 77).mean() < 0.003
    assert (found.p_PM[:, [0, 1, 3]] > 0.5).mean() > 0.9  # the partly noisy ones less


def test_too_few_copies_say_nothing_and_one_image_repeated_is_no_error():
    x_BCHW = natural(100, np.random.default_rng(0))
    assert found_in(x_BCHW, copied=19) is None
    assert np.isfinite(found_in(np.full((50, 1, 8, 8), 9, dtype=np.uint8), copied=50).p_U).all()


def believing(given, other, *, label_N=None):
    """Samples of class 0 whose given label is believed so much, and class 1 so much."""
    beliefs = beliefs_of(given, [np.full(len(given), 1)], [other])
    return statistics_of(-np.log(given), np.greater(other, given), label_N=label_N, beliefs=beliefs, classes=5)


def told(statistics, flagged, *, digests=None, images=None, **others):
    count = len(statistics.label_N)
    flagged_N = np.isin(np.arange(count), flagged)
    digests = digests or [f"{i}" for i in range(count)]
    return tell_kinds(statistics, flagged_N, digests, images, np.random.default_rng(0), **others)


def names(kinds):
    return [None if number < 0 else KINDS[number] for number in kinds.kind_N]


def test_a_clear_wish_for_another_label_is_an_error_and_a_faint_one_is_ambiguous():
    kinds = told(believing([0.9] * 200 + [0.02, 0.3, 0.5], [0.05] * 200 + [0.95, 0.45, 0.4]), [200, 201, 202])
    assert names(kinds) == [None] * 200 + ["mislabeled", "ambiguous", "ambiguous"]
    assert np.isnan(kinds.p_corrupted_N).all()
    assert kinds.copies == ()


def test_the_limit_is_the_second_percentile_of_ordinary_samples():
    # One in forty ordinary samples is undecided; the suspicious ones do not count.
    given = np.array(([0.9] * 39 + [0.5]) * 20 + [0.01] * 300)
    for believed, other, expected in (
        (given, np.zeros(len(given)), 0.5),
        (np.full(49, 0.9), np.zeros(49), 0.0),  # too few
        (np.full(400, 0.2), np.full(400, 0.7), 0.0),  # never negative
    ):
        found = ambiguous_below(believing(believed, other), believed < 0.1, np.random.default_rng(0))
        assert found == pytest.approx(expected)


def test_images_of_no_class_are_so_suspicious_or_not_unless_they_are_duplicates():
    p_N = np.array([0.2, 0.6, 0.9, 0.95, 0.5])
    believed = believing([0.1] * 5, [0.8] * 5, label_N=np.array([0, 0, 0, 1, 0], dtype=np.int32))
    kinds = told(believed, [0, 1], digests=["a", "b", "c", "a", "d"], p_no_class_N=p_N)
    assert names(kinds) == ["duplicate", "no-class", "no-class", "duplicate", None]
    assert kinds.surest("no-class").tolist() == [2, 1]
    assert np.isnan(told(believed, [0]).p_no_class_N).all()


def test_equal_images_with_different_labels_are_duplicates_suspicious_or_not():
    label_N = np.array([0, 1, 0, 0, 1, 1], dtype=np.int32)
    digests = ["a", "a", "b", "b", "", ""]
    equal_N = equal_images(digests)
    assert equal_N.tolist() == [0, 0, 1, 1, -1, -1]
    assert equal_images(["b", "", "a", "c", "a"]).tolist() == [-1, -1, 0, -1, 0]
    assert conflicting(label_N, equal_N).tolist() == [True, True, False, False, False, False]
    kinds = told(believing([0.1] * 6, [0.8] * 6, label_N=label_N), [1, 2], digests=digests)
    assert names(kinds) == ["duplicate", "duplicate", "mislabeled", None, None, None]
    assert not conflicting(np.empty(0, dtype=np.int32), equal_images([])).any()


def with_blank(*blank):
    x_BCHW = natural(300, np.random.default_rng(0))
    x_BCHW[list(blank)] = 200
    return table_of(x_BCHW)


def test_a_corrupted_image_is_corrupted_whatever_its_label_and_the_surest_comes_first():
    given, other = np.full(300, 0.9), np.full(300, 0.05)
    given[[3, 7]], other[[3, 7]] = 0.01, 0.97
    kinds = told(believing(given, other), [3, 7], images=with_blank(3, 4, 12))
    expected = {3: "corrupted", 4: "corrupted", 7: "mislabeled", 12: "corrupted"}
    assert {number: name for number, name in enumerate(names(kinds)) if name} == expected
    assert sorted(kinds.surest("corrupted").tolist()) == [3, 4, 12]
    assert (np.diff(kinds.corruption_N[kinds.surest("corrupted")]) <= 0).all()
    assert kinds.p_corrupted_N[[3, 4, 12]].min() > 0.5 > kinds.p_corrupted_N[7]


def test_pixels_tell_duplicates_that_files_do_not():
    digest_U = np.arange(300).astype(str)
    digest_U[7] = digest_U[250]
    statistics = believing([0.9] * 300, [0.05] * 300, label_N=np.arange(300) // 150)
    images = with_blank()
    # With too few copies to find corrupted images as well.
    few = replace(images, digest_U=digest_U, copied_P=images.copied_P[:9], copy_PMS=images.copy_PMS[:9])
    kinds = told(statistics, [], images=few)
    assert np.flatnonzero(kinds.of("duplicate")).tolist() == [7, 250]


def test_copies_are_counted_by_kind_with_those_that_would_be_called_corrupted():
    rough_BCHW = np.random.default_rng(0).integers(0, 256, (300, 1, 16, 16)).astype(np.uint8)
    smooth, rough = (
        told(believing([0.9] * 300, [0.05] * 300), [], images=of) for of in (with_blank(), table_of(rough_BCHW))
    )
    assert [copies.kind for copies in smooth.copies] == list(COPY_KINDS)
    assert Copies(kind="blank", count=200, found=200) in smooth.copies
    found_of = {copies.kind: copies.found for copies in smooth.copies}
    assert found_of["noise"] < found_of["shuffled"] > 180
    # Where the images are noise themselves, noise is not told from them.
    assert [copies.found > 100 for copies in rough.copies] == [False, False, False, True]


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
