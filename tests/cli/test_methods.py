"""What ``methods`` and ``selectors`` list, and how ``retrain`` takes a method's parameters and what it needs."""

import json
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

SHORT, ONE = (("--epochs", count, *QUICK[2:]) for count in (3, 1))


@pytest.mark.parametrize(
    ("command", "entries", "words"),
    [
        ("methods", METHODS, ("beta=0.8", "noise_rate=(from the audit)", "noise rate, two networks")),
        ("selectors", SELECTORS, ("beta=1.0", "mid_rank=false", "threshold=auto")),
    ],
    ids=["methods", "selectors"],
)
def test_the_lists_have_every_entry_with_its_parameters(command: str, entries: tuple, words: tuple[str, ...]) -> None:
    text = succeed(command).out
    assert all(word in text for word in (*words, *(entry.name for entry in entries)))
    listed = json.loads(succeed(command, "--format", "json").out)
    assert [entry["name"] for entry in listed] == [entry.name for entry in entries]
    assert json.loads(succeed(command, entries[-1].name, "--format", "json").out) == listed[-1]


def test_one_entry_is_told_in_full() -> None:
    lines = succeed("methods", "co-teaching").out.splitlines()
    assert lines[0].startswith("co-teaching: Each of two networks")
    assert "  needs     noise rate, two networks" in lines
    assert any(line.startswith("  -P warm_up_epochs=10  a whole number: ") for line in lines)
    assert lines[-1].startswith("  --preset paper  epochs 200, batch size 128, optimizer adam, lr 0.001")
    elr = json.loads(succeed("methods", "elr", "--format", "json").out)
    assert (elr["needs"], elr["published"]["schedule"]) == ([], "cosine-restarts")
    assert "milestones" not in elr["published"]
    d2l = json.loads(succeed("methods", "d2l", "--format", "json").out)["published"]
    assert (d2l["milestones"], d2l["step_decay"]) == ([[1 / 3, 0.1], [2 / 3, 0.01]], 1e-4)
    lines = succeed("selectors", "selective-backprop").out.splitlines()
    assert any(line.startswith("  -S beta=1.0  a number: back-propagates 1 / (beta + 1)") for line in lines)


def test_a_schedule_of_published_milestones_needs_a_method_that_has_them(photos: Path) -> None:
    outcome = run("retrain", photos, "--method", "standard", "--schedule", "milestones", "--out", "out")
    assert "--schedule milestones is only for methods published with milestones" in outcome.error


def test_parameters_come_from_a_file_and_the_command_line_has_the_last_word(photos: Path) -> None:
    Path("elr.toml").write_text("strength = 1\nbeta = 0.5\n")
    words = ("retrain", photos, "--method", "elr", *ONE)
    succeed(*words, "--params", "elr.toml", "-P", "beta=.25", "--out", "out")
    assert result_in("out")["parameters"] == {"strength": 1.0, "beta": 0.25}
    again = run(*words, "--out", "out")
    assert "strength is 1.0 there, 3.0 now; beta is 0.25 there, 0.7 now" in again.error


def test_the_noise_rate_is_that_of_the_audit_and_the_result_says_so(photos: Path, audit: Path) -> None:
    words = ("retrain", photos, "--method", "co-teaching", *ONE, "--out")
    estimate = json.loads((audit / "noise.json").read_text())["noise_rate"]
    assert f"Noise rate: {estimate:.1%}" in succeed(*words, "a", "--run", audit).err
    succeed(*words, "b", "--weights", audit / "weights.csv")
    succeed(*words, "c", "--run", audit, "-P", "noise_rate=.3")
    a, b, c = (result_in(name) for name in "abc")
    assert [each["parameters"]["noise_rate"] for each in (a, b, c)] == [estimate, estimate, 0.3]
    assert a["noise_rate_from"] == b["noise_rate_from"] == str(audit / "noise.json")
    assert (a["weights_csv"], c["noise_rate_from"]) == (None, "-P noise_rate")
    # In the first epoch nothing is dropped yet, but the weights of the audit count.
    assert len({each["metrics"]["train_loss"] for each in (a, b, c)}) == 2


def test_an_audit_of_other_labels_gives_no_noise_rate(photos: Path, audit: Path, tmp_path: Path) -> None:
    other = Path(shutil.copytree(photos, tmp_path / "other"))
    next((other / "ant").iterdir()).unlink()
    words = ("--method", "co-teaching", "--run", audit, "--out", "out", *SHORT)
    assert "is an audit of other data, or of other labels, than" in run("retrain", other, *words).error
    for content in ('{"noise_rate": "high"}', '{"noise_rate": 0.1, "reviewed": {"noise_rate": 2}}'):
        (audit / "noise.json").write_text(content)
        assert "noise.json has no noise rate; run labelaudit fit" in run("retrain", photos, *words).error
    reviewed = {"noise_rate": 0.1, "reviewed": {"noise_rate": 0.25}}
    (audit / "noise.json").write_text(json.dumps(reviewed))
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
    assert all(word in text for word in ("±", "reed-hard", "prior=True"))
    lines = succeed("compare", "runs", "--format", "csv").out.splitlines()
    assert lines[0] == "method,differs,seeds,validation_error,validation_error_deviation,train_error"
    assert [line.split(",")[0] for line in lines[1:]] == ["standard"]


STANDARD = ("--method", "standard", *QUICK)
SELECTED = ("--selector", "selective-backprop")


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
        (*SELECTED, "-S", "stale_epochs=3"): "an audit needs every sample's loss in every epoch",
        (*SELECTED, "--probe", "frozen", "--offline"): "--selector works on one network, not on 5 heads; add --folds 1",
        ("--selector", "variance-reduction", "-S", "pool=1"): "parameter pool of variance-reduction is 1, out of",
    }.items():
        assert error in run("train-probe", photos, "--run", "out", *options).error
        assert not Path("out").exists()
