import numpy as np
import pytest
from scipy.special import expit

from labelaudit.detect.sample import (
    NONE,
    RIGHT,
    SKIPPED,
    WRONG,
    Design,
    draw,
    estimate,
    estimate_classes,
    recalibrate,
    reviews_left,
)
from labelaudit.detect.theory import offset


def generator(seed=0):
    return np.random.default_rng(seed)


def drawn(p_N, seed=0):
    return draw(p_N, np.argsort(-p_N, kind="stable"), generator(seed))


def told(design, wrong_N, count):
    """Right answers to the first ``count`` samples of a design."""
    answer_N = np.full(len(wrong_N), NONE, dtype=np.int32)
    first = design.order_S[:count]
    answer_N[first] = np.where(wrong_N[first], WRONG, RIGHT)
    return answer_N


def scored(samples=4000, rate=0.1, distance=2.5, mean=None, seed=0):
    """P(mislabeled) of scores that overlap, and which labels are wrong."""
    wrong_N = generator(seed).random(samples) < rate
    logit_N = distance * (generator(seed + 1).normal(size=samples) + distance * wrong_N)
    return expit(logit_N + offset(logit_N, mean or rate)), wrong_N


def one_stratum(samples):
    """A design whose order is that of the numbers, without strata."""
    return Design(stratum_N=np.zeros(samples, np.int32), place_N=np.arange(samples, dtype=np.int32))


def estimated(design, answer_N, seed=1):
    return estimate(design, answer_N, generator(seed))


def test_strata_have_equal_spread_and_every_beginning_the_same_share_of_each():
    p_N, _ = scored()
    design = drawn(p_N)
    q_N = (p_N + 0.02) / 1.04
    spread_H = np.bincount(design.stratum_N, weights=np.sqrt(q_N * (1 - q_N)))
    assert len(spread_H) == 8
    assert spread_H == pytest.approx(np.full(8, spread_H.mean()), rel=0.02)
    # From the most suspicious to the least.
    means = [p_N[design.stratum_N == stratum].mean() for stratum in range(8)]
    assert means == sorted(means, reverse=True)
    for count in (8, 30, 200, 1111):
        counts = np.bincount(design.stratum_N[design.order_S[:count]], minlength=8)
        assert counts.max() - counts.min() <= 1
    assert sorted(design.order_S) == list(range(4000))
    few = drawn(np.array([0.9, 0.1, 0.0]))  # fewer strata, none of them empty
    assert (few.size_H.tolist(), few.least) == ([1, 1, 1], 3)


def test_a_draw_depends_on_the_generator_only_and_leaves_out_what_was_not_judged():
    p_N, _ = scored(samples=300)
    order_S = np.argsort(-p_N)[np.argsort(-p_N) >= 10]
    one, same, other = (draw(p_N, order_S, generator(seed)) for seed in (1, 1, 2))
    assert np.array_equal(one.place_N, same.place_N)
    assert not np.array_equal(one.place_N, other.place_N)
    assert (one.stratum_N[:10] == -1).all()
    assert (one.place_N[:10] == -1).all()
    assert sorted(one.order_S) == list(range(10, 300))


def test_the_estimate_weighs_strata_by_their_size():
    # 300 and 100 samples; 2 of 20 wrong in one, 10 of 20 in the other: (.1 · 300 + .5 · 100) / 400 = .2.
    stratum_N = np.repeat([0, 1], [300, 100]).astype(np.int32)
    first = np.concatenate([np.arange(20), 300 + np.arange(20)])
    place_N = np.empty(400, np.int32)
    place_N[np.concatenate([first, np.setdiff1d(np.arange(400), first)])] = np.arange(400)
    answer_N = np.full(400, NONE, np.int32)
    answer_N[first] = RIGHT
    answer_N[np.concatenate([np.arange(2), 300 + np.arange(10)])] = WRONG
    found = estimated(Design(stratum_N=stratum_N, place_N=place_N), answer_N)
    assert found.rate == pytest.approx(0.2)
    assert (found.right, found.wrong, found.skipped) == (28, 12, 0)
    # 1.96 standard errors are √((.75² · .09 · .93 + .25² · .25 · .8) / 19) · 1.96 = .11. Small shares are skewed: less
    # lies below, more above, and half an error is on top.
    low, high = found.interval
    assert 0.08 < 0.2 - low < 0.116
    assert 0.116 < high - 0.2 < 0.17
    # More wrong labels move both ends up.
    answer_N[300 + np.arange(10, 14)] = WRONG
    more = estimated(Design(stratum_N=stratum_N, place_N=place_N), answer_N)
    assert more.interval[0] > low
    assert more.interval[1] > high


