"""Run folders that are of something else, unfinished, damaged or older: one line, and a remedy that works."""

import itertools
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import torch

from labelaudit.data import pixels
from labelaudit.data.images import UnreadableImageError
from tests.cli.helpers import QUICK, edit, file_bytes, interrupted, run, succeed, write_images

Damage = Callable[[Path], object]


def cut(file: Path) -> None:
    file.write_bytes(file.read_bytes()[:60])


def test_a_folder_that_is_no_run(photos: Path) -> None:
    before = file_bytes(photos)
    for command in ("fit", "report", "advise"):
        error = f"{photos} is not a run folder (it has no run.json); give the folder of an audit"
        assert run(command, photos).only_error == error
        assert run(command, "nowhere").only_error.startswith("nowhere is not a run folder")
    assert file_bytes(photos) == before
    assert not Path("nowhere").exists()


def test_other_data(audit: Path, tmp_path: Path) -> None:
    before = file_bytes(audit)
    fewer = write_images(tmp_path / "fewer", each=11)
    error = run("score", fewer, "--run", audit).only_error
    assert f"{audit} is the audit of other data: 48 images in " in error
    assert f", 44 in {fewer} here; give another --run, or delete that folder" in error
    renamed = write_images(tmp_path / "renamed", classes=("elk", "fox", "gnu", "hen"))
    assert "classes ant, bee, cat, dog… there, elk, fox, gnu, hen… here" in run("score", renamed, "--run", audit).error
    changed = write_images(tmp_path / "changed", seed=1)
    assert f"images or labels of {changed} have changed since" in run("score", changed, "--run", audit).error
    assert file_bytes(audit) == before


def test_other_settings_are_named(audit: Path, photos: Path) -> None:
    options = ("--epochs", "5", "--seed", "7", "--probe", "frozen", "--model", "resnet18")
    error = run("score", photos, "--run", audit, *options).only_error
    assert error.startswith(f"{audit} was started with different settings: ")
    asked = ("epochs is 4 there, 5 asked", "seed is 0 there, 7 asked", "probe is train there, frozen asked")
    assert all(difference in error for difference in (*asked, "model is labelaudit_probe there, resnet18 asked"))
    assert "batch" not in error
    assert error.endswith("leave these options out to continue it, or give another --run")
    succeed("score", photos, "--run", audit, *QUICK)
    error = run("score", audit, "--epochs", "9").only_error
    assert error.startswith(f"{audit} is a run folder: its data and training options cannot be changed; ")


def make_older(audit: Path, *, controls: int) -> None:
    """Make of an audit what versions with the option --controls wrote."""
    settings = json.loads((audit / "run.json").read_text())["settings"]
    edit(audit / "run.json", settings={**settings, "controls": controls, "pilot_epochs": min(controls, 1)})
    samples = pq.read_table(audit / "samples.parquet")
    samples = samples.append_column("control", pa.array([""] * len(samples)))
    pq.write_table(samples.append_column("taught_label", samples.column("label")), audit / "samples.parquet")
    noise = json.loads((audit / "noise.json").read_text())
    noise["power"] = {"kinds": [], "review": noise.pop("review")}
    noise["kinds"]["planted"] = [{"planted": row["kind"]} for row in noise["kinds"].pop("copies")]
    (audit / "noise.json").write_text(json.dumps({**noise, "controls": None}))


def test_an_audit_with_controls_is_refused_by_every_command(audit: Path, photos: Path) -> None:
    make_older(audit, controls=30)
    before = file_bytes(audit)
    expected = f"{audit} was audited with --controls, which this version no longer has; audit again into a new --run"
    for words in (
        *((command, audit) for command in ("fit", "report", "score", "sample", "advise")),
        ("score", photos, "--run", audit, *QUICK),
        ("export", audit, "--to", "cleanlab"),
        ("retrain", photos, "--method", "co-teaching", "--run", audit, *QUICK),
    ):
        assert run(*words).only_error == expected, words
    assert file_bytes(audit) == before


def test_an_older_audit_without_controls_is_read_as_it_was(audit: Path, photos: Path) -> None:
    files = ("noise.json", "suspicious.csv", "weights.csv")
    before = {name: (audit / name).read_bytes() for name in files}
    make_older(audit, controls=0)
    rate = f"{json.loads(before['noise.json'])['noise_rate']:.1%}"
    assert f"estimated noise rate {rate}" in succeed("report", audit).out
    succeed("score", photos, "--run", audit, *QUICK)
    succeed("fit", audit)
    assert {name: (audit / name).read_bytes() for name in files} == before


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
    decoded, calls = pixels.decode, itertools.count()

    def fails_once(content: bytes, **keywords: Any) -> object:
        if next(calls) == 0:
            raise UnreadableImageError("gone bad")
        return decoded(content, **keywords)

    monkeypatch.setattr(pixels, "decode", fails_once)
    error = run("score", photos, "--run", half_trained).error
    assert f"is readable now but was not when {half_trained} was started, or vice versa; " in error


def test_records_of_something_else(audit: Path) -> None:
    data = json.loads((audit / "run.json").read_text())["data"]
    edit(audit / "run.json", data={**data, "fingerprint": "0" * 64})
    error = run("fit", audit).only_error
    assert error.startswith(f"{audit}/samples.parquet and {audit}/run.json are of different data; ")


def of_another_network(file: Path) -> None:
    torch.save({"finished_epochs": 2, "networks": [{}], "optimizers": [{}]}, file)


def ahead_of_the_losses(file: Path) -> None:
    (file.parent / "losses/epoch-0000.parquet").unlink()


@pytest.mark.parametrize(
    ("damage", "remedy"),
    [
        (cut, "delete it to train from the start"),
        (of_another_network, "delete it to train from the start"),
        (ahead_of_the_losses, "losses lacks epochs that the checkpoint has; delete the checkpoint to train again"),
    ],
)
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
