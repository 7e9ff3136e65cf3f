"""Audits of one folder, again and again: after changes, with other options, and what the next one takes over."""

import json
import shutil
from pathlib import Path

import pytest

import labelaudit
from tests.cli.helpers import QUICK, edit, interrupted, modified, run, succeed, write_images

HOME = Path("labelaudit-runs/photos")


@pytest.fixture
def data(photos: Path) -> Path:
    """A copy of ``photos`` that a test may change."""
    return Path(shutil.copytree(photos, "photos"))


@pytest.fixture
def first(data: Path, finished: Path) -> Path:
    """The audit of ``data`` as the first of its runs."""
    shutil.copytree(finished, HOME / "1")
    edit(HOME / "1/run.json", data={**json.loads((HOME / "1/run.json").read_text())["data"], "root": str(data.resolve())})
    return HOME / "1"


def test_unchanged_data_are_only_read_and_changed_data_get_the_next_number(data: Path) -> None:
    said = succeed("score", data, *QUICK).err
    assert f"Run folder: {HOME}/1\n" in said
    before = modified(HOME)
    assert "trained already" in succeed("score", data).err
    assert modified(HOME) == before
    (data / "ant/000.png").rename(data / "bee/new.png")
    said = succeed("score", data, *QUICK).err
    assert f"photos has changed since {HOME}/1: a new audit goes to {HOME}/2\n" in said
    assert f"Run folder: {HOME}/2\n" in said
    assert {name: time for name, time in modified(HOME).items() if not name.startswith("2/")} == before


def test_other_options_get_the_next_number_once_the_newest_is_trained(data: Path, first: Path) -> None:
    said = succeed("train-probe", data, *QUICK, "--seed", "3").err
    assert f"{first} was started with different settings: seed is 0 there, 3 asked: a new audit goes to {HOME}/2" in said
    assert f"Next: labelaudit fit {HOME}/2\n" in said
    assert succeed("fit", HOME).err.endswith(f"Ranked list: {HOME}/2/suspicious.csv\n")
    edit(HOME / "2/run.json", status="training")
    assert run("score", data, *QUICK, "--seed", "4").only_error.startswith(f"{HOME}/2 was started with different set")
    assert not (HOME / "3").exists()


def test_an_interrupted_run_is_resumed_and_only_finished_ones_are_reported(data: Path, first: Path) -> None:
    (data / "ant/011.png").unlink()
    with interrupted("labelaudit.run.losses.write_epoch", call=3):
        assert run("score", data, *QUICK).code == 130
    found = [succeed("report", place, "--no-html", "--format", "json").out for place in (HOME, first)]
    assert found[0] == found[1]
    assert json.loads(found[0])["samples"] == 48
    said = succeed("score", HOME).err
    assert "Resuming after 2 of 4 epochs" in said
    assert json.loads(succeed("report", HOME, "--no-html", "--format", "json").out)["samples"] == 47
    assert labelaudit.open_run(HOME).run.root == HOME / "2"


def test_every_command_takes_the_folder_of_the_runs(data: Path, first: Path) -> None:
    shutil.copytree(first, HOME / "2")
    succeed("sample", HOME, "-n", "3")
    succeed("export", HOME, "--to", "cvat")
    succeed("advise", HOME)
    words = ("retrain", data, "--weights", HOME, "--run", HOME, *QUICK[:6], "--epochs", "1")
    assert f"Model and metrics: {HOME}/2/retrain/aul-seed0" in succeed(*words).err
    assert {"sample.csv", "exports", "retrain"} <= {path.name for path in (HOME / "2").iterdir()}
    error = run("report", first, "--baseline", HOME / "1", "--no-html").only_error
    assert "is this audit itself" in error
    assert "0 suspicious labels are new" in succeed("report", first, "--baseline", HOME, "--no-html").out
    error = run("score", data, "--run", HOME, *QUICK).only_error
    assert error == f"--run {HOME} holds runs by number; leave --run out, or name one of them, as {HOME}/2"
    error = run("score", HOME, "--epochs", "9").only_error
    assert error.startswith(f"{HOME} is a run folder: its data and training options cannot be changed; ")


def test_a_run_without_a_number_is_read_and_stays_beside_the_next(data: Path, first: Path) -> None:
    shutil.copytree(first, "older")
    shutil.rmtree(HOME)
    shutil.copytree("older", HOME)
    assert f"The probe in {HOME} is trained already" in succeed("score", data, *QUICK).err
    before = modified(HOME)
    (data / "ant/011.png").unlink()
    assert f"Run folder: {HOME}/1\n" in succeed("score", data, *QUICK).err
    assert before.items() <= modified(HOME).items()
    assert labelaudit.open_run(HOME).run.root == HOME / "1"


def test_another_folder_with_the_same_name_is_refused_while_the_first_is_there(data: Path, first: Path) -> None:
    other = write_images(Path("elsewhere/photos"), each=5)
    error = run("score", other, *QUICK).only_error
    assert error.startswith(f"{HOME} has the audits of {data.resolve()}, which has the same name as {other}; give")
    shutil.rmtree(data)
    assert f"Run folder: {HOME}/2\n" in succeed("score", other, *QUICK).err


def test_the_next_run_begins_with_the_decisions_of_the_one_before(data: Path, first: Path) -> None:
    (first / "decisions.csv").write_text("as they are")
    audit = labelaudit.audit(data, **{"epochs": 1, "batch_size": 16, "image_size": 16, "probe": "train"})
    assert audit.run.root == HOME / "2"
    assert (HOME / "2/decisions.csv").read_text() == "as they are"
    (HOME / "2/decisions.csv").write_text("changed")
    labelaudit.audit(data)
    assert (HOME / "2/decisions.csv").read_text() == "changed"
