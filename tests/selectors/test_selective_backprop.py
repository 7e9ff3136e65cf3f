import math

import numpy as np
import torch

from labelaudit.selectors.selective_backprop import ByLoss, chances, percentile
from labelaudit.selectors.table import SelectiveBackpropParameters


def selector(**settings):
    return ByLoss(SelectiveBackpropParameters(**settings))


def chosen(by, score_B, seed=0):
    return by.choose(torch.tensor(score_B), 8, torch.Generator().manual_seed(seed)).index_b.tolist()


def test_percentiles_and_chances_by_hand():
    history_H, score_B = torch.tensor([4.0, 1.0, 2.0, 2.0]), torch.tensor([1.0, 2.0, 1.5, 3.0, 5.0])
    # Strictly below: 0, 1, 1, 3 and 4 of 4.
    assert percentile(score_B, history_H).tolist() == [0.0, 0.25, 0.25, 0.75, 1.0]
    assert percentile(score_B, torch.empty(0)).tolist() == [0.0] * 5
    score_B = torch.tensor([0.0, 2.0, 3.0, math.nan])
    for beta, expected in ((0.0, [1, 1, 1, 0]), (1.0, [0, 0.5, 0.75, 0]), (2.0, [0, 0.25, 0.5625, 0])):
        assert chances(score_B, torch.arange(4.0), beta).tolist() == expected


def test_the_history_has_the_last_scores_its_own_among_them():
    by = selector(history=4)
    chosen(by, [9.0, 9.0, 9.0])
    assert by.state()["history"].tolist() == [9, 9, 9]
    times_B = np.zeros(4)
    for seed in range(400):
        times_B[chosen(by, [1.0, 2.0, 3.0, 4.0], seed)] += 1
    assert by.state()["history"].tolist() == [1, 2, 3, 4]
    assert np.abs(times_B / 400 - [0, 0.25, 0.5, 0.75]).max() < 0.1  # so many of the history are below


def test_a_score_that_is_no_number_is_never_chosen_and_no_part_of_the_history():
    assert chosen(selector(beta=0.0), [3.0, 1.0, math.nan, 1.0]) == [0, 1, 3]
    by = selector(patience=1)
    assert not any(1 in chosen(by, [5.0, math.nan, 5.0], seed) for seed in range(50))
    assert not by.state()["history"].isnan().any()


def test_equal_scores_starve_until_a_batch_is_taken_whole():
    by = selector(patience=3)
    assert [len(chosen(by, [2.0] * 5, seed)) for seed in range(7)] == [0, 0, 0, 5, 0, 0, 0]
    resumed = selector(patience=3)
    resumed.load(by.state())
    assert len(chosen(resumed, [2.0] * 5)) == 5
