import copy

import numpy as np
import pytest
import torch

from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch
from labelaudit.methods.co_teaching import CoTeaching, dropped_share, kept, smallest
from labelaudit.methods.standard import Standard
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task
from tests.methods.helpers import clock, generator, random_batch


def masks(method, batch, logits, epoch=20):
    return [lesson.weight_B for lesson in method.teach(batch, logits, clock(epoch, 30), generator())]


def test_the_dropped_share_rises_to_the_noise_rate():
    assert [dropped_share(epoch, 0.4, 10) for epoch in (0, 1, 5, 10, 11, 199)] == pytest.approx(
        [0, 0.04, 0.2, 0.4, 0.4, 0.4]
    )
    assert dropped_share(5, 0.4, 10, exponent=2.0) == pytest.approx(0.1)
    assert dropped_share(5, 0.4, 10, exponent=0.5) == pytest.approx(0.4 * 0.5**0.5)


@pytest.mark.parametrize(
    ("count", "dropped", "expected"),
    [(128, 0.2, 102), (128, 0.4, 76), (128, 0.0, 128), (10, 0.9, 1), (3, 0.99, 1), (1, 0.5, 1)],
)
def test_how_many_are_kept(count, dropped, expected):
    assert kept(count, dropped) == expected


def test_the_smallest_losses_by_hand():
    loss_B = torch.tensor([3.0, 0.5, 2.0, 0.5, 7.0])
    assert smallest(loss_B, 3).tolist() == [0, 1, 1, 1, 0]
    assert smallest(loss_B, 1).tolist() == [0, 1, 0, 0, 0]


def test_each_network_learns_what_the_other_finds_easy():
    batch = Batch(row_B=torch.arange(4), label_B=torch.zeros(4, dtype=torch.int64))
    first_BC = torch.tensor([[9.0, 0.0], [8.0, 0.0], [0.0, 8.0], [0.0, 9.0]])
    second_BC = first_BC.flip(0)
    weights = masks(CoTeaching(0.5, 10, 1.0), batch, [first_BC, second_BC])
    # The first network finds samples 0 and 1 easy, the second one 2 and 3.
    assert weights[0].tolist() == [0, 0, 1, 1]
    assert weights[1].tolist() == [1, 1, 0, 0]


def test_equal_networks_choose_the_same_samples():
    batch, logits_BC = random_batch(50)
    first_B, second_B = masks(CoTeaching(0.3, 5, 1.0), batch, [logits_BC, logits_BC.clone()])
    assert torch.equal(first_B, second_B)
    assert first_B.sum() == 35


def test_in_the_first_epoch_nothing_is_dropped():
    batch, logits_BC = random_batch()
    assert all(weight_B.all() for weight_B in masks(CoTeaching(0.9, 5, 1.0), batch, [logits_BC, -logits_BC], epoch=0))


def test_the_gradient_of_a_network_depends_on_the_other_ones_choice_alone():
    batch, first_BC = random_batch(seed=1)
    _, second_BC = random_batch(seed=2)
    method = CoTeaching(0.5, 5, 1.0)

    def gradient(logits):
        lesson = method.teach(batch, logits, clock(20, 30), generator())[0]
        leaf_BC = first_BC.clone().requires_grad_()
        return torch.autograd.grad(lesson_loss(leaf_BC, lesson), leaf_BC)[0]

    usual_BC = gradient([first_BC, second_BC])
    assert torch.equal(gradient([-first_BC, second_BC]), usual_BC)
    assert not torch.equal(gradient([first_BC, -second_BC]), usual_BC)
    # Of kept samples the mean, not the sum over the batch.
    weight_B = masks(method, batch, [first_BC, second_BC])[0]
    expected_BC = (first_BC.softmax(dim=1) - torch.eye(3)[batch.label_B]) * weight_B[:, None] / weight_B.sum()
    torch.testing.assert_close(usual_BC, expected_BC)


def test_without_noise_it_is_two_standard_trainings():
    pixels_NCHW, label_N = small_task()
    inputs, how = image_inputs(pixels_NCHW), loop_settings()
    networks = [small_network(seed=seed) for seed in (1, 2)]
    alone = copy.deepcopy(networks)
    pair = Training(networks, how, CPU)
    records = list(run_epochs(pair, inputs, label_N, CoTeaching(0.0, 1, 1.0), ignore))
    for network, together in zip(alone, pair.networks, strict=True):
        training = Training([network], how, CPU)
        single = list(run_epochs(training, inputs, label_N, Standard(), ignore))
        for name, tensor in together.state_dict().items():
            torch.testing.assert_close(training.networks[0].state_dict()[name], tensor, rtol=1e-4, atol=1e-5)
        if network is alone[0]:
            np.testing.assert_allclose(records[-1].loss_N, single[-1].loss_N, rtol=1e-3, atol=1e-5)