def test_nothing_wrong_gives_zero_and_a_low_end_of_zero_and_all_wrong_the_opposite():
    design, none = drawn(scored()[0]), np.zeros(4000, bool)
    clean = estimated(design, told(design, none, 200))
    assert (clean.rate, clean.interval[0]) == (0.0, 0.0)
    assert 0.005 < clean.interval[1] < 0.025
    wrong = estimated(design, told(design, ~none, 200))
    assert (wrong.rate, wrong.interval[1]) == (1.0, 1.0)
    assert 0.97 < wrong.interval[0] < 0.995


def test_all_reviewed_is_exact():
    p_N, wrong_N = scored(samples=150)
    design = drawn(p_N)
    found = estimated(design, told(design, wrong_N, 150))
    truth = pytest.approx(wrong_N.mean())
    assert found.interval == (truth, truth)
    assert found.rate == truth
    assert reviews_left(design, told(design, wrong_N, 150), 0.0, generator()) == 0


def test_too_few_reviews_give_no_estimate():
    p_N, wrong_N = scored()
    design = drawn(p_N)
    assert design.least == 32
    assert estimate(design, told(design, wrong_N, 31), generator()) is None
    assert estimate(design, told(design, wrong_N, 32), generator()) is not None


SETTINGS = {
    "good P": scored(),
    "P too low": scored(mean=0.05),
    "P upside down": (1 - scored()[0], scored()[1]),
    "P constant": (np.full(4000, 0.1), scored()[1]),
    "clean": (scored()[0], np.zeros(4000, bool)),
    "many wrong": scored(rate=0.4),
    "few images": scored(samples=300),
    "errors nobody suspects": (scored()[0], generator(9).random(4000) < np.where(scored()[0] < 0.01, 0.08, 0.0)),
}


@pytest.mark.parametrize(
    ("name", "count"), [*((name, 200) for name in SETTINGS), ("good P", 40), ("P constant", 40), ("good P", 101)]
)
def test_the_interval_holds_the_truth_whatever_p_says(name, count):
    p_N, wrong_N = SETTINGS[name]
    truth, held, widths = wrong_N.mean(), 0, []
    for review in range(40):
        design = drawn(p_N, seed=review)
        low, high = estimated(design, told(design, wrong_N, count), seed=review).interval
        held += low - 1e-9 <= truth <= high + 1e-9
        widths.append(high - low)
    assert held >= 35  # 38 are expected, or more; the seeds are fixed
    if name == "good P" and count == 200:
        assert np.mean(widths) / 2 < 0.03  # a plain sample has .042


def test_left_out_samples_are_skipped_and_the_interval_allows_for_both():
    p_N, wrong_N = scored()
    design = drawn(p_N)
    answer_N = told(design, wrong_N, 200)
    plain = estimated(design, answer_N)
    missed = design.order_S[10:200:20]
    answer_N[missed] = NONE
    left_out = estimated(design, answer_N)
    answer_N[missed] = SKIPPED
    skipped = estimated(design, answer_N)
    assert left_out == skipped
    assert skipped.skipped == len(missed)
    assert skipped.right + skipped.wrong == 200 - len(missed)
    # Whatever the skipped ones are, the interval of full answers lies in this one, but for chance.
    for truth in (RIGHT, WRONG):
        answer_N[missed] = truth
        low, high = estimated(design, answer_N).interval
        assert skipped.interval[0] < low + 0.003
        assert skipped.interval[1] > high - 0.003
    assert skipped.interval[1] - skipped.interval[0] > plain.interval[1] - plain.interval[0] + 0.02


def test_a_review_ends_where_the_answers_do():
    design = one_stratum(100)
    answer_N = np.full(100, NONE, np.int32)
    assert len(design.reached(answer_N)) == 0
    answer_N[:40] = RIGHT
    answer_N[[5, 17]] = NONE
    assert len(design.reached(answer_N)) == 40
    answer_N[[60, 80, 90]] = WRONG  # a few decisions further down, as on suspicious labels
    assert len(design.reached(answer_N)) == 40
    answer_N[:] = NONE
    answer_N[50:] = RIGHT  # nobody began at the top
    assert len(design.reached(answer_N)) == 0


