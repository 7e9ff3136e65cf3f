"""``labelaudit corrupt``: what is in the copy, that the truth file is right, and what is refused or survived."""

import csv
import errno
import json
import os
import signal
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from tests.cli.helpers import CLASSES, file_bytes, run, save, succeed, write_images
from tests.cli.processes import run_until_it_dies

THREE = ("--kind", "uniform", "--rate", 0.25, "--kind", "shuffle-pixels", "--rate", 0.125)
THREE = (*THREE, "--kind", "gaussian", "--rate", 0.125)


@pytest.fixture
def clean() -> Path:
    return write_images(Path("clean"))


def truth(out: Path) -> list[dict[str, str]]:
    with open(out / "truth.csv", encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def pixels(file: Path) -> np.ndarray:
    return np.asarray(Image.open(file))


def test_three_kinds_in_one_copy_with_one_truth(clean: Path) -> None:
    before = file_bytes(clean)
    outcome = succeed("corrupt", clean, "out", *THREE)
    assert outcome.out == ""
    assert "uniform: 12 images chosen (25.00%), 12 of them changed" in outcome.err
    out, rows = Path("out"), truth(Path("out"))
    images = {str(path.relative_to(out)) for path in out.glob("*/*")}
    assert {row["path"] for row in rows} == images
    assert len(images) == 48 == len(rows)
    assert {row["source"] for row in rows} == before.keys() == file_bytes(clean).keys()
    assert [sum(row["kind"] == kind for row in rows) for kind in ("uniform", "shuffle-pixels", "gaussian", "")] == [
        12,
        6,
        6,
        24,
    ]
    for row in rows:
        source, place = clean / row["source"], out / row["path"]
        assert row["label"] == row["source"].partition("/")[0]
        assert row["observed_label"] == row["path"].partition("/")[0]
        assert (row["selected"], row["changed"]) == (("1", "1") if row["kind"] else ("0", "0"))
        spoiled = row["kind"] in ("shuffle-pixels", "gaussian")
        assert source.samefile(place) != spoiled
        assert (row["observed_label"] != row["label"]) == (row["kind"] == "uniform")
        if row["kind"] == "shuffle-pixels":
            assert np.sort(pixels(place), axis=None).tolist() == np.sort(pixels(source), axis=None).tolist()
        assert (pixels(place) != pixels(source)).any() == spoiled
        assert place.read_bytes()[:4] == b"\x89PNG"
    assert file_bytes(clean) == before
    made = json.loads((out / "corruption.json").read_text())
    assert (made["seed"], made["draws"]) == (0, "exact")
    assert [entry["selected"] for entry in made["corruptions"]] == [12, 6, 6]
    assert not [name for name in os.listdir() if name.startswith(".")]


def test_one_permutation_shuffles_all_pictures(clean: Path) -> None:
    succeed("corrupt", clean, "out", "--kind", "shuffle-pixels", "--rate", 1)
    numbered = np.arange(64, dtype=np.uint8).reshape(8, 8)
    save(clean / "ant" / "numbered.png", numbered)
    succeed("corrupt", clean, "again", "--kind", "shuffle-pixels", "--rate", 1)
    from_P = pixels(Path("again/ant/numbered.png")).ravel()
    for row in truth(Path("out")):
        source = pixels(clean / row["source"]).ravel()
        assert (pixels(Path("out") / row["path"]).ravel() == source[from_P]).all()


def test_equal_seeds_give_equal_copies_and_others_others(clean: Path) -> None:
    for out, seed in (("a", 1), ("b", 1), ("c", 2)):
        succeed("corrupt", clean, out, *THREE, "--seed", seed)
    assert file_bytes(Path("a")) == file_bytes(Path("b"))
    assert truth(Path("a")) != truth(Path("c"))


def test_a_random_label_can_be_the_right_one_and_then_stays(clean: Path) -> None:
    succeed("corrupt", clean, "out", "--kind", "random-labels", "--rate", 1)
    rows = truth(Path("out"))
    assert all(row["selected"] == "1" for row in rows)
    assert 4 <= sum(row["changed"] == "0" for row in rows) <= 24
    for row in rows:
        assert (row["changed"] == "0") == (row["path"] == row["source"]) == (row["label"] == row["observed_label"])


def test_independent_draws_choose_about_the_rate(clean: Path) -> None:
    words = ("--kind", "pair-flip", "--rate", 0.3, "--draws", "independent")
    counts = set()
    for seed in range(6):
        succeed("corrupt", clean, f"out{seed}", *words, "--seed", seed, "-q")
        rows = truth(Path(f"out{seed}"))
        counts.add(sum(row["changed"] == "1" for row in rows))
        for row in rows:
            following = CLASSES[(CLASSES.index(row["label"]) + 1) % 4]
            assert row["observed_label"] == (following if row["changed"] == "1" else row["label"])
    assert len(counts) > 2
    assert 2 < np.mean(list(counts)) < 28


def test_names_do_not_clash_not_even_in_case(clean: Path) -> None:
    # Every picture goes to another class, where one of its name is, or one that differs in case, or was its suffix.
    for name in CLASSES:
        (clean / name / "000.png").rename(clean / name / ("a.JPG" if name in "ant cat" else "A.jpg"))
        Image.new("L", (8, 8), 9).save(clean / name / "a.png")
    succeed("corrupt", clean, "out", "--kind", "uniform", "--rate", 0.5, "--kind", "gaussian", "--rate", 0.5)
    rows = truth(Path("out"))
    assert len({row["path"].lower() for row in rows}) == len(rows) == 52
    assert all((Path("out") / row["path"]).is_file() for row in rows)


def test_the_truth_is_what_retrain_reads_and_the_copy_what_an_audit_reads(clean: Path) -> None:
    succeed("corrupt", clean, "out", *THREE)
    words = ("--image-size", 16, "--epochs", 1, "--batch-size", 16)
    succeed("retrain", "out", "--method", "oracle", "--truth", "out/truth.csv", "--out", "trained", *words)
    assert "truth" not in succeed("train-probe", "out", "--run", "run", *words).err


def test_damaged_pictures_stay_and_are_not_chosen(clean: Path) -> None:
    (clean / "ant" / "broken.png").write_bytes(b"nothing")
    cut = (clean / "bee" / "000.png").read_bytes()
    (clean / "bee" / "000.png").write_bytes(cut[: len(cut) // 2])
    outcome = succeed("corrupt", clean, "out", "--kind", "gaussian", "--rate", 1)
    by_source = {row["source"]: row for row in truth(Path("out"))}
    assert by_source["ant/broken.png"]["selected"] == "0"
    assert (by_source["bee/000.png"]["selected"], by_source["bee/000.png"]["changed"]) == ("1", "0")
    assert "bee/000.png stays as it is" in outcome.err
    assert (clean / "bee" / "000.png").samefile("out/bee/000.png")


def test_without_hard_links_files_are_copied(clean: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_link(*arguments: object, **keywords: object) -> None:
        raise OSError(errno.EXDEV, "another file system")

    monkeypatch.setattr(os, "link", no_link)
    outcome = succeed("corrupt", clean, "out", "--kind", "uniform", "--rate", 0.5)
    assert "48 images, 0 of them hard links" in outcome.err
    for row in truth(Path("out")):
        assert (Path("out") / row["path"]).read_bytes() == (clean / row["source"]).read_bytes()


def test_symbolic_links_and_folders_within_classes_are_followed(clean: Path) -> None:
    (clean / "ant" / "deep").mkdir()
    save(clean / "ant" / "deep" / "x.png", np.full((8, 8), 7, np.uint8))
    (clean / "ant" / "link.png").symlink_to("deep/x.png")
    succeed("corrupt", clean, "out", "--kind", "pair-flip", "--rate", 1)
    assert Path("out/bee/deep/x.png").samefile(clean / "ant/deep/x.png")
    assert Path("out/bee/link.png").samefile(clean / "ant/deep/x.png")
    assert not Path("out/bee/link.png").is_symlink()


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["--kind", "uniform"], "there are 1 of --kind and 0 of --rate"),
        ([], "there are 0 of --kind and 0 of --rate"),
        (["--kind", "typo", "--rate", "0.1"], "there is no --kind 'typo'; give one of uniform, pair-flip"),
        (["--kind", "uniform", "--rate", "1.5"], "--rate 1.5 is no share"),
        (["--kind", "uniform", "--rate", "nan"], "--rate nan is no share"),
        (["--kind", "uniform", "--rate", "x"], "Invalid value for '--rate'"),
        (["--kind", "uniform", "--rate", "0.1", "--seed", "-1"], "--seed -1 is negative"),
        (["--kind", "uniform", "--rate", ".6", "--kind", "gaussian", "--rate", ".6"], "together more than 1"),
        (["--kind", "uniform", "--rate", ".1", "--kind", "uniform", "--rate", ".1"], "--kind uniform is given twice"),
    ],
)
def test_bad_options_are_refused_in_one_line(clean: Path, words: list[str], error: str) -> None:
    assert error in run("corrupt", clean, "out", *words).only_error
    assert not Path("out").exists()


def test_nothing_is_overwritten_and_nothing_written_into_the_data(clean: Path) -> None:
    one = ("--kind", "uniform", "--rate", 0.1)
    succeed("corrupt", clean, "out", *one)
    made = file_bytes(Path("out"))
    assert "out is there already" in run("corrupt", clean, "out", *one).only_error
    assert "is a corrupted copy already" in run("corrupt", "out", "twice", *one).only_error
    Path("file").write_text("mine")
    assert "file is there already" in run("corrupt", clean, "file", *one).only_error
    for inside in (clean, clean / "new", Path()):
        assert "lie in each other" in run("corrupt", clean, inside, *one).only_error
    assert "there is no folder nowhere" in run("corrupt", "nowhere", "new", *one).only_error
    assert file_bytes(Path("out")) == made
    assert Path("file").read_text() == "mine"
    Path("empty").mkdir()
    succeed("corrupt", clean, "empty", *one)


def test_one_class_has_no_wrong_labels(clean: Path) -> None:
    write_images(Path("single"), classes=("ant",))
    assert "has one class only" in run("corrupt", "single", "out", "--kind", "uniform", "--rate", 0.1).only_error
    succeed("corrupt", "single", "out", "--kind", "gaussian", "--rate", 0.1)


@pytest.mark.parametrize(("step", "calls"), [("link", (1, 20)), ("sync", (1,)), ("replace", (1, 2))])
def test_a_copy_that_was_killed_is_made_anew_by_the_same_command(
    clean: Path, step: str, calls: tuple[int, ...]
) -> None:
    succeed("corrupt", clean, "whole", *THREE)
    for call in calls:
        assert run_until_it_dies("corrupt", clean, "out", *THREE, "-q", dies_at=(step, call)) == -signal.SIGKILL
        assert not Path("out").exists()
    succeed("corrupt", clean, "out", *THREE)
    assert file_bytes(Path("out")) == file_bytes(Path("whole"))
    assert not [name for name in os.listdir() if name.startswith(".")]
