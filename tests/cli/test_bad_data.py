"""Unusable data: one line says what, where and what to do, and nothing is written."""

import json
import shutil
from pathlib import Path

from tests.cli.helpers import QUICK, run, succeed, write_images


def test_unusable_folders_and_labels_files(photos: Path) -> None:
    write_images(Path("one"), classes=("ant",))
    Path("texts/a").mkdir(parents=True)
    Path("texts/a/notes.txt").write_text("no image")
    Path("id.csv").write_text("id,label\nant/000.png,ant\n")
    for words, expected in (
        (["nowhere"], "there is no folder nowhere; give a folder that holds one folder of images per class"),
        (["texts"], "there are no image files in the class folders of texts (1 .txt: not an image by its"),
        (["one"], "one has one class only ('ant'); an audit compares classes: "),
        ([photos, "--labels", "id.csv"], "id.csv has no column path (its first line has 'id', 'label'); its first"),
        ([photos, "--labels", photos], f"cannot read the labels file {photos}: is a directory; "),
    ):
        assert run("score", *words, "--run", "audit", *QUICK).only_error.startswith(expected)
        assert not Path("audit").exists()


def test_damaged_images_and_classes_of_one_image_are_set_aside(tmp_path: Path) -> None:
    folder = write_images(tmp_path / "thin", each=4, size=32)
    for number in ("000", "001", "002"):
        (folder / "ant" / f"{number}.png").unlink()
        damaged = folder / "bee" / f"{number}.png"
        damaged.write_bytes(damaged.read_bytes()[:200])  # the header is whole
    (folder / "cat/folder.png").mkdir()
    outcome = succeed("score", folder, "--run", "audit", *QUICK)
    assert "3 of 13 images cannot be read and are set aside (bee/000.png: " in outcome.err
    text = "the classes 'ant', 'bee' are not in the audit: one readable image only, which none can be compared with"
    assert f"Warning: {text}" in outcome.err
    noise = json.loads(Path("audit/noise.json").read_text())
    assert noise["warnings"][0] == text
    assert (noise["samples"], noise["readable"]) == (13, 8)
    assert [entry["class"] for entry in noise["classes"]] == ["cat", "dog"]
    for path in (*(folder / "cat").glob("*.png"), *(folder / "dog").glob("*.png")):
        if path.is_file():
            path.write_bytes(path.read_bytes()[:200])
    outcome = run("score", folder, "--run", "other", *QUICK)
    assert "fewer than two readable images in class 'ant', 'bee', 'cat' and 1 more" in outcome.error


def test_a_retraining_refuses_weights_truth_and_validation_data_of_other_images(finished, photos, tmp_path) -> None:
    other = write_images(tmp_path / "other", classes=("ant", "fox"), each=13)
    changed = Path(shutil.copytree(photos, tmp_path / "changed"))
    shutil.copy(photos / "ant/001.png", changed / "ant/000.png")
    Path("heavy.csv").write_text("path,weight\nant/000.png,heavy\n")
    Path("truth.csv").write_text("path,label\nant/000.png,ant\n")
    weights, standard = ("--weights", finished / "weights.csv"), ("--method", "standard", "--val")
    for data, words, expected in (
        (other, weights, "no weight for 'ant/012.png"),
        (changed, weights, "the content of 'ant/000.png' has changed since; audit the folder again"),
        (photos, ("--weights", "nowhere.csv"), "cannot read nowhere.csv: no such file or directory; "),
        (photos, ("--weights", "heavy.csv"), "heavy.csv line 2: 'heavy' is no weight; use numbers"),
        (
            photos,
            ("--method", "oracle", "--truth", "truth.csv"),
            "truth.csv belongs to other data: it has no label for 'ant/001.png'",
        ),
        (photos, (*standard, other), f"{other} has a class that the training data lacks: 'fox'; "),
        (photos, (*standard, "nowhere"), "there is no folder nowhere; "),
    ):
        assert expected in run("retrain", data, *words, "--out", "out", *QUICK).only_error
        assert not Path("out").exists()
