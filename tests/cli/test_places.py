"""Images that have moved since the audit, and run folders that may not be written to."""

import csv
import json
import shutil
from pathlib import Path
from unittest import mock

import pytest

from labelaudit.errors import StorageError
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, modified, run, succeed, write_images

READ_ONLY = mock.patch.object(RunFolder, "writing", side_effect=StorageError("audit may not be written"))


def root_in(audit: Path) -> Path:
    return Path(json.loads((audit / "run.json").read_text())["data"]["root"])


@pytest.fixture
def moved(photos: Path, tmp_path: Path) -> Path:
    """The same images in another place."""
    return Path(shutil.copytree(photos, tmp_path / "moved"))


@pytest.fixture
def lost(audit: Path) -> Path:
    """An audit whose images are no longer where they were audited."""
    description = json.loads((audit / "run.json").read_text())
    description["data"]["root"] = str(audit / "gone")
    (audit / "run.json").write_text(json.dumps(description))
    return audit


def test_a_page_without_images_says_so_and_data_names_their_place(lost: Path, moved: Path) -> None:
    outcome = succeed("report", lost, "--quiet")
    assert outcome.err.startswith(f"Warning: the page has no images: none of them is in {lost / 'gone'} as ")
    outcome = succeed("report", lost, "--data", moved)
    assert "Warning" not in outcome.err
    assert "gone or have changed" not in outcome.err
    assert outcome.err.splitlines()[-1].endswith(f"labelaudit relabel {moved} corrections.csv")
    assert root_in(lost) == lost / "gone"
    told = run("report", lost, "--data", "nowhere").only_error
    assert told == "--data nowhere is not a folder; give the folder that the images are in now"
    assert run("report", lost, "--data", moved, "--no-html").only_error.startswith("--data is for the page")


def test_an_audit_follows_its_images_by_their_content(lost: Path, moved: Path) -> None:
    before = (lost / "scores.parquet").read_bytes()
    assert "now looks for its images in" in succeed("score", moved, "--run", lost).err
    assert root_in(lost) == moved
    assert (lost / "scores.parquet").read_bytes() == before
    assert "Warning" not in succeed("report", lost).err
    assert "now looks" not in succeed("score", moved, "--run", lost).err
    write_images(moved, each=1, seed=9)
    assert "is the audit of other data" in run("score", moved, "--run", lost).error
    assert root_in(lost) == moved


def test_an_unfinished_audit_follows_its_images_too(half_trained: Path, moved: Path) -> None:
    assert "now looks for its images in" in succeed("score", moved, "--run", half_trained).err
    assert root_in(half_trained) == moved


def test_reading_a_run_needs_no_leave_to_write(audit: Path, photos: Path, moved: Path) -> None:
    plain, before = succeed("score", audit, "-o", "-").out, modified(audit)
    with READ_ONLY:
        assert succeed("score", audit, "-o", "-").out == plain
        assert succeed("score", photos, "--run", audit, "-o", "-").out == plain
        asked = succeed("score", audit, "-o", "-", "--rank-by", "forgetting_count", "--quiet")
        assert asked.out != plain
        assert asked.err == "Warning: the run folder keeps its earlier verdicts: audit may not be written\n"
        assert run("score", audit, "--rank-by", "forgetting_count").error == "audit may not be written"
        outcome = succeed("score", moved, "--run", audit, "-o", "-")
        assert (outcome.out, "Warning: " in outcome.err) == (plain, True)
    assert modified(audit) == before


def test_top_without_out_would_list_nothing(audit: Path) -> None:
    told = run("score", audit, "--top", "3").only_error
    assert told == "--top 3 says how many rows --out gets; add -o FILE, or -o - for stdout"


def test_an_unreadable_image_is_a_finding(tmp_path: Path) -> None:
    photos = write_images(tmp_path / "photos")
    (photos / "ant" / "bad.png").write_bytes(b"no image")
    succeed("score", photos, "--run", "audit", "--epochs", "1", *QUICK[2:])
    with open("audit/unreadable.csv", newline="") as handle:
        (row,) = csv.DictReader(handle)
    assert (row["path"], row["given_label"], row["reason"]) == (
        "ant/bad.png",
        "ant",
        "not an image that Pillow can read",
    )
    noise = json.loads(Path("audit/noise.json").read_text())
    Path("audit/noise.json").write_text(json.dumps({**noise, "warnings": []}))
    assert "1 image of 49 cannot be read; unreadable.csv says which and why." in succeed("report", "audit").out
    assert "ant/bad.png" in Path("audit/report.html").read_text()
    assert run("report", "audit", "--fail-on-warning", "--no-html").code == 1
    assert run("report", "audit", "--max-unreadable", "0", "--no-html").code == 1
    assert run("report", "audit", "--max-unreadable", "1", "--no-html").code == 0
    told = run("report", "audit", "--max-unreadable", "-1").only_error
    assert told == "--max-unreadable -1 is negative; give a number from 0"
    Path("audit/unreadable.csv").unlink()  # as in a run of an earlier version
    assert json.loads(succeed("report", "audit", "--format", "json").out)["unreadable_top"] == [row]
