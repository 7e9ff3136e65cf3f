import numpy as np
import pytest

from labelaudit.detect.verdicts import FitSettings, ReviewShare, judge, review_shares
from tests.detect.helpers import certain, statistics_of, two_groups

MEMORIZED = "agrees with most of the suspicious labels"
WEAK = "it has learned little"


def verdicts_of(aul_N, last_wrong_N=None, *, rank_by="aul", estimator="gmm", **others):
    return judge(statistics_of(aul_N, last_wrong_N, **others), FitSettings(rank_by=rank_by, estimator=estimator))


def test_p_is_high_for_the_mislabeled_and_weights_are_one_minus_p():
    found = verdicts_of(two_groups(900, 100))
    assert found.p_mislabeled_N[:900].mean() < 0.02
    assert found.p_mislabeled_N[900:].mean() > 0.95
    assert found.noise_rate == pytest.approx(0.1, abs=0.02)
    assert found.noise_rate == found.raw_posterior_N.mean()
    np.testing.assert_array_equal(found.weight_N, 1 - found.p_mislabeled_N)
    above_half = np.flatnonzero(found.p_mislabeled_N > 0.5).tolist()
    assert 80 < found.flagged == len(above_half) < 120
    assert sorted(found.order[: found.flagged].tolist()) == above_half
    assert found.warnings == []
    assert {name: each.rank_by for name, each in found.estimates.items()} == {"transition": "log_odds", "gmm": "aul"}


def test_raw_weights_are_one_minus_the_posterior_also_where_it_rises_below_the_low_mean():
    aul_N = np.concatenate([np.random.default_rng(0).normal(0, 1, 600), np.random.default_rng(1).normal(4, 3, 400)])
    settings = FitSettings.chosen(estimator="gmm", raw_weights=True)
    usual, raw = verdicts_of(aul_N), judge(statistics_of(aul_N), settings)
    np.testing.assert_array_equal(raw.weight_N, 1 - raw.raw_posterior_N)
    assert raw.weight_N[aul_N.argmin()] < 0.5 < usual.weight_N[aul_N.argmin()] == 1
    np.testing.assert_array_equal(raw.p_mislabeled_N, usual.p_mislabeled_N)


def test_the_order_is_that_of_the_statistic_that_ranks_and_equal_samples_keep_theirs():
    aul_N = two_groups(60, 40)
    assert (np.diff(aul_N[verdicts_of(aul_N).order]) <= 0).all()
    unrelated_N = np.random.default_rng(3).normal(0, 1, 100)
    found = verdicts_of(unrelated_N, aul_N > 3, rank_by="aum", aum_N=-aul_N)
    assert (np.diff(aul_N[found.order]) <= 0).all()
    assert found.p_mislabeled_N[aul_N.argmax()] > 0.99
    assert found.p_mislabeled_N[aul_N.argmin()] < 0.01
    assert verdicts_of(np.tile([5.0, 1.0, 3.0], 10)).order[:10].tolist() == list(range(0, 30, 3))


def test_a_review_of_the_list_catches_what_the_probabilities_add_up_to():
    p_N = np.array([np.nan, 1.0, 0.9, 0.8, 0.7, 0.1, 0.1, 0.2, 0.2])
    shares = review_shares(p_N)
    assert shares[0] == ReviewShare(top=1, caught=pytest.approx(1.0 / 4))
    assert ReviewShare(top=4, caught=pytest.approx(3.4 / 4)) in shares
    assert shares[-1] == ReviewShare(top=8, caught=pytest.approx(1.0))
    p_N = np.repeat([0.9, 0.01], [1837, 50_000])
    tops = [share.top for share in review_shares(p_N)]
    assert tops == sorted(tops)
    assert all(len(str(top).rstrip("0")) <= 2 for top in tops)  # round numbers
    assert review_shares(np.array([0.0, np.nan])) == ()


def warned(verdicts, *sentences):
    text = " ".join(verdicts.warnings)
    return {sentence for sentence in sentences if sentence in text}


