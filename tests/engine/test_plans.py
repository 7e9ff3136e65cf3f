"""What a method may ask of an epoch: a look at the networks, other rows, earlier parameters, blended images."""

import copy

import numpy as np
import pytest
import torch
from torch import nn

from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.networks import create
from labelaudit.errors import TrainingError
from labelaudit.methods.base import EpochPlan, Mixing
from labelaudit.methods.standard import Standard
from tests.engine import helpers
from tests.engine.helpers import CPU, ignore, image_inputs, linear_network, loop_settings, small_network, small_task


class Planner(Standard):
    """Standard training with a plan for each epoch, which sees what the network was before it."""

    def __init__(self, *plans, look=None):
        super().__init__()
        self.plans, self.looking, self.looks, self.seen, self.taught = plans, look, [], [], []

    def plan_epoch(self, look, clock, generator):
        if self.looking is not None:
            self.looks.append(self.looking(look))
        return self.plans[clock.epoch] if clock.epoch < len(self.plans) else EpochPlan()

    def teach(self, batch, logits, clock, generator):
        self.taught.append(batch.row_B.tolist())
        self.seen.append(logits[0])
        return super().teach(batch, logits, clock, generator)


def begin(method, epochs=2, network=None, **settings):
    pixels_NCHW, label_N = small_task()
    networks, how = [network or small_network(dropout=0.3)], loop_settings(epochs=epochs, **settings)
    training = Training(networks, how, CPU, Task(image_inputs(pixels_NCHW, Augment()), label_N, method))
    return training, lambda: training.run_epoch(ignore)


def weights_of(training):
    return {name: tensor.clone() for name, tensor in training.networks[0].state_dict().items()}


def assert_same(one, other):
    assert all(torch.equal(tensor, other[name]) for name, tensor in one.items())


BATCHES = tuple(torch.tensor(rows) for rows in ([5, 1, 5], [0, 7], [1, 9, 3, 0]))


def test_a_plan_decides_which_rows_come_in_which_batch():
    method = Planner(EpochPlan(batches=BATCHES))
    _, run = begin(method, lr=0.3)
    record = run()
    assert method.taught == [[5, 1, 5], [0, 7], [1, 9, 3, 0]]
    taken = np.flatnonzero(np.isfinite(record.loss_N))
    assert taken.tolist() == [0, 1, 3, 5, 7, 9]
    assert (record.predicted_N >= 0).nonzero()[0].tolist() == taken.tolist()
    # Of a row that comes again, the first loss is recorded.
    for row, step, place in ((5, 0, 0), (1, 0, 1), (0, 1, 0), (9, 2, 1)):
        expected = nn.functional.cross_entropy(method.seen[step][place], small_task()[1][row])
        assert record.loss_N[row] == pytest.approx(expected.item(), rel=1e-5)
    run()
    assert sorted(row for rows in method.taught[3:] for row in rows) == list(range(42))
    with pytest.raises(TrainingError, match="of 6 losses are not finite"):
        begin(Planner(EpochPlan(batches=BATCHES * 5)), lr=1e20)[1]()


def test_a_row_that_comes_again_has_a_view_of_its_own():
    method = Planner(EpochPlan(batches=[torch.full((8,), 4)]))
    begin(method, network=linear_network())[1]()
    assert len(method.seen[0].unique(dim=0)) > 2


def test_going_back_is_to_what_the_epoch_before_kept():
    method = Planner(EpochPlan(keep=True), EpochPlan(keep=True), EpochPlan(go_back=True), EpochPlan(go_back=True))
    training, run = begin(method, epochs=5)
    run()
    before_second = weights_of(training)
    run()
    after_second = weights_of(training)
    assert not torch.equal(before_second["0.weight"], after_second["0.weight"])
    method.looking = lambda look: None
    state = copy.deepcopy(training.state())
    run()
    # A copy that starts where the second epoch did, with the optimizer of after it, takes the same third epoch.
    other, run_other = begin(Planner(), epochs=5)
    other.load({**state, "networks": [before_second]})
    run_other()
    assert_same(weights_of(training), weights_of(other))
    # Nothing was kept for the fourth.
    run()
    run_other()
    assert_same(weights_of(training), weights_of(other))


