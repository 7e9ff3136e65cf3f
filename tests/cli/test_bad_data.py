"""Data that cannot be audited: one line that says what, where and what to do, and nothing left behind."""

import json
import shutil
from pathlib import Path

import pytest

from tests.cli.helpers import QUICK, run, succeed, write_images


def refusal(*arguments: object) -> str:
    """The one line of a ``score`` that refuses its data before it makes a run folder."""
    outcome = run("score", *arguments, "--run", "audit", *QUICK)
    assert not Path("audit").exists()
    return outcome.only_error


def test_no_such_folder() -> None:
    assert refusal("nowhere") == ("there is no folder nowhere; give a folder that holds one folder of images per class")


def test_a_file_instead_of_a_folder(photos: Path) -> None:
    file = photos / "ant/000.png"
    assert refusal(file) == f"{file} is not a folder; give a folder that holds one folder of images per class"


def test_no_class_folders() -> None:
    Path("flat").mkdir()
    Path("flat/picture.png").touch()
    error = refusal("flat")
    assert error.startswith("flat has no class folders (1 .png: beside the class folders (picture.png)); ")
    assert "--labels FILE.csv" in error


def test_no_images() -> None:
    Path("texts/a").mkdir(parents=True)
    Path("texts/b").mkdir()
    Path("texts/a/notes.txt").write_text("no picture")
    found = "(1 .txt: not an image by its name (a/notes.txt))"
    assert refusal("texts") == f"there are no image files in the class folders of texts {found}; check the folder"


def test_one_class(tmp_path: Path) -> None:
    write_images(tmp_path / "one", classes=("ant",))
    assert refusal("one").startswith("one has one class only ('ant'); an audit compares classes: ")


def test_a_class_with_one_image(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "thin", classes=("ant", "bee"), each=3)
    for name in ("000.png", "001.png"):
        (folder / "ant" / name).unlink()
    error = refusal("thin")
    assert error.startswith("thin: fewer than two readable images in class 'ant'; ")
    assert "in at least two classes: add images" in error


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


def test_every_image_unreadable(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "ruins", each=3)
    for path in folder.rglob("*.png"):
        path.write_bytes(b"no picture")
    error = refusal("ruins")
    assert error.startswith(
        "none of the 12 images in ruins can be read (ant/000.png: not an image that Pillow can read)"
    )
    assert error.endswith("check that the files are images and that you may read them")


def test_an_empty_file_and_a_folder_that_looks_like_an_image(photos: Path) -> None:
    folder = Path(shutil.copytree(photos, "odd"))
    (folder / "ant/empty.png").touch()
    (folder / "bee/folder.png").mkdir()
    outcome = succeed("score", folder, "--run", "audit", *QUICK)
    assert "1 of 49 images cannot be read and are set aside (ant/empty.png: empty file)" in outcome.err


LABELS = {
    "a column is missing": (
        "id,label\nant/000.png,ant\n",
        "labels.csv has no column path (its first line has 'id', 'label'); its first line must name",
    ),
    "no header": (
        "ant/000.png,ant\n",
        "labels.csv has no column path and no column label (its first line has 'ant/000.png', 'ant'); its",
    ),
    "empty": ("", "labels.csv has no column path and no column label (its first line has nothing); its"),
    "no rows": ("path,label\n", "labels.csv lists no files; give one line per image: path,label"),
    "no label": ("path,label\nant/000.png,\n", "labels.csv line 2: no label for 'ant/000.png'; give its label"),
    "a short row": ("path,label\nant/000.png\n", "labels.csv line 2: no label for 'ant/000.png'; give its label"),
    "no path": ("path,label\n,ant\n", "labels.csv line 2: no path; give the path of an image"),
    "twice": (
        "path,label\nant/000.png,ant\nant//000.png,bee\n",
        "labels.csv line 3: 'ant/000.png' is there twice; keep one label a file",
    ),
    "outside": (
        "path,label\n../secret.png,ant\n",
        "labels.csv line 2: '../secret.png' leads out of the image folder; ",
    ),
    "absolute": ("path,label\n/etc/passwd,ant\n", "labels.csv line 2: '/etc/passwd' leads out of the image folder; "),
    "an open quote": ('path,label\n"ant/000.png,ant\n', "labels.csv is not a readable CSV from line 2 on: "),
}


