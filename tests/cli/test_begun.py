"""What a run folder is held to: nothing before an epoch is recorded, and nothing after a training that diverged."""

import json
import shutil
from pathlib import Path

import pytest

from labelaudit.errors import TrainingError
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, file_bytes, interrupted, run, succeed, write_images

SMALL_VIT = ("--model", "test_vit", "--epochs", "1", "--offline")


def settings(folder: str) -> dict[str, object]:
    return dict(json.loads(Path(folder, "run.json").read_text())["settings"])


def test_a_model_of_a_fixed_size_is_fed_that_size(photos: Path) -> None:
    told = succeed("train-probe", photos, "--run", "audit", *SMALL_VIT).err
    assert "from scratch (images of 8 pixels), seen at 160 pixels, which test_vit is built for" in told
    assert settings("audit")["image_size"] == 160


@pytest.mark.parametrize("command", ["train-probe", "retrain"])
def test_a_size_that_a_model_cannot_take_binds_nothing(photos: Path, command: str) -> None:
    asked = (photos, "--method", "standard", "--out") if command == "retrain" else (photos, "--run")
    words = (command, *asked, "audit", "--model", "vgg11", "--epochs", "1", "--image-size")
    error = run(*words, "8").error
    assert error.startswith("vgg11 cannot take images of 8 pixels (")
    assert error.endswith("; give --image-size 224, its own")
    succeed(*words[:-5], "--model", "labelaudit_probe", "--epochs", "1")
    assert settings("audit")["model"] == "labelaudit_probe"


@pytest.mark.parametrize("advice", [("--lr", "0.01"), ()], ids=["a lower rate", "the usual rate"])
@pytest.mark.parametrize("command", ["train-probe", "retrain"])
def test_the_advice_after_a_training_that_diverged_works(photos: Path, command: str, advice: tuple[str, ...]) -> None:
    asked = (photos, "--method", "standard", "--out") if command == "retrain" else (photos, "--run")
    words = (command, *asked, "audit", *QUICK)
    assert "try a lower --lr" in run(*words, "--lr", "1e9").error
    succeed(*words, *advice)
    assert settings("audit")["lr"] == (0.01 if advice else 0.1)
    assert "diverged" not in json.loads(Path("audit/run.json").read_text())


def test_a_training_that_diverged_in_a_later_epoch_is_begun_anew(
    photos: Path, finished: Path, half_trained: Path
) -> None:
    folder = RunFolder(half_trained)
    with pytest.raises(TrainingError), folder.noting_divergence():
        raise TrainingError("the training diverged")
    told = succeed("train-probe", photos, "--run", half_trained, *QUICK).err
    assert "Going on after" not in told
    assert file_bytes(half_trained / "losses") == file_bytes(finished / "losses")


def test_other_options_and_other_data_are_taken_where_no_epoch_is_recorded(photos: Path, tmp_path: Path) -> None:
    with interrupted("labelaudit.audit.probe.write_epoch", call=1):
        assert run("train-probe", photos, "--run", "audit", *QUICK).code == 130
    shutil.copytree("audit", "other")
    succeed("train-probe", photos, "--run", "audit", *QUICK, "--seed", "7")
    assert settings("audit")["seed"] == 7
    succeed("train-probe", write_images(tmp_path / "few", each=6), "--run", "other", *QUICK)
    assert json.loads(Path("other/run.json").read_text())["data"]["samples"] == 24


def test_the_same_command_goes_on_with_what_it_was_asked_before_an_epoch(photos: Path) -> None:
    with interrupted("labelaudit.audit.probe.write_epoch", call=1):
        assert run("train-probe", photos, "--run", "audit", *QUICK).code == 130
    succeed("train-probe", photos, "--run", "audit")
    assert settings("audit")["epochs"] == 4


def test_epochs_that_are_recorded_hold(photos: Path, half_trained: Path) -> None:
    refused = run("train-probe", photos, "--run", half_trained, *QUICK, "--lr", "0.5").error
    assert "was begun with other settings: lr is 0.1 there, 0.5 asked" in refused
