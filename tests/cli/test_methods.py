"""What ``methods`` and ``selectors`` list, and how ``retrain`` takes a method's parameters and what it needs."""

import json
import os
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from labelaudit.methods.table import METHODS
from labelaudit.run.layout import RunFolder
from labelaudit.run.metrics import read_picks
from labelaudit.selectors.table import SELECTORS
from tests.cli.helpers import QUICK, result_in, run, succeed

ONE = ("--epochs", 1, *QUICK[2:])


@pytest.mark.parametrize(
    ("command", "entries", "words"),
    [
        ("methods", METHODS, ("beta=0.8", "noise_rate=(from the audit)", "noise rate, two networks")),
        ("selectors", SELECTORS, ("beta=1.0", "patience=8", "threshold=auto")),
    ],
    ids=["methods", "selectors"],
)
def test_the_lists_have_every_entry_with_its_parameters(command: str, entries: tuple, words: tuple[str, ...]) -> None:
    text = succeed(command).out
    assert all(word in text for word in (*words, *(entry.name for entry in entries)))


def test_one_entry_is_told_in_full() -> None:
    text = succeed("methods", "co-teaching").out
    for line in (
        "co-teaching: Each of two networks",
        "\n  needs     noise rate, two networks\n",
        "\n  -P warm_up_epochs=10  epochs over which",
        "\n  --preset paper  epochs 200, batch size 128, optimizer adam, lr 0.001",
    ):
        assert line in text
    assert "  -S beta=1.0  back-propagates 1 / (beta" in succeed("selectors", "selective-backprop").out


