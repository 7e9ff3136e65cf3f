import copy
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import nn

from labelaudit.detect.curves import CurveAccumulator
from labelaudit.engine.inputs import Augment, draw_views, show
from labelaudit.engine.loop import Training, run_epochs, split_places
from labelaudit.engine.order import derive_seed, make_generator
from labelaudit.engine.recorder import Recorder
from labelaudit.engine.step import lesson_loss
from labelaudit.errors import TrainingError
from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson
from labelaudit.methods.standard import Standard, Weighted, oracle
from tests.engine.helpers import (
    CPU,
    MEAN_C,
    STD_C,
    ignore,
    image_inputs,
    linear_network,
    loop_settings,
    small_network,
    small_task,
    train,
)

GOLDEN_MEAN_LOSSES = [1.096794, 0.927654, 0.678976, 0.393942]


class Spy:
    """Teaches like `Standard` and keeps what it was shown."""

    networks = 1

    def __init__(self):
        self.rows, self.labels, self.clocks, self.draws, self.detached = [], [], [], [], []

    def recorded(self, batch, logits):
        return logits[0]

    def teach(self, batch, logits, clock, generator):
        self.rows.append(batch.row_B)
        self.labels.append(batch.label_B)
        self.clocks.append((clock.epoch, clock.epochs))
        self.draws.append(torch.rand(1, generator=generator).item())
        self.detached.append(not logits[0].requires_grad)
        return Standard().teach(batch, logits, clock, generator)


class OnlySecond:
    """Trains two networks and teaches the first one nothing."""

    networks = 2

    def recorded(self, batch, logits):
        return logits[0]

    def teach(self, batch, logits, clock, generator):
        one_B = torch.ones(len(batch.row_B))
        return [Lesson(target=batch.label_B, weight_B=weight_B) for weight_B in (0 * one_B, one_B)]


def plain_training(network, pixels_NCHW, label_N, how, rate_at):
    """The same training in plain PyTorch: per epoch the loss and margin of each row before its step.

    ``rate_at`` gives the learning rate at a share of the training.
    """
    optimizer = torch.optim.SGD(
        network.parameters(), lr=how.lr, momentum=how.momentum, nesterov=how.nesterov, weight_decay=how.weight_decay
    )
    mean, std = torch.tensor(MEAN_C).view(3, 1, 1), torch.tensor(STD_C).view(3, 1, 1)
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
                group["lr"] = rate_at((epoch + step / len(starts)) / how.epochs)
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


def weights_of(network):
    return {name: tensor.clone() for name, tensor in network.state_dict().items()}


def assert_same_weights(one, other):
    for name, tensor in one.state_dict().items():
        assert torch.equal(tensor, other.state_dict()[name]), name


@pytest.mark.parametrize(
    ("schedule", "factor"),
    [("constant", lambda done: 1.0), ("linear", lambda done: 1 - done)],
    ids=["constant", "linear"],
)
def test_records_and_weights_equal_a_plain_training_loop(schedule, factor):
    pixels_NCHW, label_N = small_task()
    how = loop_settings(schedule=schedule)
    reference = small_network(dropout=0.3)
    network = copy.deepcopy(reference)
    records = train(network, how, augment=Augment())
    state = torch.get_rng_state()
    expected = list(plain_training(reference, pixels_NCHW, label_N, how, lambda done: how.lr * factor(done)))
    torch.set_rng_state(state)
    for record, (loss_N, margin_N) in zip(records, expected, strict=True):
        np.testing.assert_allclose(record.loss_N, loss_N, rtol=1e-4, atol=1e-5)
        np.testing.assert_allclose(record.margin_N, margin_N, rtol=1e-4, atol=1e-4)
        wrong_N = record.predicted_N != label_N.numpy()
        np.testing.assert_array_equal(wrong_N, margin_N.numpy() <= 0)
    for name, tensor in network.state_dict().items():
        torch.testing.assert_close(tensor, reference.state_dict()[name], rtol=1e-2, atol=1e-3)
    # Each step changes the loss by far more than the tolerance, so a record of the wrong moment would show.
    assert np.abs(records[1].loss_N - records[0].loss_N).mean() > 0.01


