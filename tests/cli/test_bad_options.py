"""Options and data that cannot be meant: one line, before anything is trained or written."""

import shutil
from pathlib import Path
from unittest import mock

import pytest
import torch

from tests.cli.helpers import QUICK, run, write_images

SCORE = {
    "--epochs 0": "--epochs 0 is too small; give at least 1",
    "--momentum 1": "--momentum 1 must be below 1; give a smaller number",
    "--labels .": "cannot read .: is a directory; ",
    "--top 3": "--top 3 says how many rows --out gets; add -o FILE, or -o - for stdout",
    "--device tpu": "unknown device 'tpu'; use auto, cpu, cuda or cuda:0",
    "--probe frozen --preset paper": "the paper's probe is trained from scratch; ",
    "--network-weights a.pt --model resnet18 --pretrained": "--pretrained and --network-weights both name ",
    "--network-weights a.pt --model resnet18": "cannot read a.pt: no such file or directory; check ",
    "--network-weights a.pt": "--network-weights needs the --model that the file was saved from; add --model NAME",
    "--model resnet1": "unknown model 'resnet1'; close names: ",
    "--folds 3": "--folds is for heads on a frozen backbone; leave it out, or add --probe frozen",
    "--probe frozen --optimizer adam": "--optimizer adam is not for held-out heads; leave it out, or add --folds 1",
    "--split ,": "--split names no folder; give one or more, as train,val",
    "--epoch 3": "No such option: --epoch (Possible options: --epochs); see labelaudit score --help",
}


@pytest.mark.parametrize(("options", "expected"), SCORE.items(), ids=SCORE)
def test_options_of_score(photos: Path, options: str, expected: str) -> None:
    assert run("score", photos, "--run", "audit", *options.split()).only_error.startswith(expected)
    assert not Path("audit").exists()


OTHERS = {
    "score": "Missing argument 'DATA'; see labelaudit score --help",
    "fit audit more": "Got unexpected extra argument",
    "report run --data nowhere": "--data nowhere is not a folder; give the folder that the images are in now",
    "export run": "Missing option '--to'. Choose from: label-studio, cvat, ",
    "retrain photos": "the method aul needs sample weights; give --weights RUN/weights.csv of an audit",
    "retrain photos --method oracle": "the method oracle needs the true labels; give --truth FILE.csv with the columns",
    "retrain photos --method co-teaching": "the method co-teaching needs a noise rate; give --run RUN of an audit, ",
    "retrain photos --method reed-hard -P beta": "-P beta is no parameter; give -P name=value",
    "retrain photos --method reed-hard -P beta=.1 -P beta=.2": "-P gives beta twice; give it once",
    "retrain photos --method standard --seeds 1,x": "--seeds 1,x are not whole numbers; give --seeds 0,1,2",
    "retrain photos --method standard --seeds 1,1": "--seeds 1,1 names a seed twice; give each seed once",
    "retrain photos --method standard --seeds 1 --seed 2": "--seed and --seeds both name seeds; give one of them",
    "retrain photos --method co-teaching -P noise_rate=.2 --selector selective-backprop": "--selector does not go with "
    "--method co-teaching: 2 networks are trained",
}


@pytest.mark.parametrize(("words", "expected"), OTHERS.items(), ids=OTHERS)
def test_options_of_other_commands(words: str, expected: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("labelaudit.auditing.model.scan", None)  # reading the data would fail
    assert run(*words.split()).only_error.startswith(expected)
    assert not Path("labelaudit-runs").exists()


def test_offline_without_the_weights(photos: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr("huggingface_hub.try_to_load_from_cache", lambda *_: None)
    monkeypatch.setattr(torch.hub, "get_dir", lambda: str(tmp_path / "hub"))
    words = ("score", photos, "--run", "audit", "--offline")
    for asked in ("--probe=frozen", "--pretrained"):
        error = run(*words, "--model", "resnet18", asked).error
        assert error.startswith("the pretrained weights of 'resnet18' are not on this machine and --offline forbids")
        assert error.endswith("; run once without --offline, or give --network-weights FILE")


BUGS = {
    IndexError("list index\nout of range"): "labelaudit failed (IndexError: list index out of range). Please report it",
    torch.OutOfMemoryError("CUDA"): "out of memory. Try a smaller --batch-size or --image-size",
}


@pytest.mark.parametrize(("error", "told"), BUGS.items(), ids=lambda value: type(value).__name__)
def test_a_bug_and_a_lack_of_memory_are_one_line(photos, monkeypatch, error, told) -> None:
    monkeypatch.setattr("labelaudit.auditing.model.scan", mock.Mock(side_effect=error))
    assert run("score", photos, "--run", "audit").only_error.startswith(told)
    with pytest.raises(type(error)):
        run("--debug", "score", photos)


def test_a_retraining_refuses_weights_truth_and_validation_data_of_other_images(finished, photos, tmp_path) -> None:
    other = write_images(tmp_path / "other", classes=("ant", "fox"), each=13)
    changed = Path(shutil.copytree(photos, tmp_path / "changed"))
    shutil.copy(photos / "ant/001.png", changed / "ant/000.png")
    Path("truth.csv").write_text("path,label\nant/000.png,ant\n")
    weights, oracle = ("--weights", finished / "weights.csv"), ("--method", "oracle", "--truth", "truth.csv")
    standard = ("--method", "standard")
    for data, words, expected in (
        (other, weights, "no weight for 'ant/012.png"),
        (changed, weights, "the content of 'ant/000.png' has changed since; audit the folder again"),
        (photos, oracle, "truth.csv belongs to other data: it has no label for 'ant/001.png'"),
        (photos, (*standard, "--val", other), f"{other} has a class that the training data lacks: 'fox'; "),
        (photos, (*standard, "--val", "nowhere"), "there is no folder nowhere; "),
        (photos, (*standard, "--schedule", "milestones"), "--schedule milestones is only for methods published "),
    ):
        assert expected in run("retrain", data, *words, "--out", "out", *QUICK).only_error
        assert not Path("out").exists()
