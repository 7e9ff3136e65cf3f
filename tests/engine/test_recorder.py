import numpy as np
import pytest
import torch

from labelaudit.engine import step as module
from labelaudit.engine.step import Recorder, observe
from labelaudit.errors import TrainingError
from tests.engine.helpers import CPU

LOGITS_NC = torch.tensor([[2.0, 0.0, 1.0], [0.0, 3.0, -1.0], [1.0, 2.0, 0.0], [0.5, 0.0, 4.0]])
LABEL_N = torch.tensor([0, 2, 0, 2])
RIGHT = (torch.arange(3), torch.eye(3), torch.arange(3))


def test_records_land_at_their_rows():
    recorder = Recorder(4, CPU)
    for row_B in (torch.tensor([3, 0]), torch.tensor([1, 2])):
        recorder.put(row_B, LOGITS_NC[row_B], LABEL_N[row_B])
    found = recorder.take(6)
    assert found.epoch == 6
    # By hand: −log softmax at the label, and the label's logit less the largest other one.
    loss_N = [np.log(np.exp(row).sum()) - row[label] for row, label in zip(LOGITS_NC.numpy(), LABEL_N, strict=True)]
    np.testing.assert_allclose(found.loss_N, loss_N, atol=1e-6)
    assert found.margin_N.tolist() == [1.0, -4.0, -1.0, 3.5]
    assert found.predicted_N.tolist() == [0, 1, 1, 2]
    assert found.alternative_N.tolist() == [2, 1, 1, 0]
    assert [array.dtype for array in (found.loss_N, found.margin_N)] == [np.float32] * 2
    assert [array.dtype for array in (found.predicted_N, found.alternative_N)] == [np.int32] * 2


@pytest.mark.parametrize("held", [1, 7, 100, 10**9])
def test_how_many_batches_are_looked_at_together_changes_nothing(monkeypatch, held):
    generator = torch.Generator().manual_seed(0)
    logits_NC = torch.randn(50, 7, generator=generator)
    label_N = torch.randint(0, 7, (50,), generator=generator)
    monkeypatch.setattr(module, "_HELD_LOGITS", held)
    recorder = Recorder(50, CPU)
    for row_B in torch.randperm(50, generator=generator).split(8):
        recorder.put(row_B, logits_NC[row_B], label_N[row_B])
    found, expected = recorder.take(0), observe(logits_NC, label_N)
    np.testing.assert_allclose(found.loss_N, expected.loss_B.numpy(), rtol=1e-6)
    assert found.margin_N.tolist() == expected.margin_B.tolist()
    assert found.predicted_N.tolist() == expected.predicted_B.tolist()
    assert found.alternative_N.tolist() == expected.alternative_B.tolist()


def test_what_is_held_back_is_bounded():
    recorder = Recorder(1000, CPU)
    most = 0
    for row_B in torch.arange(1000).split(10):
        recorder.put(row_B, torch.zeros(10, 5000), torch.zeros(10, dtype=torch.int64))
        most = max(most, recorder._held_logits)
    assert most < module._HELD_LOGITS


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_a_training_error(bad):
    row_B, logits_BC, label_B = RIGHT
    recorder = Recorder(3, CPU)
    recorder.put(row_B, torch.where(row_B[:, None] == 1, bad * logits_BC, logits_BC), label_B)
    with pytest.raises(TrainingError, match=r"epoch 4: 1 of 3 losses are not finite.*lower --lr"):
        recorder.take(4)


def test_a_row_that_was_never_recorded_is_an_error():
    recorder = Recorder(4, CPU)
    recorder.put(*RIGHT)
    with pytest.raises(TrainingError, match="1 of 4"):
        recorder.take(0)


def test_what_was_taken_does_not_change_afterwards():
    recorder = Recorder(1, CPU)
    row_B = torch.tensor([0])
    recorder.put(row_B, torch.tensor([[3.0, 0.0]]), torch.tensor([0]))
    found = recorder.take(0)
    before = [found.loss_N[0], found.margin_N[0], found.predicted_N[0], found.alternative_N[0]]
    recorder.put(row_B, torch.tensor([[0.0, 5.0]]), torch.tensor([0]))
    recorder.take(1)
    assert [found.loss_N[0], found.margin_N[0], found.predicted_N[0], found.alternative_N[0]] == before
