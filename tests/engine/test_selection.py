"""The loop's selecting epoch: what is trained on, in which view, at what cost, and that a resume changes nothing."""

import copy
import itertools
import math

import numpy as np
import pytest
import torch

from labelaudit.engine.draws import make_generator
from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.selection import Selection, scores
from labelaudit.engine.step import observe
from labelaudit.selectors.base import Choice, Selector
from labelaudit.selectors.table import build_selector
from tests.engine.helpers import CPU, ignore, image_inputs, linear_network, loop_settings, small_network, small_task

NO_WARM_UP = "warm_up_epochs=0"


class Chooses(Selector):
    """Chooses the places that a function of the scores says, and keeps the scores."""

    def __init__(self, places, weight=1.0, **changes):
        self._places, self._weight = places, weight
        self.seen, self.observed = [], []
        for name, value in changes.items():
            setattr(self, name, value)

    def choose(self, score_B, size, generator):
        self.seen.append(score_B.clone())
        index_b = torch.as_tensor(self._places(score_B), dtype=torch.int64)
        return Choice(index_b=index_b, weight_b=torch.full((len(index_b),), self._weight))

    def observe(self, score_B):
        self.observed.append(score_B)


def begin(selector, *, network=None, task=None, how=None, records_scores=False, augment=None, device=CPU):
    """A training with a selector (None: without)."""
    pixels_NCHW, label_N = task or small_task()
    if isinstance(selector, str):
        selector = build_selector(selector)
    selection = None if selector is None else Selection(selector, len(label_N), records_scores=records_scores)
    inputs = image_inputs(pixels_NCHW, augment or Augment(), device)
    networks = [network or small_network(dropout=0.3)]
    return Training(networks, how or loop_settings(), device, Task(inputs, label_N, selection=selection))


def trained(selector, **asked):
    """A finished training, and its records."""
    training = begin(selector, **asked)
    return training, list(training.run_epochs(ignore))


def assert_equal_states(one, other):
    one, other = one.state(), other.state()
    for name, tensor in one["networks"][0].items():
        assert torch.equal(tensor, other["networks"][0][name]), name
    for number, values in one["optimizers"][0]["state"].items():
        for name, tensor in values.items():
            assert torch.equal(torch.as_tensor(tensor), torch.as_tensor(other["optimizers"][0]["state"][number][name]))


@pytest.mark.parametrize(("count", "precision"), [(40, "float32"), (41, "bfloat16")])
def test_beta_0_is_plain_training_bit_for_bit(count, precision):
    how = loop_settings(schedule="one-cycle", precision=precision)
    plain, records = trained(None, task=small_task(count), how=how)
    chosen, others = trained(f"selective-backprop beta=0 {NO_WARM_UP}", task=small_task(count), how=how)
    assert_equal_states(plain, chosen)
    # Losses are those of the scoring pass, in evaluation mode, and not those of training.
    assert not np.allclose(records[1].loss_N, others[1].loss_N)
    assert [record.times_N.sum() for record in others] == [count] * 3
    assert [record.forwards for record in others] == [2 * count] * 3
    assert [(record.times_N.sum(), record.forwards) for record in records] == [(count, count)] * 3


@pytest.mark.parametrize(
    "selector", ["selective-backprop warm_up_epochs=9", "variance-reduction threshold=99", "variance-reduction"]
)
def test_while_a_selector_is_off_training_and_records_are_plain(selector):
    plain, records = trained(None)
    off, others = trained(selector)
    assert_equal_states(plain, off)
    for one, other in zip(records, others, strict=True):
        np.testing.assert_array_equal(one.loss_N, other.loss_N)
        assert one.forwards == other.forwards == 42
    # When that is asked for, every loss is of the scoring pass all the same.
    _, scored = trained(selector, records_scores=True)
    assert not np.allclose(scored[0].loss_N, records[0].loss_N)
    assert scored[0].forwards == 84


def test_scoring_is_recorded_and_leaves_the_network_as_it_was():
    pixels_NCHW, label_N = small_task()
    network = small_network(dropout=0.5)
    before = copy.deepcopy(network.state_dict())
    expected = observe(copy.deepcopy(network).eval()(image_inputs(pixels_NCHW).batch(torch.arange(42), None)), label_N)
    spy = Chooses(lambda score_B: [])
    _, (record,) = trained(spy, network=network, how=loop_settings(epochs=1), augment=Augment(name="none"))
    np.testing.assert_allclose(record.loss_N, expected["loss"].detach(), rtol=1e-5)
    np.testing.assert_allclose(record.margin_N, expected["margin"].detach(), rtol=1e-4, atol=1e-5)
    order_N = torch.randperm(42, generator=make_generator(5, "order", 0))
    assert torch.equal(torch.cat(spy.seen), torch.from_numpy(record.loss_N)[order_N])
    for name, tensor in network.state_dict().items():  # batch-norm statistics and their counter too
        assert torch.equal(tensor, before[name]), name
    assert (record.times_N.sum(), record.forwards) == (0, 42)


def test_what_is_chosen_is_trained_on_once_in_the_view_that_was_scored():
    seen = {True: [], False: []}
    network = small_network()
    network[0].register_forward_pre_hook(lambda module, given: seen[module.training].append(given[0].detach().clone()))
    thirds = Chooses(lambda score_B: range(0, len(score_B), 3))
    _, (record,) = trained(thirds, network=network, task=small_task(41), how=loop_settings(epochs=1))
    scored, used = torch.cat(seen[False]), torch.cat(seen[True])
    assert len(scored) == 41
    # Batches of 8 and a last one of 9: places 0, 3, 6 of each.
    places = [start + place for start in range(0, 40, 8) for place in (0, 3, 6)]
    assert torch.equal(used, scored[places])
    assert [len(x) for x in seen[True]] == [8, 7]
    order_N = torch.randperm(41, generator=make_generator(5, "order", 0))
    assert record.times_N.tolist() == torch.bincount(order_N[places], minlength=41).tolist()
    assert (record.times_N.sum(), record.forwards) == (15, 41 + 15)