def test_the_recorded_loss_is_that_before_the_step():
    pixels_NCHW, label_N = small_task()
    network = linear_network()
    x = image_inputs(pixels_NCHW).batch(torch.arange(len(label_N)), None)
    before_N = nn.functional.cross_entropy(network(x), label_N, reduction="none").detach()
    record = train(network, loop_settings(epochs=1, batch_size=len(label_N), lr=0.01))[0]
    after_N = nn.functional.cross_entropy(network(x), label_N, reduction="none").detach()
    np.testing.assert_allclose(record.loss_N, before_N, rtol=1e-5)
    assert after_N.mean() < 0.9 * before_N.mean()


def test_mean_losses_of_a_fixed_run_stay_what_they_were():
    # Without dropout, whose draws differ between versions of torch.
    records = train(small_network(), loop_settings(epochs=4), augment=Augment())
    assert [float(record.loss_N.mean()) for record in records] == pytest.approx(GOLDEN_MEAN_LOSSES, rel=1e-4)


def test_a_resumed_training_equals_the_uninterrupted_one_bit_for_bit():
    pixels_NCHW, label_N = small_task()
    inputs, how = image_inputs(pixels_NCHW, Augment()), loop_settings(epochs=4, schedule="one-cycle")
    whole = Training([small_network(dropout=0.3)], how, CPU)
    expected = list(run_epochs(whole, inputs, label_N, Standard(), ignore))

    first = Training([small_network(dropout=0.3)], how, CPU)
    records = [first.run_epoch(inputs, label_N, Standard(), ignore) for _ in range(2)]
    second = Training([small_network(seed=99, dropout=0.3)], how, CPU)
    second.load(copy.deepcopy(first.state()))
    assert second.finished_epochs == 2
    records += list(run_epochs(second, inputs, label_N, Standard(), ignore))

    assert [record.epoch for record in records] == [0, 1, 2, 3]
    for record, other in zip(records, expected, strict=True):
        np.testing.assert_array_equal(record.loss_N, other.loss_N)
        np.testing.assert_array_equal(record.margin_N, other.margin_N)
        np.testing.assert_array_equal(record.predicted_N, other.predicted_N)
        np.testing.assert_array_equal(record.alternative_N, other.alternative_N)
    assert_same_weights(second.networks[0], whole.networks[0])


def test_momentum_is_part_of_the_state():
    pixels_NCHW, label_N = small_task()
    inputs, how = image_inputs(pixels_NCHW), loop_settings(epochs=2)
    first = Training([small_network()], how, CPU)
    first.run_epoch(inputs, label_N, Standard(), ignore)
    resumed, forgetful = Training([small_network()], how, CPU), Training([small_network()], how, CPU)
    resumed.load(copy.deepcopy(first.state()))
    forgetful.load({**copy.deepcopy(first.state()), "optimizers": forgetful.state()["optimizers"]})
    kept, lost = (training.run_epoch(inputs, label_N, Standard(), ignore) for training in (resumed, forgetful))
    assert not np.array_equal(kept.loss_N, lost.loss_N)


def test_the_state_of_another_network_is_refused():
    how = loop_settings()
    three = Training([small_network(3)], how, CPU)
    with pytest.raises(RuntimeError, match="size mismatch"):
        Training([small_network(4)], how, CPU).load(three.state())
    with pytest.raises(ValueError, match="zip"):
        Training([small_network(3), small_network(3)], how, CPU).load(three.state())


def test_a_finished_training_runs_no_more_epochs():
    pixels_NCHW, label_N = small_task()
    training = Training([small_network()], loop_settings(epochs=1), CPU)
    inputs = image_inputs(pixels_NCHW)
    assert len(list(run_epochs(training, inputs, label_N, Standard(), ignore))) == 1
    assert list(run_epochs(training, inputs, label_N, Standard(), ignore)) == []


