"""``--selector`` in ``retrain`` and ``train-probe``: what is written, resumed and refused."""

import json
import shutil
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from labelaudit.retrain.recipe import read_picks
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, file_bytes, interrupted, run, succeed

SELECTORS = ("selective-backprop", "selective-backprop-entropy", "variance-reduction")
STANDARD = ("--method", "standard", *QUICK)


def test_the_list_has_every_selector_with_its_parameters() -> None:
    text = succeed("selectors").out
    for name in (*SELECTORS, "beta=1.0", "mid_rank=false", "threshold=auto"):
        assert name in text
    listed = json.loads(succeed("selectors", "--format", "json").out)
    assert [entry["name"] for entry in listed] == list(SELECTORS)
    assert json.loads(succeed("selectors", "variance-reduction", "--format", "json").out) == listed[-1]


def test_one_selector_is_told_in_full() -> None:
    lines = succeed("selectors", "selective-backprop").out.splitlines()
    assert lines[0].startswith("selective-backprop: Back-propagates samples of large loss")
    assert any(line.startswith("  -S beta=1.0  a number: back-propagates 1 / (beta + 1)") for line in lines)
    assert "did you mean selective-backprop?" in run("selectors", "selective-backdrop").only_error


def metrics(out: str) -> list[dict[str, float]]:
    rows: list[dict[str, float]] = pq.read_table(Path(out, "metrics.parquet")).to_pylist()
    return rows


@pytest.mark.parametrize("selector", SELECTORS)
def test_a_retraining_counts_what_it_does(photos: Path, selector: str) -> None:
    succeed("retrain", photos, *STANDARD, "--out", "out", "--selector", selector)
    rows = metrics("out")
    for row in rows:
        sample, times = read_picks(RunFolder(Path("out")).picks, row["epoch"])
        assert times.sum() == row["backpropagated"] <= 48
        assert len(set(sample.tolist())) == len(sample)
        assert row["forwards"] >= 48
    if selector != "variance-reduction":  # which is off while losses are alike
        assert rows[0]["forwards"] == rows[0]["backpropagated"] == 48  # the first epoch is plain
        assert rows[1]["backpropagated"] < 40
        assert rows[1]["forwards"] == pytest.approx(48 + rows[1]["backpropagated"], abs=1)
    seconds = pq.read_table("out/seconds.parquet").to_pylist()
    assert [row["epoch"] for row in seconds] == [0, 1, 2, 3]
    assert all(row["seconds"] > 0 for row in seconds)
    described = json.loads(Path("out/run.json").read_text())["settings"]["selector"]
    assert described.startswith(f"{selector} ")


def test_without_a_selector_every_sample_goes_forward_and_back_once(photos: Path) -> None:
    succeed("retrain", photos, *STANDARD, "--out", "out")
    succeed("retrain", photos, *STANDARD, "--out", "none", "--selector", "none")
    assert [(row["forwards"], row["backpropagated"]) for row in metrics("out")] == [(48, 48)] * 4
    assert not Path("out/picks").exists()
    assert Path("out/model.safetensors").read_bytes() == Path("none/model.safetensors").read_bytes()


def test_beta_0_trains_the_same_network_as_no_selector(photos: Path) -> None:
    succeed("retrain", photos, *STANDARD, "--out", "plain")
    succeed("retrain", photos, *STANDARD, "--out", "beta", "--selector", "selective-backprop", "-S", "beta=0")
    succeed("retrain", photos, *STANDARD, "--out", "half", "--selector", "selective-backprop", "-S", "beta=1")
    made = {out: Path(out, "model.safetensors").read_bytes() for out in ("plain", "beta", "half")}
    assert made["plain"] == made["beta"] != made["half"]


@pytest.mark.parametrize("selector", SELECTORS)
def test_an_interrupted_retraining_ends_as_the_whole_one(photos: Path, selector: str) -> None:
    words = ("retrain", photos, *STANDARD, "--selector", selector, "-S", "warm_up_epochs=0")
    succeed(*words, "--out", "whole")
    with interrupted("labelaudit.audit.training.write_checkpoint", call=3):
        assert run(*words, "--out", "out").code == 130
    assert "Going on after 2 of 4 epochs" in succeed(*words, "--out", "out").err
    kept = {name: made for name, made in file_bytes(Path("out"), "*.[psj]*").items() if "seconds" not in name}
    whole = {name: made for name, made in file_bytes(Path("whole"), "*.[psj]*").items() if "seconds" not in name}
    assert {"metrics.parquet", "model.safetensors", "picks/epoch-0003.parquet"} <= kept.keys()
    for name in kept.keys() - {"checkpoint.pt", "run.json"}:
        assert kept[name] == whole[name], name


