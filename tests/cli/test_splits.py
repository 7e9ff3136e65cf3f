"""Copies across splits, from the folder to the screen."""

import json
import shutil
from pathlib import Path

import pyarrow.parquet as pq

from tests.cli.helpers import QUICK, succeed, write_images


def test_copies_in_another_split_are_findings_with_a_figure_for_each_split(tmp_path: Path) -> None:
    write_images(tmp_path / "zoo/train", wrong=0)
    (tmp_path / "zoo/test").mkdir()
    shutil.copytree("zoo/train/ant", "zoo/test/ant")
    for path in sorted(Path("zoo/test/ant").iterdir())[3:]:
        path.unlink()
    Path("zoo/test/bee").mkdir()
    first = sorted(path.name for path in Path("zoo/train/ant").iterdir())
    shutil.copy(Path("zoo/train/ant", first[5]), "zoo/test/bee/other.png")
    said = succeed("score", "zoo", "--run", "audit", "--split", "train,test", *QUICK)
    rows = [row for row in pq.read_table("audit/findings.parquet").to_pylist() if row["code"] == "LA007"]
    other_of = {row["path"]: row["other_path"] for row in rows}
    for name in first[:3]:
        assert other_of[f"test/ant/{name}"] == f"train/ant/{name}"
        assert other_of[f"train/ant/{name}"] == f"test/ant/{name}"
    assert other_of["test/bee/other.png"] == f"train/ant/{first[5]}"
    train, test = json.loads(Path("audit/noise.json").read_text())["splits"]
    assert (train["split"], train["samples"], test["split"], test["samples"]) == ("train", 48, "test", 4)
    assert test["leaked"] == 4
    assert test["contradicting"] == 1
    text = " ".join((said.err + said.out).split())
    assert "4 of test (1 with another label); findings.csv lists them (LA007)" in text
    assert "The split test has no images of 2 classes that another split has: cat, dog." in text
