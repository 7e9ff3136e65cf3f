import pytest
import torch
from torch import nn

from labelaudit.engine.loop import Training
from labelaudit.engine.optimizers import build_optimizer, set_pace, step_with_decay
from labelaudit.methods.base import Lesson
from labelaudit.methods.standard import Standard
from tests.engine.helpers import CPU, ignore, image_inputs, linear_network, loop_settings, small_task, train

ADAM = {"optimizer": "adam", "lr": 0.003, "nesterov": False, "beta2": 0.98}


def with_gradients(**settings):
    network = linear_network()
    optimizer = build_optimizer(network, loop_settings(**settings))
    network(torch.ones(2, 3, 8, 8)).square().sum().backward()
    return network, optimizer


def test_adam_trains_like_torchs_own():
    pixels_NCHW, label_N = small_task()
    reference = linear_network()
    torch_adam = torch.optim.Adam(reference.parameters(), lr=0.003, betas=(0.9, 0.98), weight_decay=1e-4)
    x = image_inputs(pixels_NCHW).batch(torch.arange(len(label_N)), None)
    for _ in range(3):
        torch_adam.zero_grad()
        nn.functional.cross_entropy(reference(x), label_N).backward()
        torch_adam.step()
    network = linear_network()
    train(network, loop_settings(epochs=3, batch_size=len(label_N), **ADAM))
    torch.testing.assert_close(network[1].weight, reference[1].weight, rtol=1e-4, atol=1e-6)


def test_adam_resumes():
    pixels_NCHW, label_N = small_task()
    inputs, how = image_inputs(pixels_NCHW), loop_settings(epochs=2, **ADAM)
    first = Training([linear_network()], how, CPU)
    first.run_epoch(inputs, label_N, Standard(), ignore)
    second = Training([linear_network(seed=4)], how, CPU)
    second.load(first.state())
    for training in (first, second):
        training.run_epoch(inputs, label_N, Standard(), ignore)
    assert torch.equal(first.networks[0][1].weight, second.networks[0][1].weight)


@pytest.mark.parametrize(
    ("settings", "name", "before", "after"),
    [
        ({**ADAM, "momentum": 0.9}, "betas", (0.9, 0.98), (0.1, 0.98)),
        ({"momentum": 0.9}, "momentum", 0.9, 0.1),
    ],
    ids=["adam", "sgd"],
)
def test_momentum_changes_where_the_rate_begins_to_fall(settings, name, before, after):
    how = loop_settings(schedule="late-linear", late_momentum=0.1, **settings)
    optimizer = build_optimizer(linear_network(), how)
    (group,) = optimizer.param_groups
    set_pace([optimizer], how, 0.39)
    assert group[name] == before
    assert group["lr"] == how.lr
    set_pace([optimizer], how, 0.7)
    assert group[name] == after
    assert group["lr"] == pytest.approx(how.lr / 2)


@pytest.mark.parametrize("settings", [{}, ADAM], ids=["sgd", "adam"])
@pytest.mark.parametrize("factor", [0.0, 0.3, 1.0])
def test_a_factor_on_the_weight_decay_is_another_weight_decay(settings, factor):
    usual, optimizer = with_gradients(**settings, weight_decay=0.5 * factor)
    optimizer.step()
    scaled, optimizer = with_gradients(**settings, weight_decay=0.5)
    step_with_decay(optimizer, 0.5, torch.tensor(factor))
    torch.testing.assert_close(scaled[1].weight, usual[1].weight)
    assert optimizer.param_groups[0]["weight_decay"] == 0.5


def test_a_lesson_scales_the_weight_decay_of_its_step():
    class Scaled(Standard):
        def teach(self, batch, logits, clock, generator):
            (lesson,) = super().teach(batch, logits, clock, generator)
            return [Lesson(target=lesson.target, weight_B=lesson.weight_B, decay=torch.tensor(0.25))]

    scaled, usual, other = linear_network(), linear_network(), linear_network()
    train(scaled, loop_settings(weight_decay=0.4), Scaled())
    train(usual, loop_settings(weight_decay=0.1))
    train(other, loop_settings(weight_decay=0.4))
    torch.testing.assert_close(scaled[1].weight, usual[1].weight, rtol=1e-4, atol=1e-6)
    assert not torch.allclose(scaled[1].weight, other[1].weight, rtol=1e-2, atol=1e-3)
