"""Copies across splits, from two folders to the screen and back."""

import json
import os
import shutil
from pathlib import Path

import pyarrow.parquet as pq

import labelaudit
from tests.cli.helpers import QUICK, file_bytes, run, succeed, write_images
from tests.data.test_containers import zip_of


def test_two_folders_are_splits_with_findings_across_and_figures_of_each(tmp_path: Path) -> None:
    write_images(tmp_path / "zoo/train", wrong=0)
    (tmp_path / "zoo/test").mkdir()
    shutil.copytree("zoo/train/ant", "zoo/test/ant")
    for path in sorted(Path("zoo/test/ant").iterdir())[3:]:
        path.unlink()
    Path("zoo/test/bee").mkdir()
    first = sorted(path.name for path in Path("zoo/train/ant").iterdir())
    shutil.copy(Path("zoo/train/ant", first[5]), "zoo/test/bee/other.png")
    said = succeed("score", "zoo/train", "--test", "zoo/test", *QUICK)
    audit = "labelaudit-runs/train+test/1"
    rows = [row for row in pq.read_table(f"{audit}/findings.parquet").to_pylist() if row["code"] == "LA007"]
    other_of = {row["path"]: row["other_path"] for row in rows}
    for name in first[:3]:
        assert other_of[f"test/ant/{name}"] == f"train/ant/{name}"
        assert other_of[f"train/ant/{name}"] == f"test/ant/{name}"
    assert other_of["test/bee/other.png"] == f"train/ant/{first[5]}"
    train, test = json.loads(Path(audit, "noise.json").read_text())["splits"]
    assert (train["split"], train["samples"], test["split"], test["samples"]) == ("train", 48, "test", 4)
    assert test["leaked"] == 4
    assert test["contradicting"] == 1
    text = " ".join((said.err + said.out).split())
    assert "4 of test (1 with another label); findings.csv lists them (LA007)" in text
    assert "The split test has no images of 2 classes that another split has: cat, dog." in text
    # Files move within their side; what is audited again is the same.
    Path("c.csv").write_text("path,given_label,action,label\ntest/bee/other.png,bee,change,ant\n")
    again = succeed("relabel", audit, "c.csv", "--yes").err
    assert f"To audit again: labelaudit score {tmp_path}/zoo --split train=train,test=test" in again
    assert len(os.listdir("zoo/test/ant")) == 4
    said = succeed("train-probe", "zoo", "--split", "train=train,test=test", *QUICK).err
    assert "a new audit goes to labelaudit-runs/train+test/2" in said


def test_sides_may_be_archives_and_contradictions_are_refused(tmp_path: Path) -> None:
    zip_of(Path("old.zip"), file_bytes(write_images(Path("old"), each=3)))
    zip_of(Path("new.zip"), file_bytes(write_images(Path("deep/new"), each=2, seed=1)))
    catalogue = labelaudit.Data.beside(Path("old.zip"), Path("deep/new")).scan()
    assert [catalogue.paths[0], catalogue.paths[-1]] == ["deep/new/ant/000.png", "old.zip/dog/002.png"]
    assert (catalogue.split_N[0], catalogue.split_N[-1], catalogue.splits) == ("test", "train", ("train", "test"))
    for words, message in (
        (("old", "--test", "old/ant"), "contain one another; give two folders"),
        (("old", "--test", "gone"), "there is no folder /"),
        (("old", "--test", "new.zip", "--split", "a"), "--test makes splits of two folders, and --labels and"),
        (("old", "--test", "new.zip", "--run", "old/audit"), "lies in the image folder"),
    ):
        assert message in run("score", *words, *QUICK).only_error