def test_the_losses_of_a_probe_are_those_of_the_scoring_pass_and_say_so(photos: Path, audit: Path) -> None:
    words = ("train-probe", photos, *QUICK, "--selector", "selective-backprop")
    succeed(*words, "--run", "run")
    assert json.loads(Path("run/run.json").read_text())["recording"].startswith("scoring pass of a selector")
    assert json.loads((audit / "run.json").read_text())["recording"].startswith("training forward")
    files = sorted(Path("run/losses").iterdir())
    assert len(files) == 4
    for file in files:
        assert pq.read_schema(file).metadata[b"recording"].startswith(b"scoring pass")
        assert pq.read_table(file).num_rows == 48
        assert np.isfinite(pq.read_table(file)["loss"].to_numpy()).all()
    assert pq.read_schema(audit / "losses" / files[0].name).metadata[b"recording"].startswith(b"training forward")
    first = pq.read_table(files[0])["loss"].to_numpy()
    assert not np.allclose(first, pq.read_table(audit / "losses" / files[0].name)["loss"].to_numpy())
    # What it leaves is an audit like any other.
    assert "suspicious" in succeed("fit", "run").err
    assert "is trained already" in succeed(*words, "--run", "run").err


def test_an_interrupted_probe_ends_as_the_whole_one(photos: Path) -> None:
    words = ("train-probe", photos, *QUICK, "--selector", "selective-backprop", "--members", 2)
    succeed(*words, "--run", "whole")
    with interrupted("labelaudit.audit.training.write_checkpoint", call=7):
        assert run(*words, "--run", "run").code == 130
    succeed(*words, "--run", "run")
    assert file_bytes(Path("run/losses")) == file_bytes(Path("whole/losses"))


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (
            ["--selector", "selective-backdrop"],
            "unknown selector 'selective-backdrop'; did you mean selective-backprop",
        ),
        (["-S", "beta=1"], "parameter 'beta' is given, but no selector; add --selector NAME"),
        (["--selector", "selective-backprop", "-S", "beta"], "-S beta is no parameter; give -S name=value"),
        (["--selector", "selective-backprop", "-S", "beta=1", "-S", "beta=2"], "-S gives beta twice"),
        (["--selector", "selective-backprop", "-S", "beta=-1"], "parameter beta of selective-backprop is -1"),
        (
            ["--selector", "variance-reduction", "-S", "pool=1"],
            "parameter pool of variance-reduction is 1, out of range",
        ),
    ],
)
def test_bad_selectors_are_refused_in_one_line(photos: Path, words: list[str], error: str) -> None:
    assert error in run("retrain", photos, *STANDARD, "--out", "out", *words).only_error
    assert error in run("train-probe", photos, "--run", "out", *words).error
    assert not Path("out").exists()


def test_what_a_selector_does_not_go_with(photos: Path) -> None:
    one = ("--selector", "selective-backprop")
    two = run("retrain", photos, "--method", "co-teaching", "-P", "noise_rate=0.2", *one, "--out", "out").only_error
    assert "--selector does not go with --method co-teaching: 2 networks are trained" in two
    stale = run("train-probe", photos, "--run", "out", *one, "-S", "stale_epochs=3").error
    assert "an audit needs every sample's loss in every epoch" in stale
    heads = run("train-probe", photos, "--run", "out", *one, "--probe", "frozen", "--offline").error
    assert "--selector works on one network, not on 5 heads; add --folds 1" in heads
    assert not Path("out").exists()


def test_a_run_goes_on_only_with_its_own_selector(photos: Path) -> None:
    words = ("train-probe", photos, "--run", "run", *QUICK)
    with interrupted("labelaudit.audit.probe.write_epoch", call=3):
        assert run(*words, "--selector", "selective-backprop").code == 130
    assert "selector is selective-backprop beta=1.0" in run(*words, "--selector", "variance-reduction").error
    assert "was begun with other settings" in run(*words, "--selector", "selective-backprop", "-S", "beta=2").error
    succeed(*words)


def test_stale_scores_save_forwards_and_leave_epochs_without_a_loss(photos: Path) -> None:
    words = ("--selector", "selective-backprop", "-S", "stale_epochs=2", "-S", "warm_up_epochs=0")
    succeed("retrain", photos, *STANDARD, "--out", "out", *words)
    rows = metrics("out")
    assert [row["train_loss"] is None for row in rows] == [False, True, False, True]
    assert rows[1]["forwards"] <= rows[1]["backpropagated"] + 1
    assert rows[2]["forwards"] >= 48 + rows[2]["backpropagated"]


def test_all_methods_of_one_network_go_with_selectors(photos: Path, audit: Path) -> None:
    for method in ("elr", "reed-hard", "aul"):
        words = ("--weights", audit / "weights.csv", "--epochs", 2, *QUICK[2:])
        succeed("retrain", photos, "--method", method, *words, "--selector", "selective-backprop", "--out", "out")
        assert metrics("out")[1]["backpropagated"] < 48
        shutil.rmtree("out")
