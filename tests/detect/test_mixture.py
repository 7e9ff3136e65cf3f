import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.mixture import GaussianMixture as Reference

from labelaudit.detect import mixture as module
from labelaudit.detect.mixture import MIN_SCORES, GaussianMixture, fit_gaussian_mixture
from tests.detect.helpers import two_groups


def mixture(weight=(0.6, 0.4), mean=(0.0, 4.0), std=(1.0, 2.0)):
    return GaussianMixture(
        weight_2=np.array(weight), mean_2=np.array(mean), std_2=np.array(std), log_likelihood=float("nan")
    )


@st.composite
def mixtures(draw):
    share, low = draw(st.floats(0.01, 0.99)), draw(st.floats(-50, 50))
    gap, low_std, high_std = draw(st.floats(0, 20)), draw(st.floats(0.05, 10)), draw(st.floats(0.05, 10))
    return mixture((1 - share, share), (low, low + gap), (low_std, high_std))


def test_recovers_two_known_groups():
    score_N = two_groups()
    found = fit_gaussian_mixture(score_N)
    assert found.weight_2[1] == pytest.approx(0.40, abs=0.01)
    assert found.mean_2 == pytest.approx([0, 6], abs=0.1)
    assert found.std_2 == pytest.approx([1, 1.5], abs=0.1)
    is_wrong_N = np.arange(len(score_N)) >= 6000
    assert ((found.posterior(score_N) > 0.5) == is_wrong_N).mean() >= 0.99


@pytest.mark.parametrize("clean", [1000, 4000])
def test_components_are_ordered_by_mean_whichever_is_larger(clean):
    found = fit_gaussian_mixture(two_groups(clean, 5000 - clean))
    assert found.mean_2[0] < found.mean_2[1]
    assert found.weight_2[0] == pytest.approx(clean / 5000, abs=0.02)
    assert found.std_2 == pytest.approx([1, 1.5], abs=0.1)


def test_components_are_ordered_by_mean_where_one_lies_within_the_other():
    # From any start, the wide component of these heavy tails ends on the left or on the right by chance.
    for seed in range(6):
        found = fit_gaussian_mixture(np.random.default_rng(seed).laplace(0, 1, 4000))
        assert found.mean_2[0] <= found.mean_2[1]


@pytest.mark.parametrize(
    ("groups", "means"),
    [(((500, 0), (300, 8), (200, 30)), (3.0, 29.9)), (((700, 0), (250, 10), (50, 40)), (-0.06, 13.55))],
)
def test_the_likeliest_of_several_ends_wins(groups, means):
    # Three groups can be parted in two ways, and the starts find both.
    generator = np.random.default_rng(0)
    found = fit_gaussian_mixture(np.concatenate([generator.normal(mean, 1, count) for count, mean in groups]))
    assert found.mean_2 == pytest.approx(means, abs=0.5)


@settings(max_examples=10, deadline=None)
@given(st.floats(0.001, 1000), st.floats(-1000, 1000))
def test_posterior_does_not_depend_on_the_unit_of_the_scores(scale, shift):
    score_N = two_groups(300, 200)
    before = fit_gaussian_mixture(score_N)
    after = fit_gaussian_mixture(scale * score_N + shift)
    np.testing.assert_allclose(after.posterior(scale * score_N + shift), before.posterior(score_N), atol=1e-4)
    np.testing.assert_allclose(after.mean_2, scale * before.mean_2 + shift, atol=1e-4 * scale)
    np.testing.assert_allclose(after.std_2, scale * before.std_2, rtol=1e-4)


def test_turning_the_scores_around_exchanges_the_components():
    score_N = two_groups(3000, 2000)
    before, after = fit_gaussian_mixture(score_N), fit_gaussian_mixture(-score_N)
    np.testing.assert_allclose(after.mean_2, -before.mean_2[::-1], atol=1e-3)
    np.testing.assert_allclose(after.posterior(-score_N), 1 - before.posterior(score_N), atol=1e-3)


