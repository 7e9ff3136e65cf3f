"""What holds for every method of the table."""

import io

import numpy as np
import pytest
import torch

from labelaudit.engine.inputs import Augment
from labelaudit.engine.loop import Task, Training
from labelaudit.engine.selection import Selection
from labelaudit.engine.step import lesson_loss
from labelaudit.methods.base import Batch
from labelaudit.methods.table import METHODS
from labelaudit.selectors.table import build_selector
from tests.engine.helpers import CPU, ignore, image_inputs, loop_settings, small_network, small_task
from tests.methods.helpers import CLASSES, clock, generator, noisy_labels, ready

EVERY_METHOD = pytest.mark.parametrize("entry", METHODS, ids=lambda entry: entry.name)
PIXELS_NCHW, TRUTH_N = small_task(43)
LABEL_N = noisy_labels(TRUTH_N)
INPUTS = image_inputs(PIXELS_NCHW, Augment())


def start(entry, *, first_seed=0, epochs=3, **others):
    method = ready(entry, TRUTH_N)
    networks = [small_network(seed=first_seed + number, dropout=0.2) for number in range(method.networks)]
    how = loop_settings(epochs=epochs, batch_size=14, lr=0.02)
    return Training(networks, how, CPU, Task(INPUTS, LABEL_N, method, **others))


def finish(training):
    return list(training.run_epochs(ignore))


@EVERY_METHOD
def test_lessons_fit_their_networks(entry):
    method = ready(entry, TRUTH_N)
    assert method.networks == entry.networks
    batch = Batch(row_B=torch.arange(20), label_B=LABEL_N[:20])
    logits = [3 * torch.randn(20, CLASSES, generator=generator(seed)) for seed in range(method.networks)]
    lessons = method.teach(batch, logits, clock(3), generator())
    assert len(lessons) == method.networks
    for lesson, logits_BC in zip(lessons, logits, strict=True):
        assert (lesson.weight_B.dtype, lesson.weight_B.shape, len(lesson.target)) == (torch.float32, (20,), 20)
        assert (lesson.weight_B >= 0).all()
        assert not any(tensor.requires_grad for tensor in (lesson.weight_B, lesson.target))
        if lesson.target.dtype == torch.int64:
            assert set(lesson.target.tolist()) <= set(range(CLASSES))
        else:
            torch.testing.assert_close(lesson.target.sum(dim=1), torch.ones(20))
        assert lesson_loss(logits_BC, lesson).isfinite()


@EVERY_METHOD
def test_a_resumed_training_equals_the_uninterrupted_one(entry):
    training = start(entry)
    expected = finish(training)
    for record in expected:  # what is not taken has no loss
        assert (np.isfinite(record.loss_N) == (record.predicted_N >= 0)).all()
    first = start(entry)
    records = [first.run_epoch(ignore) for _ in range(2)]
    state = first.state()
    first.run_epoch(ignore)  # a state is a copy
    # As a checkpoint does, which loads without running code.
    file = io.BytesIO()
    torch.save(state, file)
    file.seek(0)
    second = start(entry, first_seed=50)
    second.load(torch.load(file, weights_only=True))
    for one, other in zip(records + finish(second), expected, strict=True):
        for name in ("loss_N", "margin_N", "predicted_N", "alternative_N"):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
    for one, other in zip(second.networks, training.networks, strict=True):
        assert all(map(torch.equal, one.parameters(), other.parameters()))


@pytest.mark.parametrize(
    "entry", [entry for entry in METHODS if entry.networks == 1 and not entry.plans], ids=lambda entry: entry.name
)
def test_a_method_of_one_network_trains_with_a_selector(entry):
    records = finish(start(entry, selection=Selection(build_selector("selective-backprop"), 43)))
    assert [record.times_N.sum() < 43 for record in records] == [False, True, True]
    assert np.isfinite([record.loss_N for record in records]).all()


@EVERY_METHOD
def test_sample_weights_multiply_those_of_the_method(entry):
    none, half, some = (
        finish(start(entry, epochs=2, sample_weight_N=weight_N))[1].loss_N
        for weight_N in (None, torch.full((43,), 0.5), torch.arange(43.0) % 2)
    )
    np.testing.assert_allclose(half, none, rtol=1e-3, atol=1e-4)
    assert not np.allclose(some, none, rtol=1e-2, equal_nan=True)


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device")
@EVERY_METHOD
@pytest.mark.parametrize("optimizer", ["sgd", "adam"])
def test_cuda_gives_nearly_the_losses_of_the_cpu(entry, optimizer):
    losses = {}
    for name in ("cpu", "cuda"):
        device = torch.device(name)
        method = ready(entry, TRUTH_N.to(device))
        networks = [small_network(seed=number) for number in range(method.networks)]
        how = loop_settings(epochs=2, batch_size=14, lr=0.002, optimizer=optimizer, nesterov=False)
        task = Task(image_inputs(PIXELS_NCHW, Augment(), device), LABEL_N, method, torch.linspace(0.5, 1, 43))
        training = Training(networks, how, device, task)
        records = [training.run_epoch(ignore)]
        training.load(training.state())
        losses[name] = [*records, training.run_epoch(ignore)]
    for one, other in zip(losses["cpu"], losses["cuda"], strict=True):
        np.testing.assert_allclose(one.loss_N, other.loss_N, atol=0.02)
