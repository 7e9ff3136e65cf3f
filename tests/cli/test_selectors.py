import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_picks
from tests.cli.helpers import QUICK, run, succeed

STANDARD = ("--method", "standard", *QUICK)
ONE = ("--selector", "selective-backprop")


@pytest.mark.parametrize("selector", ["selective-backprop", "variance-reduction"])
def test_a_retraining_counts_what_it_does(photos: Path, selector: str) -> None:
    succeed("retrain", photos, *STANDARD, "--out", "out", "--selector", selector)
    rows = pq.read_table("out/metrics.parquet").to_pylist()
    for row in rows:
        sample, times = read_picks(RunFolder(Path("out")).picks, row["epoch"])
        assert times.sum() == row["backpropagated"] <= 48
        assert len(set(sample.tolist())) == len(sample)
        assert row["forwards"] >= 48
    if selector != "variance-reduction":  # which is off while losses are alike
        assert rows[0]["forwards"] == rows[0]["backpropagated"] == 48  # the first epoch is plain
        assert rows[1]["backpropagated"] < 40
        assert rows[1]["forwards"] == pytest.approx(48 + rows[1]["backpropagated"], abs=1)
    seconds = pq.read_table("out/seconds.parquet").to_pydict()
    assert seconds["epoch"] == [0, 1, 2, 3]
    assert min(seconds["seconds"]) > 0
    described = json.loads(Path("out/run.json").read_text())["settings"]["selector"]
    assert described.startswith(f"{selector} ")


def test_the_losses_of_a_probe_are_those_of_the_scoring_pass_and_say_so(photos: Path, finished: Path) -> None:
    words = ("train-probe", photos, *QUICK, *ONE, "--run", "run")
    succeed(*words)
    firsts = []
    for folder, recording in ((Path("run"), "scoring pass"), (finished, "training forward")):
        assert json.loads((folder / "run.json").read_text())["recording"].startswith(recording)
        tables = [pq.read_table(file) for file in sorted((folder / "losses").iterdir())]
        assert [table.num_rows for table in tables] == [48] * 4
        assert all(table.schema.metadata[b"recording"].startswith(recording.encode()) for table in tables)
        firsts.append(tables[0]["loss"].to_numpy())
    assert np.isfinite(firsts).all()
    assert not np.allclose(*firsts)
    # What it leaves is an audit like any other.
    assert "suspicious" in succeed("fit", "run").err
    assert "is trained already" in succeed(*words).err


def test_a_probe_without_its_losses_is_refused(photos: Path) -> None:
    for options, error in {
        (*ONE, "-S", "stale_epochs=3"): "an audit needs every sample's loss in every epoch",
        (*ONE, "--probe", "frozen", "--offline"): "--selector works on one network, not on 5 heads; add --folds 1",
        ("--selector", "variance-reduction", "-S", "pool=1"): "parameter pool of variance-reduction is 1, out of",
    }.items():
        assert error in run("train-probe", photos, "--run", "out", *options).error
        assert not Path("out").exists()
