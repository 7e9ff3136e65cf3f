import pytest
import torch
from torch.nn import functional

from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch, Ingredients
from labelaudit.methods.elr import Elr
from labelaudit.methods.parameters import ElrParameters
from tests.methods.helpers import clock, generator, random_batch


def elr(rows=12, classes=3, strength=3.0, beta=0.7):
    label_R = torch.zeros(rows, dtype=torch.int64)
    settings = ElrParameters(strength=strength, beta=beta)
    return Elr(Ingredients(label_R=label_R, classes=classes, parameters=settings))


def teach(method, batch, logits_BC):
    return method.teach(batch, [logits_BC], clock(), generator())[0]


@pytest.mark.parametrize("scale", [0.1, 1.0, 12.0], ids=["unsure", "usual", "clamped"])
@pytest.mark.parametrize("strength", [0.0, 7.0])
def test_the_target_has_the_gradient_of_the_papers_loss(strength, scale):
    batch, logits_BC = random_batch(40, classes=5)
    logits_BC *= scale
    method = elr(40, 5, strength)
    teach(method, batch, logits_BC.flip(1))  # beliefs that are not the present prediction
    lesson = teach(method, batch, logits_BC)
    leaf_BC = logits_BC.clone().requires_grad_()
    p_BC = leaf_BC.softmax(dim=1).clamp(1e-4, 1 - 1e-4)
    penalty_B = (1 - (method.state()["belief_RC"] * p_BC).sum(dim=1)).log()
    loss = functional.cross_entropy(leaf_BC, batch.label_B) + strength * penalty_B.mean()
    (found_BC,) = torch.autograd.grad(lesson_loss(leaf_BC, lesson), leaf_BC)
    torch.testing.assert_close(found_BC, torch.autograd.grad(loss, leaf_BC)[0], rtol=1e-4, atol=1e-6)


def test_beliefs_by_hand():
    method = elr(rows=3, classes=2, beta=0.7)
    batch = Batch(row_B=torch.tensor([2, 0]), label_B=torch.tensor([0, 0]))
    logits_BC = torch.tensor([[0.8, 0.2], [0.5, 0.5]]).log()
    teach(method, batch, logits_BC)
    torch.testing.assert_close(method.state()["belief_RC"], torch.tensor([[0.15, 0.15], [0, 0], [0.24, 0.06]]))
    teach(method, batch, logits_BC.flip(1))
    expected = torch.tensor([[0.255, 0.255], [0, 0], [0.7 * 0.24 + 0.06, 0.7 * 0.06 + 0.24]])
    torch.testing.assert_close(method.state()["belief_RC"], expected)
