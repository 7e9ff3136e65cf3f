"""``labelaudit retrain``: the three methods on a folder with planted errors."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import timm
import torch
from safetensors import safe_open
from safetensors.torch import load_file

import labelaudit.engine.networks  # noqa: F401  (registers the small networks)
from tests.cli.helpers import CLASSES, modified, run, succeed, write_images

LONG_ENOUGH = ("--epochs", "6", "--batch-size", "16", "--image-size", "16", "--augment", "none")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third label wrong; with the truth, and weights that are 0 for the wrong labels, beside the folder."""
    root = tmp_path_factory.mktemp("noisy")
    write_images(root / "photos", each=18)
    write_images(root / "test", each=10, seed=1)
    truth, weights = ["path,label"], ["path,weight"]
    for path in sorted((root / "photos").rglob("*.png")):
        name, number = path.parent.name, int(path.stem)
        given = CLASSES[(CLASSES.index(name) + 1) % 4] if number % 3 == 0 else name
        moved = f"{given}/{name}-{path.name}"
        shutil.move(path, root / "photos" / moved)
        truth.append(f"{moved},{name}")
        weights.append(f"{moved},{int(given == name)}")
    (root / "truth.csv").write_text("\n".join(truth) + "\n")
    (root / "weights.csv").write_text("\n".join(weights) + "\n")
    (root / "ones.csv").write_text("\n".join(weights).replace(",0", ",1") + "\n")
    return root


def retrain(noisy: Path, *options: object) -> dict:
    succeed("retrain", noisy / "photos", "--val", noisy / "test", "--out", "out", *LONG_ENOUGH, *options)
    result = dict(json.loads(Path("out/result.json").read_text()))
    shutil.move("out", "-".join(["out", *(str(option).strip("-").replace("/", "_") for option in options)]))
    return result


def test_the_result_of_a_retraining(noisy: Path) -> None:
    words = ("--method", "standard", "--val", noisy / "test", "--out", "out", *LONG_ENOUGH)
    outcome = succeed("retrain", noisy / "photos", *words)
    assert outcome.out == ""
    assert "Trained with standard, test error " in outcome.err
    table = pq.read_table("out/metrics.parquet")
    assert table.column_names == [
        "epoch",
        "train_loss",
        "train_error",
        "validation_error",
        "forwards",
        "backpropagated",
    ]
    assert table["epoch"].to_pylist() == list(range(6))
    assert all(0 <= error <= 1 for error in table["validation_error"].to_pylist())
    result = json.loads(Path("out/result.json").read_text())
    assert (result["method"], result["status"]) == ("standard", "trained")
    assert result["metrics"] == table.to_pylist()[-1]
    assert result["settings"]["epochs"] == 6


def test_the_model_loads_into_timm_and_predicts_as_measured(noisy: Path) -> None:
    result = retrain(noisy, "--method", "oracle", "--truth", noisy / "truth.csv")
    folder = next(Path().glob("out-*"))
    with safe_open(folder / "model.safetensors", framework="pt") as file:
        assert file.metadata()["classes"].splitlines() == list(CLASSES)
    network = timm.create_model(result["settings"]["model"], num_classes=4, in_chans=result["settings"]["channels"])
    network.load_state_dict(load_file(folder / "model.safetensors"))
    assert network.eval()(torch.zeros(2, 1, 16, 16)).shape == (2, 4)


def test_weights_and_truth_keep_wrong_labels_out(noisy: Path) -> None:
    standard = retrain(noisy, "--method", "standard")
    weighted = retrain(noisy, "--method", "aul", "--weights", noisy / "weights.csv")
    oracle = retrain(noisy, "--method", "oracle", "--truth", noisy / "truth.csv")
    errors = [result["metrics"]["validation_error"] for result in (standard, weighted, oracle)]
    assert errors[1] <= errors[0]
    # The same samples count, so that oracle and zero weights are the same training.
    assert weighted["metrics"] == oracle["metrics"]
    # A network that is not taught the wrong labels disagrees with them: its training error is the noise.
    assert weighted["metrics"]["train_error"] == pytest.approx(1 / 3, abs=0.1)
    assert weighted["metrics"]["train_loss"] != standard["metrics"]["train_loss"]


def test_weights_of_one_are_standard_training(noisy: Path) -> None:
    standard = retrain(noisy, "--method", "standard")
    ones = retrain(noisy, "--method", "aul", "--weights", noisy / "ones.csv")
    assert ones["metrics"]["validation_error"] == standard["metrics"]["validation_error"]
    assert ones["metrics"]["train_loss"] == pytest.approx(standard["metrics"]["train_loss"], rel=1e-3)


def test_the_weights_of_an_audit_are_taken_as_they_are(photos: Path, audit: Path) -> None:
    before = modified(audit)
    succeed("retrain", photos, "--weights", audit / "weights.csv", "--epochs", "1")
    out = audit / "retrain" / "aul-seed0"
    assert (out / "model.safetensors").is_file()
    assert json.loads((out / "result.json").read_text())["metrics"]["validation_error"] is None
    assert before.items() <= modified(audit).items()
    succeed("retrain", photos, "--weights", audit / "weights.csv", "--epochs", "1", "--seed", "3")
    assert (audit / "retrain" / "aul-seed3" / "result.json").is_file()


def test_equal_seeds_give_equal_networks_and_other_seeds_others(photos: Path) -> None:
    words = ("retrain", photos, "--method", "standard", "--epochs", "1", "--out")
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        succeed(*words, out, "--seed", seed)
    network = {out: Path(out, "model.safetensors").read_bytes() for out in "abc"}
    assert network["a"] == network["b"]
    assert network["a"] != network["c"]


def test_a_finished_retraining_is_not_trained_again(photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    words = ("retrain", photos, "--method", "standard", "--epochs", "2", "--out", "out")
    succeed(*words)
    before = Path("out/model.safetensors").read_bytes()
    monkeypatch.setattr("labelaudit.engine.loop.Training.run_epoch", None)  # training would fail
    assert run(*words).code == 0
    assert Path("out/model.safetensors").read_bytes() == before


def test_validation_of_fewer_classes_is_labelled_by_name(noisy: Path, tmp_path: Path) -> None:
    whole = retrain(noisy, "--method", "oracle", "--truth", noisy / "truth.csv")
    part = tmp_path / "part"
    shutil.copytree(noisy / "test" / "dog", part / "dog")
    shutil.copytree(noisy / "test" / "bee", part / "bee")
    words = ("--method", "oracle", "--truth", noisy / "truth.csv", "--val", part, "--out", "part-out", *LONG_ENOUGH)
    succeed("retrain", noisy / "photos", *words)
    result = json.loads(Path("part-out/result.json").read_text())
    assert result["metrics"]["train_loss"] == whole["metrics"]["train_loss"]
    assert result["metrics"]["validation_error"] <= 0.5
