"""Unusable data: one line says what, where and what to do, and nothing is written."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.helpers import QUICK, run, succeed, write_images


def refusal(*arguments: object) -> str:
    """Return the one line of a ``score`` that refuses its data before it makes a run folder."""
    outcome = run("score", *arguments, "--run", "audit", *QUICK)
    assert not Path("audit").exists()
    return outcome.only_error


def test_unusable_folders(photos: Path, tmp_path: Path) -> None:
    write_images(tmp_path / "one", classes=("ant",))
    for path in (write_images(tmp_path / "thin", classes=("ant", "bee"), each=3) / "ant").glob("00[01].png"):
        path.unlink()
    for path in write_images(tmp_path / "ruins", each=3).rglob("*.png"):
        path.write_bytes(b"nothing")
    for folder in ("flat", "texts/a", "texts/b"):
        Path(folder).mkdir(parents=True)
    Path("flat/image.png").touch()
    Path("texts/a/notes.txt").write_text("no image")
    file, give = photos / "ant/000.png", "give a folder that holds one folder of images per class"
    for folder, expected in {
        "nowhere": f"there is no folder nowhere; {give}",
        file: f"{file} is not a folder; {give}",
        "flat": "flat has no class folders (1 .png: beside the class folders (image.png)); put",
        "texts": "there are no image files in the class folders of texts "
        "(1 .txt: not an image by its name (a/notes.txt)); check the folder",
        "one": "one has one class only ('ant'); an audit compares classes: ",
        "thin": "thin: fewer than two readable images in class 'ant'; ",
        "ruins": "none of the 12 images in ruins can be read (ant/000.png: not an image that Pillow can read); "
        "check that the files are images and that you may read them",
    }.items():
        assert refusal(folder).startswith(expected)


def test_a_class_of_one_image_whose_pixels_remain_is_set_aside(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "thin", classes=("ant", "bee", "cat", "dog"), each=4, size=32)
    for number in ("000", "001", "002"):
        (folder / "ant" / f"{number}.png").unlink()
        damaged = folder / "bee" / f"{number}.png"
        damaged.write_bytes(damaged.read_bytes()[:200])  # the header is whole
    outcome = succeed("score", folder, "--run", "audit", *QUICK)
    assert "3 of 13 images cannot be read and are set aside (bee/000.png: " in outcome.err
    text = "the classes 'ant', 'bee' are not in the audit: one readable image only, which none can be compared with"
    assert f"Warning: {text}" in outcome.err
    noise = json.loads(Path("audit/noise.json").read_text())
    assert noise["warnings"][0] == text
    assert (noise["samples"], noise["readable"]) == (13, 8)
    assert [entry["class"] for entry in noise["classes"]] == ["cat", "dog"]


def test_a_class_whose_pixels_turn_out_damaged(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "rotten", classes=("ant", "bee"), each=3, size=32)
    for path in (folder / "ant").iterdir():
        path.write_bytes(path.read_bytes()[:200])  # the header is whole
    outcome = run("score", folder, "--run", "audit", *QUICK)
    assert "fewer than two readable images in class 'ant'" in outcome.error


def test_an_empty_file_and_a_folder_that_looks_like_an_image(photos: Path) -> None:
    folder = Path(shutil.copytree(photos, "odd"))
    (folder / "ant/empty.png").touch()
    (folder / "bee/folder.png").mkdir()
    outcome = succeed("score", folder, "--run", "audit", *QUICK)
    assert "1 of 49 images cannot be read and are set aside (ant/empty.png: empty file)" in outcome.err


def test_unusable_labels_files(photos: Path) -> None:
    Path("id.csv").write_text("id,label\nant/000.png,ant\n")
    Path("twice.csv").write_text("path,label\nant/000.png,ant\nant//000.png,bee\n")
    Path("gone.csv").write_text("path,label\n" + "".join(f"gone/{n}.png,{n % 2}\n" for n in range(4)))
    for file, expected in {
        "id.csv": "id.csv has no column path (its first line has 'id', 'label'); its first line must name",
        "twice.csv": "twice.csv line 3: 'ant/000.png' is there twice; keep one label per file",
        "gone.csv": f"none of the 4 paths in gone.csv leads to a file in {photos}, as 'gone/0.png'; ",
        "absent.csv": "cannot read the labels file absent.csv: no such file or directory; check the path",
        photos: f"cannot read the labels file {photos}: is a directory; ",
    }.items():
        assert refusal(photos, "--labels", file).startswith(expected)


def refused_weights(data: Path, file: object) -> str:
    """Return the one line of a ``retrain`` that refuses its weights."""
    outcome = run("retrain", data, "--weights", file, "--out", "out", *QUICK)
    assert not Path("out").exists()
    return outcome.only_error


def test_weights_of_other_or_changed_images(finished: Path, photos: Path, tmp_path: Path) -> None:
    other, changed = write_images(tmp_path / "other", classes=("eel", "fox"), each=3), tmp_path / "changed"
    shutil.copy(photos / "ant/001.png", shutil.copytree(photos, changed) / "ant/000.png")
    file = finished / "weights.csv"
    assert refused_weights(other, file) == (
        f"{file} belongs to other data: it has no weight for 'eel/000.png' and 5 more files; "
        f"give the weights of an audit of {other}"
    )
    assert refused_weights(changed, file) == (
        f"{file} belongs to other data: the content of 'ant/000.png' has changed since; audit the folder again"
    )


WEIGHTS = {
    "no CSV": (b"\xff\xfe\x00\x01", "weights.csv is not a weights file"),
    "other columns": (b"a,b\n1,2\n", "weights.csv has no column path and weight; give the weights.csv of an audit"),
    "a word": (b"path,weight\nant/000.png,heavy\n", "weights.csv line 2: 'heavy' is no weight; use numbers from 0"),
    "negative": (b"path,weight\nant/000.png,-1\n", "weights.csv line 2: '-1' is no weight; use numbers from 0"),
    "infinite": (b"path,weight\nant/000.png,inf\n", "weights.csv line 2: 'inf' is no weight; use numbers from 0"),
    "not a number": (b"path,weight\nant/000.png,nan\n", "weights.csv line 2: 'nan' is no weight; use numbers from 0"),
    "incomplete": (b"path,weight\nant/000.png,1\n", "weights.csv belongs to other data: it has no weight for 'ant/001"),
}


@pytest.mark.parametrize(("content", "expected"), WEIGHTS.values(), ids=WEIGHTS.keys())
def test_weights_that_cannot_be_used(photos: Path, content: bytes, expected: str) -> None:
    Path("weights.csv").write_bytes(content)
    assert refused_weights(photos, "weights.csv").startswith(expected)


def test_missing_weights(photos: Path) -> None:
    error = "cannot read absent.csv: no such file or directory; give the weights.csv of an audit"
    assert refused_weights(photos, "absent.csv") == error


def test_a_truth_file_that_misses_images(photos: Path) -> None:
    Path("truth.csv").write_text("path,label\nant/000.png,ant\n")
    outcome = run("retrain", photos, "--method", "oracle", "--truth", "truth.csv", "--out", "out", *QUICK)
    assert outcome.only_error.startswith("truth.csv belongs to other data: it has no label for 'ant/001.png'")
    assert not Path("out").exists()


def test_validation_data_of_other_classes_or_that_is_not_there(photos: Path, tmp_path: Path) -> None:
    other = write_images(tmp_path / "other", classes=("ant", "fox"), each=3)
    words = ("retrain", photos, "--method", "standard", "--out", "out", *QUICK, "--val")
    assert run(*words, other).only_error.startswith(f"{other} has a class that the training data lacks: 'fox'; ")
    assert run(*words, "nowhere").only_error.startswith("there is no folder nowhere; ")
    assert not Path("out").exists()
