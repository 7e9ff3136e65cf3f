import pytest
import torch
from torch.nn import functional

from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch
from labelaudit.methods.reed_hard import ReedHard, bootstrapped
from tests.methods.helpers import clock, generator, random_batch


def loss_and_gradient(beta, batch, logits_BC):
    (lesson,) = ReedHard(beta).teach(batch, [logits_BC], clock(), generator())
    leaf_BC = logits_BC.clone().requires_grad_()
    loss = lesson_loss(leaf_BC, lesson)
    return loss.item(), torch.autograd.grad(loss, leaf_BC)[0]


def test_targets_by_hand():
    label_B = torch.tensor([0, 1, 2])
    logits_BC = torch.tensor([[0.0, 5.0, 1.0], [0.0, 5.0, 1.0], [3.0, 2.0, 1.0]])
    expected_BC = torch.tensor([[0.8, 0.2, 0.0], [0.0, 1.0, 0.0], [0.2, 0.0, 0.8]])
    torch.testing.assert_close(bootstrapped(label_B, logits_BC, 0.8), expected_BC)


def test_the_loss_is_that_of_the_paper():
    batch, logits_BC = random_batch(classes=5)
    log_p_BC = logits_BC.log_softmax(dim=1)
    given_B = log_p_BC.gather(1, batch.label_B[:, None])[:, 0]
    expected = (-0.8 * given_B - 0.2 * log_p_BC.max(dim=1).values).mean()
    assert loss_and_gradient(0.8, batch, logits_BC)[0] == pytest.approx(expected.item(), rel=1e-5)


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.8, 1.0])
def test_the_gradient_is_p_less_the_target(beta):
    batch, logits_BC = random_batch(classes=5)
    given_BC = functional.one_hot(batch.label_B, 5).float()
    own_BC = functional.one_hot(logits_BC.argmax(dim=1), 5).float()
    expected_BC = (logits_BC.softmax(dim=1) - beta * given_BC - (1 - beta) * own_BC) / 12
    torch.testing.assert_close(loss_and_gradient(beta, batch, logits_BC)[1], expected_BC)


def test_beta_of_one_is_cross_entropy():
    batch, logits_BC = random_batch()
    expected = functional.cross_entropy(logits_BC, batch.label_B)
    assert loss_and_gradient(1.0, batch, logits_BC)[0] == pytest.approx(expected.item())


@pytest.mark.parametrize("beta", [0.0, 0.5, 0.8])
def test_where_the_network_agrees_it_is_cross_entropy_for_any_beta(beta):
    _, logits_BC = random_batch()
    own = Batch(row_B=torch.arange(12), label_B=logits_BC.argmax(dim=1))
    expected = functional.cross_entropy(logits_BC, own.label_B)
    assert loss_and_gradient(beta, own, logits_BC)[0] == pytest.approx(expected.item())
