import copy
import math

import numpy as np
import pytest
import torch
from torch import nn

from labelaudit.engine.draws import derive_seed, make_generator
from labelaudit.engine.inputs import Augment, draw_views, show
from labelaudit.engine.loop import Task, Training
from labelaudit.methods.base import Lesson
from labelaudit.methods.standard import Standard
from tests.engine import helpers

GOLDEN_MEAN_LOSSES = [1.096794, 0.927654, 0.678976, 0.393942]


class Spy(Standard):
    def __init__(self):
        super().__init__()
        self.rows, self.labels, self.clocks, self.draws, self.detached = [], [], [], [], []

    def teach(self, batch, logits, clock, generator):
        self.rows.append(batch.row_B)
        self.labels.append(batch.label_B)
        self.clocks.append((clock.epoch, clock.epochs))
        self.draws.append(torch.rand(1, generator=generator).item())
        self.detached.append(not logits[0].requires_grad)
        return super().teach(batch, logits, clock, generator)


class OnlySecond(Standard):
    networks = 2

    def teach(self, batch, logits, clock, generator):
        one_B = torch.ones(len(batch.row_B))
        return [Lesson(target=batch.label_B, weight_B=weight_B) for weight_B in (0 * one_B, one_B)]


STANDARD = Standard()


def begin(networks, task=None, method=STANDARD, **settings):
    pixels_NCHW, label_N = task or helpers.small_task()
    inputs, how = helpers.image_inputs(pixels_NCHW), helpers.loop_settings(**settings)
    return Training(networks, how, helpers.CPU, Task(inputs, label_N, method))


def plain_training(network, pixels_NCHW, label_N, how):
    """The same training in plain PyTorch: per epoch the loss and margin of each row before its step."""
    optimizer = torch.optim.SGD(
        network.parameters(), lr=how.lr, momentum=how.momentum, nesterov=how.nesterov, weight_decay=how.weight_decay
    )
    mean, std = torch.tensor(helpers.MEAN_C).view(3, 1, 1), torch.tensor(helpers.STD_C).view(3, 1, 1)
    network.train()
    for epoch in range(how.epochs):
        loss_N, margin_N = torch.full((len(label_N),), torch.nan), torch.full((len(label_N),), torch.nan)
        order = torch.randperm(len(label_N), generator=make_generator(how.seed, "order", epoch)).tolist()
        views = draw_views(len(label_N), (8, 8), Augment(), make_generator(how.seed, "augment", epoch))
        torch.manual_seed(derive_seed(how.seed, "network", epoch))
        starts = range(0, len(order), how.batch_size)
        for step, start in enumerate(starts):
            rows = order[start : start + how.batch_size]
            for group in optimizer.param_groups:
                group["lr"] = how.lr * (1 - (epoch + step / len(starts)) / how.epochs)
            x = (show(pixels_NCHW[rows], views.part(slice(start, start + len(rows)))) / 255 - mean) / std
            log_p = network(x).log_softmax(dim=1)
            given = log_p[range(len(rows)), label_N[rows]]
            others = log_p.detach().clone()
            others[range(len(rows)), label_N[rows]] = -math.inf
            loss_N[rows] = -given.detach()
            margin_N[rows] = given.detach() - others.max(dim=1).values
            optimizer.zero_grad()
            (-given.mean()).backward()
            optimizer.step()
        yield loss_N, margin_N


def test_records_and_weights_equal_a_plain_training_loop():
    pixels_NCHW, label_N = helpers.small_task()
    how = helpers.loop_settings(schedule="linear")
    reference = helpers.small_network(dropout=0.3)
    network = copy.deepcopy(reference)
    records = helpers.train(network, how, augment=Augment())
    state = torch.get_rng_state()
    expected = list(plain_training(reference, pixels_NCHW, label_N, how))
    torch.set_rng_state(state)
    for record, (loss_N, margin_N) in zip(records, expected, strict=True):
        np.testing.assert_allclose(record.loss_N, loss_N, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(record.margin_N, margin_N, rtol=1e-4, atol=1e-4)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, reference.state_dict()[name], rtol=1e-2, atol=1e-3)
    # Each step changes the loss by far more than the tolerance, so a record of the wrong moment would show.
    assert np.abs(records[1].loss_N - records[0].loss_N).mean() > 0.01


def test_mean_losses_of_a_fixed_run_stay_what_they_were():
    # Without dropout, whose draws differ between versions of torch.
    records = helpers.train(helpers.small_network(), helpers.loop_settings(epochs=4), augment=Augment())
    assert [float(record.loss_N.mean()) for record in records] == pytest.approx(GOLDEN_MEAN_LOSSES, rel=1e-4)


def test_the_state_of_another_network_or_epoch_is_refused():
    def of(*classes):
        return begin([helpers.small_network(each) for each in classes])

    state = of(3).state()
    with pytest.raises(RuntimeError, match="size mismatch"):
        of(4).load(state)
    with pytest.raises(ValueError, match="zip"):
        of(3, 3).load(state)
    with pytest.raises(ValueError, match="a state after 4 of 3 epochs"):
        of(3).load({**state, "finished_epochs": 4})


