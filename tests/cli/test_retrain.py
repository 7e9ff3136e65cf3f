import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file

from labelaudit.engine.networks import create
from tests.cli.helpers import CLASSES, result_in, succeed, write_images

LONG_ENOUGH = ("--epochs", "6", "--batch-size", "16", "--image-size", "16", "--augment", "none")


@pytest.fixture(scope="module")
def noisy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Every third label wrong; with the truth, and weights that are 0 for the wrong labels, beside the folder."""
    root = tmp_path_factory.mktemp("noisy")
    write_images(root / "photos", each=18)
    write_images(root / "test", each=10, seed=1)
    truth, weights = ["path,label"], ["path,weight"]
    for path in sorted((root / "photos").rglob("*.png")):
        name, wrong = path.parent.name, int(path.stem) % 3 == 0
        moved = f"{CLASSES[(CLASSES.index(name) + wrong) % 4]}/{name}-{path.name}"
        path.rename(root / "photos" / moved)
        truth.append(f"{moved},{name}")
        weights.append(f"{moved},{int(not wrong)}")
    (root / "truth.csv").write_text("\n".join(truth))
    (root / "weights.csv").write_text("\n".join(weights))
    return root


def retrain(noisy: Path, out: Path, *options: object) -> Path:
    succeed("retrain", noisy / "photos", "--out", out, *LONG_ENOUGH, *options)
    return out


@pytest.fixture(scope="module")
def standard(noisy: Path) -> Path:
    """A network that is trained on all labels; to be read only."""
    return retrain(noisy, noisy / "standard", "--method", "standard", "--val", noisy / "test")


def test_the_result_of_a_retraining(standard: Path) -> None:
    table, result = pq.read_table(standard / "metrics.parquet"), result_in(standard)
    columns = ["epoch", "train_loss", "train_error", "validation_error", "forwards", "backpropagated"]
    assert table.column_names == columns
    assert table["epoch"].to_pylist() == list(range(6))
    assert (result["method"], result["status"], result["settings"]["epochs"]) == ("standard", "trained", 6)
    assert result["metrics"] == table.to_pylist()[-1]
    with safe_open(standard / "model.safetensors", framework="pt") as file:
        assert file.metadata()["classes"].splitlines() == list(CLASSES)
    network = create(result["settings"]["model"], num_classes=4, in_chans=result["settings"]["channels"])
    network.load_state_dict(load_file(standard / "model.safetensors"))
    assert network.eval()(torch.zeros(2, 1, 16, 16)).shape == (2, 4)


def test_weights_and_truth_keep_wrong_labels_out(noisy: Path, standard: Path, tmp_path: Path) -> None:
    for name in ("dog", "bee"):
        shutil.copytree(noisy / "test" / name, tmp_path / "part" / name)
    weights, truth = ("--weights", noisy / "weights.csv"), ("--method", "oracle", "--truth", noisy / "truth.csv")
    folders = (
        retrain(noisy, Path("w"), *weights, "--val", noisy / "test"),
        retrain(noisy, Path("o"), *truth, "--val", "part"),
    )
    plain, weighted, oracle = (result_in(folder)["metrics"] for folder in (standard, *folders))
    assert weighted["validation_error"] <= plain["validation_error"]
    # The oracle leaves out the third that is wrong, which weights of zero only silence.
    assert oracle["forwards"] == weighted["forwards"] * 2 // 3
    assert oracle["train_error"] < weighted["train_error"]
    assert weighted["train_loss"] != plain["train_loss"]
    # A network that is not taught the wrong labels disagrees with them: its training error is the noise.
    assert weighted["train_error"] == pytest.approx(1 / 3, abs=0.1)
    assert oracle["validation_error"] <= 0.5  # validation images of fewer classes are labeled by name


def test_equal_seeds_give_equal_networks_and_a_finished_one_is_not_trained_again(photos, monkeypatch) -> None:
    words = ("retrain", photos, "--method", "standard", "--epochs", "1", "--out")
    for out, options in (("a", ()), ("b", ()), ("c", ("--seed", 1)), ("d", ("--optimizer", "adam"))):
        succeed(*words, out, *options)
    network = {out: Path(out, "model.safetensors").read_bytes() for out in "abcd"}
    assert network["a"] == network["b"]
    assert len(set(network.values())) == 3
    assert [result_in(Path(out))["settings"]["lr"] for out in "ad"] == [0.1, 0.001]
    monkeypatch.setattr("labelaudit.engine.loop.Training.run_epoch", None)  # training would fail
    succeed(*words, "a")
