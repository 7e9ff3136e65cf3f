"""Methods without a memory: Standard, Random, Reed-Hard, AUL and Oracle."""

import math

import pytest
import torch

from labelaudit.engine.step import lesson_loss
from labelaudit.errors import UsageError
from labelaudit.methods.base import Batch, Ingredients
from labelaudit.methods.parameters import AulParameters, ReedHardParameters
from labelaudit.methods.standard import Oracle, Standard, aul, bootstrapped, random_weights, reed_hard, weighted
from tests.engine.helpers import linear_network, loop_settings, small_task, train
from tests.methods.helpers import clock, generator, random_batch

LABEL_R = torch.tensor([0, 1, 2, 0, 1])


def lesson_on(method, row_B):
    row_B = torch.tensor(row_B)
    batch = Batch(row_B=row_B, label_B=LABEL_R[row_B])
    return method.teach(batch, [torch.zeros(len(row_B), 3)], clock(), generator())[0]


def aul_of(*weights, **parameters):
    return aul(Ingredients(label_R=LABEL_R, weight_R=torch.tensor(weights), parameters=AulParameters(**parameters)))


def test_weights_that_are_all_below_the_cut_are_refused():
    with pytest.raises(UsageError, match=r"no label has a weight of 0\.5"):
        aul_of(0.1, 0, 0.2, 0, 0.4)


@pytest.mark.parametrize(
    ("method", "weights", "per"),
    [
        (Standard(), [1.0, 1.0, 1.0], "sample"),
        (weighted(torch.tensor([0.0, 0.1, 0.2, 0.3, 0.4], dtype=torch.float64)), [0.4, 0.0, 0.2], "weight"),
        (aul_of(0.9, 0, 1, 0, 0.5), [0.5, 0.9, 1], "weight"),
        (aul_of(0.9, 0, 1, 0, 0.49), [0.0, 0.9, 1], "weight"),
        (aul_of(0.1, 0, 0.2, 0, 0.4, cut=0.0), [0.4, 0.1, 0.2], "weight"),
    ],
    ids=["standard", "weighted", "aul", "aul below the cut", "aul of the paper"],
)
def test_given_labels_are_taught_with_the_weight_of_their_row(method, weights, per):
    lesson = lesson_on(method, [4, 0, 2])
    assert lesson.weight_B.tolist() == pytest.approx(weights)
    assert lesson.weight_B.dtype == torch.float32
    assert lesson.target.tolist() == [1, 0, 2]
    assert lesson.per == per


def test_the_oracle_never_sees_a_wrong_sample_and_fills_its_batches():
    pixels_NCHW, truth_R = small_task(42)
    label_R = torch.where(torch.arange(42) < 19, truth_R, (truth_R + 1) % 3)
    truth_R[18] = -1  # a class that the data does not have
    method = Oracle(Ingredients(label_R=label_R, truth_R=truth_R, batch_size=8))
    batches = method.plan_epoch(None, clock(), generator()).batches
    assert [len(row_B) for row_B in batches] == [8, 8, 2]  # ceil(18 right samples / 8)
    assert sorted(torch.cat(batches).tolist()) == list(range(18))
    record = train(linear_network(), loop_settings(epochs=1), method, task=(pixels_NCHW, label_R))[0]
    assert record.forwards == 18
    assert (record.times_N == (torch.arange(42) < 18).numpy()).all()
    with pytest.raises(UsageError, match="only 1 of 42 given labels are the true ones"):
        Oracle(Ingredients(label_R=label_R, truth_R=torch.where(torch.arange(42) < 1, truth_R, -1)))


def test_random_weights_are_those_of_a_rectified_normal_anew_in_every_batch():
    method, draws = random_weights(Ingredients(label_R=LABEL_R)), generator()
    batch = Batch(row_B=torch.zeros(200_000), label_B=torch.zeros(200_000))
    weight_B = method.teach(batch, [batch.row_B], clock(), draws)[0].weight_B
    assert (weight_B == 0).float().mean().item() == pytest.approx(0.5, abs=0.005)
    assert weight_B.mean().item() == pytest.approx(1 / math.sqrt(2 * math.pi), abs=0.005)
    assert weight_B.var().item() == pytest.approx(0.5 - 1 / (2 * math.pi), abs=0.01)
    lesson = method.teach(batch, [batch.row_B], clock(), draws)[0]
    assert lesson.per == "weight"
    assert not torch.equal(lesson.weight_B, weight_B)


@pytest.mark.parametrize("beta", [0.3, 1.0])
def test_reeds_loss_is_that_of_the_paper(beta):
    batch, logits_BC = random_batch(classes=5)
    method = reed_hard(Ingredients(label_R=LABEL_R, parameters=ReedHardParameters(beta=beta)))
    (lesson,) = method.teach(batch, [logits_BC], clock(), generator())
    leaf_BC = logits_BC.clone().requires_grad_()
    loss = lesson_loss(leaf_BC, lesson)
    log_p_BC = logits_BC.log_softmax(dim=1)
    given_B = log_p_BC.gather(1, batch.label_B[:, None])[:, 0]
    assert loss.item() == pytest.approx((-beta * given_B - (1 - beta) * log_p_BC.max(dim=1).values).mean().item())
    target_BC = bootstrapped(batch.label_B, logits_BC, beta)
    torch.testing.assert_close(torch.autograd.grad(loss, leaf_BC)[0], (logits_BC.softmax(dim=1) - target_BC) / 12)
