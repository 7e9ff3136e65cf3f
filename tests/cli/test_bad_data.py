"""Unusable data: one line says what, where and what to do, and nothing is written."""

import shutil
from pathlib import Path

from tests.cli.helpers import QUICK, run, write_images


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
