import errno
import json
import os
import re
from collections import Counter
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from labelaudit.auditing import demo as recipe
from tests.cli.helpers import CLASSES, file_bytes, modified, read_rows, run, succeed, write_images
from tests.helpers import failing

RATES = {"uniform": 0.25, "shuffle-pixels": 0.125, "gaussian": 0.125}
THREE = [word for kind, rate in RATES.items() for word in ("--kind", kind, "--rate", rate)]


@pytest.fixture
def clean() -> Path:
    return write_images(Path("clean"))


def truth(out: str) -> list[dict[str, str]]:
    return read_rows(Path(out, "truth.csv").read_text())


def pixels(*file: object) -> np.ndarray:
    return np.asarray(Image.open(Path(*map(str, file))))


def test_three_kinds_in_one_copy_with_one_truth(clean: Path) -> None:
    before = file_bytes(clean)
    outcome = succeed("corrupt", clean, "out", *THREE)
    assert outcome.out == ""
    assert "uniform: 12 images chosen (25.00%), 12 of them changed" in outcome.err
    out, rows = Path("out"), truth("out")
    assert {row["path"] for row in rows} == {str(path.relative_to(out)) for path in out.glob("*/*")}
    assert {row["source"] for row in rows} == before.keys()
    assert Counter(row["kind"] for row in rows) == {"uniform": 12, "shuffle-pixels": 6, "gaussian": 6, "": 24}
    for row in rows:
        source, place = clean / row["source"], out / row["path"]
        names = row["source"].partition("/")[0], row["path"].partition("/")[0]
        assert (row["label"], row["observed_label"]) == names
        assert {row["selected"], row["changed"]} == {str(int(row["kind"] != ""))}
        is_new = row["kind"] in ("shuffle-pixels", "gaussian")
        assert (row["observed_label"] != row["label"]) == (row["kind"] == "uniform")
        assert source.samefile(place) == (pixels(place) == pixels(source)).all() != is_new
        if row["kind"] == "shuffle-pixels":
            assert np.sort(pixels(place), axis=None).tolist() == np.sort(pixels(source), axis=None).tolist()
        assert place.read_bytes()[:4] == b"\x89PNG"
    assert file_bytes(clean) == before
    made = json.loads((out / "corruption.json").read_text())
    assert (made["seed"], made["draws"], [each["selected"] for each in made["corruptions"]]) == (0, "exact", [12, 6, 6])
    # The truth is what retrain reads, and the copy what an audit reads.
    words = ("--image-size", 16, "--epochs", 1, "--batch-size", 16)
    succeed("retrain", "out", "--method", "oracle", "--truth", "out/truth.csv", "--out", "trained", *words)
    assert "truth" not in succeed("train-probe", "out", "--run", "run", *words).err


def test_names_do_not_clash_and_links_become_files(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # Every image goes to another class, where one of its name is, or one that differs in case or in its suffix.
    for name in CLASSES:
        (clean / name / "000.png").rename(clean / name / ("a.JPG" if name in "ant cat" else "A.jpg"))
        Image.new("L", (8, 8), 9).save(clean / name / "a.png")
    (clean / "ant" / "link.png").symlink_to("a.png")
    words = ("--kind", "uniform", "--rate", 0.5, "--kind", "gaussian", "--rate", 0.5)
    succeed("corrupt", clean, "out", *words)
    rows = truth("out")
    assert len({row["path"].lower() for row in rows}) == len(rows) == 53
    assert not any(Path("out", row["path"]).is_symlink() for row in rows)
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    assert "53 images, 0 of them hard links" in succeed("corrupt", clean, "copied", *words).err
    assert file_bytes(Path("copied"), "*.*") == file_bytes(Path("out"), "*.*")


def test_damaged_images_are_not_changed(clean: Path) -> None:
    (clean / "ant" / "broken.png").write_bytes(b"nothing")
    cut = (clean / "bee" / "000.png").read_bytes()
    (clean / "bee" / "000.png").write_bytes(cut[: len(cut) // 2])
    outcome = succeed("corrupt", clean, "out", "--kind", "gaussian", "--rate", 1)
    by_source = {row["source"]: row for row in truth("out")}
    assert by_source["ant/broken.png"]["selected"] == "0"
    assert (by_source["bee/000.png"]["selected"], by_source["bee/000.png"]["changed"]) == ("1", "0")
    assert "bee/000.png is not changed" in outcome.err
    assert (clean / "bee" / "000.png").samefile("out/bee/000.png")


def test_nothing_is_overwritten_and_bad_options_are_refused_in_one_line(clean: Path) -> None:
    one = ("--kind", "uniform", "--rate", 0.1)
    write_images(Path("single"), classes=("ant",))
    Path("file").write_text("mine")
    Path("empty").mkdir()
    succeed("corrupt", clean, "empty", *one)
    made = file_bytes(Path("empty"))
    for data, out, words, error in (
        (clean, "empty", one, "empty already exists"),
        (clean, "file", one, "file already exists"),
        ("empty", "new", one, "is already a corrupted copy"),
        (clean, clean, one, "contain one another"),
        (clean, ".", one, "contain one another"),
        ("nowhere", "new", one, "there is no folder nowhere"),
        ("single", "new", one, "has one class only"),
        (clean, "new", one[:2], "there are 1 of --kind and 0 of --rate"),
        (clean, "new", ("--kind", "typo", "--rate", 0.1), "there is no --kind 'typo'; give one of uniform, pair-flip"),
        (clean, "new", (*one, "--seed", -1), "--seed -1 is negative"),
        (clean, "new", (*one, *one), "--kind uniform is given twice"),
    ):
        assert error in run("corrupt", data, out, *words).only_error
        assert not Path("new").exists()
    assert file_bytes(Path("empty")) == made
    assert Path("file").read_text() == "mine"
    succeed("corrupt", "single", "new", "--kind", "gaussian", "--rate", 0.1)


def test_the_demo_finds_planted_errors_compares_with_the_truth_and_is_only_read_again(monkeypatch) -> None:
    monkeypatch.setattr(recipe, "audit", partial(recipe.audit, epochs=3))
    outcome = succeed("demo", "folder", "--seed", "3")
    told = re.search(r"AUROC ([\d.]+), .* (\d+) of (\d+) planted errors are among the (\d+) suspicious", outcome.out)
    assert told is not None, outcome.out
    found, planted, suspicious = map(int, told.groups()[1:])
    assert float(told[1]) >= 0.98
    assert found >= max(0.7 * planted, 0.5 * suspicious)
    wrong = {row["path"] for row in truth("folder") if row["label"] != row["given"]}
    assert len(list(Path("folder/images").rglob("*.png"))) == len(truth("folder")) == 1797
    assert len(wrong) == planted == 180
    ranked = [row["path"] for row in read_rows(Path("folder/audit/suspicious.csv").read_text())]
    assert (len(ranked), len(wrong.intersection(ranked))) == (suspicious, found)
    before = modified(Path("folder/audit"))
    assert succeed("demo", "folder", "--seed", "3").out == outcome.out
    assert modified(Path("folder/audit")) == before


def test_the_demo_refuses_a_folder_of_other_files_and_a_file() -> None:
    Path("mine").mkdir()
    Path("mine/letter.txt").write_text("dear")
    assert run("demo", "mine").only_error == "mine holds other files; give a new folder for the demo"
    assert [path.name for path in Path("mine").iterdir()] == ["letter.txt"]
    Path("file").write_text("in the way")
    assert run("demo", "file/below").only_error.startswith("cannot write file/below")