def test_clean_scores_warn_of_one_peak_and_name_the_statistic():
    scores_N = np.random.default_rng(0).gamma(2, 1, 4000)
    found = verdicts_of(np.zeros(4000), np.zeros(4000, dtype=bool), rank_by="aum", aum_N=-scores_N)
    assert "The aum has one peak, not two" in found.warnings[0]


def test_two_peaks_that_overlap_warn_that_the_rate_is_rough():
    generator = np.random.default_rng(0)
    found = verdicts_of(np.concatenate([generator.normal(0, 0.3, 3000), generator.normal(2.2, 2, 3000)]))
    mixture = found.estimates["gmm"].mixture
    assert mixture.modes == 2
    assert f"The two groups overlap (separation {mixture.separation:.1f}" in found.warnings[0]


@pytest.mark.parametrize(
    ("disagreed", "expected"),
    [(slice(900, 940), {MEMORIZED}), (slice(900, 960), set()), (slice(600, 1000), set()), (slice(400, 1000), {WEAK})],
)
def test_what_the_last_epoch_says_of_the_labels_is_a_warning(disagreed, expected):
    last_wrong_N = np.zeros(1000, dtype=bool)
    last_wrong_N[disagreed] = True
    found = verdicts_of(two_groups(900, 100, gap=10.0), last_wrong_N)
    assert warned(found, MEMORIZED, WEAK) == expected
    assert WEAK not in expected or "60% of the labels" in found.warnings[0]


@pytest.mark.parametrize(
    ("aul_N", "why"),
    [
        (np.array([1.0, 2.0, np.nan, 4.0]), "only 3 samples have a score"),
        (np.repeat([0.0, 1.0], 25), "fewer than three different values"),
        (np.array([]), "only 0 samples"),
    ],
)
def test_without_a_mixture_nothing_is_flagged_and_the_reason_is_told(aul_N, why):
    found = verdicts_of(aul_N)
    seen_N = np.isfinite(aul_N)
    assert "gmm" not in found.estimates
    assert (found.noise_rate, found.interval, found.flagged) == (None, None, 0)
    assert found.weight_N.tolist() == seen_N.astype(float).tolist()
    (warning,) = found.warnings
    assert why in warning
    assert (np.diff(aul_N[found.order]) <= 0).all()


def labeled(true_N, label_N, classes, **others):
    """The default verdicts of a probe that knows the truth."""
    aul_N = np.where(true_N == label_N, 1.0, 9.0) + np.arange(len(label_N)) / len(label_N)
    beliefs = certain(label_N, true_N)
    return verdicts_of(aul_N, label_N=label_N, beliefs=beliefs, classes=classes, estimator="transition", **others)


@pytest.mark.parametrize(("step", "rate", "expected"), [(None, 0.2, False), (1, 0.2, True), (1, 0.005, False)], ids=str)
def test_errors_between_few_classes_are_told(step, rate, expected):
    generator = np.random.default_rng(0)
    true_N = generator.integers(0, 6, 3000).astype(np.int32)
    moved_N = generator.integers(1, 6, 3000) if step is None else step
    found = labeled(true_N, np.where(generator.random(3000) < rate, (true_N + moved_N) % 6, true_N), 6)
    told = {"not spread evenly", "of 30 pairs of classes"}
    assert warned(found, *told) == (told if expected else set())


def test_small_classes_are_told():
    for least, expected in ((19, True), (20, False)):
        label_N = np.repeat([0, 1, 2], [500, 500, least]).astype(np.int32)
        found = labeled(label_N, label_N, 3)
        assert bool(warned(found, "1 of 3 classes have fewer than 20 images")) is expected


@pytest.mark.parametrize(("epoch", "advised"), [(9, 8), (1, 1), (None, None)])
def test_a_probe_that_memorizes_is_told_once_with_what_to_do(epoch, advised):
    found = verdicts_of(np.arange(100.0), memorized_from=epoch)
    sentences = (f"From epoch {epoch} on", f"Audit again with --epochs {advised}.", "By its last epoch")
    assert warned(found, *sentences) == (set() if epoch is None else set(sentences[:2]))