def test_a_single_sample_at_the_end_is_not_lost():
    selector = Chooses(lambda score_B: [1] if len(score_B) == 10 else [])
    training, (record,) = trained(selector, how=loop_settings(epochs=1, batch_size=16))
    assert training.networks[0][1].num_batches_tracked == 1
    assert record.times_N.sum() == 1


def test_candidates_come_in_pools_of_whole_batches():
    selector = Chooses(lambda score_B: [0, 1], pool=3)
    trained(selector, how=loop_settings(epochs=1))
    assert [len(score_B) for score_B in selector.seen] == [24, 18]
    warm = Chooses(lambda score_B: [0], pool=3, warm_up_epochs=1)
    trained(warm, how=loop_settings(epochs=2))
    assert [len(score_B) for score_B in warm.observed] == [8, 8, 8, 8, 8, 2]
    assert [len(score_B) for score_B in warm.seen] == [24, 18]


class Flickers(Chooses):
    """On and off in turn, and chooses fewer than a batch."""

    @property
    def is_on(self):
        return (len(self.seen) + len(self.observed)) % 2 == 0


def test_a_selector_that_is_switched_on_and_off_leaves_no_sample_out():
    selector = Flickers(lambda score_B: [0, 2, 5])
    _, records = trained(selector, how=loop_settings(epochs=4), task=small_task(64))
    for record in records:
        assert np.isfinite(record.loss_N).all()
        assert (record.predicted_N >= 0).all()
        assert record.times_N.sum() > 4 * 3
        assert record.times_N.max() == 1
    # Each sample is either a candidate, or observed once when it is trained on.
    assert min(len(selector.seen), len(selector.observed)) > 4
    assert sum(map(len, selector.seen)) + sum(map(len, selector.observed)) == 4 * 64


def test_weights_of_a_choice_multiply_the_lesson():
    how = loop_settings(epochs=1, batch_size=42, weight_decay=0.0, momentum=0.0, nesterov=False)
    moved = {}
    for weight in (0.0, 0.5, 1.0):
        network = linear_network()
        before = network[1].weight.detach().clone()
        trained(Chooses(lambda score_B: range(42), weight), network=network, how=how)
        moved[weight] = network[1].weight.detach() - before
    assert (moved[0.0] == 0).all()
    torch.testing.assert_close(moved[0.5], moved[1.0] / 2)


def test_a_stale_score_is_used_in_so_many_epochs():
    _, records = trained(f"selective-backprop {NO_WARM_UP} stale_epochs=3", how=loop_settings(epochs=7))
    assert [int(np.isfinite(record.loss_N).sum()) for record in records] == [42, 0, 0, 42, 0, 0, 42]
    saved = [record.forwards - record.times_N.sum() for record in records]
    assert min(saved[::3]) >= 42
    assert max(saved[1], saved[2], saved[4], saved[5]) <= 1
    spy = Chooses(lambda score_B: range(len(score_B)), stale_epochs=2)
    trained(spy, how=loop_settings(epochs=2, batch_size=42))
    first, second = (torch.randperm(42, generator=make_generator(5, "order", epoch)) for epoch in range(2))
    score_N = torch.empty(42)
    score_N[first] = spy.seen[0]
    assert torch.equal(spy.seen[1], score_N[second])


@pytest.mark.parametrize(
    "selector",
    ["selective-backprop-entropy", "selective-backprop stale_epochs=2", "variance-reduction threshold=1.02"],
)
def test_a_resumed_training_equals_the_uninterrupted_one(selector):
    how = loop_settings(epochs=5)
    whole, expected = trained(selector, how=how)
    state, records = None, []
    for _ in range(6):
        training = begin(selector, how=how)
        if state is not None:
            training.load(copy.deepcopy(state))
        records += itertools.islice(training.run_epochs(ignore), 1)
        state = training.state()
    assert_equal_states(whole, training)
    for record, other in zip(records, expected, strict=True):
        np.testing.assert_array_equal(record.loss_N, other.loss_N)
        np.testing.assert_array_equal(record.times_N, other.times_N)


def test_scores_by_hand():
    logits_BC = torch.tensor([[math.log(3.0), 0.0], [0.0, 0.0]])  # p = (3/4, 1/4), (1/2, 1/2)
    expected = {
        "loss": [math.log(4 / 3), math.log(2)],
        "entropy": [-0.75 * math.log(0.75) - 0.25 * math.log(0.25), math.log(2)],
        "gradient": [math.hypot(0.25, 0.25), math.hypot(0.5, 0.5)],
    }
    for name, value_B in expected.items():
        assert scores(name, logits_BC, torch.tensor([0, 1])).tolist() == pytest.approx(value_B)
    sure_BC = torch.tensor([[0.0, 1e4, 0.0]])  # p of all others is 0 in float32
    assert scores("entropy", sure_BC, torch.tensor([0])).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@pytest.mark.parametrize(
    "selector", ["selective-backprop", "selective-backprop-entropy", "variance-reduction switch=none"]
)
def test_cuda_trains_with_a_selector(selector):
    _, records = trained(selector, device=torch.device("cuda"))
    assert 0 < records[-1].times_N.sum() <= 42
