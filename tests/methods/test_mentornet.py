import pytest
import torch
from torch.nn import functional

from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch, Ingredients
from labelaudit.methods.mentornet import MentorNet, drop_examples, percentile, predefined_weights
from labelaudit.methods.parameters import MentorNetParameters
from tests.methods.helpers import clock, generator

LABEL_B = torch.zeros(8, dtype=torch.int64)
LOGITS_BC = torch.stack([torch.zeros(8), torch.linspace(-4, 4, 8)], dim=1)
"""Losses log(1 + e^z), from .018 to 4.018."""
LOSS_B = functional.cross_entropy(LOGITS_BC, LABEL_B, reduction="none")
NO_DROPOUT = {"early_dropout": 0.0, "dropout": 0.0}


def mentor(**settings):
    parameters = MentorNetParameters(**{"average_decay": 0.0, **NO_DROPOUT, **settings})
    return MentorNet(Ingredients(label_R=LABEL_B, parameters=parameters))


def lesson(method, epoch=50):
    batch = Batch(row_B=torch.arange(8), label_B=LABEL_B)
    return method.teach(batch, [LOGITS_BC], clock(epoch, 100), generator())[0]


def test_the_rule_by_hand_and_a_harder_sample_never_counts_more():
    all_1, easy = [1, 1, 1, 1], [1, 1, 0, 0]
    usual, milder = MentorNetParameters(), MentorNetParameters(gamma=5.0)
    for done, expected in ((0, all_1), (0.18, all_1), (0.19, easy), (0.89, easy), (0.9, [1, 1, 0.75, 0])):
        assert predefined_weights(torch.tensor([-1.0, 0.0, 0.25, 3.0]), done, usual).tolist() == expected
    assert predefined_weights(torch.tensor([0.25, 3.0]), 0.95, milder).tolist() == pytest.approx([0.95, 0.4])
    difference_B = torch.linspace(-5, 5, 101)
    assert all((predefined_weights(difference_B, part / 100, usual).diff() <= 0).all() for part in range(100))


def test_the_percentile_is_one_of_the_losses():
    loss_B = torch.tensor([5.0, 1.0, 4.0, 2.0, 3.0])
    assert [percentile(loss_B, share).item() for share in (0.0, 0.5, 0.75, 1.0)] == [1.0, 3.0, 4.0, 5.0]
    assert percentile(torch.tensor([7.0]), 0.75).item() == 7.0


@pytest.mark.parametrize(("count", "rate", "kept"), [(128, 0.05, 121), (128, 0.5, 64), (10, 0.1, 9), (1, 0.5, 0)])
def test_dropped_examples_are_as_many_as_wanted_and_drawn_evenly(count, rate, kept):
    draws = generator()
    kept_B = sum(drop_examples(torch.ones(count), rate, draws) for _ in range(500))
    assert kept_B.sum().item() == 500 * kept
    assert ((kept_B / 500 - kept / count).abs() < 0.12).all()
    weight_B = torch.rand(20, generator=draws)
    assert torch.equal(drop_examples(weight_B, 0.0, draws), weight_B)


@pytest.mark.parametrize(
    ("settings", "epoch", "kept"),
    [
        ({"percentile": 0.5}, 50, 5),  # the loss at place round(3.5) = 4 counts itself
        ({"percentile": 1.0}, 50, 8),
        ({"percentile": 0.0}, 18, 8),
        ({"percentile": 0.0}, 19, 1),
        ({"percentile": 0.0, "burn_in": 0.3}, 29, 8),
        ({"percentile": 0.0, "burn_in": 0.0}, 0, 1),
        # Half a batch is left out early, a twentieth later.
        ({"percentile": 1.0, "early_dropout": 0.5, "dropout": 0.05}, 16, 4),
        ({"percentile": 1.0, "early_dropout": 0.5, "dropout": 0.05}, 17, 7),
    ],
)
def test_small_losses_count(settings, epoch, kept):
    found = lesson(mentor(**settings), epoch)
    assert found.weight_B.sum() == kept
    assert found.decay.item() == kept / 8  # weight decay goes with the weights
    if "dropout" not in settings:
        assert found.weight_B.tolist() == [1.0] * kept + [0.0] * (8 - kept)
        # The loss is divided by the batch.
        assert lesson_loss(LOGITS_BC, found).item() == pytest.approx(LOSS_B[:kept].sum().item() / 8)


def test_the_moving_percentile_starts_at_zero():
    method = mentor(percentile=1.0, average_decay=0.5)
    for share in (1 / 2, 3 / 4):
        assert lesson(method).weight_B.tolist() == (LOSS_B[-1] * share >= LOSS_B).float().tolist()