@pytest.mark.parametrize(
    ("command", "name", "rule", "deviation"),
    [
        ("methods", "co-teaching", "L_k = mean CE of network k", "Deviations from the code: the loss is not divided"),
        ("methods", "reed-hard", "(1 − β) log p_m", "β = .8 as in both papers"),  # a function, in a module of several
        ("methods", "aul", "Σ z_i ℓ_i", "Added: the cut."),
        ("methods", "incv", "\n    ε solves (1 − ε)² +", "whether noise is symmetric is read off the labels"),
        ("selectors", "selective-backprop", "\n    P(choose i) = CDF", "Added: `patience`"),
    ],
)
def test_an_entrys_rule_and_deviations_are_wrapped_for_the_terminal(
    command: str, name: str, rule: str, deviation: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    wide = succeed(command, name).out
    assert rule in wide
    monkeypatch.setattr("shutil.get_terminal_size", lambda *_: os.terminal_size((60, 24)))
    narrow = succeed(command, name).out
    for text, width in ((wide, 100), (narrow, 60)):
        _, told = text.split("\n\n", 1)
        assert max(map(len, told.splitlines())) in range(width - 10, width + 1)
        assert deviation in " ".join(told.split())


def test_parameters_are_in_the_result_and_bind_a_finished_training(photos: Path) -> None:
    words = ("retrain", photos, "--method", "elr", *ONE, "--out", "out")
    succeed(*words, "-P", "beta=.25", "-P", "strength=1")
    assert result_in("out")["parameters"] == {"strength": 1.0, "beta": 0.25}
    assert "strength is 1.0 there, 3.0 now; beta is 0.25 there, 0.7 now" in run(*words).error


def test_the_noise_rate_is_that_of_the_audit_and_the_result_says_so(photos: Path, audit: Path) -> None:
    words = ("retrain", photos, "--method", "co-teaching", *ONE, "--out")
    estimate = json.loads((audit / "noise.json").read_text())["noise_rate"]
    assert f"Noise rate: {estimate:.1%}" in succeed(*words, "a", "--run", audit).err
    succeed(*words, "b", "--weights", audit / "weights.csv")
    succeed(*words, "c", "--run", audit, "-P", "noise_rate=.3")
    a, b, c = (result_in(name) for name in "abc")
    assert [each["parameters"]["noise_rate"] for each in (a, b, c)] == [estimate, estimate, 0.3]
    sources = [str(audit / "noise.json")] * 2 + ["-P noise_rate"]
    assert [each["noise_rate_from"] for each in (a, b, c)] == sources
    # In the first epoch nothing is dropped yet, but the weights of the audit count.
    assert len({each["metrics"]["train_loss"] for each in (a, b, c)}) == 2


def test_an_audit_of_other_labels_gives_no_noise_rate(photos: Path, audit: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(photos, tmp_path / "other"))
    next((other / "ant").iterdir()).unlink()
    words = ("--method", "co-teaching", "--run", audit, "--out", "out", *ONE)
    assert "is an audit of other data, or of other labels, than" in run("retrain", other, *words).error
    noise = json.loads((audit / "noise.json").read_text())
    (audit / "noise.json").write_text(json.dumps({**noise, "noise_rate": None}))
    assert "noise.json has no noise rate; give -P noise_rate=0.2" in run("retrain", photos, *words).error
    reviewed = {"noise_rate": 0.25, "noise_rate_interval": [0.1, 0.4], "right": 3, "wrong": 1, "skipped": 0}
    noise["reviewed"] = {**reviewed, "others": 0, "reviews_left": None}
    (audit / "noise.json").write_text(json.dumps(noise))
    assert "Noise rate: 25.0%" in succeed("retrain", photos, *words).err


def test_several_seeds_have_folders_of_their_own_and_compare(photos: Path, audit: Path) -> None:
    words = ("retrain", photos, "--val", photos, *ONE)
    said = succeed(*words, "--method", "standard", "--seeds", "0,3", "--out", "runs").err
    assert "labelaudit compare runs/standard-seed0 runs/standard-seed3" in said
    succeed(*words, "--method", "reed-hard", "--seeds", "4", "--weights", audit / "weights.csv")
    assert (audit / "retrain" / "reed-hard-seed4" / "result.json").is_file()
    (row,) = json.loads(succeed("compare", "runs", "--format", "json").out)
    pair = [result_in(f"runs/standard-seed{seed}")["metrics"]["validation_error"] for seed in (0, 3)]
    assert (row["seeds"], row["validation_errors"]) == ([0, 3], pair)
    text = succeed("compare", "runs", audit).out
    assert all(word in text for word in ("±", "reed-hard", "weights=yes", "weights=no"))


STANDARD = ("--method", "standard", *QUICK)
SELECTED = ("--selector", "selective-backprop")


def test_a_retraining_counts_what_it_does(photos: Path) -> None:
    succeed("retrain", photos, *STANDARD, "--out", "out", *SELECTED)
    rows = pq.read_table("out/metrics.parquet").to_pylist()
    for row in rows:
        sample, times = read_picks(RunFolder(Path("out")).picks, row["epoch"])
        assert times.sum() == row["backpropagated"] <= 48
        assert len(set(sample.tolist())) == len(sample)
    assert rows[0]["forwards"] == rows[0]["backpropagated"] == 48  # the first epoch is plain
    assert rows[1]["backpropagated"] < 40
    assert rows[1]["forwards"] == pytest.approx(48 + rows[1]["backpropagated"], abs=1)
    seconds = pq.read_table("out/seconds.parquet").to_pydict()
    assert seconds["epoch"] == [0, 1, 2, 3]
    assert min(seconds["seconds"]) > 0
    assert json.loads(Path("out/run.json").read_text())["settings"]["selector"].startswith("selective-backprop ")


def test_the_losses_of_a_probe_are_those_of_the_scoring_pass_and_say_so(photos: Path, finished: Path) -> None:
    words = ("train-probe", photos, *QUICK, *SELECTED, "--run", "run")
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
        "-S stale_epochs=3": "an audit needs every sample's loss in every epoch",
        "--probe frozen --offline": "--selector works on one network, not on 5 heads; add --folds 1",
    }.items():
        assert error in run("train-probe", photos, "--run", "out", *SELECTED, *options.split()).error
        assert not Path("out").exists()
