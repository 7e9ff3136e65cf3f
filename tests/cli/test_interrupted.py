import json
import shutil
import signal
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from labelaudit.errors import TrainingError
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, file_bytes, interrupted, run, succeed, write_images
from tests.cli.processes import run_until_it_dies, running, wait_for

EPOCHS = 6
LONGER = ("--epochs", EPOCHS, "--batch-size", "16", "--image-size", "8", "--threads", "1")


@pytest.fixture(scope="module")
def images(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Images, and beside them an uninterrupted training on them; to be read only."""
    folder = write_images(tmp_path_factory.mktemp("data") / "images", each=20)
    succeed("train-probe", folder, "--run", folder.with_name("audit"), *LONGER)
    return folder


WRITES = {"run.losses.write_epoch": 3, "auditing.training.write_checkpoint": 3, "auditing.begin.write_network": 1}


@pytest.mark.parametrize(("function", "call"), WRITES.items())
def test_stopped_between_any_two_writes(images: Path, tmp_path: Path, function: str, call: int) -> None:
    folder, whole = tmp_path / "audit", images.with_name("audit")
    with interrupted(f"labelaudit.{function}", call=call):
        assert run("train-probe", images, "--run", folder, *LONGER).code == 130
    assert described(folder, "status") == "training"
    if call > 1:  # what a killed process may leave behind does no harm
        (folder / "losses" / ".epoch-0003.parquet.partial").write_bytes(b"PAR1 half a file")
        (folder / ".checkpoint.pt.partial").write_bytes(b"half a checkpoint")
        (folder / "losses/epoch-0004.parquet").write_bytes(b"left over from an earlier life")
    (folder / ".lock").write_text('{"pid": 999999999, "host": "gone"}')
    succeed("train-probe", images, "--run", folder)
    assert file_bytes(folder / "losses") == file_bytes(whole / "losses")
    assert (folder / "probe.safetensors").read_bytes() == (whole / "probe.safetensors").read_bytes()
    assert described(folder, "status") == "trained"
    assert not list(folder.rglob("*.partial"))


def test_a_second_process_is_told_that_the_run_is_in_use(images, tmp_path) -> None:
    folder = tmp_path / "audit"
    with running("train-probe", images, "--run", folder, *LONGER, "--epochs", "200") as process:
        wait_for((folder / "checkpoint.pt").exists, process)  # from here on the settings are fixed
        refused = run("train-probe", images, "--run", folder)
        assert f"is in use by process {process.pid} on " in refused.error
        assert "wait for it, or give another --run" in refused.error
    # The lock of a dead process binds nobody.
    assert "different settings" in run("train-probe", images, "--run", folder, "--seed", "5").error


def test_a_killed_retraining_ends_with_the_same_figures(images: Path) -> None:
    selector = ("--selector", "selective-backprop", "-S", "warm_up_epochs=0")
    words = ("retrain", images, "--method", "standard", "--val", images, *selector, *LONGER, "--out")
    succeed(*words, "whole")
    assert run_until_it_dies(*words, "out", dies_at=("replace", 7)) == -signal.SIGKILL
    for function, call in (("run.metrics.write_table", 4), ("retraining.recipe.write_network", 1)):
        with interrupted(f"labelaudit.{function}", call=call):
            assert run(*words, "out").code == 130
        assert not Path("out/result.json").exists()
    assert "Resuming after" in succeed(*words, "out").err
    assert pq.read_table("out/metrics.parquet")["epoch"].to_pylist() == list(range(EPOCHS))
    for name in ("metrics.parquet", "model.safetensors", "result.json", f"picks/epoch-{EPOCHS - 1:04}.parquet"):
        assert Path("out", name).read_bytes() == Path("whole", name).read_bytes()
    assert not list(Path("out").rglob("*.partial"))


def described(folder: str | Path, part: str = "settings") -> Any:
    return json.loads(Path(folder, "run.json").read_text())[part]


def words(command: str, photos: Path) -> tuple[object, ...]:
    """The words of a command that trains into the folder ``audit``."""
    return (command, photos, *(("--method", "standard", "--out") if command == "retrain" else ("--run",)), "audit")


def test_a_size_that_a_model_cannot_take_binds_nothing(photos: Path) -> None:
    error = run(*words("train-probe", photos), "--model", "vgg11", "--epochs", "1", "--image-size", "8").error
    assert error.startswith("vgg11 cannot take images of 8 pixels (")
    assert error.endswith("; give --image-size 224, its own")
    succeed(*words("train-probe", photos), "--model", "labelaudit_probe", "--epochs", "1")
    assert described("audit")["model"] == "labelaudit_probe"


@pytest.mark.parametrize(("command", "advice"), [("train-probe", ("--lr", "0.01")), ("retrain", ())])
def test_the_advice_after_a_training_that_diverged_works(photos: Path, command: str, advice: tuple[str, ...]) -> None:
    assert "try a lower --lr" in run(*words(command, photos), *QUICK, "--lr", "1e9").error
    succeed(*words(command, photos), *QUICK, *advice)
    assert described("audit")["lr"] == (0.01 if advice else 0.1)


def test_a_training_that_diverged_in_a_later_epoch_is_begun_anew(photos, finished, half_trained) -> None:
    with pytest.raises(TrainingError), RunFolder(half_trained).noting_divergence():
        raise TrainingError("the training diverged")
    assert "Resuming after" not in succeed("train-probe", photos, "--run", half_trained, *QUICK).err
    assert file_bytes(half_trained / "losses") == file_bytes(finished / "losses")


def test_settings_and_data_bind_only_once_an_epoch_is_recorded(photos, half_trained, tmp_path) -> None:
    with interrupted("labelaudit.run.losses.write_epoch", call=1):
        assert run(*words("train-probe", photos), *QUICK).code == 130
    for name in ("same", "other"):
        shutil.copytree("audit", name)
    succeed(*words("train-probe", photos), *QUICK, "--seed", "7")
    assert described("audit")["seed"] == 7
    succeed("train-probe", photos, "--run", "same")  # goes on with what it was asked before
    assert described("same")["epochs"] == 4
    succeed("train-probe", write_images(tmp_path / "few", each=6), "--run", "other", *QUICK)
    assert described("other", "data")["samples"] == 24
    refused = run("train-probe", photos, "--run", half_trained, *QUICK, "--lr", "0.5").error
    assert "was started with different settings: lr is 0.1 there, 0.5 asked" in refused