def test_weight_is_the_mean_posterior_at_convergence():
    for seed in range(3):
        score_N = two_groups(seed=seed, gap=4.0)
        found = fit_gaussian_mixture(score_N)
        assert found.weight_2[1] == pytest.approx(found.posterior(score_N).mean(), abs=1e-4)


def test_agrees_with_scikit_learn():
    score_N = two_groups(1800, 1200)
    found = fit_gaussian_mixture(score_N)
    reference = Reference(2, tol=1e-9, max_iter=2000, n_init=3, reg_covar=1e-9, random_state=0).fit(score_N[:, None])
    order = np.argsort(reference.means_[:, 0])
    np.testing.assert_allclose(found.weight_2, reference.weights_[order], atol=1e-3)
    np.testing.assert_allclose(found.mean_2, reference.means_[order, 0], atol=1e-3)
    np.testing.assert_allclose(found.std_2, np.sqrt(reference.covariances_[order, 0, 0]), atol=1e-3)
    assert found.log_likelihood == pytest.approx(reference.score(score_N[:, None]), abs=1e-6)
    np.testing.assert_allclose(
        found.posterior(score_N), reference.predict_proba(score_N[:, None])[:, order[1]], atol=1e-3
    )


def test_log_likelihood_is_the_mean_log_density_in_the_unit_of_the_scores():
    score_N = 50 * two_groups(600, 400) + 7
    found = fit_gaussian_mixture(score_N)
    density_N = found.component_density(score_N).sum(axis=1)
    assert found.log_likelihood == pytest.approx(np.log(density_N).mean(), abs=1e-6)


def test_component_density_by_hand():
    density_N2 = mixture().component_density(np.array([0.0, 4.0]))
    peak = 1 / np.sqrt(2 * np.pi)
    expected = [[0.6 * peak, 0.4 * peak / 2 * np.exp(-2)], [0.6 * peak * np.exp(-8), 0.4 * peak / 2]]
    np.testing.assert_allclose(density_N2, expected, rtol=1e-12)