def test_every_row_is_taught_once_an_epoch_in_a_new_order():
    spy, finished = Spy(), []
    pixels_NCHW, label_N = helpers.small_task(41)  # 5 batches of 8 and a single row
    list(begin([helpers.small_network()], (pixels_NCHW, label_N), spy, epochs=2).run_epochs(finished.append))
    assert [len(row_B) for row_B in spy.rows] == [8, 8, 8, 8, 9] * 2 == finished
    first, second = torch.cat(spy.rows[:5]), torch.cat(spy.rows[5:])
    assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(41))
    assert first.tolist() != second.tolist()
    assert first.tolist() != list(range(41))
    assert torch.equal(torch.cat(spy.labels), label_N[torch.cat(spy.rows)])
    # Methods see detached logits, the clock, and a generator of their own.
    assert all(spy.detached)
    assert spy.clocks == [(0, 2)] * 5 + [(1, 2)] * 5
    generators = [make_generator(5, "method", epoch) for epoch in range(2)]
    assert spy.draws == [torch.rand(1, generator=generator).item() for generator in generators for _ in range(5)]


def test_draws_depend_neither_on_those_of_a_method_nor_on_global_ones():
    state, how = torch.get_rng_state(), helpers.loop_settings()
    networks = [helpers.small_network(dropout=0.3) for _ in range(2)]
    plain, drawing = (helpers.train(each, how, spy)[-1] for each, spy in zip(networks, (None, Spy()), strict=True))
    np.testing.assert_array_equal(drawing.loss_N, plain.loss_N)
    assert torch.equal(torch.get_rng_state(), state)


def test_of_two_networks_the_first_is_recorded_and_each_takes_its_own_lesson():
    pixels_NCHW, label_N = helpers.small_task()
    networks = [helpers.linear_network(seed=1), helpers.linear_network(seed=2)]
    before = copy.deepcopy(networks)
    x = helpers.image_inputs(pixels_NCHW).batch(torch.arange(len(label_N)), None)
    expected_N = nn.functional.cross_entropy(networks[0](x), label_N, reduction="none").detach()
    record = begin(networks, method=OnlySecond(), weight_decay=0.0).run_epoch(helpers.ignore)
    np.testing.assert_allclose(record.loss_N, expected_N, rtol=1e-4, atol=1e-6)
    assert torch.equal(networks[0][1].weight, before[0][1].weight)
    assert not torch.equal(networks[1][1].weight, before[1][1].weight)


def test_prediction_is_by_the_mean_logits_of_unaltered_networks_in_evaluation_mode():
    pixels_NCHW, _ = helpers.small_task()
    networks = [helpers.small_network(seed=seed, dropout=0.5) for seed in (1, 2)]
    inputs = helpers.image_inputs(pixels_NCHW, Augment())
    training = begin(networks)
    before = copy.deepcopy(networks)
    p_NC = training.predict(inputs)
    x = inputs.batch(torch.arange(42), None)
    expected = [network.eval()(x).detach() for network in networks]
    torch.testing.assert_close(p_NC, ((expected[0] + expected[1]) / 2).softmax(dim=1))
    first = training.predict(inputs, networks=1)
    torch.testing.assert_close(first, expected[0].softmax(dim=1))
    for network, kept in zip(networks, before, strict=True):
        assert all(torch.equal(tensor, kept.state_dict()[name]) for name, tensor in network.state_dict().items())


def test_bfloat16_ranks_samples_like_float32_and_wrong_labels_have_the_larger_loss():
    pixels_NCHW, label_N = helpers.small_task(120)
    wrong_N = np.arange(120) % 6 == 0
    label_N[::6] = (label_N[::6] + 1) % 3
    means = []
    for precision in ("float32", "bfloat16"):
        how = helpers.loop_settings(epochs=6, precision=precision)
        records = helpers.train(helpers.small_network(), how, task=(pixels_NCHW, label_N))
        means.append(np.mean([record.loss_N for record in records], axis=0))
        assert means[-1][wrong_N].mean() > 1.3 * means[-1][~wrong_N].mean()
    assert np.corrcoef(*(mean_N.argsort().argsort() for mean_N in means))[0, 1] > 0.95
    assert not np.array_equal(*means)
    # The losses themselves are computed in float32.
    assert (records[0].loss_N != torch.from_numpy(records[0].loss_N).to(torch.bfloat16).float().numpy()).mean() > 0.5


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_gives_records_of_the_same_shape_and_nearly_the_same_losses(precision):
    pixels_NCHW, label_N = helpers.small_task()
    device = torch.device("cuda")
    on_cpu = helpers.train(helpers.small_network(), helpers.loop_settings(epochs=2), augment=Augment())
    given = helpers.image_inputs(pixels_NCHW, Augment(), device), label_N
    how = helpers.loop_settings(epochs=2, precision=precision)
    training = Training([helpers.small_network()], how, device, Task(*given))
    on_gpu = list(training.run_epochs(helpers.ignore))
    for one, other in zip(on_cpu, on_gpu, strict=True):
        np.testing.assert_allclose(one.loss_N, other.loss_N, atol=0.01 if precision == "float32" else 0.3)
    assert training.predict(given[0]).shape == (42, 3)
