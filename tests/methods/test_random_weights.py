import math

import pytest
import torch

from labelaudit.engine.step import lesson_loss
from labelaudit.methods.random_weights import RandomWeights, draw_weights
from tests.methods.helpers import clock, generator, random_batch


def test_weights_are_those_of_a_rectified_normal():
    weight = draw_weights(200_000, generator())
    assert (weight == 0).float().mean().item() == pytest.approx(0.5, abs=0.005)
    assert weight.mean().item() == pytest.approx(1 / math.sqrt(2 * math.pi), abs=0.005)
    assert weight.var().item() == pytest.approx(0.5 - 1 / (2 * math.pi), abs=0.01)


def test_weights_are_drawn_anew_in_every_batch_and_sum_to_one():
    batch, logits_BC = random_batch()
    draws = generator()
    first, second = (RandomWeights().teach(batch, [logits_BC], clock(), draws)[0] for _ in range(2))
    assert not torch.equal(first.weight_B, second.weight_B)
    assert torch.equal(first.weight_B, draw_weights(12, generator()))
    assert torch.equal(first.target, batch.label_B)
    loss_B = torch.nn.functional.cross_entropy(logits_BC, batch.label_B, reduction="none")
    expected = (first.weight_B / first.weight_B.sum() * loss_B).sum()
    torch.testing.assert_close(lesson_loss(logits_BC, first), expected)


def test_a_batch_of_zeros_teaches_nothing(monkeypatch):
    monkeypatch.setattr("labelaudit.methods.random_weights.draw_weights", lambda count, generator: torch.zeros(count))
    batch, logits_BC = random_batch()
    (lesson,) = RandomWeights().teach(batch, [logits_BC], clock(), generator())
    logits_BC.requires_grad_()
    (gradient_BC,) = torch.autograd.grad(lesson_loss(logits_BC, lesson), logits_BC)
    assert torch.equal(gradient_BC, torch.zeros(12, 3))
