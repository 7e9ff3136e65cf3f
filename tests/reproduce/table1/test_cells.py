import math
from dataclasses import replace
from pathlib import Path

import pytest

from labelaudit.audit.model import Data
from labelaudit.audit.options import TrainingOptions
from labelaudit.errors import RunError, TrainingError
from labelaudit.progress import QUIET
from labelaudit.reproduce.table1 import cells
from labelaudit.reproduce.table1.cells import Stopwatch, Task, train_cell
from labelaudit.reproduce.table1.cost import Cost, passes
from labelaudit.reproduce.table1.data import NoisyData
from labelaudit.reproduce.table1.scales import SCALES
from labelaudit.retrain.recipe import write_metrics
from labelaudit.run.layout import RunFolder


class Clock:
    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 100.0
        monkeypatch.setattr(cells.time, "process_time", lambda: self.now)


@pytest.fixture
def clock(monkeypatch):
    return Clock(monkeypatch)


@pytest.fixture
def retrainings(monkeypatch, clock):
    """What `retrain` was asked, which trains nothing here."""
    asked = []

    def retrain(data, out, options, reporter, *, mark):
        asked.append(options)
        out.root.mkdir(parents=True)
        if options.method == "d2l":
            raise TrainingError("the training diverged in epoch 3", fix="less")
        for where, seconds in (("prepared", 9), ("begun", 5), ("trained", 2), ("measured", 7), ("trained", 4)):
            clock.now += seconds
            mark(where)
        row = {"epoch": 0, "train_loss": 1.0, "train_error": 0.3, "validation_error": 0.2}
        write_metrics(out.metrics, [row, {**row, "epoch": 1, "train_error": 0.1, "validation_error": 0.25}])
        return {
            "parameters": {"noise_rate": 0.38} if options.method == "co-teaching" else {},
            "metrics": {"validation_error": 0.25},
            "validation_error_of_all_networks": 0.21,
        }

    monkeypatch.setattr(cells, "retrain", retrain)
    return asked


@pytest.fixture
def task(tmp_path):
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\n")
    return Task(
        noise="uniform:0.4",
        seed=3,
        method="aul",
        parameters={},
        training=TrainingOptions(epochs=2, device="cpu"),
        noisy=NoisyData(
            data=Data(root=tmp_path, labels_file=labels), truth_csv=tmp_path / "truth.csv", images=10, rate=0.4
        ),
        test=tmp_path,
        audit=RunFolder(tmp_path / "audit"),
    )


def test_a_method_is_given_what_it_needs_and_nothing_else(task, tmp_path, retrainings):
    for method in ("standard", "aul", "co-teaching", "oracle", "dividemix", "incv"):
        train_cell(replace(task, method=method), tmp_path / "out", QUIET)
    given = {
        one.method: (one.weights_csv is not None, one.audit is not None, one.truth_csv is not None)
        for one in retrainings
    }
    assert given == {
        "standard": (False, False, False),
        "aul": (True, False, False),
        "co-teaching": (False, True, False),
        "oracle": (False, False, True),
        "dividemix": (True, False, False),
        "incv": (False, False, False),
    }
    assert all(one.training.seed == 3 and one.validation == tmp_path for one in retrainings)


def test_a_run_has_last_and_best_error_and_times_without_measuring(task, tmp_path, retrainings):
    run = train_cell(task, tmp_path / "out", QUIET)
    assert (run.error, run.best_error, run.train_error, run.epochs) == (0.25, 0.2, 0.1, 2)
    assert run.epoch_seconds == pytest.approx(3.0)
    assert run.seconds == pytest.approx(5 + 2 * 3)
    assert math.isnan(run.noise_rate)
    assert train_cell(replace(task, method="dividemix"), tmp_path / "out", QUIET).error == 0.21
    assert train_cell(replace(task, method="co-teaching"), tmp_path / "out", QUIET).noise_rate == 0.38


def test_what_is_finished_is_only_read(task, tmp_path, retrainings):
    first = train_cell(task, tmp_path / "out", QUIET)
    again = train_cell(replace(task, training=replace(task.training, device="auto")), tmp_path / "out", QUIET)
    assert str(again) == str(first)
    assert len(retrainings) == 1


@pytest.mark.parametrize("change", ["labels", "training", "parameters", "test"])
def test_another_training_in_the_same_place_is_refused(task, tmp_path, retrainings, change):
    train_cell(task, tmp_path / "out", QUIET)
    if change == "labels":
        task.noisy.data.labels_file.write_text("path,label\na,b\n")
    other = {
        "labels": task,
        "training": replace(task, training=TrainingOptions(epochs=3)),
        "parameters": replace(task, parameters={"x": 1}),
        "test": replace(task, test=tmp_path / "else"),
    }[change]
    with pytest.raises(RunError, match="trained with other settings"):
        train_cell(other, tmp_path / "out", QUIET)


def test_divergence_is_a_result_and_is_not_tried_again(task, tmp_path, retrainings):
    for _ in range(2):
        run = train_cell(replace(task, method="d2l"), tmp_path / "out", QUIET)
        assert run.status == "diverged"
        assert math.isnan(run.error)
    assert len(retrainings) == 1


def test_a_damaged_cell_is_refused(task, tmp_path, retrainings):
    train_cell(task, tmp_path / "out", QUIET)
    kept = Path(tmp_path / "out" / "aul.json")
    kept.write_text(kept.read_text().replace('"error"', '"eror"'))
    with pytest.raises(RunError, match="is damaged"):
        train_cell(task, tmp_path / "out", QUIET)


def test_a_watch_that_saw_no_epoch_has_no_time(clock):
    watch = Stopwatch("cpu")
    assert math.isnan(watch.epoch_seconds)
    assert math.isnan(watch.seconds(5))


def test_the_cost_counts_networks_and_passes():
    cost = Cost(scale=SCALES["paper"], images=45_000, classes=10, rates=(0.4,), seeds=1)
    assert passes(cost, "standard", 0.4) == 300 * 45_000
    assert passes(cost, "co-teaching", 0.4) == 2 * 200 * 45_000
    assert passes(cost, "incv", 0.4) == pytest.approx((8 * 50 * 0.75 + 2 * 200 * 0.6) * 45_000)
    assert passes(cost, "dividemix", 0.4) == pytest.approx(2 * 300 * 4 * 0.6 * 45_000 * 4 / 3)