def test_answers_outside_the_sample_bound_the_rate():
    p_N, wrong_N = scored(samples=400, rate=0.3)
    design = drawn(p_N)
    answer_N = told(design, wrong_N, 100)
    plain = estimated(design, answer_N)
    others = design.order_S[120:]
    answer_N[others[wrong_N[others]]] = WRONG
    found = estimated(design, answer_N)
    assert (found.right, found.wrong) == (plain.right, plain.wrong)
    known = (answer_N == WRONG).mean()
    assert plain.interval[0] < known <= found.interval[0] <= found.rate


def test_classes_have_rates_of_their_own_where_enough_is_reviewed():
    p_N, wrong_N = scored(samples=3000, rate=0.2)
    label_N = np.where(np.arange(3000) < 2000, 0, np.where(np.arange(3000) < 2950, 1, 2)).astype(np.int32)
    held, truth = {0: 0, 1: 0}, {label: wrong_N[label_N == label].mean() for label in (0, 1)}
    for review in range(40):
        design = drawn(p_N, seed=review)
        found = estimate_classes(design, told(design, wrong_N, 200), label_N)
        assert set(found) == {0, 1}
        for label, one in found.items():
            held[label] += one.interval[0] <= truth[label] <= one.interval[1]
            assert one.interval[0] <= one.rate <= one.interval[1]
    assert min(held.values()) >= 36


def test_the_reviews_that_are_left_bring_the_half_width():
    p_N, wrong_N = scored(samples=20_000)
    design = drawn(p_N)
    answer_N = told(design, wrong_N, 200)
    left = reviews_left(design, answer_N, 0.02, generator())
    assert left is not None
    assert 50 < left < 400
    low, high = estimated(design, told(design, wrong_N, 200 + left)).interval
    assert (high - low) / 2 == pytest.approx(0.02, abs=0.004)
    assert reviews_left(design, answer_N, 0.5, generator()) == 0
    answer_N[design.order_S[:200:4]] = SKIPPED
    assert reviews_left(design, answer_N, 0.02, generator()) is None


def test_p_is_bent_to_the_answers_and_keeps_its_order():
    p_N, wrong_N = scored(samples=20_000, mean=0.03)
    design = drawn(p_N)
    answer_N = told(design, wrong_N, 400)
    rate = estimated(design, answer_N).rate
    bent_N = recalibrate(p_N, design, answer_N, rate)
    assert bent_N.mean() == pytest.approx(rate, abs=1e-6)
    open_N = answer_N == NONE
    order = np.argsort(p_N[open_N])
    assert (np.diff(bent_N[open_N][order]) >= 0).all()
    top_N = open_N & (p_N > np.quantile(p_N, 0.9))
    assert abs(bent_N[top_N].mean() - wrong_N[top_N].mean()) < abs(p_N[top_N].mean() - wrong_N[top_N].mean()) / 2
    assert (bent_N[answer_N == RIGHT] == 0).all()
    assert (bent_N[answer_N == WRONG] == 1).all()


def test_where_nothing_is_wrong_false_alarms_go_down_and_samples_without_a_record_stay():
    p_N = np.append(scored(samples=2000)[0], np.nan)
    order_S = np.argsort(-p_N[:-1])
    design = draw(p_N, order_S, generator())
    answer_N = told(design, np.zeros(2001, bool), 200)
    bent_N = recalibrate(p_N, design, answer_N, 0.0)
    assert np.isnan(bent_N[-1])
    assert (bent_N[:-1] > 0.5).sum() == 0
    assert (bent_N[:-1][answer_N[:-1] == NONE] > 0).all()


def test_where_no_more_can_be_wrong_or_nothing_is_known_p_is_still_a_probability():
    p_N, wrong_N = scored(samples=400)
    design = drawn(p_N)
    answer_N = told(design, wrong_N, 100)
    bent_N = recalibrate(p_N, design, answer_N, (answer_N == WRONG).mean())  # all that are wrong are known
    assert ((bent_N >= 0) & (bent_N <= 1)).all()
    answer_N[answer_N != NONE] = SKIPPED
    found = estimated(design, answer_N)
    assert found.interval == (0.0, 1.0)
    assert np.array_equal(recalibrate(p_N, design, answer_N, found.rate), p_N)