@pytest.mark.parametrize(("text", "expected"), LABELS.values(), ids=LABELS.keys())
def test_a_labels_file_that_cannot_be_used(photos: Path, text: str, expected: str) -> None:
    Path("labels.csv").write_text(text)
    assert refusal(photos, "--labels", "labels.csv").startswith(expected)


def test_a_labels_file_that_is_no_text(photos: Path) -> None:
    Path("labels.csv").write_bytes("path,label\nant/000.png,fourmi géante\n".encode("latin-1"))
    assert refusal(photos, "--labels", "labels.csv") == "labels.csv is not UTF-8 text; save it as CSV in UTF-8"


def test_a_labels_file_that_is_not_there(photos: Path) -> None:
    error = refusal(photos, "--labels", "absent.csv")
    assert error == "cannot read the labels file absent.csv: no such file or directory; check the path"
    assert refusal(photos, "--labels", photos).startswith(f"cannot read the labels file {photos}: is a directory; ")


def test_labels_for_files_that_are_not_there(photos: Path) -> None:
    Path("labels.csv").write_text("path,label\n" + "".join(f"gone/{n}.png,{n % 2}\n" for n in range(4)))
    error = refusal(photos, "--labels", "labels.csv")
    assert error.startswith(f"none of the 4 paths in labels.csv leads to a file in {photos}, as 'gone/0.png'; ")


def refused_weights(data: Path, file: object) -> str:
    outcome = run("retrain", data, "--weights", file, "--out", "out", *QUICK)
    assert not Path("out").exists()
    return outcome.only_error


def test_weights_of_other_data(finished: Path, tmp_path: Path) -> None:
    other = write_images(tmp_path / "other", classes=("eel", "fox"), each=3)
    file = finished / "weights.csv"
    assert refused_weights(other, file) == (
        f"{file} belongs to other data: it has no weight for 'eel/000.png' and 5 more files; "
        f"give the weights of an audit of {other}"
    )


def test_weights_of_images_that_have_changed(finished: Path, photos: Path) -> None:
    changed = Path(shutil.copytree(photos, "changed"))
    shutil.copy(changed / "ant/001.png", changed / "ant/000.png")
    file = finished / "weights.csv"
    assert refused_weights(changed, file) == (
        f"{file} belongs to other data: the content of 'ant/000.png' has changed since; audit the folder again"
    )


WEIGHTS = {
    "no CSV": (b"\xff\xfe\x00\x01", "weights.csv is not a weights file"),
    "other columns": (b"a,b\n1,2\n", "weights.csv has no columns path and weight; give the weights.csv of an audit"),
    "a word": (b"path,weight\nant/000.png,heavy\n", "weights.csv is not a weights file"),
    "negative": (b"path,weight\nant/000.png,-1\n", "weights.csv line 2: '-1' is no weight; use numbers from 0"),
    "infinite": (b"path,weight\nant/000.png,inf\n", "weights.csv line 2: 'inf' is no weight; use numbers from 0"),
    "not a number": (b"path,weight\nant/000.png,nan\n", "weights.csv line 2: 'nan' is no weight; use numbers from 0"),
    "incomplete": (b"path,weight\nant/000.png,1\n", "weights.csv belongs to other data: it has no weight for 'ant/001"),
}


@pytest.mark.parametrize(("content", "expected"), WEIGHTS.values(), ids=WEIGHTS.keys())
def test_weights_that_cannot_be_used(photos: Path, content: bytes, expected: str) -> None:
    Path("weights.csv").write_bytes(content)
    assert refused_weights(photos, "weights.csv").startswith(expected)


def test_weights_that_are_not_there(photos: Path) -> None:
    assert refused_weights(photos, "absent.csv") == "cannot read absent.csv: no such file or directory; check the path"


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
