"""What ``labelaudit methods`` lists, and how ``retrain`` takes a method's parameters and what it needs."""

import json
import shutil
from pathlib import Path

import pytest

from labelaudit.methods.table import METHODS
from tests.cli.helpers import interrupted, run, succeed

SHORT = ("--epochs", "3", "--batch-size", "16", "--image-size", "16", "--augment", "none", "--precision", "float32")


def result_in(folder: str | Path) -> dict:
    return dict(json.loads(Path(folder, "result.json").read_text()))


def test_the_list_has_every_method_with_its_parameters() -> None:
    text = succeed("methods").out
    for entry in METHODS:
        assert entry.name in text
    assert "beta=0.8" in text
    assert "noise_rate=(from the audit)" in text
    assert "noise rate, two networks" in text


def test_one_method_is_told_in_full() -> None:
    lines = succeed("methods", "co-teaching").out.splitlines()
    assert lines[0].startswith("co-teaching: Each of two networks")
    assert "  needs     noise rate, two networks" in lines
    assert any(line.startswith("  -P warm_up_epochs=10  a whole number: ") for line in lines)
    assert lines[-1].startswith("  --preset paper  epochs 200, batch size 128, optimizer adam, lr 0.001")


def test_the_list_as_json() -> None:
    listed = json.loads(succeed("methods", "--format", "json").out)
    assert [entry["name"] for entry in listed] == [entry.name for entry in METHODS]
    elr = json.loads(succeed("methods", "elr", "--format", "json").out)
    assert elr in listed
    assert elr["needs"] == []
    assert elr["published"]["milestones"] == [[1 / 3, 0.01], [2 / 3, 0.0001]]
    beta = next(parameter for parameter in elr["parameters"] if parameter["name"] == "beta")
    assert (beta["default"], beta["limits"]) == (0.7, {"least": 0, "below": 1})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--method reed-hard -P bta=.5", "unknown parameter 'bta' for reed-hard; it has: beta"),
        ("--method standard -P beta=.5", "unknown parameter 'beta' for standard; it has none"),
        (
            "--method reed-hard -P beta=2",
            "parameter beta of reed-hard is 2, out of range; give at least 0 and at most 1",
        ),
        ("--method reed-hard -P beta", "-P beta is no parameter; give -P name=value"),
        ("--method reed-hard -P beta=.1 -P beta=.2", "-P gives beta twice; give it once"),
        (
            "--method co-teaching",
            "the method co-teaching needs a noise rate; "
            "give --run RUN of an audit, --weights RUN/weights.csv, or -P noise_rate=0.2",
        ),
        (
            "--method co-teaching --run nowhere",
            "nowhere/noise.json is not there; run labelaudit score first, or give -P",
        ),
        ("--method standard --params none.toml", "cannot read none.toml: no such file or directory; check the path"),
        ("--method standard --seeds 1,x", "--seeds 1,x are not whole numbers; give --seeds 0,1,2"),
        ("--method standard --seeds 1,1", "--seeds 1,1 names a seed twice; give each seed once"),
        ("--method standard --seeds 1 --seed 2", "--seed and --seeds both name seeds; give one of them"),
    ],
    ids=str,
)
def test_what_is_wrong_is_said_before_any_data_is_read(
    words: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("labelaudit.audit.model.scan", None)  # reading the data would fail
    assert run("retrain", "photos", *words.split()).only_error.startswith(message)


def test_a_schedule_of_published_milestones_needs_a_method_that_has_them(photos: Path) -> None:
    outcome = run("retrain", photos, "--method", "standard", "--schedule", "milestones", "--out", "out")
    assert "--schedule milestones is of methods that were published with it" in outcome.error


def test_parameters_come_from_a_file_and_the_command_line_has_the_last_word(photos: Path) -> None:
    Path("elr.toml").write_text("strength = 1\nbeta = 0.5\n")
    succeed(
        *("retrain", photos, "--method", "elr", "--params", "elr.toml", "-P", "beta=.25", "--out", "out", *SHORT[2:]),
        *("--epochs", 1),
    )
    assert result_in("out")["parameters"] == {"strength": 1.0, "beta": 0.25}
    again = run("retrain", photos, "--method", "elr", "--out", "out", *SHORT[2:], "--epochs", 1)
    assert "strength is 1.0 there, 3.0 now; beta is 0.25 there, 0.7 now" in again.error
    Path("bad.toml").write_text("beta = = 1")
    assert "bad.toml is not TOML" in run("retrain", photos, "--method", "elr", "--params", "bad.toml").error


def test_the_noise_rate_is_that_of_the_audit_and_the_result_says_so(photos: Path, audit: Path) -> None:
    words = ("retrain", photos, "--method", "co-teaching", *SHORT[2:], "--epochs", 1, "--out")
    estimate = json.loads((audit / "noise.json").read_text())["noise_rate"]
    said = succeed(*words, "a", "--run", audit).err
    assert f"Noise rate: {estimate:.1%}" in said
    assert result_in("a")["parameters"]["noise_rate"] == estimate
    assert result_in("a")["noise_rate_from"] == str(audit / "noise.json")
    assert result_in("a")["weights_csv"] is None
    succeed(*words, "b", "--weights", audit / "weights.csv")
    assert result_in("b")["noise_rate_from"] == str(audit / "noise.json")
    succeed(*words, "c", "--run", audit, "-P", "noise_rate=.3")
    assert result_in("c")["parameters"]["noise_rate"] == 0.3
    assert result_in("c")["noise_rate_from"] == "-P noise_rate"
    assert "validation_error_of_all_networks" not in result_in("c")
    losses = {result_in(out)["metrics"]["train_loss"] for out in "abc"}
    assert len(losses) == 2  # in the first epoch nothing is dropped yet, but the weights of the audit count


def test_an_audit_of_other_labels_gives_no_noise_rate(photos: Path, audit: Path, tmp_path: Path) -> None:
    other = tmp_path / "other"
    shutil.copytree(photos, other)
    next((other / "ant").iterdir()).unlink()
    outcome = run("retrain", other, "--method", "co-teaching", "--run", audit, "--out", "out", *SHORT)
    assert "is an audit of other data, or of other labels, than" in outcome.error
    (audit / "noise.json").write_text('{"noise_rate": "high"}')
    outcome = run("retrain", photos, "--method", "co-teaching", "--run", audit, "--out", "out", *SHORT)
    assert "noise.json has no noise rate; run labelaudit fit" in outcome.error


def test_the_weights_of_an_audit_multiply_those_of_any_method(photos: Path, audit: Path) -> None:
    words = ("retrain", photos, *SHORT, "--out")
    succeed(*words, "aul", "--weights", audit / "weights.csv")
    succeed(*words, "weighted", "--method", "standard", "--weights", audit / "weights.csv")
    succeed(*words, "plain", "--method", "standard")
    aul, weighted, plain = (result_in(out)["metrics"]["train_loss"] for out in ("aul", "weighted", "plain"))
    assert weighted == pytest.approx(aul, rel=1e-3)
    assert abs(plain - aul) > 1e-3
    assert result_in("weighted")["weights_csv"] == str(audit / "weights.csv")


@pytest.mark.parametrize("method", ["elr", "co-teaching", "random"])
def test_an_interrupted_retraining_ends_as_the_uninterrupted_one(photos: Path, audit: Path, method: str) -> None:
    words = ("retrain", photos, "--method", method, "--run", audit, "--val", photos, *SHORT, "--out")
    succeed(*words, "whole")
    with interrupted("labelaudit.audit.training.write_checkpoint", call=3):
        assert run(*words, "stopped").code == 130
    assert "Going on after 2 of 3 epochs" in succeed(*words, "stopped").err
    assert Path("stopped/model.safetensors").read_bytes() == Path("whole/model.safetensors").read_bytes()
    assert Path("stopped/metrics.parquet").read_bytes() == Path("whole/metrics.parquet").read_bytes()
    assert result_in("stopped") == result_in("whole")
    assert ("validation_error_of_all_networks" in result_in("whole")) == (method == "co-teaching")


def test_adam_has_a_rate_of_its_own(photos: Path) -> None:
    words = ("retrain", photos, "--method", "standard", *SHORT[2:], "--epochs", 1, "--optimizer", "adam", "--out")
    succeed(*words, "a")
    settings = result_in("a")["settings"]
    assert (settings["optimizer"], settings["lr"], settings["nesterov"]) == ("adam", 0.001, False)
    succeed(*words, "b", "--lr", "0.01")
    assert result_in("b")["settings"]["lr"] == 0.01
    assert "optimizer is adam there, sgd now" in run(*words[:-3], "--out", "a").error


def test_several_seeds_have_folders_of_their_own_and_compare(photos: Path, audit: Path) -> None:
    words = ("retrain", photos, "--val", photos, *SHORT)
    said = succeed(*words, "--method", "standard", "--seeds", "0,3", "--out", "runs").err
    assert "labelaudit compare runs/standard-seed0 runs/standard-seed3" in said
    succeed(*words, "--method", "elr", "--seeds", "3,0", "--out", "runs")
    succeed(*words, "--method", "reed-hard", "--seeds", "4", "--weights", audit / "weights.csv")
    assert (audit / "retrain" / "reed-hard-seed4" / "result.json").is_file()
    errors = {
        (method, seed): result_in(f"runs/{method}-seed{seed}")["metrics"]["validation_error"]
        for method in ("standard", "elr")
        for seed in (0, 3)
    }
    rows = {row["method"]: row for row in json.loads(succeed("compare", "runs", "--format", "json").out)}
    for method in ("standard", "elr"):
        pair = [errors[method, 0], errors[method, 3]]
        assert rows[method]["seeds"] == [0, 3]
        assert rows[method]["validation_errors"] == pair
        assert rows[method]["validation_error"] == pytest.approx(sum(pair) / 2)
        assert rows[method]["validation_error_deviation"] == pytest.approx(abs(pair[0] - pair[1]) / 2**0.5)
    text = succeed("compare", "runs", audit).out
    assert "±" in text
    assert "reed-hard" in text
    assert "prior=True" in text
