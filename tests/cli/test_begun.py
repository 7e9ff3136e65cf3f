"""What a run folder is bound to: nothing before an epoch is recorded, and nothing after a training that diverged."""

import json
import shutil
from pathlib import Path

import pytest

from labelaudit.errors import TrainingError
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, file_bytes, interrupted, run, succeed, write_images


def described(folder: str, part: str = "settings") -> dict[str, object]:
    return dict(json.loads(Path(folder, "run.json").read_text())[part])


def words(command: str, photos: Path) -> tuple[object, ...]:
    """The words of a command that trains into the folder ``audit``."""
    return (command, photos, *(("--method", "standard", "--out") if command == "retrain" else ("--run",)), "audit")


def test_a_model_of_a_fixed_size_is_fed_that_size(photos: Path) -> None:
    told = succeed(*words("train-probe", photos), "--model", "test_vit", "--epochs", "1", "--offline").err
    assert "from scratch (images of 8 pixels), seen at 160 pixels, which test_vit is built for" in told
    assert described("audit")["image_size"] == 160


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
    assert "diverged" not in json.loads(Path("audit/run.json").read_text())


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
