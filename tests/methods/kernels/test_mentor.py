import pytest
import torch

from labelaudit.methods.mentornet import (
    MentorTraining,
    draw_grid,
    drop_examples,
    mentor_weights,
    moved,
    percent_done,
    percentile,
    predefined_weights,
    train_mentor,
)


@pytest.fixture(scope="module")
def network():
    quick = MentorTraining(steps=1500, batch_size=256, decay_steps=75)
    return train_mentor(torch.Generator().manual_seed(0), quick)


def test_the_rule_is_worked_out_by_hand():
    difference_B = torch.tensor([-1.0, 0.0, 0.25, 3.0])
    for percent, expected in (
        (0, [1, 1, 1, 1]),
        (18, [1, 1, 1, 1]),
        (19, [1, 1, 0, 0]),
        (89, [1, 1, 0, 0]),
        (90, [1, 1, 0.75, 0]),
        (99, [1, 1, 0.75, 0]),
    ):
        assert predefined_weights(difference_B, percent).tolist() == expected
    assert predefined_weights(difference_B, 95, gamma=5.0).tolist() == pytest.approx([1, 1, 0.95, 0.4])


def test_a_harder_sample_never_counts_more():
    difference_B = torch.linspace(-5, 5, 101)
    for percent in range(100):
        weight_B = predefined_weights(difference_B, percent)
        assert (weight_B[1:] <= weight_B[:-1]).all()


def test_the_clock_has_a_hundred_parts():
    assert [percent_done(done) for done in (0.0, 0.18, 0.189, 0.19, 0.999, 1.0)] == [0, 18, 18, 19, 99, 99]


def test_the_percentile_is_one_of_the_losses():
    loss_B = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0])
    assert [percentile(loss_B, share).item() for share in (0.0, 0.5, 0.75, 1.0)] == [1.0, 3.0, 4.0, 5.0]
    assert percentile(torch.tensor([7.0]), 0.75).item() == 7.0


def test_the_average_moves_halfway():
    average = torch.tensor(0.0)
    for _ in range(3):
        average = moved(average, torch.tensor(8.0), 0.5)
    assert average.item() == 7.0
    assert moved(torch.tensor(3.0), torch.tensor(8.0), 0.0).item() == 8.0


def test_the_largest_loss_as_the_bound_keeps_everything():
    loss_B = torch.rand(50, generator=torch.Generator().manual_seed(0))
    average = moved(torch.tensor(0.0), percentile(loss_B, 1.0), 0.0)
    assert predefined_weights(loss_B - average, 50).tolist() == [1.0] * 50


def test_dropped_examples_are_as_many_as_asked_and_drawn_evenly():
    generator = torch.Generator().manual_seed(0)
    kept_B = sum(drop_examples(torch.ones(20), 0.25, generator) for _ in range(2000))
    assert kept_B.sum().item() == 2000 * 15
    assert ((kept_B / 2000 - 0.75).abs() < 0.05).all()  # five standard deviations
    weight_B = torch.rand(20, generator=generator)
    assert torch.equal(drop_examples(weight_B, 0.0, generator), weight_B)
    dropped_B = drop_examples(weight_B, 0.5, generator)
    assert torch.equal(dropped_B[dropped_B > 0], weight_B[dropped_B > 0])


@pytest.mark.parametrize(("count", "rate", "kept"), [(128, 0.05, 121), (128, 0.5, 64), (10, 0.1, 9), (1, 0.5, 0)])
def test_the_kept_are_rounded_down(count, rate, kept):
    assert drop_examples(torch.ones(count), rate, torch.Generator().manual_seed(0)).sum().item() == kept


def test_the_grid_is_taught_the_rule():
    grid = draw_grid(3000, 1.0, torch.Generator().manual_seed(0))
    for row in range(0, 3000, 100):
        expected = predefined_weights(grid.difference_G[row : row + 1], int(grid.percent_G[row]))
        assert grid.weight_G[row] == expected[0]
    assert grid.loss_G.min() == 0
    assert grid.loss_G.max() == 29
    assert (grid.difference_G.min(), grid.difference_G.max()) == (-5.0, torch.tensor(4.9))


def test_the_network_learns_the_rule(network):
    grid = draw_grid(20_000, 1.0, torch.Generator().manual_seed(9))
    away = grid.difference_G.abs() > 0.3
    weight_G = torch.sigmoid(network(grid.loss_G, grid.difference_G, grid.percent_G))
    agreeing = (weight_G > 0.5) == (grid.weight_G > 0.5)
    assert agreeing[away].float().mean() > 0.98
    early = grid.percent_G == 0
    assert weight_G[early].min() > 0.9


def test_the_networks_weights_carry_no_gradient(network):
    loss_B = torch.tensor([0.1, 5.0], requires_grad=True)
    weight_B = mentor_weights(network, loss_B, torch.tensor(1.0), 50)
    assert not weight_B.requires_grad
    assert weight_B[0] > 0.5 > weight_B[1]


def test_equal_generators_give_equal_networks():
    quick = MentorTraining(steps=5, grid=100)
    one, other = (train_mentor(torch.Generator().manual_seed(3), quick).state_dict() for _ in range(2))
    assert all(torch.equal(one[name], other[name]) for name in one)
