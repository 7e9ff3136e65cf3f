from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch

from labelaudit.auditing.prepare import Prepared, Source
from labelaudit.engine.settings import TrainingSettings
from labelaudit.errors import RunError
from labelaudit.methods.parameters import IncvParameters
from labelaudit.progress import QUIET
from labelaudit.retraining import incv
from labelaudit.retraining.incv import cross_validate
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import interrupted
from tests.engine.helpers import CPU, image_inputs, small_network, small_task, training_settings

SETTINGS = training_settings(epochs=16, seed=0)
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


def prepared(rows: int = ROWS, spread: bool = False) -> Prepared:
    """Images of which the wrong labels are one class further, or spread over all classes."""
    pixels_NCHW, label_N = small_task(rows)
    further_N = torch.arange(rows) // 5 % 2 if spread else 0
    given_R = torch.where(torch.from_numpy(WRONG_R[:rows]), (label_N + 1 + further_N) % 3, label_N)
    return Prepared(
        catalogue=SimpleNamespace(classes=("a", "b", "c"), label_N=given_R.numpy()),
        inputs=image_inputs(pixels_NCHW),
        sample_R=np.arange(rows),
        statistics=((0.5,) * 3, (0.25,) * 3),
    )


def verify(out: Path, data: Prepared | None = None, settings: TrainingSettings = SETTINGS, **parameters: object):
    out.mkdir(exist_ok=True)
    wanted = IncvParameters(**parameters)
    return cross_validate(RunFolder(out), settings, data or prepared(), Source(device=CPU), wanted, QUIET)


def test_right_labels_are_believed_and_wrong_ones_are_not(tmp_path, small_networks):
    found = verify(tmp_path / "run", iterations=2, noise_type="symmetric")
    selected_R, candidate_R = found.selected_R.numpy(), found.candidate_R.numpy()
    assert selected_R[~WRONG_R].mean() > 0.8
    assert selected_R[WRONG_R].mean() < 0.2
    assert not (selected_R & candidate_R).any()
    assert not (selected_R | candidate_R).all()  # some are discarded
    assert found.noise_rate == pytest.approx(0.2, abs=0.12)
    assert found.noise_left < found.noise_rate
    assert small_networks == [2] * 4  # two trainings an iteration, always from the same first weights


def test_the_type_of_noise_is_read_off_the_disagreement_and_asymmetric_noise_discards_nothing(tmp_path):
    pairs = verify(tmp_path / "pairs", iterations=1)
    assert pairs.symmetric is False
    assert (pairs.selected_R ^ pairs.candidate_R).all()
    assert verify(tmp_path / "spread", prepared(spread=True), iterations=1).symmetric is True


def test_it_goes_on_after_the_last_whole_iteration(tmp_path, small_networks):
    whole = verify(tmp_path / "whole", iterations=3)
    with interrupted("labelaudit.retraining.incv.write_checkpoint", call=2), pytest.raises(KeyboardInterrupt):
        verify(tmp_path / "stopped", iterations=3)
    for trainings in (4, 0):
        small_networks.clear()
        again = verify(tmp_path / "stopped", iterations=3)
        assert len(small_networks) == trainings
        torch.testing.assert_close(vars(again), vars(whole), rtol=0, atol=0)
    with pytest.raises(RunError, match=r"verified\.pt is damaged"):
        verify(tmp_path / "whole", prepared(60), iterations=1)


def test_trainings_are_as_published(tmp_path, monkeypatch):
    seen, predictions = [], []

    class Seen(incv.Training):
        def __init__(self, networks, settings, *given, **others):
            seen.append((settings.schedule, settings.epochs, settings.milestones))
            super().__init__(networks, settings, *given, **others)

        def predict(self, inputs):
            predictions.append(1)
            return super().predict(inputs)

    monkeypatch.setattr(incv, "Training", Seen)
    verify(tmp_path / "sgd", iterations=3, selection_share=3 / 16, noise_type="asymmetric")
    # In the first iteration two trainings predict after each of three epochs, later after the last only.
    assert len(predictions) == 2 * 3 + 2 + 2
    adam = replace(SETTINGS, optimizer="adam", lr=0.001, nesterov=False)
    verify(tmp_path / "adam", settings=adam, iterations=1, selection_share=2 / 16)
    assert seen[0] == ("constant", 3, ())
    assert seen[-1] == ("milestones", 2, ((0.4, 0.5), (0.6, 0.25), (0.8, 0.1)))


def test_the_rules_by_hand():
    # .95 of ten classes agrees as often as .85 does: (1 − ε)² + ε²/9 is least at .9. The smaller root counts.
    for noise, found in ((0.0, 0.0), (0.2, 0.2), (0.8, 0.8), (0.95, 0.85)):
        agreement = (1 - noise) ** 2 + noise**2 / 9
        assert incv.noise_from_agreement(agreement, 10) == pytest.approx(found)
    # An agreement that no noise explains ends at pure chance.
    assert [incv.noise_from_agreement(0.0, classes) for classes in (2, 10)] == pytest.approx([0.5, 0.9])
    assert incv.noise_left(0.4, 10, symmetric=True) == pytest.approx(0.047, abs=5e-4)
    assert incv.noise_left(0.8, 10, symmetric=True) == pytest.approx(0.64, abs=5e-3)
    assert incv.noise_left(0.4, 10, symmetric=False) == pytest.approx(0.16 / 0.52)
    assert incv.noise_left(0.0, 10, symmetric=True) == 0.0
    assert [incv.best_epoch_until(noise, symmetric=True) for noise in (0.2, 0.3, 0.4, 0.6, 0.7)] == [4, 4, 2, 2, 1]
    assert incv.best_epoch_until(0.2, symmetric=False) == 1


@pytest.mark.parametrize(
    ("loss", "agreeing", "ratio", "expected"),
    [
        ([0.5, 4.0, 0.1, 2.0], 2, 1.0, [1, 3]),
        ([0.5, 4.0, 0.1, 2.0], 3, 0.5, [1]),
        ([1.0] * 4, 3, 0.3, []),
        ([0.0, 1.0, 2.0, 3.0], 4, 2.0, [0, 1, 2, 3]),
        ([], 3, 2.0, []),
    ],
)
def test_the_largest_losses_are_discarded(loss, agreeing, ratio, expected):
    assert sorted(incv.discarded(np.arange(len(loss)), np.array(loss), agreeing, ratio)) == expected
