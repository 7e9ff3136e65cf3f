from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from labelaudit.audit.prepare import Prepared, Source
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import RunError
from labelaudit.methods.parameters import IncvParameters
from labelaudit.progress import QUIET
from labelaudit.retrain import incv
from labelaudit.retrain.incv import cross_validate
from labelaudit.run.layout import RunFolder
from tests.engine.helpers import CPU, image_inputs, small_network, small_task

SETTINGS = TrainingSettings(
    kind="train",
    model="small",
    weights="scratch",
    preset="fast",
    image_size=8,
    channels=3,
    resize="stretch",
    augment="none",
    crop_pad=0,
    epochs=16,
    batch_size=8,
    lr=0.05,
    momentum=0.9,
    nesterov=True,
    weight_decay=1e-4,
    schedule="constant",
    precision="float32",
    seed=0,
)
ROWS = 90
WRONG_R = np.arange(ROWS) % 5 == 0


@pytest.fixture(autouse=True)
def small_networks(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Networks of 300 parameters; gives the numbers that were asked for."""
    numbers: list[int] = []

    def make(settings, prepared, source, *, number=0):
        numbers.append(number)
        return small_network(seed=settings.seed + number)

    monkeypatch.setattr(incv, "make_network", make)
    return numbers


def prepared(rows: int = ROWS, wrong_R: np.ndarray = WRONG_R, *, shift: int = 1) -> Prepared:
    pixels_NCHW, label_N = small_task(rows)
    given_R = torch.where(torch.from_numpy(wrong_R[:rows]), (label_N + shift) % 3, label_N)
    return Prepared(
        catalogue=SimpleNamespace(classes=("a", "b", "c")),
        inputs=image_inputs(pixels_NCHW),
        label_R=given_R,
        sample_R=np.arange(rows),
        statistics=((0.5,) * 3, (0.25,) * 3),
    )


def verify(out: Path, data: Prepared | None = None, settings: TrainingSettings = SETTINGS, **parameters: object):
    out.mkdir(exist_ok=True)
    return cross_validate(
        RunFolder(out), settings, data or prepared(), Source(device=CPU), IncvParameters(**parameters), QUIET
    )


def test_right_labels_are_believed_and_wrong_ones_are_not(tmp_path, small_networks):
    found = verify(tmp_path / "run", iterations=2, noise_type="symmetric")
    selected_R, candidate_R = found.selected_R.numpy(), found.candidate_R.numpy()
    assert selected_R[~WRONG_R].mean() > 0.8
    assert selected_R[WRONG_R].mean() < 0.2
    assert not (selected_R & candidate_R).any()
    assert found.noise_rate == pytest.approx(0.2, abs=0.12)
    assert found.noise_left < found.noise_rate
    assert small_networks == [2] * 4  # two trainings an iteration, always from the same first weights


def test_asymmetric_noise_discards_nothing(tmp_path):
    found = verify(tmp_path / "run", iterations=1, noise_type="asymmetric")
    assert (found.selected_R ^ found.candidate_R).all()
    assert not found.symmetric
    symmetric = verify(tmp_path / "other", iterations=1, noise_type="symmetric")
    assert not (symmetric.selected_R | symmetric.candidate_R).all()


def test_the_type_of_noise_is_read_off_the_disagreement(tmp_path):
    # All wrong labels are one class further; spread over all classes they look symmetric.
    assert verify(tmp_path / "pairs", iterations=1).symmetric is False
    label_N = small_task(ROWS)[1]
    spread_R = torch.where(torch.from_numpy(WRONG_R), (label_N + 1 + torch.arange(ROWS) // 5 % 2) % 3, label_N)
    assert verify(tmp_path / "spread", replace(prepared(), label_R=spread_R), iterations=1).symmetric is True


def test_clean_labels_stay(tmp_path):
    found = verify(tmp_path / "run", prepared(wrong_R=np.zeros(ROWS, dtype=bool)), iterations=2)
    assert found.selected_R.float().mean() > 0.9
    assert found.noise_rate < 0.1


def test_it_goes_on_after_the_last_whole_iteration(tmp_path, small_networks, monkeypatch):
    whole = verify(tmp_path / "whole", iterations=3)
    with monkeypatch.context() as patch:
        write = incv.write_checkpoint
        calls = []

        def stop_at_second(path, state):
            calls.append(path)
            if len(calls) == 2:
                raise KeyboardInterrupt
            write(path, state)

        patch.setattr(incv, "write_checkpoint", stop_at_second)
        with pytest.raises(KeyboardInterrupt):
            verify(tmp_path / "stopped", iterations=3)
    small_networks.clear()
    again = verify(tmp_path / "stopped", iterations=3)
    assert len(small_networks) == 4
    assert torch.equal(again.selected_R, whole.selected_R)
    assert torch.equal(again.candidate_R, whole.candidate_R)
    assert again.noise_rate == whole.noise_rate
    small_networks.clear()
    verify(tmp_path / "stopped", iterations=3)
    assert small_networks == []


def test_a_damaged_selection_is_refused(tmp_path):
    verify(tmp_path / "run", iterations=1)
    with pytest.raises(RunError, match=r"verified\.pt is damaged"):
        verify(tmp_path / "run", prepared(60), iterations=1)
    (tmp_path / "run" / "verified.pt").write_bytes(b"PK")
    with pytest.raises(RunError, match="damaged"):
        verify(tmp_path / "run", iterations=1)


@pytest.mark.parametrize("rows", [2, 3, 5])
def test_tiny_data_are_judged_or_left_as_candidates(tmp_path, rows):
    found = verify(tmp_path / "run", prepared(rows), iterations=2, selection_share=1 / 16)
    assert len(found.selected_R) == rows
    assert not (found.selected_R & found.candidate_R).any()


def test_the_best_epoch_judges_while_it_is_asked_for(tmp_path, monkeypatch):
    predictions = []
    predict = incv.Training.predict
    monkeypatch.setattr(incv.Training, "predict", lambda self, inputs: predictions.append(1) or predict(self, inputs))
    verify(tmp_path / "run", iterations=3, selection_share=3 / 16, noise_type="asymmetric")
    # In the first iteration two trainings predict after each of three epochs, later after the last only.
    assert len(predictions) == 2 * 3 + 2 + 2


def test_adam_has_the_published_schedule_and_sgd_its_own(tmp_path, monkeypatch):
    schedules = []
    training = incv.Training

    class Seen(training):
        def __init__(self, networks, settings, device, world):
            schedules.append((settings.schedule, settings.epochs, settings.milestones))
            super().__init__(networks, settings, device, world)

    monkeypatch.setattr(incv, "Training", Seen)
    verify(tmp_path / "sgd", iterations=1)
    adam = replace(SETTINGS, optimizer="adam", lr=0.001, nesterov=False)
    verify(tmp_path / "adam", settings=adam, iterations=1, selection_share=2 / 16)
    assert schedules[0] == ("constant", 4, ())
    assert schedules[2] == ("milestones", 2, ((0.4, 0.5), (0.6, 0.25), (0.8, 0.1)))
