import math
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import nn

from labelaudit.engine.loop import Task, Training
from labelaudit.engine.optimizers import build_optimizer, rate_factor, set_pace
from labelaudit.methods.base import Lesson
from labelaudit.methods.standard import Standard
from tests.engine.helpers import CPU, ignore, image_inputs, linear_network, loop_settings, small_task, train

ADAM = {"optimizer": "adam", "lr": 0.003, "nesterov": False, "beta2": 0.98}


TRAINS = """
import sys
from tests.engine.helpers import CPU, Task, Training, ignore, image_inputs, loop_settings, small_network, small_task
pixels_NCHW, label_N = small_task()
task = Task(image_inputs(pixels_NCHW), label_N)
training = Training([small_network()], loop_settings(optimizer=sys.argv[1]), CPU, task)
training.run_epoch(ignore)
training.load(training.state())
sys.exit("torch._dynamo" in sys.modules)
"""


@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_a_training_does_without_torchs_compiler(optimizer):
    subprocess.run([sys.executable, "-c", TRAINS, optimizer], check=True, cwd=Path(__file__).parents[2])


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


@pytest.mark.parametrize(
    ("settings", "name", "before", "after"),
    [(ADAM, "betas", (0.9, 0.98), (0.1, 0.98)), ({}, "momentum", 0.9, 0.1)],
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


def test_a_rate_that_decays_by_the_step_falls_on_top_of_its_schedule():
    task, network, how = small_task(40), linear_network(), loop_settings(schedule="step", step_decay=0.25, epochs=2)
    rates = []

    class Watching(Standard):
        def teach(self, batch, logits, clock, generator):
            rates.append(training.optimizers[0].param_groups[0]["lr"])
            return super().teach(batch, logits, clock, generator)

    training = Training([network], how, CPU, Task(image_inputs(task[0]), task[1], Watching()))
    list(training.run_epochs(ignore))
    factors = [1.0] * 5 + [0.1] * 3 + [0.01] * 2
    assert rates == pytest.approx([how.lr * factor / (1 + 0.25 * step) for step, factor in enumerate(factors)])


@pytest.mark.parametrize("settings", [{}, ADAM], ids=["sgd", "adam"])
def test_a_lesson_scales_the_weight_decay_of_its_step(settings):
    class Scaled(Standard):
        def teach(self, batch, logits, clock, generator):
            (lesson,) = super().teach(batch, logits, clock, generator)
            return [Lesson(target=lesson.target, weight_B=lesson.weight_B, decay=torch.tensor(0.25))]

    scaled, usual, other = linear_network(), linear_network(), linear_network()
    train(scaled, loop_settings(**settings, weight_decay=0.4), Scaled())
    train(usual, loop_settings(**settings, weight_decay=0.1))
    train(other, loop_settings(**settings, weight_decay=0.4))
    torch.testing.assert_close(scaled[1].weight, usual[1].weight, rtol=1e-4, atol=1e-5)
    assert not torch.allclose(scaled[1].weight, other[1].weight, rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "factors"),
    [
        ("constant", {0.0: 1.0, 0.3: 1.0, 0.99: 1.0}),
        ("step", {0.0: 1.0, 0.4999: 1.0, 0.5: 0.1, 0.7499: 0.1, 0.75: 0.01, 0.99: 0.01}),
        ("linear", {0.0: 1.0, 0.25: 0.75, 0.9: 0.1}),
        ("cosine", {0.0: 1.0, 1 / 3: 0.75, 0.5: 0.5, 2 / 3: 0.25, 0.75: 0.5 - math.sqrt(0.125)}),
        # 150 epochs: each restart has ten of them, and the rate changes from epoch to epoch.
        (
            "cosine-restarts",
            {0.0: 1.0, 5 / 150: 0.525, 5.99 / 150: 0.525, 29 / 150: 0.525 - 0.475 * math.cos(math.pi / 10), 0.2: 1.0},
        ),
        ("late-linear", {0.0: 1.0, 0.4: 1.0, 0.55: 0.75, 0.7: 0.5, 0.94: 0.1}),
        ("milestones", {0.0: 1.0, 0.2499: 1.0, 0.25: 0.5, 0.4999: 0.5, 0.5: 0.2, 0.99: 0.2}),
        ("one-cycle", {0.0: 0.1, 0.1: 0.55, 0.2: 1.0, 0.6: 0.5, 0.92: 0.1}),
    ],
)
def test_factors_by_hand(name, factors):
    milestones = ((0.25, 0.5), (0.5, 0.2)) if name == "milestones" else ()
    assert {done: rate_factor(name, done, milestones) for done in factors} == pytest.approx(factors)
