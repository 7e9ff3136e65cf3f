"""Data in train and val: refused as classes, audited by --split, put right and trained on; and where runs go."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq
import pytest

import labelaudit
from tests.cli.helpers import QUICK, read_rows, run, succeed, write_images

SPLIT = ("--split", "train,val")


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three splits, with wrong labels in the first, and a file beside class folders; to be read only."""
    root = tmp_path_factory.mktemp("splits") / "birds"
    write_images(root / "train", wrong=2)
    for name in ("val", "test"):
        write_images(root / name, each=4)
    (root / "train/stray.png").write_bytes((root / "val/ant/000.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def split_audit(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of two of them; to be read only."""
    folder = tmp_path_factory.mktemp("split-audit") / "audit"
    outcome = succeed("score", birds, *SPLIT, "--run", folder, *QUICK)
    assert "17 files in the folder are not in the audit:" in outcome.err
    assert "  16 .png: outside the folders of --split (test/ant/000.png)" in outcome.err
    return folder


def test_every_command_on_the_data_refuses_splits_and_names_the_option(birds: Path, split_audit: Path) -> None:
    Path("c.csv").write_text("path,given_label,action,label\ntrain/ant/000.png,ant,change,bee\n")
    retrain = ("retrain", birds, "--weights", split_audit / "weights.csv", "--out", "trained")
    for words in (("score", birds), ("train-probe", birds), retrain, ("relabel", birds, "c.csv", "--yes")):
        error = run(*words).only_error
        assert error.startswith(f"the folders train, val, test in {birds} are parts of a data set, not classes; ")
    assert not Path("labelaudit-runs").exists()
    assert not Path("trained").exists()


def test_the_split_is_a_column_and_recorded(birds: Path, split_audit: Path) -> None:
    samples = pq.read_table(split_audit / "samples.parquet").to_pydict()
    assert samples["split"] == [path.split("/")[0] for path in samples["path"]]
    assert samples["class"] == [path.split("/")[1] for path in samples["path"]]
    assert set(samples["split"]) == {"train", "val"}
    audit = labelaudit.open_run(split_audit)
    assert audit.scores["split"].to_pylist() == samples["split"]
    assert {row["split"] for row in read_rows((split_audit / "suspicious.csv").read_text())} == {"train"}
    data = json.loads((split_audit / "run.json").read_text())["data"]
    assert data["split"] == ["train", "val"]
    assert [row["files"] for row in data["left_out"]] == [16, 1]
    # What is there is only read: the recorded splits are those that are scanned again.
    assert "trained already" in succeed("score", birds, *SPLIT, "--run", split_audit).err
    assert "--split train,val" in succeed("report", split_audit, "--html", "page.html").err


def test_files_move_between_class_folders_of_their_split_and_back(birds: Path) -> None:
    data = Path(shutil.copytree(birds, "birds"))
    (data / "train/owl").mkdir()
    Path("c.csv").write_text(
        "path,given_label,action,label\ntrain/ant/000.png,ant,change,bee\nval/ant/001.png,ant,drop,\n"
        "test/ant/000.png,ant,change,bee\n"
    )
    before = sorted(data.rglob("*.png"))
    plan = json.loads(succeed("relabel", data, "c.csv", *SPLIT, "--yes", "--format", "json").out)
    assert "lies outside the folders of --split" in json.dumps(plan)
    assert (data / "train/bee/000-2.png").is_file()
    assert (data / ".labelaudit-dropped/val/ant/001.png").is_file()
    assert not (data / "train/ant/000.png").exists()
    succeed("relabel", data, "--undo", "--yes")
    assert sorted(data.rglob("*.png")) == before


def test_a_network_is_trained_on_the_same_splits(birds: Path, split_audit: Path) -> None:
    words = ("retrain", birds, *SPLIT, "--weights", split_audit / "weights.csv", *QUICK[:6], "--val")
    succeed(*words, birds / "test", "--out", "trained")
    assert json.loads(Path("trained/result.json").read_text())["metrics"]["validation_error"] is not None
    shutil.copytree(birds / "test", "held-out")
    for val, out in ((birds / "test", birds / "trained"), ("held-out", "held-out/trained")):
        assert "lies in the image folder" in run(*words, val, "--out", out).only_error


def test_no_run_goes_into_the_image_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_images(tmp_path / "photos", each=3)
    monkeypatch.chdir(data / "ant")
    outcome = succeed("score", "..", *QUICK)
    place = tmp_path / "labelaudit-runs/photos"
    assert f"The run folder is {place}: nothing is written into the folder of the images" in outcome.err
    assert (place / "noise.json").is_file()
    for inside in ("run", "..", "../run"):
        assert "image folder" in run("score", "..", "--run", inside, *QUICK).only_error
    assert "lies in the image folder" in run("export", place, "--to", "huggingface", "--out", "made").only_error
    assert sorted(path.name for path in data.iterdir()) == ["ant", "bee", "cat", "dog"]
