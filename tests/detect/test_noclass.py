from dataclasses import replace

import numpy as np
import pytest

from labelaudit.detect.noclass import class_distances, evenness, find_no_class
from tests.detect.helpers import beliefs_in, beliefs_of

K = 4


def made(count=400, *, foreign=20, flips=0, seed=0):
    """Four classes in six dimensions, then images of a fifth place with labels of their own; the truth is −1 there."""
    generator = np.random.default_rng(seed)
    true_N = np.r_[np.arange(count) % K, np.full(foreign, -1)]
    center_ND = np.where(true_N[:, None] == np.arange(6), 4.0, 0.0)
    center_ND[true_N < 0, 4] = 4.0
    feature_ND = (center_ND + generator.normal(size=center_ND.shape)).astype(np.float32)
    feature_ND -= feature_ND.mean(axis=0)
    label_N = np.where(true_N < 0, generator.integers(0, K, len(true_N)), true_N).astype(np.int32)
    label_N[:flips] = (label_N[:flips] + 1) % K
    # What heads would believe: the nearer a class, the more.
    log_NK = feature_ND[:, :K].astype(float) * 1.5
    p_NK = np.exp(log_NK) / np.exp(log_NK).sum(axis=1, keepdims=True)
    return feature_ND, label_N, true_N, beliefs_in(p_NK.T, label_N)


def found(feature_ND, label_N, beliefs, flagged_N=None):
    flagged_N = np.zeros(len(label_N), dtype=bool) if flagged_N is None else flagged_N
    return find_no_class(class_distances(feature_ND, label_N, K), beliefs, label_N, flagged_N, K)


def test_an_image_alone_in_its_class_is_far_from_it_and_a_class_without_images_is_no_error():
    feature = np.array([[2, 0], [-1, 1], [-1, -1]], dtype=np.float32)
    distance = class_distances(feature, np.array([0, 2, 2], dtype=np.int32), 3)
    # Class 2 is opposite; without class 0 it is the center itself.
    np.testing.assert_allclose(distance[0], [1, 1], atol=1e-6)
    assert (distance <= 2).all()


def test_distances_are_those_without_the_image_and_without_its_class(monkeypatch):
    feature_ND, label_N, _, _ = made(60, foreign=3)
    whole = class_distances(feature_ND, label_N, K)
    mean_KD = np.array([feature_ND[label_N == k].mean(axis=0) for k in range(K)])

    def least(x_D, to_KD, center_D):
        to_KD = to_KD - center_D
        return 1 - (to_KD @ (x_D - center_D) / np.linalg.norm(to_KD, axis=1) / np.linalg.norm(x_D - center_D)).max()

    for sample in range(0, 63, 7):
        label, rest_N = label_N[sample], np.arange(63) != sample
        others_KD = mean_KD.copy()
        others_KD[label] = feature_ND[rest_N & (label_N == label)].mean(axis=0)
        expected = [
            least(feature_ND[sample], others_KD, 0.0),
            least(feature_ND[sample], np.delete(mean_KD, label, axis=0), feature_ND[label_N != label].mean(axis=0)),
        ]
        np.testing.assert_allclose(whole[sample], expected, atol=1e-4)
    monkeypatch.setattr("labelaudit.detect.constants.COSINES_AT_ONCE", 5 * 6)
    np.testing.assert_allclose(class_distances(10 * feature_ND, label_N, K), whole, atol=1e-5)


def test_evenness_by_hand():
    rest = [0.0, 0.25, 0.0, 0.2, 0.1]
    beliefs = beliefs_of([1.0, 0.25, 0.5, 0.4, np.nan], [[1, 1, 1, -1, 1]], [[0.0, 0.25, 0.5, 0.0, 0.1]], rest)
    three_N = -(0.4 * np.log(0.4) + 3 * 0.2 * np.log(0.2)) / np.log(4)
    np.testing.assert_allclose(evenness(beliefs, 4), [0, 1, 0.5, three_N, np.nan], atol=1e-9)
    # Without the given class: nothing is left of the first, one class of the third, even ones of the others.
    np.testing.assert_allclose(evenness(beliefs, 4, without_given=True), [0, 1, 0, 1, np.nan], atol=1e-9)


@pytest.mark.parametrize("flips", [0, 40])
def test_images_of_a_class_that_is_not_there_are_found_and_wrong_labels_are_not(flips):
    feature_ND, label_N, true_N, beliefs = made(flips=flips)
    p_N = found(feature_ND, label_N, beliefs, (label_N != true_N) & (true_N >= 0))
    assert (p_N[true_N < 0] > 0.5).mean() > 0.7
    assert (p_N[true_N >= 0] > 0.5).mean() < 0.01
    assert np.quantile(p_N[true_N < 0], 0.2) > np.quantile(p_N[true_N >= 0], 0.98)


def test_an_image_that_the_probe_mostly_believes_in_is_of_a_class():
    feature_ND, label_N, true_N, beliefs = made()
    foreign = np.flatnonzero(true_N < 0)
    even = replace(beliefs, given_N=np.full_like(beliefs.given_N, 0.25))
    even.other_MN[:] = 0.25
    even.given_N[foreign[0]], even.other_MN[:, foreign[1]] = 0.6, [0.6, 0.1, 0.1]
    arguments = class_distances(feature_ND, label_N, K), made()[3], label_N, np.zeros(len(label_N), dtype=bool), K
    before_N, p_N = find_no_class(*arguments), find_no_class(*arguments, probe=even)
    assert (before_N[foreign[:2]] > 0).all()
    np.testing.assert_array_equal(p_N[foreign[:2]], before_N[foreign[:2]] / 2)
    np.testing.assert_array_equal(np.delete(p_N, foreign[:2]), np.delete(before_N, foreign[:2]))


def test_a_label_that_is_believed_in_speaks_against_it():
    feature_ND, label_N, true_N, beliefs = made()
    first = int(np.flatnonzero(true_N < 0)[0])
    beliefs.given_N[first], beliefs.other_MN[:, first] = 0.4, 0.2
    believed = found(feature_ND, label_N, beliefs)[first]
    other_N = label_N.copy()
    other_N[first] = (label_N[first] + 1) % K
    beliefs.given_N[first], beliefs.other_MN[:, first] = 0.2, [0.4, 0.2, 0.2]
    assert found(feature_ND, other_N, beliefs)[first] > believed


def test_without_records_few_samples_or_two_classes_nothing_is_known():
    feature_ND, label_N, _, beliefs = made()
    beliefs.given_N[3] = np.nan
    p_N = found(feature_ND, label_N, beliefs)
    assert np.flatnonzero(np.isnan(p_N)).tolist() == [3]
    assert found(feature_ND, label_N, beliefs, np.arange(len(label_N)) >= 49) is None
    distance_N2 = class_distances(feature_ND, label_N % 2, 2)
    assert find_no_class(distance_N2, beliefs, label_N % 2, np.zeros(len(label_N), dtype=bool), 2) is None