MANY = 200_000
SHAPES = {
    "well apart": lambda generator: two_groups(160_000, 40_000),
    "near": lambda generator: two_groups(160_000, 40_000, gap=3.5),
    "1% high": lambda generator: two_groups(198_000, 2_000, wrong_std=1.0),
    "1% high, far apart": lambda generator: 1e-3 * two_groups(198_000, 2_000, gap=1e4),
    "exponential": lambda generator: generator.exponential(1.0, MANY),
    "gamma": lambda generator: generator.gamma(2.0, 1.0, MANY),
    "sums of losses": lambda generator: np.concatenate(
        [generator.gamma(0.5, 2.0, 9 * MANY // 10), generator.gamma(20.0, 2.0, MANY // 10)]
    ),
    "log-normal": lambda generator: np.concatenate(
        [generator.lognormal(-2.0, 1.5, 9 * MANY // 10), generator.normal(40.0, 8.0, MANY // 10)]
    ),
    "with outliers": lambda generator: np.concatenate([two_groups(160_000, 40_000), [1e3, -1e3, 2e3]]),
}


@pytest.mark.parametrize("shape", SHAPES.values(), ids=SHAPES)
def test_a_histogram_of_many_scores_gives_the_exact_fit(shape):
    score_N = shape(np.random.default_rng(0))
    histogram = fit_gaussian_mixture(score_N)
    exact = fit_gaussian_mixture(score_N, exact_up_to=len(score_N))
    assert histogram.mean_2.tolist() != exact.mean_2.tolist()
    np.testing.assert_allclose(histogram.weight_2, exact.weight_2, rtol=0, atol=1e-4)
    np.testing.assert_allclose(histogram.mean_2, exact.mean_2, rtol=0, atol=1e-4 * score_N.std())
    np.testing.assert_allclose(histogram.std_2, exact.std_2, rtol=0, atol=1e-4 * score_N.std())


@pytest.mark.parametrize("exact_up_to", [0, 300])
def test_every_score_is_in_one_bin_with_its_value(exact_up_to):
    rising_N = np.sort(np.random.default_rng(0).integers(0, 40, 300) / 8)
    value_G, count_G = module._condense(rising_N, exact_up_to)
    unique_G, repeats_G = np.unique(rising_N, return_counts=True)
    np.testing.assert_allclose(value_G, unique_G, rtol=1e-14)
    assert count_G.tolist() == repeats_G.tolist()


def test_scores_are_not_changed_by_the_fit():
    score_N = two_groups(300, 200)
    before_N = score_N.copy()
    fit_gaussian_mixture(score_N)
    np.testing.assert_array_equal(score_N, before_N)


def test_far_outliers_do_not_blunt_the_histogram():
    score_N = np.concatenate([two_groups(18_000, 12_000), [1e3, -1e3]])
    value_G, count_G = module._condense(np.sort(score_N), 0)
    assert count_G.sum() == len(score_N)
    assert (value_G * count_G).sum() == pytest.approx(score_N.sum())
    # Even bins over all 2,000 units would be a quarter of a unit wide.
    middle = value_G[(value_G > -2) & (value_G < 8)]
    assert np.diff(middle).max() < 0.05


def test_posterior_of_unequal_variances_by_hand():
    z_N = mixture().posterior(np.array([-8.0, -4.0, 1.0, 4.0]))
    assert z_N[:3] == pytest.approx([1.00, 0.25, 0.15], abs=0.005)
    assert z_N[3] > 0.99


def test_monotone_posterior_is_0_below_the_low_mean():
    score_N = np.array([-8.0, -4.0, -0.01, 0.0, 1.0, 4.0])
    z_N = mixture().monotone_posterior(score_N)
    assert z_N[:3].tolist() == [0.0, 0.0, 0.0]
    np.testing.assert_array_equal(z_N[3:], mixture().posterior(score_N)[3:])
    assert z_N[4] == pytest.approx(0.15, abs=0.005)


def test_monotone_posterior_does_not_fall_above_the_high_mean():
    narrow_on_top = mixture(mean=(0.0, 4.0), std=(2.0, 0.5))
    score_N = np.array([9.0, 4.0, 0.0])
    raw_N, monotone_N = narrow_on_top.posterior(score_N), narrow_on_top.monotone_posterior(score_N)
    assert raw_N[0] < 0.01
    assert raw_N[1] > 0.8
    assert monotone_N.tolist() == [raw_N[1], raw_N[1], raw_N[2]]


@settings(deadline=None)
@given(mixtures(), st.lists(st.floats(-200, 200) | st.just(np.nan), max_size=40))
def test_monotone_posterior_rises_with_the_score(found, scores):
    score_N = np.array(scores, dtype=np.float64)
    z_N, raw_N = found.monotone_posterior(score_N), found.posterior(score_N)
    finite_N = np.isfinite(score_N)
    assert np.isnan(z_N).tolist() == (~finite_N).tolist()
    rising_N = z_N[finite_N][np.argsort(score_N[finite_N])]
    assert (np.diff(rising_N) >= 0).all()
    assert ((rising_N >= 0) & (rising_N <= 1)).all()
    above_N = finite_N & (score_N >= found.mean_2[0])
    assert (z_N[above_N] >= raw_N[above_N]).all()


def test_equal_scores_get_equal_posteriors():
    score_N = np.array([3.0, 1.0, 3.0, 1.0, 2.0])
    z_N = mixture().monotone_posterior(score_N)
    assert z_N[0] == z_N[2] > z_N[4] > z_N[1] == z_N[3]


@pytest.mark.parametrize(
    "score_N",
    [
        np.array([]),
        np.array([1.0, 2.0]),
        np.arange(MIN_SCORES - 1.0),
        np.full(100, 3.25),
        np.repeat([0.0, 1.0], 50),
        np.full(100, np.nan),
        np.array([np.inf, -np.inf, np.nan] * 10),
        np.concatenate([np.full(100, np.inf), [1.0, 2.0, 3.0]]),
    ],
    ids=["empty", "two", "one too few", "equal", "two values", "NaN", "infinite", "three finite"],
)
def test_too_little_to_fit_gives_none(score_N):
    assert fit_gaussian_mixture(score_N) is None


def test_the_fewest_scores_that_are_fitted():
    assert fit_gaussian_mixture(np.arange(float(MIN_SCORES))) is not None


def test_scores_that_are_not_finite_are_left_out():
    score_N = two_groups(300, 200)
    holes_N = np.concatenate([[np.nan, np.inf], score_N, [-np.inf]])
    found = fit_gaussian_mixture(holes_N)
    assert found.mean_2.tolist() == fit_gaussian_mixture(score_N).mean_2.tolist()
    assert np.isnan(found.posterior(holes_N)).sum() == 3


def test_the_order_of_the_scores_does_not_matter():
    score_N = two_groups(300, 200)
    shuffled_N = np.random.default_rng(1).permutation(score_N)
    np.testing.assert_allclose(fit_gaussian_mixture(shuffled_N).mean_2, fit_gaussian_mixture(score_N).mean_2)


def test_repeated_values_do_not_collapse_a_component_to_nothing():
    found = fit_gaussian_mixture(np.repeat([0.0, 1.0, 2.0, 3.0], [400, 50, 30, 20]))
    assert (found.std_2 > 0).all()
    assert found.weight_2.sum() == pytest.approx(1.0)
    assert np.isfinite(found.log_likelihood)


def test_separation_by_hand():
    assert mixture(mean=(1.0, 4.0), std=(1.0, 1.0)).separation == pytest.approx(3.0)
    assert mixture(mean=(0.0, 5.0), std=(3.0, 4.0)).separation == pytest.approx(np.sqrt(2))


@pytest.mark.parametrize(("gap", "modes"), [(1.9, 1), (2.1, 2), (6.0, 2), (200.0, 2)])
def test_equal_halves_have_two_peaks_when_they_are_two_deviations_apart(gap, modes):
    assert mixture((0.5, 0.5), (3.0, 3.0 + gap), (1.0, 1.0)).modes == modes


def test_a_narrow_component_far_out_is_a_peak_of_its_own():
    assert mixture((0.9, 0.1), (0.0, 1000.0), (1.0, 0.01)).modes == 2
    assert mixture((0.1, 0.9), (-1000.0, 0.0), (0.01, 1.0)).modes == 2


@settings(deadline=None)
@given(mixtures(), st.floats(0, 1))
def test_means_closer_than_twice_the_smaller_deviation_make_one_peak(found, nearness):
    # |μ₁ − μ₀| ≤ 2 min(σ₀, σ₁) is sufficient for one peak, whatever the weights (Behboodian 1970).
    gap = 2 * nearness * found.std_2.min()
    assert mixture(found.weight_2, (found.mean_2[0], found.mean_2[0] + gap), found.std_2).modes == 1


def test_peaks_are_those_that_a_fine_grid_shows():
    generator, seen = np.random.default_rng(0), []
    for _ in range(200):
        share, gap, std_2 = generator.uniform(0.05, 0.95), generator.uniform(0, 5), generator.uniform(0.4, 2.5, 2)
        found = mixture((1 - share, share), (0.0, gap), std_2)
        density_G = found.component_density(np.linspace(-0.5, gap + 0.5, 20_001)).sum(axis=1)
        steps_G = np.diff(density_G)
        signs_G = np.sign(steps_G[np.abs(steps_G) > 1e-14 * density_G.max()])  # without rounding
        seen.append(found.modes)
        assert found.modes == ((signs_G[:-1] > 0) & (signs_G[1:] < 0)).sum()
    assert 50 < seen.count(1) < 150


@pytest.mark.parametrize("seed", range(4))
def test_scores_of_clean_labels_have_one_peak(seed):
    generator = np.random.default_rng(seed)
    for score_N in (generator.normal(0, 1, 4000), generator.gamma(2, 1, 4000), generator.laplace(0, 1, 4000)):
        assert fit_gaussian_mixture(score_N).modes == 1


def test_well_separated_groups_have_two_peaks():
    assert fit_gaussian_mixture(two_groups()).modes == 2
    assert fit_gaussian_mixture(two_groups(9500, 500)).modes == 2
