import math

import pytest
import torch

from labelaudit.engine.loop import Training, run_epochs
from labelaudit.methods.base import Batch, Clock, Ingredients
from labelaudit.methods.d2l import D2L, d2l
from labelaudit.methods.parameters import D2LParameters
from labelaudit.methods.standard import Standard
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task


class SpreadLook:
    """Features that lie in as many dimensions as each epoch is to have."""

    rows = 300

    def __init__(self, dimensions: list[int]) -> None:
        self.dimensions = dimensions
        self.epoch = 0

    def features(self, row_M, *, network=0):
        feature_RD = torch.zeros(self.rows, 40)
        used = self.dimensions[self.epoch]
        generator = torch.Generator().manual_seed(self.epoch)
        feature_RD[:, :used] = torch.randn(self.rows, used, generator=generator)
        return feature_RD[row_M]


def plan(method: D2L, dimensions: list[int], epochs: int = 30):
    look, plans = SpreadLook(dimensions), []
    for epoch in range(len(dimensions)):
        look.epoch = epoch
        generator = torch.Generator().manual_seed(epoch)
        plans.append(method.plan_epoch(look, Clock(epoch=epoch, epochs=epochs), generator))
    return plans


def lesson(method: D2L, epoch: int = 0):
    batch = Batch(row_B=torch.tensor([0]), label_B=torch.tensor([0]))
    return method.teach(batch, [torch.tensor([[0.0, 3.0]])], Clock(epoch=epoch, epochs=30), torch.Generator())[0]


DIMENSIONS = [4] * 12 + [20] * 4
"""Of each epoch; the jump comes in epoch 12."""


def test_the_epoch_before_the_jump_is_undone_once():
    method = D2L(D2LParameters(init_share=4 / 30))
    plans = plan(method, DIMENSIONS)
    assert [number for number, found in enumerate(plans) if found.go_back] == [12]
    assert method.turned_at == 12
    assert [found.keep for found in plans] == [True] * 12 + [False] * 4
    assert len(method.history) == 16


def test_labels_are_taught_until_the_jump_and_from_there_beliefs_take_over():
    method = D2L(D2LParameters(init_share=4 / 30))
    plan(method, DIMENSIONS[:12])
    assert lesson(method).target.tolist() == [[1.0, 0.0]]
    method = D2L(D2LParameters(init_share=4 / 30))
    plan(method, DIMENSIONS)
    alpha = math.exp(-15 / 30 * method.history[-1] / min(method.history))
    assert lesson(method).target.tolist()[0] == pytest.approx([alpha, 1 - alpha])
    assert alpha < 0.5


def test_the_first_window_is_waited_for_a_third_of_the_training_and_the_window():
    for epochs, turns in ((12, True), (24, False)):  # 4 + 5 or 8 + 5 epochs before the first comparison
        method = D2L(D2LParameters())
        plan(method, DIMENSIONS[:13], epochs=epochs)
        assert (method.turned_at == 12) is turns


def test_features_that_are_all_alike_never_turn():
    method = D2L(D2LParameters(init_share=0.0))
    plan(method, [0] * 12)
    assert method.turned_at == -1
    assert lesson(method).target.tolist() == [[1.0, 0.0]]
    assert method.report() == {"dimensions": [None] * 12, "turned_at_epoch": None}


def test_a_state_carries_the_course_and_the_jump():
    whole, first = D2L(D2LParameters(init_share=4 / 30)), D2L(D2LParameters(init_share=4 / 30))
    plan(whole, DIMENSIONS)
    plan(first, DIMENSIONS[:14])
    second = D2L(D2LParameters(init_share=4 / 30))
    second.load(first.state())
    look = SpreadLook(DIMENSIONS)
    for epoch in (14, 15):
        look.epoch = epoch
        second.plan_epoch(look, Clock(epoch=epoch, epochs=30), torch.Generator().manual_seed(epoch))
    assert second.state() == whole.state()
    assert torch.equal(lesson(second).target, lesson(whole).target)


def test_without_a_jump_it_trains_as_standard_does():
    pixels_NCHW, label_N = small_task()
    networks = []
    for method in (d2l(Ingredients(label_R=label_N)), Standard()):
        training = Training([small_network()], loop_settings(), CPU)
        list(run_epochs(training, image_inputs(pixels_NCHW), label_N, method, ignore))
        networks.append(training.networks[0].state_dict())
    for name, value in networks[0].items():
        assert torch.allclose(value, networks[1][name], atol=1e-6), name
    assert isinstance(method, Standard)


def test_at_the_jump_the_networks_go_back_by_one_epoch():
    class Turning(D2L):
        def plan_epoch(self, look, clock, generator):
            seen.append({name: value.clone() for name, value in training.networks[0].state_dict().items()})
            found = super().plan_epoch(look, clock, generator)
            return type(found)(keep=True, go_back=clock.epoch == 2)

        def teach(self, batch, logits, clock, generator):
            if clock.epoch == 2 and clock.step == 0:
                began.append({name: value.clone() for name, value in training.networks[0].named_parameters()})
            return super().teach(batch, logits, clock, generator)

    seen, began = [], []
    pixels_NCHW, label_N = small_task()
    training = Training([small_network()], loop_settings(), CPU)
    list(run_epochs(training, image_inputs(pixels_NCHW), label_N, Turning(D2LParameters()), ignore))
    for name, value in began[0].items():
        assert torch.equal(value, seen[1][name])  # as they were after epoch 0
        assert not torch.equal(value, seen[2][name])


@pytest.mark.parametrize("count", [4, 9])
def test_tiny_data_are_trained_on(count):
    pixels_NCHW, label_N = small_task(count)
    training = Training([small_network()], loop_settings(), CPU)
    method = D2L(D2LParameters(init_share=0.0, window=2))
    assert len(list(run_epochs(training, image_inputs(pixels_NCHW), label_N, method, ignore))) == 3