def test_constant_weights_train_like_standard():
    how = loop_settings()
    standard = train(small_network(), how, Standard())
    weighted = train(small_network(), how, Weighted(torch.full((42,), 0.37)))
    for one, other in zip(standard, weighted, strict=True):
        np.testing.assert_allclose(one.loss_N, other.loss_N, rtol=1e-4, atol=1e-6)


def test_an_oracle_step_equals_a_step_on_the_right_samples_alone():
    pixels_NCHW, truth_N = small_task()
    label_N = truth_N.clone()
    label_N[::4] = (label_N[::4] + 1) % 3
    right_N = label_N == truth_N
    how = loop_settings(epochs=1, batch_size=len(label_N), weight_decay=0.0)
    on_all, on_right, standard = linear_network(), linear_network(), linear_network()
    method = oracle(Ingredients(label_R=label_N, truth_R=truth_N))
    record = train(on_all, how, method, task=(pixels_NCHW, label_N))[0]
    train(on_right, how, task=(pixels_NCHW[right_N], label_N[right_N]))
    train(standard, how, task=(pixels_NCHW, label_N))
    for name, tensor in on_right.state_dict().items():
        torch.testing.assert_close(on_all.state_dict()[name], tensor, rtol=1e-4, atol=1e-6)
        assert not torch.allclose(standard.state_dict()[name], tensor, rtol=1e-2, atol=1e-4)
    # The samples that are not taught are recorded all the same.
    assert np.isfinite(record.loss_N).all()


def test_oracle_gradient_equals_dropping_the_wrong_samples():
    label_R = torch.tensor([0, 1, 2, 0, 1])
    truth_R = torch.tensor([0, 2, 2, -1, 1])
    method = oracle(Ingredients(label_R=label_R, truth_R=truth_R))
    batch, clock = Batch(row_B=torch.arange(5), label_B=label_R), Clock(epoch=0, epochs=1)
    (lesson_of_all,) = method.teach(batch, [torch.zeros(5, 3)], clock, torch.Generator())
    logits_BC = torch.randn(5, 3, generator=torch.Generator().manual_seed(0)).requires_grad_()
    (weighted,) = torch.autograd.grad(lesson_loss(logits_BC, lesson_of_all), logits_BC)
    kept = [0, 2, 4]
    (dropped,) = torch.autograd.grad(nn.functional.cross_entropy(logits_BC[kept], label_R[kept]), logits_BC)
    torch.testing.assert_close(weighted, dropped)
    assert torch.equal(weighted[[1, 3]], torch.zeros(2, 3))


def test_a_method_that_teaches_nothing_leaves_the_network_as_it_was():
    network = linear_network()
    before = weights_of(network)
    train(network, loop_settings(weight_decay=0.0), Weighted(torch.zeros(42)))
    for name, tensor in network.state_dict().items():
        assert torch.equal(tensor, before[name])


def test_every_row_is_taught_and_recorded_exactly_once_an_epoch(monkeypatch):
    recorded = []
    put = Recorder.put
    monkeypatch.setattr(Recorder, "put", lambda self, row_B, *seen: (recorded.append(row_B), put(self, row_B, *seen)))
    spy, finished = Spy(), []
    pixels_NCHW, label_N = small_task(41)  # 5 batches of 8 and a single row
    training = Training([small_network()], loop_settings(epochs=2), CPU)
    for _ in range(2):
        training.run_epoch(image_inputs(pixels_NCHW), label_N, spy, finished.append)
    assert [len(row_B) for row_B in spy.rows] == [8, 8, 8, 8, 9] * 2 == finished
    for rows in (spy.rows, recorded):
        first, second = torch.cat(rows[:5]), torch.cat(rows[5:])
        assert first.sort().values.tolist() == second.sort().values.tolist() == list(range(41))
        assert first.tolist() != second.tolist()
        assert first.tolist() != list(range(41))
    assert torch.equal(torch.cat(spy.labels), label_N[torch.cat(spy.rows)])


