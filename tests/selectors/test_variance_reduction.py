import math

import pytest
import torch

from labelaudit.selectors.table import VarianceReductionParameters
from labelaudit.selectors.variance_reduction import VarianceReduction, distribution, variance_gain


def selector(**settings):
    return VarianceReduction(VarianceReductionParameters(**settings))


def draw(by, score_B, size, seed=0):
    return by.choose(torch.as_tensor(score_B, dtype=torch.float32), size, torch.Generator().manual_seed(seed))


def test_gains_by_hand():
    for values, expected in (
        ([3.0] * 7, 1),
        ([0.0] * 15 + [2.0], 4),  # √16
        ([0.0] * 6 + [5.0] * 2, 2),  # a quarter at equal loss: 1 / √(1/4)
        ([1.0, 3.0], math.sqrt(2 * (1 / 16 + 9 / 16))),
    ):
        assert variance_gain(distribution(torch.tensor(values))) == pytest.approx(expected)


def test_scores_that_are_0_or_no_numbers():
    assert distribution(torch.zeros(4)).tolist() == [0.25] * 4
    assert distribution(torch.tensor([math.nan, 1.0, 3.0])).tolist() == [0, 0.25, 0.75]
    assert len(draw(selector(switch="none"), [0.0] * 6, 2).index_b) in (1, 2)


def test_a_gain_of_2_turns_the_draws_on_at_the_18th_batch_and_even_pools_off_again():
    # 2 (1 − .9^n) > 5/3 from n = 18 on.
    by, states = selector(pool=2), []
    for _ in range(20):
        by.observe(torch.tensor([0.0] * 6 + [5.0] * 2))
        states.append(by.is_on)
    assert states == [False] * 17 + [True] * 3
    for _ in range(30):
        draw(by, [1.0] * 16, 8)
    assert not by.is_on


def test_samples_are_drawn_in_proportion_to_their_loss_with_weights_that_keep_the_mean():
    score_B = torch.tensor([1.0, 0.0, 3.0, 6.0])
    by, g_B = selector(switch="none", weights="unbiased"), distribution(score_B)
    many = torch.cat([(choice := draw(by, score_B, 4, seed)).index_b for seed in range(3000)])
    assert (torch.bincount(many, minlength=4) / 12_000 - g_B).abs().max() < 0.02
    assert choice.weight_b.tolist() == pytest.approx((1 / (4 * g_B[choice.index_b])).tolist())


def test_a_sample_that_is_drawn_twice_counts_once():
    found = draw(selector(switch="none", pool=2), [1.0] * 256, 128)
    assert 80 < len(set(found.index_b.tolist())) == len(found.index_b) < 120
    assert (found.weight_b == 1).all()
