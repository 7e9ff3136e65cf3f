"""Run folders that are of something else, unfinished, damaged or older: one line, and a remedy that works."""

import itertools
from pathlib import Path
from unittest import mock

import pytest
import torch

from labelaudit.data import pixels
from labelaudit.data.images import UnreadableImageError
from tests.cli.helpers import QUICK, file_bytes, interrupted, run, succeed, write_images


def test_a_folder_that_is_no_run(photos: Path) -> None:
    before = file_bytes(photos)
    for command, place in itertools.product(("fit", "report", "advise"), (photos, "nowhere")):
        error = f"{place} is not a run folder (it has no run.json); give the folder of an audit"
        assert run(command, place).only_error == error
    assert file_bytes(photos) == before
    assert not Path("nowhere").exists()


def test_other_data(audit: Path, tmp_path: Path) -> None:
    before = file_bytes(audit)
    for name, words, expected in (
        ("fewer", {"each": 11}, f"{audit} is the audit of other data: 48 images in "),
        ("renamed", {"classes": ("elk", "fox", "gnu", "hen")}, "classes ant, bee, cat, dog… there, elk, fox, gnu, hen"),
        ("changed", {"seed": 1}, f"images or labels of {tmp_path}/changed have changed since"),
    ):
        error = run("score", write_images(tmp_path / name, **words), "--run", audit).only_error
        assert expected in error
        assert "; give another --run, or delete that folder" in error
    assert file_bytes(audit) == before


def test_a_run_that_is_not_trained_to_the_end(half_trained: Path, finished: Path) -> None:
    assert run("fit", half_trained).only_error == (
        f"the probe in {half_trained} is not trained to the end (2 of 4 epochs); "
        "run labelaudit train-probe or score on the same data again: it resumes"
    )
    for words in (("report", half_trained), ("export", half_trained, "--to", "cvat"), ("advise", half_trained)):
        assert run(*words).only_error == f"{half_trained} has no verdicts yet; run labelaudit fit {half_trained}"
    assert succeed("score", half_trained, "-o", "-").out == (finished / "suspicious.csv").read_text()
    assert file_bytes(half_trained / "losses") == file_bytes(finished / "losses")


def test_images_that_changed_while_the_run_was_interrupted(half_trained, photos, monkeypatch) -> None:
    answers = itertools.chain([UnreadableImageError("gone bad")], itertools.repeat(mock.DEFAULT))
    monkeypatch.setattr(pixels, "decode", mock.Mock(wraps=pixels.decode, side_effect=answers))
    error = run("score", photos, "--run", half_trained).error
    assert f"is readable now but was not when {half_trained} was started, or vice versa; " in error


OTHER = {"finished_epochs": 2, "networks": [{}], "optimizers": [{}]}
DAMAGES = {
    lambda file: file.write_bytes(file.read_bytes()[:60]): "delete it to train from the start",
    lambda file: torch.save(OTHER, file): "delete it to train from the start",
    lambda file: (file.parent / "losses/epoch-0000.parquet").unlink(): "delete the checkpoint to train again",
}


@pytest.mark.parametrize(("damage", "remedy"), DAMAGES.items())
def test_a_damaged_checkpoint_and_the_remedy(half_trained, photos, finished, damage, remedy) -> None:
    damage(half_trained / "checkpoint.pt")
    assert run("score", photos, "--run", half_trained).error.endswith(remedy)
    (half_trained / "checkpoint.pt").unlink()
    succeed("score", photos, "--run", half_trained)
    assert file_bytes(half_trained / "losses") == file_bytes(finished / "losses")


@pytest.mark.parametrize("name", ["checkpoint.pt", "metrics.parquet"])
def test_a_damaged_retraining(photos: Path, name: str) -> None:
    words = ("retrain", photos, "--method", "standard", *QUICK, "--out", "out")
    with interrupted("labelaudit.auditing.training.write_checkpoint", call=3):
        assert run(*words).code == 130
    Path("out", name).write_bytes(b"PK half a file")
    error = run(*words).error
    assert name in error
    assert "to train from the start" in error
