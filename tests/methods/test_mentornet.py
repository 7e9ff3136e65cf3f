import pytest
import torch

from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.step import lesson_loss
from labelaudit.methods import mentornet as module
from labelaudit.methods.base import Batch, Clock, Ingredients
from labelaudit.methods.mentornet import MentorNet, MentorTraining, mentornet, train_mentor
from labelaudit.methods.parameters import MentorNetParameters
from labelaudit.methods.standard import Standard
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task

LABEL_B = torch.zeros(8, dtype=torch.int64)
LOGITS_BC = torch.stack([torch.zeros(8), torch.linspace(-4, 4, 8)], dim=1)
"""Losses log(1 + e^z), from .018 to 4.018."""

BATCH = Batch(row_B=torch.arange(8), label_B=LABEL_B)
NO_DROPOUT = {"early_dropout": 0.0, "dropout": 0.0}


def lesson(method, epoch=50):
    clock = Clock(epoch=epoch, epochs=100)
    return method.teach(BATCH, [LOGITS_BC], clock, torch.Generator().manual_seed(0))[0]


def test_small_losses_count_in_the_middle_of_the_training():
    method = MentorNet(MentorNetParameters(percentile=0.5, average_decay=0.0, **NO_DROPOUT))
    # The percentile is the loss at place round(3.5) = 4, and counts itself.
    assert lesson(method).weight_B.tolist() == [1, 1, 1, 1, 1, 0, 0, 0]


def test_the_moving_percentile_starts_at_zero_and_remembers():
    method = MentorNet(MentorNetParameters(percentile=1.0, **NO_DROPOUT))
    loss_B = torch.nn.functional.cross_entropy(LOGITS_BC, LABEL_B, reduction="none")
    for expected in (loss_B[-1] / 2, loss_B[-1] * 3 / 4):
        assert lesson(method).weight_B.tolist() == (loss_B <= expected).float().tolist()


def test_everything_counts_early():
    method = MentorNet(MentorNetParameters(percentile=0.0, average_decay=0.0, **NO_DROPOUT))
    assert lesson(method, epoch=18).weight_B.tolist() == [1.0] * 8
    assert lesson(method, epoch=19).weight_B.sum() == 1.0
    assert lesson(MentorNet(MentorNetParameters(percentile=0.0, burn_in=0.3, **NO_DROPOUT)), 29).weight_B.sum() == 8


def test_the_largest_loss_as_the_percentile_keeps_all():
    method = MentorNet(MentorNetParameters(percentile=1.0, average_decay=0.0, **NO_DROPOUT))
    assert lesson(method).weight_B.tolist() == [1.0] * 8


@pytest.mark.parametrize(("epoch", "kept"), [(0, 4), (16, 4), (17, 7), (18, 7)])
def test_half_a_batch_is_left_out_early_and_a_twentieth_later(epoch, kept):
    method = MentorNet(MentorNetParameters(percentile=1.0, average_decay=0.0))
    assert lesson(method, epoch).weight_B.sum() == kept


def test_the_loss_is_divided_by_the_batch_and_weight_decay_goes_with_the_weights():
    method = MentorNet(MentorNetParameters(percentile=0.5, average_decay=0.0, **NO_DROPOUT))
    found = lesson(method)
    loss_B = torch.nn.functional.cross_entropy(LOGITS_BC, LABEL_B, reduction="none")
    assert lesson_loss(LOGITS_BC, found).item() == pytest.approx(loss_B[:5].sum().item() / 8)
    assert found.decay.item() == 5 / 8


def test_no_gradient_flows_through_the_weights():
    logits_BC = LOGITS_BC.clone().requires_grad_()
    method = MentorNet(MentorNetParameters(**NO_DROPOUT))
    clock = Clock(epoch=95, epochs=100)  # where they depend smoothly on the loss
    (found,) = method.teach(BATCH, [logits_BC.detach()], clock, torch.Generator())
    lesson_loss(logits_BC, found).backward()
    p_BC = logits_BC.detach().softmax(dim=1)
    expected_BC = found.weight_B[:, None] * (p_BC - torch.nn.functional.one_hot(LABEL_B, 2)) / 8
    assert torch.allclose(logits_BC.grad, expected_BC, atol=1e-7)


def train(method):
    pixels_NCHW, label_N = small_task()
    training = Training([small_network()], loop_settings(), CPU)
    records = list(run_epochs(training, image_inputs(pixels_NCHW), label_N, method, ignore))
    return training, records


def test_all_weights_one_and_no_dropout_are_standard_training():
    method = MentorNet(MentorNetParameters(percentile=1.0, average_decay=0.0, **NO_DROPOUT))
    (one, _), (other, _) = train(method), train(Standard())
    for name, value in one.networks[0].state_dict().items():
        assert torch.allclose(value, other.networks[0].state_dict()[name], atol=1e-5), name


def test_a_state_carries_the_percentile():
    method, other = (MentorNet(MentorNetParameters(**NO_DROPOUT)) for _ in range(2))
    lesson(method)
    other.load(method.state())
    assert torch.equal(lesson(method).weight_B, lesson(other).weight_B)
    assert torch.equal(method.state()["average"], other.state()["average"])


def test_the_trained_mentor_takes_the_place_of_the_rule(monkeypatch):
    quick = MentorTraining(steps=600, batch_size=256, decay_steps=30)
    monkeypatch.setattr(module, "train_mentor", lambda generator, _settings: train_mentor(generator, quick))
    parameters = MentorNetParameters(mentor="lstm", percentile=0.5, average_decay=0.0, **NO_DROPOUT)
    method = mentornet(Ingredients(label_R=LABEL_B, parameters=parameters))
    weight_B = lesson(method).weight_B
    assert ((weight_B > 0) & (weight_B < 1)).all()
    assert weight_B[0] > 0.9
    assert weight_B[-1] < 0.1


def test_a_batch_of_two_is_taught():
    batch = Batch(row_B=torch.arange(2), label_B=LABEL_B[:2])
    method = MentorNet(MentorNetParameters())
    (found,) = method.teach(batch, [LOGITS_BC[:2]], Clock(epoch=0, epochs=1), torch.Generator())
    assert found.weight_B.sum() == 1
