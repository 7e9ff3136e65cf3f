import numpy as np
import pytest

from labelaudit.detect.beta_mixture import BetaMixture, fit_beta_mixture


def two_betas(clean=7000, wrong=3000, seed=0):
    generator = np.random.default_rng(seed)
    return np.concatenate([generator.beta(2, 8, clean), generator.beta(8, 2, wrong)])


def test_two_betas_are_told_apart():
    score_N = two_betas()
    mixture = fit_beta_mixture(score_N)
    assert mixture.mean_2 == pytest.approx([0.2, 0.8], abs=0.04)
    p_N = mixture.monotone_posterior(score_N)
    assert (p_N[:7000] > 0.5).mean() < 0.02
    assert (p_N[7000:] > 0.5).mean() > 0.97
    assert mixture.posterior(score_N).mean() == pytest.approx(0.3, abs=0.03)


def test_the_posterior_by_hand():
    # Uniform against Beta(2, 1), whose density at x is 2x; equal weights.
    mixture = BetaMixture(
        weight_2=np.array([0.5, 0.5]), alpha_2=np.array([1.0, 2.0]), beta_2=np.array([1.0, 1.0]), low=10.0, high=20.0
    )
    np.testing.assert_allclose(mixture.posterior(np.array([12.5, 15.0, 17.5])), [0.5 / 1.5, 0.5, 1.5 / 2.5])
    assert mixture.mean_2 == pytest.approx([15.0, 10 + 20 / 3])


def test_scale_and_place_of_the_scores_do_not_matter():
    score_N = two_betas()
    before, after = fit_beta_mixture(score_N), fit_beta_mixture(1000 * score_N - 7)
    np.testing.assert_allclose(after.posterior(1000 * score_N - 7), before.posterior(score_N), atol=1e-6)


def test_a_higher_score_is_never_less_suspicious():
    score_N = np.sort(np.append(two_betas(), [-5.0, 9.0]))
    p_N = fit_beta_mixture(score_N).monotone_posterior(score_N)
    assert (np.diff(p_N) >= 0).all()
    assert p_N[0] == 0.0
    assert p_N[-1] > 0.9


def test_scores_that_are_not_finite_are_left_out():
    score_N = two_betas(700, 300)
    with_gaps = np.append(score_N, [np.nan, np.inf])
    assert np.isnan(fit_beta_mixture(with_gaps).posterior(with_gaps)[-2:]).all()
    np.testing.assert_allclose(fit_beta_mixture(with_gaps).alpha_2, fit_beta_mixture(score_N).alpha_2)


@pytest.mark.parametrize("score_N", [[], [1.0] * 100, [np.nan] * 100, [1.0, 2.0, 3.0], [1.0] * 99 + [2.0]])
def test_there_is_no_fit_to_nothing(score_N):
    assert fit_beta_mixture(np.array(score_N)) is None


def test_two_values_are_fitted_without_a_warning():
    mixture = fit_beta_mixture(np.array([1.0] * 50 + [2.0] * 50))
    assert mixture is None or np.isfinite(mixture.posterior(np.array([1.0, 2.0]))).all()