def test_methods_see_detached_logits_the_clock_and_a_generator_of_their_own():
    spy, again = Spy(), Spy()
    for method in (spy, again):
        train(small_network(), loop_settings(epochs=2, batch_size=21), method)
    assert spy.clocks == [(0, 2), (0, 2), (1, 2), (1, 2)]
    assert all(spy.detached)
    generators = [make_generator(5, "method", epoch) for epoch in range(2)]
    assert spy.draws == [torch.rand(1, generator=generator).item() for generator in generators for _ in range(2)]
    assert spy.draws == again.draws


def test_draws_of_a_method_change_neither_order_nor_views_nor_dropout():
    drawing = train(small_network(dropout=0.3), loop_settings(), Spy(), augment=Augment())
    plain = train(small_network(dropout=0.3), loop_settings(), Standard(), augment=Augment())
    np.testing.assert_array_equal(drawing[-1].loss_N, plain[-1].loss_N)


def test_another_seed_gives_another_training_and_global_draws_stay_as_they_are():
    state = torch.get_rng_state()
    one, same, other = (train(small_network(), loop_settings(seed=seed))[1] for seed in (5, 5, 6))
    np.testing.assert_array_equal(one.loss_N, same.loss_N)
    assert not np.allclose(one.loss_N, other.loss_N)
    assert torch.equal(torch.get_rng_state(), state)


def test_the_order_is_drawn_anew_every_epoch():
    spy = Spy()
    train(small_network(), loop_settings(epochs=2, batch_size=42), spy)
    assert spy.rows[0].tolist() != spy.rows[1].tolist()


def test_of_two_networks_the_first_is_recorded_and_each_takes_its_own_lesson():
    pixels_NCHW, label_N = small_task()
    networks = [linear_network(seed=1), linear_network(seed=2)]
    before = [weights_of(network) for network in networks]
    x = image_inputs(pixels_NCHW).batch(torch.arange(len(label_N)), None)
    expected_N = nn.functional.cross_entropy(networks[0](x), label_N, reduction="none").detach()
    training = Training(networks, loop_settings(weight_decay=0.0), CPU)
    record = training.run_epoch(image_inputs(pixels_NCHW), label_N, OnlySecond(), ignore)
    np.testing.assert_allclose(record.loss_N, expected_N, rtol=1e-4, atol=1e-6)
    assert torch.equal(networks[0][1].weight, before[0]["1.weight"])
    assert not torch.equal(networks[1][1].weight, before[1]["1.weight"])


def test_a_diverging_training_stops_with_advice():
    with pytest.raises(TrainingError, match=r"diverged in epoch \d: \d+ of 42 losses are not finite.*lower --lr"):
        train(small_network(), loop_settings(lr=1e20))


def test_prediction_is_the_mean_probability_of_unaltered_networks_in_evaluation_mode():
    pixels_NCHW, _ = small_task()
    networks = [small_network(seed=seed, dropout=0.5) for seed in (1, 2)]
    inputs = image_inputs(pixels_NCHW, Augment())
    training = Training(networks, loop_settings(), CPU)
    before = [weights_of(network) for network in networks]
    p_NC = training.predict(inputs)
    x = inputs.batch(torch.arange(42), None)
    expected = [network.eval()(x).softmax(dim=1) for network in networks]
    torch.testing.assert_close(p_NC, ((expected[0] + expected[1]) / 2).detach())
    torch.testing.assert_close(training.predict(inputs, batch_size=5), p_NC)
    for network, weights in zip(networks, before, strict=True):
        for name, tensor in network.state_dict().items():
            assert torch.equal(tensor, weights[name]), name


