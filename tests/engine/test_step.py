import math

import numpy as np
import pytest
import torch

from labelaudit.engine import step as module
from labelaudit.engine.step import Recorder, lesson_loss, observe
from labelaudit.errors import TrainingError
from labelaudit.methods.base import Lesson
from tests.engine.helpers import CPU


def random_batch(count=6, classes=4, seed=0):
    generator = torch.Generator().manual_seed(seed)
    logits_BC = 3 * torch.randn(count, classes, generator=generator)
    return logits_BC, torch.randint(0, classes, (count,), generator=generator)


def plain_cross_entropy(logits_BC, label_B):
    """−log(e^{z_y} / Σ_j e^{z_j}), sample by sample."""
    return logits_BC.exp().sum(dim=1).log() - logits_BC[range(len(label_B)), label_B]


def lesson(label_B, weights, per="sample"):
    return Lesson(target=label_B, weight_B=torch.as_tensor(weights, dtype=torch.float32), per=per)


def test_sample_weights_multiply_and_take_the_place_of_the_count():
    logits_BC, label_B = random_batch(3)
    loss_B = plain_cross_entropy(logits_BC, label_B)
    sample_weight_B = torch.tensor([0.5, 0.0, 1.5])
    by_hand = {
        "sample": (0.5 * 2 * loss_B[0] + 1.5 * 4 * loss_B[2]) / (0.5 + 0 + 1.5),
        "weight": (0.5 * 2 * loss_B[0] + 1.5 * 4 * loss_B[2]) / (0.5 * 2 + 1.5 * 4),
    }
    for per, expected in by_hand.items():
        given = lesson(label_B, [2.0, 3.0, 4.0], per)
        torch.testing.assert_close(lesson_loss(logits_BC, given, sample_weight_B=sample_weight_B), expected)
        # Two processes have a part of the sum each, and the whole count.
        shares = [lesson_loss(logits_BC[part], given, part, sample_weight_B) for part in (slice(0, 2), slice(2, 3))]
        torch.testing.assert_close(sum(shares), expected)
        assert lesson_loss(logits_BC, given, sample_weight_B=torch.zeros(3)) == 0


def test_observe_logits_1_2_3_by_hand():
    logits_BC = torch.tensor([[1.0, 2.0, 3.0]] * 3)
    found = observe(logits_BC, torch.tensor([0, 1, 2]))
    total = math.log(math.exp(1) + math.exp(2) + math.exp(3))
    assert found["loss"].tolist() == pytest.approx([total - 1, total - 2, total - 3])
    assert found["margin"].tolist() == [-2.0, -1.0, 1.0]
    assert found["predicted"].tolist() == [2, 2, 2]
    assert found["alternative"].tolist() == [2, 2, 1]
    # A network that tells no classes apart is never right.
    blank = observe(torch.zeros(3, 3), torch.tensor([0, 1, 2]))
    assert blank["margin"].tolist() == [0.0, 0.0, 0.0]
    assert (blank["predicted"] != torch.tensor([0, 1, 2])).all()


@pytest.mark.parametrize("per", ["sample", "weight"])
@pytest.mark.parametrize("weights", [[0.1, 2.0, 0.0, 1.0, 0.5, 0.3], [1e-20] * 6, [0.0] * 6])
def test_gradient_against_the_explicit_formula(per, weights):
    logits_BC, label_B = random_batch()
    weight_B = torch.tensor(weights)
    loss = lesson_loss(logits_BC.requires_grad_(), lesson(label_B, weight_B, per))
    loss.backward()
    one_hot_BC = torch.eye(logits_BC.shape[1])[label_B]
    count = len(label_B) if per == "sample" else weight_B.sum() or 1
    expected_BC = weight_B[:, None] * (logits_BC.detach().softmax(dim=1) - one_hot_BC) / count
    torch.testing.assert_close(logits_BC.grad, expected_BC)
    expected = (weight_B * plain_cross_entropy(logits_BC.detach(), label_B)).sum() / count
    torch.testing.assert_close(loss.detach(), expected)


COST = 0, np.zeros(0, dtype=np.int32)


@pytest.mark.parametrize("held", [1, 100, 10**9])
def test_records_land_at_their_rows_however_many_are_looked_at_together(monkeypatch, held):
    logits_NC, label_N = random_batch(50)
    monkeypatch.setattr(module, "_HELD_LOGITS", held)
    recorder = Recorder(50, CPU)
    for row_B in torch.randperm(50).split(8):
        recorder.put(row_B, logits_NC[row_B], label_N[row_B])
    found, expected = recorder.take(6, *COST), observe(logits_NC, label_N)
    assert found.epoch == 6
    np.testing.assert_allclose(found.loss_N, expected["loss"].numpy(), rtol=1e-6)
    for name, kind in (("margin", np.float32), ("predicted", np.int32), ("alternative", np.int32)):
        value_N = getattr(found, f"{name}_N")
        assert value_N.dtype == kind
        assert value_N.tolist() == expected[name].tolist()


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_a_training_error(bad):
    row_B, logits_BC = torch.arange(3), torch.eye(3)
    recorder = Recorder(4, CPU)  # the last row is not taken
    recorder.put(row_B, torch.where(row_B[:, None] == 1, bad * logits_BC, logits_BC), row_B)
    with pytest.raises(TrainingError, match=r"epoch 4: 1 of 3 losses are not finite.*lower --lr"):
        recorder.take(4, *COST)
