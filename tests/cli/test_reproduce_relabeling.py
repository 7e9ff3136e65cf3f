"""``labelaudit reproduce relabeling``: audit, review, relabel, audit again, against the truth."""

import shutil
from pathlib import Path
from typing import Any
from unittest import mock

import pyarrow.parquet as pq
import pytest

from labelaudit.reproduce.relabeling import trees
from labelaudit.review import relabel as recipe
from tests.cli.helpers import CLASSES, QUICK, file_bytes, interrupted, modified, run, succeed, write_images

RELABEL = ("reproduce", "relabeling")


@pytest.fixture(scope="module")
def clean(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Rightly labelled pictures with the same names in every class; to be read only."""
    return write_images(tmp_path_factory.mktemp("clean") / "photos")


def rounds(folder: str = "out") -> list[dict[str, Any]]:
    rows: list[dict[str, Any]] = pq.read_table(Path(folder) / "rounds.parquet").to_pylist()
    return rows


def wrong_images(clean: Path, images: Path) -> int:
    """How many files lie in another class than in the clean folder; no two have the same content."""
    class_of = {content: path.split("/")[0] for path, content in file_bytes(clean).items()}
    return sum(class_of[content] != path.split("/")[0] for path, content in file_bytes(images).items())


def test_what_a_review_finds_is_put_right(clean: Path) -> None:
    before = file_bytes(clean)
    outcome = succeed(*RELABEL, "--data", clean, "--out", "out", "--noise", "uniform:0.25", "--rounds", 2, *QUICK)
    folder = Path("out/uniform-0.25-seed0")
    first, second, third = rounds()
    assert [row["audit"] for row in (first, second, third)] == [1, 2, 3]
    assert (first["samples"], first["wrong"], first["noise_rate"]) == (48, 12, 0.25)
    assert 0 < first["found"] <= first["reviewed"] == first["suspicious"]
    assert first["removed"] == first["found"]
    assert first["spoilt"] == second["spoilt"] == 0
    assert second["wrong"] == 12 - first["removed"]
    assert third["wrong"] == second["wrong"] - second["removed"]
    assert (third["reviewed"], third["found"], third["removed"]) == (0, 0, 0)
    # The same, counted in the folders themselves.
    counted = [wrong_images(clean, folder / f"audit-{number}" / "images") for number in (1, 2, 3)]
    assert counted == [row["wrong"] for row in (first, second, third)]
    assert second["estimate"] < first["estimate"]

    assert file_bytes(clean) == before
    inodes = {path.stat().st_ino for path in clean.rglob("*.png")}
    assert {path.stat().st_ino for path in folder.glob("audit-*/images/*/*")} == inodes
    assert outcome.out == Path("out/relabeling.md").read_text()
    assert f"{first['removed']} of {first['found']} (100.0%)" in outcome.out

    written = modified(folder)
    again = succeed(*RELABEL, "--data", clean, "--out", "out", "--noise", "uniform:0.25", "--rounds", 2, *QUICK)
    assert again.out == outcome.out
    assert modified(folder) == written


def test_an_interrupted_measurement_goes_on(clean: Path) -> None:
    asked = (*RELABEL, "--data", clean, "--noise", "pair-flip:0.25", "--seed", 2, *QUICK)
    # Each audit writes four epochs: the second one stops after its first two.
    with interrupted("labelaudit.audit.probe.write_epoch", call=7):
        assert run(*asked, "--out", "stopped").code == 130
    assert "Going on after 2 of 4 epochs" in succeed(*asked, "--out", "stopped").err
    succeed(*asked, "--out", "whole")
    assert rounds("stopped") == rounds("whole")


def test_files_that_relabeling_leaves_where_they_were_are_noticed(clean: Path) -> None:
    copy = recipe.relabel_copy

    def forgetful(images: Path, asked: Any, out: Path, **others: Any) -> object:
        return copy(images, asked, out, **others) if images == clean else shutil.copytree(images, out)

    with mock.patch.object(trees, "relabel_copy", forgetful):
        outcome = run(*RELABEL, "--data", clean, "--out", "out", "--noise", "uniform:0.25", *QUICK)
    assert "labelled images have no true label" in outcome.error


def test_a_file_with_the_content_of_another_counts_as_not_removed(clean: Path) -> None:
    copy = recipe.relabel_copy

    def careless(images: Path, asked: Any, out: Path, **others: Any) -> object:
        copied = copy(images, asked, out, **others)
        if images != clean:
            changed = next(path for path in out.rglob("*-2.png") if not (images / path.relative_to(out)).exists())
            changed.unlink()
            shutil.copy(clean / "ant" / "000.png", changed)
        return copied

    with mock.patch.object(trees, "relabel_copy", careless):
        succeed(*RELABEL, "--data", clean, "--out", "out", "--noise", "uniform:0.25", *QUICK)
    first, _ = rounds()
    assert first["removed"] == first["found"] - 1 >= 1


def test_decisions_of_another_measurement_are_not_taken(clean: Path) -> None:
    asked = (*RELABEL, "--data", clean, "--out", "out", "--noise", "uniform:0.25", *QUICK)
    succeed(*asked)
    planted = Path("out/uniform-0.25-seed0/audit-1/planted.csv")
    lines = planted.read_text().splitlines(keepends=True)
    planted.write_text("".join(lines[:-1]))
    assert "planted.csv holds other decisions" in run(*asked).error
    planted.unlink()
    succeed(*asked)
    assert planted.read_text() == "".join(lines)


def test_a_link_among_the_images_is_told(clean: Path) -> None:
    data = Path(shutil.copytree(clean, "linked"))
    for name in CLASSES:
        for number in range(12):
            picture = data / name / f"{number:03d}.png"
            picture.rename(picture.with_suffix(".real"))
            picture.symlink_to(picture.with_suffix(".real").name)
    error = run(*RELABEL, "--data", data, "--out", "out", "--noise", "uniform:0.25", *QUICK).error
    assert "12 of the decisions" in error
    assert "is a symbolic link; give a data folder without symbolic links" in error


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--rounds", "0"], "--rounds 0 is too few"),
        (["--noise", "uniform:2"], "the rate '2' is not a number from 0 to below 1"),
        (["--noise", "uniform:0.1", "--noise", "uniform:0.10"], "would have the same name"),
        (["--seed", "-1"], "--seed -1 is negative"),
        (["--seed", "1", "--seed", "1"], "--seed 1 is given twice"),
        (["--epochs", "0"], "--epochs 0 is too small"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_makes_no_sense_is_refused_in_one_line(clean: Path, words: list[str], says: str) -> None:
    assert says in run(*RELABEL, "--data", clean, "--out", "out", "--quiet", *words).only_error
    assert not list(Path().rglob("run.json"))


def test_the_output_may_not_lie_in_the_data(clean: Path) -> None:
    assert "lies in the data folder" in run(*RELABEL, "--data", clean, "--out", clean / "out").only_error
    assert not (clean / "out").exists()


@pytest.mark.slow
def test_on_digits_a_review_removes_the_errors_it_sees_and_the_noise_rate_falls() -> None:
    short = ("--epochs", "3", "--image-size", "8", "--augment", "none", "--precision", "float32", "--threads", "1")
    succeed(*RELABEL, "--out", "out", *short)
    first, second = rounds()
    assert (first["samples"], first["wrong"]) == (1797, 180)
    assert first["removed"] >= 0.95 * first["found"]
    assert first["found"] >= 0.7 * first["wrong"]
    fell = first["noise_rate"] - second["noise_rate"]
    assert first["estimate"] - second["estimate"] == pytest.approx(fell, abs=0.02)
