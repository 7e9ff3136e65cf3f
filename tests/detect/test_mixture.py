import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture as Reference

from labelaudit.detect.constants import MIN_SCORES
from labelaudit.detect.mixture import GaussianMixture, fit_gaussian_mixture
from tests.detect.helpers import two_groups


def mixture(weight=(0.6, 0.4), mean=(0.0, 4.0), std=(1.0, 2.0)):
    return GaussianMixture(weight_2=np.array(weight), mean_2=np.array(mean), std_2=np.array(std))


def test_one_group_has_one_peak_and_ordered_components():
    # From any start, the wide component of heavy tails ends on the left or on the right by chance.
    generator = np.random.default_rng(1)
    for score_N in (generator.gamma(2, 1, 2000), generator.laplace(0, 1, 2000)):
        found = fit_gaussian_mixture(score_N)
        assert found.mean_2[0] <= found.mean_2[1]
        assert found.modes == 1


@pytest.mark.parametrize(
    ("groups", "means"),
    [(((500, 0), (300, 8), (200, 30)), (3.0, 29.9)), (((700, 0), (250, 10), (50, 40)), (-0.06, 13.55))],
)
def test_the_likeliest_of_several_ends_wins(groups, means):
    # Three groups can be parted in two ways, and the starts find both.
    generator = np.random.default_rng(0)
    found = fit_gaussian_mixture(np.concatenate([generator.normal(mean, 1, count) for count, mean in groups]))
    assert found.mean_2 == pytest.approx(means, abs=0.5)


@settings(max_examples=10)
@given(st.floats(0.001, 1000), st.floats(-1000, 1000))
def test_the_posterior_does_not_depend_on_the_unit_of_the_scores(scale, shift):
    score_N = two_groups(300, 200)
    before, after = fit_gaussian_mixture(score_N), fit_gaussian_mixture(scale * score_N + shift)
    np.testing.assert_allclose(after.posterior(scale * score_N + shift), before.posterior(score_N), atol=1e-3)
    np.testing.assert_allclose(after.mean_2, scale * before.mean_2 + shift, atol=1e-3 * scale)


def test_two_groups_are_told_apart_as_by_scikit_learn():
    score_N = two_groups(600, 2400)
    found = fit_gaussian_mixture(score_N)
    assert ((found.posterior(score_N) > 0.5) == (np.arange(3000) >= 600)).mean() >= 0.98
    assert found.weight_2[1] == pytest.approx(found.posterior(score_N).mean(), abs=1e-4)
    assert found.modes == 2
    reference = Reference(2, tol=1e-9, max_iter=2000, n_init=3, reg_covar=1e-9, random_state=0).fit(score_N[:, None])
    order = np.argsort(reference.means_[:, 0])
    np.testing.assert_allclose(found.weight_2, reference.weights_[order], atol=1e-3)
    np.testing.assert_allclose(found.mean_2, reference.means_[order, 0], atol=1e-3)
    np.testing.assert_allclose(found.std_2, np.sqrt(reference.covariances_[order, 0, 0]), atol=1e-3)


def test_densities_by_hand():
    peak = 1 / np.sqrt(2 * np.pi)
    expected = [[0.6 * peak, 0.4 * peak / 2 * np.exp(-2)], [0.6 * peak * np.exp(-8), 0.4 * peak / 2]]
    np.testing.assert_allclose(mixture().component_density(np.array([0.0, 4.0])), expected, rtol=1e-12)


def test_the_monotone_posterior_by_hand():
    # 0 below the low mean, the posterior itself where that rises, its largest value so far where it falls.
    score_N = np.array([-8.0, -0.01, 0.0, 1.0, 4.0])
    assert mixture().monotone_posterior(score_N).tolist() == [0.0, 0.0, *mixture().posterior(score_N)[2:]]
    narrow_on_top = mixture(mean=(0.0, 4.0), std=(2.0, 0.5))
    score_N = np.array([9.0, 4.0, 0.0])
    raw_N = narrow_on_top.posterior(score_N)
    assert raw_N[:2] == pytest.approx([0.0, 0.9], abs=0.1)
    assert narrow_on_top.monotone_posterior(score_N).tolist() == [raw_N[1], raw_N[1], raw_N[2]]


@pytest.mark.parametrize(
    "score_N",
    [np.append(two_groups(40_000, 10_000), [1e3, -1e3, 2e3]), 1e-3 * two_groups(49_500, 500, gap=1e4)],
    ids=["with outliers", "1% high, far apart"],
)
def test_a_histogram_of_many_scores_gives_the_exact_fit(score_N, monkeypatch):
    histogram = fit_gaussian_mixture(score_N)
    monkeypatch.setattr("labelaudit.detect.constants.EXACT_UP_TO", len(score_N))
    exact = fit_gaussian_mixture(score_N)
    assert histogram.mean_2.tolist() != exact.mean_2.tolist()
    for name, unit in (("weight_2", 1.0), ("mean_2", score_N.std()), ("std_2", score_N.std())):
        np.testing.assert_allclose(getattr(histogram, name), getattr(exact, name), rtol=0, atol=1e-4 * unit)


@pytest.mark.parametrize(
    "score_N",
    [[], np.arange(MIN_SCORES - 1.0), [3.25] * 100, [1.0] * 99 + [2.0], [np.inf, -np.inf, np.nan] * 10],
    ids=["empty", "one too few", "equal", "nearly equal", "not finite"],
)
def test_too_little_to_fit_gives_none(score_N):
    assert fit_gaussian_mixture(np.array(score_N)) is None


def test_repeated_values_do_not_collapse_a_component_to_nothing():
    assert (fit_gaussian_mixture(np.repeat([0.0, 1.0, 2.0, 3.0], [400, 50, 30, 20])).std_2 > 0).all()


def test_separation_by_hand():
    assert mixture(mean=(1.0, 4.0), std=(1.0, 1.0)).separation == pytest.approx(3.0)
    assert mixture(mean=(0.0, 5.0), std=(3.0, 4.0)).separation == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(
    ("weight", "mean", "std", "modes"),
    [
        *(((0.5, 0.5), (3.0, 3.0 + gap), (1.0, 1.0), 1 if gap < 2 else 2) for gap in (1.9, 2.1, 6.0, 200.0)),
        ((0.9, 0.1), (0.0, 1000.0), (1.0, 0.01), 2),  # narrow and far out
        ((0.1, 0.9), (-1000.0, 0.0), (0.01, 1.0), 2),
    ],
)
def test_peaks_of_equal_halves_and_of_far_components(weight, mean, std, modes):
    assert mixture(weight, mean, std).modes == modes
