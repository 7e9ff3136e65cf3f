import numpy as np
import pytest

from labelaudit.detect.verdicts import FitSettings, judge
from tests.detect.helpers import evidence_of, two_groups

ONE_PEAK = "has one peak, not two"
OVERLAP = "The two groups overlap"
MEMORISED = "agrees with most of the suspicious labels"
WEAK = "it has learned little"


def verdicts_of(aul_N, last_wrong_N=None, *, rank_by="aul", **others):
    return judge(evidence_of(aul_N, last_wrong_N, **others), FitSettings(rank_by=rank_by, estimator="gmm"))


def warned(verdicts):
    text = " ".join(verdicts.warnings)
    return {sentence for sentence in (ONE_PEAK, OVERLAP, MEMORISED, WEAK) if sentence in text}


def test_p_is_high_for_the_mislabeled_and_the_noise_rate_is_their_share():
    found = verdicts_of(two_groups(900, 100))
    assert found.p_mislabeled_N[:900].mean() < 0.02
    assert found.p_mislabeled_N[900:].mean() > 0.95
    assert found.noise_rate == pytest.approx(0.1, abs=0.02)
    assert found.noise_rate == found.raw_posterior_N.mean()


def test_weights_are_one_minus_p_so_that_the_suspicious_count_less():
    found = verdicts_of(two_groups(900, 100))
    np.testing.assert_array_equal(found.weight_N, 1 - found.p_mislabeled_N)
    surely_wrong = np.argmin(np.abs(found.p_mislabeled_N - 0.99))
    surely_right = np.argmin(np.abs(found.p_mislabeled_N - 0.01))
    assert found.weight_N[surely_wrong] < 0.1
    assert found.weight_N[surely_right] > 0.9


def test_flagged_are_those_above_one_half_and_lead_the_order():
    found = verdicts_of(two_groups(900, 100))
    above_half = np.flatnonzero(found.p_mislabeled_N > 0.5)
    assert found.flagged == len(above_half)
    assert 80 < found.flagged < 120
    assert set(found.order[: found.flagged].tolist()) == set(above_half.tolist())


def test_order_starts_with_the_highest_aul():
    aul_N = two_groups(60, 40)
    order = verdicts_of(aul_N).order
    assert order[0] == aul_N.argmax()
    assert order[-1] == aul_N.argmin()
    assert (np.diff(aul_N[order]) <= 0).all()


def test_order_starts_with_the_lowest_aum_when_asked_to_rank_by_it():
    aum_N = -two_groups(60, 40)
    unrelated_N = np.random.default_rng(3).normal(0, 1, 100)
    found = verdicts_of(unrelated_N, aum_N < -3, rank_by="aum", aum_N=aum_N)
    assert (np.diff(aum_N[found.order]) >= 0).all()
    assert found.p_mislabeled_N[aum_N.argmin()] > 0.99
    assert found.p_mislabeled_N[aum_N.argmax()] < 0.01


def test_samples_of_equal_suspicion_keep_their_order():
    aul_N = np.tile([5.0, 1.0, 3.0], 10)
    assert verdicts_of(aul_N).order[:10].tolist() == list(range(0, 30, 3))


def test_a_very_small_loss_is_not_suspicious_though_the_raw_posterior_says_so():
    aul_N = np.append(two_groups(900, 100, wrong_std=2.5), -12.0)
    found = verdicts_of(aul_N)
    assert found.raw_posterior_N[-1] > 0.9
    assert found.p_mislabeled_N[-1] == 0.0
    assert found.order[-1] == 1000


def test_samples_without_a_record_are_never_flagged_and_weigh_nothing():
    aul_N = two_groups(90, 60)
    aul_N[[3, 149]] = np.nan
    found = verdicts_of(aul_N)
    assert np.isnan(found.p_mislabeled_N[[3, 149]]).all()
    assert found.weight_N[[3, 149]].tolist() == [0.0, 0.0]
    assert np.isfinite(found.weight_N).all()
    assert len(found.order) == 148
    assert not {3, 149} & set(found.order.tolist())
    assert found.flagged == (found.p_mislabeled_N > 0.5).sum()
    assert found.noise_rate == pytest.approx(np.nanmean(found.raw_posterior_N))


