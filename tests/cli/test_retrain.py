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
from tests.cli.helpers import CLASSES, modified, succeed, write_images

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
    return root


def retrain(noisy: Path, *options: object) -> dict:
    succeed("retrain", noisy / "photos", "--val", noisy / "test", "--out", "out", *LONG_ENOUGH, *options)
    result = dict(json.loads(Path("out/result.json").read_text()))
    shutil.rmtree("out")
    return result


def test_the_result_of_a_retraining(noisy: Path) -> None:
    words = ("--method", "standard", "--val", noisy / "test", "--out", "out", *LONG_ENOUGH)
    outcome = succeed("retrain", noisy / "photos", *words)
    assert outcome.out == ""
    assert "Trained with standard, test error " in outcome.err
    table = pq.read_table("out/metrics.parquet")
    columns = ["epoch", "train_loss", "train_error", "validation_error", "forwards", "backpropagated"]
    assert table.column_names == columns
    assert table["epoch"].to_pylist() == list(range(6))
    assert all(0 <= error <= 1 for error in table["validation_error"].to_pylist())
    result = json.loads(Path("out/result.json").read_text())
    assert (result["method"], result["status"]) == ("standard", "trained")
    assert result["metrics"] == table.to_pylist()[-1]
    assert result["settings"]["epochs"] == 6
    with safe_open("out/model.safetensors", framework="pt") as file:
        assert file.metadata()["classes"].splitlines() == list(CLASSES)
    network = timm.create_model(result["settings"]["model"], num_classes=4, in_chans=result["settings"]["channels"])
    network.load_state_dict(load_file("out/model.safetensors"))
    assert network.eval()(torch.zeros(2, 1, 16, 16)).shape == (2, 4)


def test_weights_and_truth_keep_wrong_labels_out(noisy: Path, tmp_path: Path) -> None:
    standard = retrain(noisy, "--method", "standard")
    weighted = retrain(noisy, "--method", "aul", "--weights", noisy / "weights.csv")
    oracle = retrain(noisy, "--method", "oracle", "--truth", noisy / "truth.csv")
    errors = [result["metrics"]["validation_error"] for result in (standard, weighted, oracle)]
    assert errors[1] <= errors[0]
    # The oracle leaves out the third that is wrong, which weights of zero only silence.
    assert oracle["metrics"]["forwards"] == weighted["metrics"]["forwards"] * 2 // 3
    assert oracle["metrics"]["train_error"] < weighted["metrics"]["train_error"]
    # A network that is not taught the wrong labels disagrees with them: its training error is the noise.
    assert weighted["metrics"]["train_error"] == pytest.approx(1 / 3, abs=0.1)
    assert weighted["metrics"]["train_loss"] != standard["metrics"]["train_loss"]
    # Validation images of fewer classes are labeled by name.
    for name in ("dog", "bee"):
        shutil.copytree(noisy / "test" / name, tmp_path / "part" / name)
    part = retrain(noisy, "--method", "oracle", "--truth", noisy / "truth.csv", "--val", tmp_path / "part")
    assert part["metrics"]["train_loss"] == oracle["metrics"]["train_loss"]
    assert part["metrics"]["validation_error"] <= 0.5


def test_the_weights_of_an_audit_are_taken_as_they_are(photos: Path, audit: Path) -> None:
    before = modified(audit)
    for seed in (0, 3):
        succeed("retrain", photos, "--weights", audit / "weights.csv", "--epochs", "1", "--seed", seed)
        out = audit / "retrain" / f"aul-seed{seed}"
        assert (out / "model.safetensors").is_file()
        assert json.loads((out / "result.json").read_text())["metrics"]["validation_error"] is None
    assert before.items() <= modified(audit).items()


def test_equal_seeds_give_equal_networks_and_a_finished_one_is_not_trained_again(
    photos: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    words = ("retrain", photos, "--method", "standard", "--epochs", "1", "--out")
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        succeed(*words, out, "--seed", seed)
    network = {out: Path(out, "model.safetensors").read_bytes() for out in "abc"}
    assert network["a"] == network["b"] != network["c"]
    monkeypatch.setattr("labelaudit.engine.loop.Training.run_epoch", None)  # training would fail
    succeed(*words, "a")


def test_adam_has_a_learning_rate_of_its_own(photos: Path) -> None:
    for optimizer, rate in (("adam", 0.001), ("sgd", 0.1)):
        words = ("--method", "standard", "--epochs", "1", "--optimizer", optimizer, "--out", optimizer)
        succeed("retrain", photos, *words)
        assert json.loads(Path(optimizer, "result.json").read_text())["settings"]["lr"] == rate
