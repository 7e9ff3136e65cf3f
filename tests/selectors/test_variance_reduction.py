import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.errors import UsageError
from labelaudit.selectors.parameters import VarianceReductionParameters
from labelaudit.selectors.table import build_selector, describe_selector
from labelaudit.selectors.variance_reduction import VarianceReduction, distribution, gain_threshold, variance_gain

scores = st.lists(st.floats(0.01, 100), min_size=2, max_size=50)


def selector(**settings):
    return VarianceReduction(VarianceReductionParameters(**settings))


def gain(values):
    return variance_gain(distribution(torch.tensor(values)))


def draw(by, score_B, size, seed=0):
    return by.choose(torch.as_tensor(score_B, dtype=torch.float32), size, torch.Generator().manual_seed(seed))


def test_the_gain_of_distributions_by_hand():
    assert gain([3.0] * 7) == pytest.approx(1)
    assert gain([0.0] * 15 + [2.0]) == pytest.approx(4)  # √16
    assert gain([0.0] * 6 + [5.0] * 2) == pytest.approx(2)  # a quarter at equal loss: 1 / √(1/4)
    assert gain([1.0, 3.0]) == pytest.approx(math.sqrt(2 * (1 / 16 + 9 / 16)))


@given(scores)
def test_the_closed_form_is_what_the_paper_writes(values):
    g_B = distribution(torch.tensor(values, dtype=torch.float64))
    uniform = 1 / len(values)
    inner = 1 - (g_B - uniform).square().sum() / g_B.square().sum()
    assert variance_gain(g_B) == pytest.approx(float(inner) ** -0.5, rel=1e-9)
    spread = torch.tensor(values, dtype=torch.float64)
    assert variance_gain(g_B) == pytest.approx(math.sqrt(1 + float(spread.var(correction=0) / spread.mean() ** 2)))


def test_scores_that_are_0_or_no_numbers():
    assert distribution(torch.zeros(4)).tolist() == [0.25] * 4
    assert distribution(torch.tensor([math.nan, 1.0, 3.0])).tolist() == [0, 0.25, 0.75]
    assert distribution(torch.tensor([0.0, 2.0]), smoothing=1.0).tolist() == [0.25, 0.75]
    assert len(draw(selector(switch="none"), [0.0] * 6, 2).index_b) in (1, 2)


@pytest.mark.parametrize(("pool", "threshold"), [(2, 5 / 3), (3, 2.0), (4, 7 / 3)])
def test_thresholds(pool, threshold):
    assert gain_threshold(pool) == pytest.approx(threshold)


def test_a_pool_of_one_batch_is_refused():
    with pytest.raises(UsageError, match="parameter pool of variance-reduction is 1, out of range; give at least 2"):
        build_selector("variance-reduction pool=1")


def test_a_gain_of_2_turns_the_draws_on_at_the_18th_batch():
    # 2 (1 − .9^n) > 5/3 from n = 18 on.
    by = selector(pool=2)
    states = []
    for _ in range(20):
        by.observe(torch.tensor([0.0] * 6 + [5.0] * 2))
        states.append(by.is_on)
    assert states == [False] * 17 + [True] * 3


@pytest.mark.parametrize("pool", [2, 3])
def test_exponential_losses_never_turn_them_on(pool):
    by, generator = selector(pool=pool), torch.Generator().manual_seed(0)
    for _ in range(300):
        by.observe(torch.empty(512).exponential_(generator=generator))
        assert not by.is_on
    assert by.state()["gain"] == pytest.approx(math.sqrt(2), abs=0.05)


def test_draws_turn_off_again_when_the_pool_evens_out():
    by = selector(pool=2)
    for _ in range(30):
        by.observe(torch.tensor([0.0] * 30 + [9.0]))
    assert by.is_on
    for _ in range(30):
        draw(by, [1.0] * 16, 8)
    assert not by.is_on


def test_without_a_switch_draws_are_always_on_and_with_an_endless_threshold_never():
    assert selector(switch="none").is_on
    by = selector(threshold=math.inf)
    for _ in range(50):
        by.observe(torch.tensor([0.0] * 99 + [9.0]))
    assert not by.is_on


def test_samples_are_drawn_in_proportion_to_their_loss():
    by = selector(switch="none", weights="unbiased")
    index_b = draw(by, [1.0, 0.0, 3.0, 6.0], 4).index_b
    assert len(index_b) == 4
    many = torch.cat([draw(by, [1.0, 0.0, 3.0, 6.0], 4, seed).index_b for seed in range(3000)])
    share = torch.bincount(many, minlength=4) / len(many)
    assert (share - torch.tensor([0.1, 0.0, 0.3, 0.6])).abs().max() < 0.02


def test_weights_keep_the_mean_gradient_what_it_is():
    score_B, gradient_B = torch.tensor([1.0, 2.0, 5.0]), torch.tensor([3.0, -1.0, 0.5])
    g_B = distribution(score_B)
    choice = draw(selector(switch="none", weights="unbiased"), score_B, 3, seed=1)
    for index, weight in zip(choice.index_b.tolist(), choice.weight_b.tolist(), strict=True):
        assert weight == pytest.approx(1 / (3 * float(g_B[index])))
    # The expectation, enumerated: each of the three is what a single draw can be.
    assert float((g_B * (1 / (3 * g_B)) * gradient_B).sum()) == pytest.approx(float(gradient_B.mean()))


def test_a_sample_that_is_drawn_twice_counts_once():
    by = selector(switch="none")
    for seed in range(50):
        choice = draw(by, [1.0, 1.0, 8.0, 1.0], 4, seed)
        assert len(set(choice.index_b.tolist())) == len(choice.index_b) <= 4
        assert (choice.weight_b == 1).all()


@pytest.mark.parametrize(("pool", "share"), [(2, 0.79), (3, 0.85), (4, 0.885)])
def test_distinct_samples_of_a_draw_from_equal_scores(pool, share):
    by, size = selector(switch="none", pool=pool), 128
    counts = [len(draw(by, [1.0] * pool * size, size, seed).index_b) for seed in range(60)]
    assert sum(counts) / len(counts) / size == pytest.approx(share, abs=0.01)


def test_the_state_is_the_moving_average():
    first, resumed = selector(), selector()
    for _ in range(5):
        first.observe(torch.tensor([0.0, 1.0, 4.0]))
    resumed.load(first.state())
    for by in (first, resumed):
        by.observe(torch.tensor([0.0, 2.0]))
    assert resumed.state() == first.state() != selector().state()


def test_settings_survive_their_description():
    text = describe_selector("variance-reduction", {"pool": "2", "weights": "unbiased", "threshold": "1.2"})
    assert text.startswith("variance-reduction pool=2 weights=unbiased switch=step threshold=1.2")
    by = build_selector(text)
    assert isinstance(by, VarianceReduction)
    assert by.pool == 2
    assert by._threshold == 1.2
