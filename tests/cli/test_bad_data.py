"""Data that cannot be audited or trained on: one line that says what, where and what to do, and nothing left behind."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.helpers import QUICK, run, succeed, write_images


def refusal(*arguments: object) -> str:
    """Return the one line of a ``score`` that refuses its data before it makes a run folder."""
    outcome = run("score", *arguments, "--run", "audit", *QUICK)
    assert not Path("audit").exists()
    return outcome.only_error


def damage(folder: Path) -> None:
    """Cut every image of a folder; the headers stay whole."""
    for path in folder.iterdir():
        path.write_bytes(path.read_bytes()[:200])


def no_class_folders(root: Path) -> None:
    root.mkdir()
    (root / "image.png").touch()


def no_images(root: Path) -> None:
    (root / "a").mkdir(parents=True)
    (root / "b").mkdir()
    (root / "a/notes.txt").write_text("no image")


def one_image_in_a_class(root: Path) -> None:
    write_images(root, classes=("ant", "bee"), each=3)
    for name in ("000.png", "001.png"):
        (root / "ant" / name).unlink()


def unreadable(root: Path) -> None:
    write_images(root, each=3)
    for path in root.rglob("*.png"):
        path.write_bytes(b"no image")


FOLDERS: dict[str, tuple[Callable[[Path], object], str, str]] = {
    "absent": (lambda _: None, "there is no folder x; give a folder that holds one folder of images per class", ""),
    "a file": (Path.touch, "x is not a folder; give a folder that holds one folder of images per class", ""),
    "flat": (no_class_folders, "x has no class folders (1 .png: beside the class folders (image.png)); ", "--labels"),
    "texts": (no_images, "there are no image files in the class folders of x (1 .txt: not an image by its name ", ""),
    "one class": (lambda root: write_images(root, classes=("ant",)), "x has one class only ('ant'); an audit comp", ""),
    "thin": (one_image_in_a_class, "x: fewer than two readable images in class 'ant'; ", "two classes: add images"),
    "unreadable": (
        unreadable,
        "none of the 12 images in x can be read (ant/000.png: not an image that Pillow",
        "check",
    ),
}


@pytest.mark.parametrize(("make", "start", "part"), FOLDERS.values(), ids=FOLDERS)
def test_folders_that_cannot_be_audited(make: Callable[[Path], object], start: str, part: str) -> None:
    make(Path("x"))
    error = refusal("x")
    assert error.startswith(start)
    assert part in error


def test_a_class_whose_pixels_turn_out_damaged(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "damaged", classes=("ant", "bee"), each=3, size=32)
    damage(folder / "ant")
    error = run("score", folder, "--run", "audit", *QUICK).error
    assert "fewer than two readable images in class 'ant'" in error


def test_a_class_of_one_image_whose_pixels_remain_is_set_aside(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "thin", each=4, size=32)
    damage(folder / "bee")
    for number in ("000", "001", "002"):
        (folder / "ant" / f"{number}.png").unlink()
    shutil.copy(folder / "cat/000.png", folder / "bee/003.png")
    outcome = succeed("score", folder, "--run", "audit", *QUICK)
    assert "3 of 13 images cannot be read and are set aside (bee/000.png: " in outcome.err
    text = "the classes 'ant', 'bee' are not in the audit: one readable image only, which none can be compared with"
    assert f"Warning: {text}" in outcome.err
    noise = json.loads(Path("audit/noise.json").read_text())
    assert noise["warnings"][0] == text
    assert (noise["samples"], noise["readable"]) == (13, 8)
    assert [entry["class"] for entry in noise["classes"]] == ["cat", "dog"]


LABELS: dict[str, tuple[str | bytes, str]] = {
    "a column is missing": (
        "id,label\nant/000.png,ant\n",
        "labels.csv has no column path (its first line has 'id', 'label'); its first line must name",
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
    "outside": ("path,label\n../a.png,ant\n", "labels.csv line 2: '../a.png' leads out of the image folder; "),
    "absolute": ("path,label\n/etc/passwd,ant\n", "labels.csv line 2: '/etc/passwd' leads out of the image folder; "),
    "an open quote": ('path,label\n"ant/000.png,ant\n', "labels.csv is not a readable CSV from line 2 on: "),
    "no text": ("path,label\nant/0.png,géante\n".encode("latin-1"), "labels.csv is not UTF-8 text; save it as CSV in"),
    "other files": ("path,label\ngone/0.png,0\ngone/1.png,1\n", "none of the 2 paths in labels.csv leads to a file in"),
}


@pytest.mark.parametrize(("content", "expected"), LABELS.values(), ids=LABELS)
def test_a_labels_file_that_cannot_be_used(photos: Path, content: str | bytes, expected: str) -> None:
    Path("labels.csv").write_bytes(content if isinstance(content, bytes) else content.encode())
    assert refusal(photos, "--labels", "labels.csv").startswith(expected)


def test_a_labels_file_that_is_no_file(photos: Path) -> None:
    error = refusal(photos, "--labels", "absent.csv")
    assert error == "cannot read the labels file absent.csv: no such file or directory; check the path"
    assert refusal(photos, "--labels", photos).startswith(f"cannot read the labels file {photos}: is a directory; ")


def refused_retraining(data: Path, *options: object) -> str:
    outcome = run("retrain", data, "--out", "out", *QUICK, *options)
    assert not Path("out").exists()
    return outcome.only_error


def test_weights_of_other_or_changed_data(finished: Path, photos: Path, tmp_path: Path) -> None:
    other = write_images(tmp_path / "other", classes=("eel", "fox"), each=3)
    file = finished / "weights.csv"
    assert refused_retraining(other, "--weights", file) == (
        f"{file} belongs to other data: it has no weight for 'eel/000.png' and 5 more files; "
        f"give the weights of an audit of {other}"
    )
    changed = Path(shutil.copytree(photos, "changed"))
    shutil.copy(changed / "ant/001.png", changed / "ant/000.png")
    assert refused_retraining(changed, "--weights", file) == (
        f"{file} belongs to other data: the content of 'ant/000.png' has changed since; audit the folder again"
    )


WEIGHTS = {
    "no CSV": (b"\xff\xfe\x00\x01", "weights.csv is not a weights file"),
    "other columns": (b"a,b\n1,2\n", "weights.csv has no columns path and weight; give the weights.csv of an audit"),
    "a word": (b"path,weight\nant/000.png,heavy\n", "weights.csv is not a weights file"),
    "negative": (b"path,weight\nant/000.png,-1\n", "weights.csv line 2: '-1' is no weight; use numbers from 0"),
    "not a number": (b"path,weight\nant/000.png,nan\n", "weights.csv line 2: 'nan' is no weight; use numbers from 0"),
    "incomplete": (b"path,weight\nant/000.png,1\n", "weights.csv belongs to other data: it has no weight for 'ant/001"),
    "absent": (None, "cannot read weights.csv: no such file or directory; check the path"),
}


@pytest.mark.parametrize(("content", "expected"), WEIGHTS.values(), ids=WEIGHTS)
def test_weights_that_cannot_be_used(photos: Path, content: bytes | None, expected: str) -> None:
    if content is not None:
        Path("weights.csv").write_bytes(content)
    assert refused_retraining(photos, "--weights", "weights.csv").startswith(expected)


def test_truth_and_validation_data_that_do_not_fit(photos: Path, tmp_path: Path) -> None:
    Path("truth.csv").write_text("path,label\nant/000.png,ant\n")
    error = refused_retraining(photos, "--method", "oracle", "--truth", "truth.csv")
    assert error.startswith("truth.csv belongs to other data: it has no label for 'ant/001.png'")
    other = write_images(tmp_path / "other", classes=("ant", "fox"), each=3)
    error = refused_retraining(photos, "--method", "standard", "--val", other)
    assert error.startswith(f"{other} has a class that the training data lacks: 'fox'; ")
    assert refused_retraining(photos, "--method", "standard", "--val", "nowhere").startswith("there is no folder now")