def test_what_is_kept_is_in_the_checkpoint():
    plans = [EpochPlan(keep=True), EpochPlan(keep=True), EpochPlan(go_back=True)]
    whole, run = begin(Planner(*plans), epochs=3)
    first, run_first = begin(Planner(*plans), epochs=3)
    for each in (run, run, run, run_first, run_first):
        each()
    for forgets in (False, True):
        second, run = begin(Planner(*plans), epochs=3, network=small_network(seed=9, dropout=0.3))
        second.load({name: value for name, value in first.state().items() if name != "kept" or not forgets})
        run()
        assert torch.equal(weights_of(whole)["0.weight"], weights_of(second)["0.weight"]) != forgets


def test_a_look_is_in_evaluation_mode_and_changes_nothing():
    rows = torch.tensor([3, 3, 0, 41])
    looking = Planner(look=lambda look: (look.rows, look.logits(rows), look.features(rows)))
    seeing, run = begin(looking)
    blind, run_blind = begin(Planner())
    reference = copy.deepcopy(seeing.networks[0]).eval()
    run()
    run_blind()
    assert_same(weights_of(seeing), weights_of(blind))
    count, logits_MC, features_MD = looking.looks[0]
    assert count == 42
    x = image_inputs(small_task()[0]).batch(rows, None)
    torch.testing.assert_close(logits_MC, reference(x).detach())
    torch.testing.assert_close(features_MD, reference[:-1](x).detach())
    many = Planner(look=lambda look: (look.logits(torch.arange(1200) % 42), look.features(rows)))
    network = create("cifar_resnet20", num_classes=3)
    reference = copy.deepcopy(network).eval()
    begin(many, network=network)[1]()
    logits_MC, features_MD = many.looks[0]  # of a timm model, its pre-logits
    torch.testing.assert_close(logits_MC[:42], logits_MC[42 * 20 : 42 * 21])
    torch.testing.assert_close(reference.fc(features_MD).detach(), logits_MC[rows])


class Mixer(Standard):
    """Blends each sample with the next one of the batch, and keeps what it guessed and was shown."""

    mixes = True

    def __init__(self, factor):
        super().__init__()
        self.factor, self.guesses, self.seen, self.rows = factor, [], [], []

    def mix(self, batch, guess, clock, generator):
        count = len(batch.row_B)
        self.rows.append(batch.row_B)
        self.guesses.append(guess())
        return Mixing(partner_B=(torch.arange(count) + 1) % count, factor_B=torch.full((count,), self.factor))

    def teach(self, batch, logits, clock, generator):
        self.seen.append(logits[0])
        return super().teach(batch, logits, clock, generator)


def test_a_linear_network_sees_the_blend_of_views():
    method = Mixer(0.75)
    helpers.train(linear_network(), loop_settings(epochs=1, batch_size=14), method, augment=Augment())
    own_BC = method.guesses[0][0]
    torch.testing.assert_close(method.seen[0], 0.75 * own_BC + 0.25 * own_BC.roll(-1, dims=0))
    plain = Mixer(0.75)
    network = linear_network()
    before = copy.deepcopy(network)
    helpers.train(network, loop_settings(epochs=1, batch_size=14), plain)
    x = image_inputs(small_task()[0]).batch(plain.rows[0], None)
    torch.testing.assert_close(plain.guesses[0][0], before(x).detach())


def test_sample_weights_are_blended_alike():
    # Of two samples blended half and half, each has half of the one weight that there is: they count alike.
    pixels_NCHW, label_N = small_task(2)
    outcome = []
    for sample_weight_N in (None, torch.tensor([1.0, 0.0])):
        task = Task(image_inputs(pixels_NCHW), label_N, Mixer(0.5), sample_weight_N)
        training = Training([linear_network()], loop_settings(), CPU, task)
        training.run_epoch(ignore)
        outcome.append(training.networks[0][1].weight)
    torch.testing.assert_close(*outcome)