def test_training_goes_back_to_training_mode_after_a_prediction():
    pixels_NCHW, label_N = small_task()
    inputs, how = image_inputs(pixels_NCHW), loop_settings(epochs=2)
    records = []
    for predicts in (True, False):
        training = Training([small_network(dropout=0.3)], how, CPU)
        training.run_epoch(inputs, label_N, Standard(), ignore)
        if predicts:
            training.predict(inputs)
        records.append(training.run_epoch(inputs, label_N, Standard(), ignore))
    np.testing.assert_array_equal(records[0].loss_N, records[1].loss_N)


def auls_of(records):
    curves = CurveAccumulator(np.zeros(len(records[0].loss_N), dtype=np.int32), 1000)
    for record in records:
        curves.add(np.arange(len(record.loss_N), dtype=np.int32), record.loss_N, record.margin_N, record.alternative_N)
    return curves.result().aul_N


def rank_correlation(one_N, other_N):
    return np.corrcoef(one_N.argsort().argsort(), other_N.argsort().argsort())[0, 1]


def test_bfloat16_ranks_samples_like_float32():
    pixels_NCHW, label_N = small_task(120)
    label_N[::6] = (label_N[::6] + 1) % 3
    auls = [
        auls_of(train(small_network(), loop_settings(epochs=6, precision=precision), task=(pixels_NCHW, label_N)))
        for precision in ("float32", "bfloat16")
    ]
    assert rank_correlation(*auls) > 0.95
    assert not np.array_equal(*auls)


def test_losses_of_bfloat16_training_are_computed_in_float32():
    record = train(small_network(), loop_settings(epochs=1, precision="bfloat16"))[0]
    as_bfloat16 = torch.from_numpy(record.loss_N).to(torch.bfloat16).float().numpy()
    assert (record.loss_N != as_bfloat16).mean() > 0.5


def test_wrong_labels_end_up_with_the_larger_loss():
    pixels_NCHW, label_N = small_task(120)
    wrong_N = np.arange(120) % 10 == 0
    label_N[::10] = (label_N[::10] + 1) % 3
    aul_N = auls_of(train(small_network(), loop_settings(epochs=8), task=(pixels_NCHW, label_N)))
    assert aul_N[wrong_N].mean() > 1.5 * aul_N[~wrong_N].mean()


@settings(deadline=None)
@given(st.integers(2, 300), st.integers(2, 64))
def test_batches_cover_every_row_once_and_leave_no_row_alone(count, batch_size):
    batches = [range(count)[places] for places in split_places(count, batch_size)]
    assert [place for batch in batches for place in batch] == list(range(count))
    assert min(len(batch) for batch in batches) >= 2
    assert max(len(batch) for batch in batches) <= batch_size + 1
    assert len(batches) == max(1, math.ceil(count / batch_size) - (count % batch_size == 1 and count > batch_size))


@pytest.mark.parametrize(
    ("count", "sizes"), [(8, [4, 4]), (9, [4, 5]), (10, [4, 4, 2]), (5, [5]), (4, [4]), (3, [3]), (1, [1])]
)
def test_sizes_of_batches_of_four(count, sizes):
    assert [places.stop - places.start for places in split_places(count, 4)] == sizes


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_cuda_gives_records_of_the_same_shape_and_nearly_the_same_losses(precision):
    pixels_NCHW, label_N = small_task()
    device = torch.device("cuda")
    on_cpu = train(small_network(), loop_settings(epochs=2), augment=Augment())
    training = Training([small_network()], loop_settings(epochs=2, precision=precision), device)
    inputs = image_inputs(pixels_NCHW, Augment(), device)
    on_gpu = list(run_epochs(training, inputs, label_N, Standard(), ignore))
    for one, other in zip(on_cpu, on_gpu, strict=True):
        for name in ("loss_N", "margin_N", "predicted_N", "alternative_N"):
            assert getattr(one, name).shape == getattr(other, name).shape
            assert getattr(one, name).dtype == getattr(other, name).dtype
        np.testing.assert_allclose(one.loss_N, other.loss_N, atol=0.01 if precision == "float32" else 0.3)
    assert training.predict(inputs).shape == (42, 3)
