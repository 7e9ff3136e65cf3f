"""Hundreds of bad files in one folder: the audit ends, says why each is set aside, and judges the others as ever."""

import os
import shutil
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from labelaudit.audit import probe
from labelaudit.data.images import decode, image_suffixes
from tests.cli.helpers import QUICK, Outcome, file_bytes, pattern, run, run_process, save, succeed, write_images
from tests.reliability.hostile import encoded, picture, to_lab, write_hostile
from tests.reliability.memory import run_measured
from tests.review.helpers import snapshot

_OPTIONS = ("--epochs", "2", "--batch-size", "64", "--image-size", "16", "--threads", "1", "--precision", "float32")
_MOST_MEGABYTES = 2600
_NOT_SAMPLES = {".hidden.png", "no suffix", "space behind.png "}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, dict[str, str]]:
    root = tmp_path_factory.mktemp("hostile") / "data"
    made = write_hostile(root)
    write_images(root, each=12, size=24)
    return root, made


@pytest.fixture(scope="module")
def audited(hostile: tuple[Path, dict[str, str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The audit of the folder, in a process of its own; nothing but run folder and cache may change."""
    root, _ = hostile
    place = tmp_path_factory.mktemp("audited")
    before = snapshot(root.parent)
    (place / "home").mkdir()
    environment = {"LABELAUDIT_CACHE": str(place / "cache"), "HOME": str(place / "home"), "TMPDIR": str(place)}
    words = ("score", root, "--run", place / "audit", "-o", place / "list.csv", "--top", "1000", *_OPTIONS)
    ended = run_measured(*words, environment=environment, cwd=place)
    assert ended.peak_megabytes < _MOST_MEGABYTES
    assert snapshot(root.parent) == before
    assert sorted(path.name for path in place.iterdir()) == ["audit", "cache", "home", "list.csv"]
    assert not list((place / "home").iterdir())
    return place / "audit", ended.outcome


def test_there_are_at_least_300_bad_inputs(hostile: tuple[Path, dict[str, str]]) -> None:
    assert len(hostile[1]) >= 300


def test_the_audit_ends_without_a_traceback(audited: tuple[Path, Outcome]) -> None:
    _, outcome = audited
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    assert "Warning: " in outcome.err
    assert ".py:" not in outcome.err, "a warning of Python's reaches the user"
    assert outcome.err.replace("\n", "").isprintable()


def test_every_input_is_listed(hostile: tuple[Path, dict[str, str]], audited: tuple[Path, Outcome]) -> None:
    root, made = hostile
    listed = set(pq.read_table(audited[0] / "samples.parquet").column("path").to_pylist())
    suffixes = image_suffixes()
    for path, kind in made.items():
        name = path.removeprefix("cat/")
        if (root / path).is_dir() or name in _NOT_SAMPLES or os.path.splitext(name)[1].lower() not in suffixes:
            continue
        shown = os.fsencode(path).decode("utf-8", "backslashreplace")
        assert shown in listed, f"{kind}: {path!r}"


def test_what_is_no_picture_is_set_aside_with_a_reason(audited: tuple[Path, Outcome]) -> None:
    rows = pq.read_table(audited[0] / "samples.parquet").to_pylist()
    reason = {row["path"].removeprefix("cat/"): row["reason"] for row in rows}
    for name, expected in {
        "pipe.png": "not a regular file",
        "link-to-zero.png": "not a regular file",
        "link-to-itself.png": "too many levels of symbolic links",
        "link-to-a-text-outside.png": "not an image",
        "hole-of-2-gibibytes.png": "too large",
        "bad-not_images-empty.jpg": "empty file",
        "bad-not_images-ghost.png": "not an image",
        "bad-not_images-pickle.png": "not an image",
        "bad-sizes-claims-65535.png": "too large to decode safely",
        "bad-metadata-profile-bomb.png": "too large",
        "latin-1 \\xe9.png": "not valid UTF-8",
    }.items():
        assert expected in reason[name], name
    for name in ("new\nline.png", "-rf.png", "bad-modes-LAB.tif", "bad-modes-CMYK.jpg", "bad-sizes-wide.png"):
        assert reason[name] == "", name
    for name in ("bad-metadata-noise-exif-3.jpg", "bad-metadata-profile-noise.png", "bad-sizes-bomb-1-bit.png"):
        assert reason[name] == "", name
    # A link to a folder above the data brings no sample of another class into this one.
    assert not [name for name in reason if name.startswith("link-to-the-folder-above/")]
    assert "link-to-this-folder/000.png" not in reason


def test_the_others_have_the_losses_that_they_have_without_the_bad_files(
    hostile: tuple[Path, dict[str, str]], audited: tuple[Path, Outcome], tmp_path: Path
) -> None:
    root, _ = hostile
    rows = [row for row in pq.read_table(audited[0] / "samples.parquet").to_pylist() if not row["reason"]]
    good = tmp_path / "good"
    for row in rows:
        (good / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        (good / row["path"]).write_bytes((root / row["path"]).read_bytes())
    ended = run_process("score", good, "--run", tmp_path / "audit", *_OPTIONS)
    assert ended.code == 0, ended.err
    for epoch in range(2):
        with_bad, without = (
            pq.read_table(folder / f"losses/epoch-{epoch:04d}.parquet") for folder in (audited[0], tmp_path / "audit")
        )
        assert with_bad.column("sample").to_pylist() == [row["sample"] for row in rows]
        for name in ("loss", "margin", "predicted", "alternative"):
            assert with_bad.column(name).to_numpy().tobytes() == without.column(name).to_numpy().tobytes()


def test_files_that_change_and_vanish_between_the_scan_and_the_training(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    root = write_images(tmp_path / "pictures")
    prepare = probe.prepare

    def meanwhile(*arguments: object, **keywords: object) -> object:
        (root / "ant/003.png").unlink()
        save(root / "bee/004.png", pattern(0, 4, 8, np.random.default_rng(9)))
        (root / "cat/005.png").write_bytes(b"")
        (root / "dog/006.png").unlink()
        os.mkfifo(root / "dog/006.png")
        return prepare(*arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(probe, "prepare", meanwhile)
        outcome = succeed("score", root, "--run", tmp_path / "audit", *QUICK)
    assert "4 of 48 images cannot be read and are set aside" in outcome.err
    reason = {
        row["path"]: row["reason"]
        for row in pq.read_table(tmp_path / "audit/samples.parquet").to_pylist()
        if row["reason"]
    }
    assert reason == {
        "ant/003.png": "no such file or directory",
        "bee/004.png": "it changed while the folder was audited",
        "cat/005.png": "it changed while the folder was audited",
        "dog/006.png": "not a regular file",
    }
    fewer = write_images(tmp_path / "fewer")
    for path in reason:
        (fewer / path).unlink()
    succeed("score", fewer, "--run", tmp_path / "fewer-audit", *QUICK)
    for epoch in range(4):
        losses = [
            pq.read_table(tmp_path / f"{name}/losses/epoch-{epoch:04d}.parquet").column("loss").to_pylist()
            for name in ("audit", "fewer-audit")
        ]
        assert losses[0] == losses[1]


def test_classes_that_differ_in_case_or_unicode_form_only_are_two(tmp_path: Path) -> None:
    names = ("cat", "Cat", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"))
    root = write_images(tmp_path / "pictures", classes=names)
    if len(list(root.iterdir())) < len(names):
        pytest.skip("a file system that takes these names for equal")
    outcome = succeed("score", root, "--run", tmp_path / "audit", *QUICK)
    assert "'Cat' and 'cat' differ in their form only" in outcome.err
    classes = pq.read_table(tmp_path / "audit/samples.parquet").column("class").to_pylist()
    assert sorted(set(classes)) == sorted(names)


def test_a_class_folder_that_cannot_be_named_or_entered_is_one_line(tmp_path: Path) -> None:
    root = write_images(tmp_path / "pictures")
    Path(root, os.fsdecode(b"\xff")).mkdir()
    with open(os.fsencode(root) + b"/\xff/1.png", "wb") as handle:
        handle.write(encoded(picture(1), "PNG"))
    outcome = succeed("score", root, "--run", tmp_path / "audit", *QUICK)
    assert "class '\\\\xff' is not in the audit: no image can be read (file name is not valid UTF-8)" in outcome.err
    shutil.rmtree(os.fsencode(root) + b"/\xff")
    (root / "loop").symlink_to("loop")
    (root / "above").symlink_to("..")
    (root / "nothing").symlink_to("nowhere")
    (root / "here").symlink_to(".")
    succeed("score", root, "--run", tmp_path / "again", *QUICK)
    assert len(pq.read_table(tmp_path / "again/samples.parquet")) == 48


def test_an_output_through_a_link_goes_where_the_link_leads(tmp_path: Path) -> None:
    root = write_images(tmp_path / "pictures")
    succeed("score", root, "--run", tmp_path / "audit", *QUICK)
    (tmp_path / "kept.csv").write_text("old")
    (tmp_path / "link.csv").symlink_to("kept.csv")
    (tmp_path / "to-nothing.csv").symlink_to("new.csv")
    (tmp_path / "ring.csv").symlink_to("ring.csv")
    for name in ("link.csv", "to-nothing.csv"):
        succeed("score", tmp_path / "audit", "-o", tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == (tmp_path / "audit/suspicious.csv").read_text()
    assert (tmp_path / "kept.csv").read_text() == (tmp_path / "new.csv").read_text()
    assert "a link that leads to itself" in run("score", tmp_path / "audit", "-o", tmp_path / "ring.csv").error


def test_a_stranger_s_run_folder_cannot_make_anything_be_written_elsewhere(tmp_path: Path) -> None:
    root = write_images(tmp_path / "pictures")
    run_folder = tmp_path / "audit"
    succeed("score", root, "--run", run_folder, *QUICK)
    mine = tmp_path / "mine"
    mine.mkdir()
    for name in ("suspicious.csv", "weights.csv", ".noise.json.partial", ".scores.parquet.partial"):
        (mine / name).write_text("precious")
        (run_folder / name).unlink(missing_ok=True)
        (run_folder / name).symlink_to(mine / name)
    before = file_bytes(mine)
    succeed("fit", run_folder)
    succeed("report", run_folder)
    assert file_bytes(mine) == before
    assert not (run_folder / "suspicious.csv").is_symlink()


@pytest.mark.parametrize("name", [".lock", "losses", "pilot", "exports", "retrain"])
def test_a_run_folder_whose_folders_are_links_is_refused(tmp_path: Path, name: str) -> None:
    root = write_images(tmp_path / "pictures")
    run_folder = tmp_path / "audit"
    succeed("score", root, "--run", run_folder, *QUICK)
    target = tmp_path / "mine"
    if (run_folder / name).is_dir():
        (run_folder / name).rename(target)
    elif name == ".lock":
        target.write_text("precious")
        (run_folder / name).unlink(missing_ok=True)
    else:
        target.mkdir()
    (run_folder / name).symlink_to(target)
    before = snapshot(target) if target.is_dir() else target.read_bytes()
    for words in (
        ("fit", run_folder),
        ("export", run_folder, "--to", "cleanlab"),
        ("retrain", root, "--weights", run_folder / "weights.csv", *QUICK),
    ):
        error = run(*words).error
        assert f"{run_folder / name} is a symbolic link" in error
    assert (snapshot(target) if target.is_dir() else target.read_bytes()) == before


def test_pictures_in_lab_are_read_in_their_colours() -> None:
    red = Image.new("RGB", (8, 8), (250, 20, 20))
    pixels = decode(encoded(to_lab(red), "TIFF"), size=8, channels=3, fit="stretch")
    np.testing.assert_allclose(pixels[:, 0, 0], (250, 20, 20), atol=12)
