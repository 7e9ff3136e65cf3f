import numpy as np
import pytest
import torch

from labelaudit.engine.recorder import Recorder
from labelaudit.engine.step import Record
from labelaudit.errors import TrainingError
from tests.engine.helpers import CPU


def record(loss, margin=None, predicted=None, alternative=None):
    count = len(loss)
    return Record(
        loss_B=torch.tensor(loss),
        margin_B=torch.tensor(margin or [0.5] * count),
        predicted_B=torch.tensor(predicted or [0] * count),
        alternative_B=torch.tensor(alternative or [1] * count),
    )


def test_records_land_at_their_rows():
    recorder = Recorder(4, CPU)
    recorder.put(torch.tensor([3, 0]), record([0.3, 0.0], [3.0, 0.5], [3, 7], [13, 17]))
    recorder.put(torch.tensor([1, 2]), record([0.1, 0.2], [1.0, 2.0], [1, 2], [11, 12]))
    found = recorder.take(6)
    assert found.epoch == 6
    np.testing.assert_array_equal(found.loss_N, np.array([0.0, 0.1, 0.2, 0.3], dtype=np.float32))
    assert found.margin_N.tolist() == [0.5, 1.0, 2.0, 3.0]
    assert found.predicted_N.tolist() == [7, 1, 2, 3]
    assert found.alternative_N.tolist() == [17, 11, 12, 13]
    assert [array.dtype for array in (found.loss_N, found.margin_N)] == [np.float32] * 2
    assert [array.dtype for array in (found.predicted_N, found.alternative_N)] == [np.int32] * 2


@pytest.mark.parametrize("bad", [float("nan"), float("inf"), -float("inf")])
def test_a_loss_that_is_not_finite_is_a_training_error(bad):
    recorder = Recorder(3, CPU)
    recorder.put(torch.arange(3), record([1.0, bad, 2.0]))
    with pytest.raises(TrainingError, match=r"epoch 4: 1 of 3 losses are not finite.*lower --lr"):
        recorder.take(4)


def test_a_row_that_was_never_recorded_is_an_error():
    recorder = Recorder(3, CPU)
    recorder.put(torch.tensor([0, 2]), record([1.0, 2.0]))
    with pytest.raises(TrainingError, match="1 of 3"):
        recorder.take(0)


def test_what_was_taken_does_not_change_afterwards():
    recorder = Recorder(1, CPU)
    recorder.put(torch.tensor([0]), record([1.0], [1.0], [1], [1]))
    found = recorder.take(0)
    recorder.put(torch.tensor([0]), record([2.0], [2.0], [2], [2]))
    assert [found.loss_N[0], found.margin_N[0], found.predicted_N[0], found.alternative_N[0]] == [1, 1, 1, 1]