def test_well_separated_groups_give_no_warning():
    assert verdicts_of(two_groups()).warnings == []


@pytest.mark.parametrize("seed", range(3))
def test_clean_scores_warn_of_one_peak(seed):
    generator = np.random.default_rng(seed)
    nobody_wrong = np.zeros(4000, dtype=bool)
    assert ONE_PEAK in warned(verdicts_of(generator.gamma(2, 1, 4000), nobody_wrong))
    assert ONE_PEAK in warned(verdicts_of(generator.normal(0, 1, 4000), nobody_wrong))


def test_the_one_peak_warning_names_the_statistic():
    scores_N = np.random.default_rng(0).gamma(2, 1, 1000)
    found = verdicts_of(np.zeros(1000), scores_N > 3, rank_by="aum", aum_N=-scores_N)
    assert "The aum has one peak" in found.warnings[0]


def test_two_peaks_that_overlap_warn_that_the_rate_is_rough():
    generator = np.random.default_rng(0)
    aul_N = np.concatenate([generator.normal(0, 0.3, 3000), generator.normal(2.2, 2, 3000)])
    found = verdicts_of(aul_N, np.arange(6000) >= 3000)
    mixture = found.estimates["gmm"].mixture
    assert mixture.modes == 2
    assert mixture.separation < 2
    assert OVERLAP in warned(found)
    assert f"separation {mixture.separation:.1f}" in found.warnings[0]


@pytest.mark.parametrize(("still_disagrees", "expected"), [(0.0, {MEMORISED}), (0.4, {MEMORISED}), (0.6, set())])
def test_memorised_warning_fires_when_most_suspicious_labels_are_learned(still_disagrees, expected):
    aul_N = two_groups(900, 100, gap=10.0)
    last_wrong_N = np.zeros(1000, dtype=bool)
    last_wrong_N[900 : 900 + round(100 * still_disagrees)] = True
    assert warned(verdicts_of(aul_N, last_wrong_N)) == expected


@pytest.mark.parametrize(("wrong", "expected"), [(400, set()), (600, {WEAK})])
def test_weak_probe_warning_fires_when_most_labels_are_disagreed_with(wrong, expected):
    aul_N = two_groups(900, 100, gap=10.0)
    last_wrong_N = np.arange(1000) >= 1000 - wrong
    found = verdicts_of(aul_N, last_wrong_N)
    assert warned(found) == expected
    assert not expected or "60% of the labels" in found.warnings[0]


def test_weak_probe_looks_only_at_samples_with_a_record():
    aul_N = two_groups(900, 100, gap=10.0)
    aul_N[:800] = np.nan
    last_wrong_N = np.arange(1000) >= 890  # 110 of 200 seen, of 1000 in all
    assert warned(verdicts_of(aul_N, last_wrong_N)) == {WEAK}


@pytest.mark.parametrize(
    ("aul_N", "why"),
    [
        (np.array([1.0, 2.0, np.nan, 4.0]), "only 3 samples have one"),
        (np.full(50, 2.0), "fewer than three different values"),
        (np.repeat([0.0, 1.0], 25), "fewer than three different values"),
    ],
)
def test_without_a_mixture_nothing_is_flagged_and_the_reason_is_told(aul_N, why):
    found = verdicts_of(aul_N)
    seen_N = np.isfinite(aul_N)
    assert "gmm" not in found.estimates
    assert found.noise_rate is None
    assert found.flagged == 0
    assert found.p_mislabeled_N[seen_N].tolist() == [0.0] * seen_N.sum()
    assert found.weight_N.tolist() == seen_N.astype(float).tolist()
    assert len(found.warnings) == 1
    assert why in found.warnings[0]
    assert (np.diff(aul_N[found.order]) <= 0).all()


def test_no_samples_at_all():
    found = verdicts_of(np.array([]))
    assert len(found.order) == 0
    assert "only 0 samples" in found.warnings[0]
