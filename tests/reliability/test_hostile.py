"""Audit a folder with hundreds of bad files: each gets a reason, and the others are judged as without them."""

import contextlib
import os
import re
import shutil
import time
import unicodedata
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image, ImageCms

from labelaudit.data.images import decode, image_suffixes
from tests.cli.helpers import QUICK, Outcome, file_bytes, run, start, succeed, write_images
from tests.data.helpers import encoded
from tests.reliability.hostile import write_hostile
from tests.review.helpers import snapshot

_OPTIONS = ("--epochs", "2", "--batch-size", "64", "--image-size", "16", "--threads", "1", "--precision", "float32")
_MOST_BYTES = 3.2e9  # the audit of 246 images takes 2.1e9; a file of 2 GiB read whole would show
_NOT_SAMPLES = {".hidden.png", "no suffix", "space behind.png "}


@pytest.fixture(scope="module")
def hostile(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[str]]:
    root = tmp_path_factory.mktemp("hostile") / "data"
    made = write_hostile(root)
    write_images(root, each=12, size=24)
    return root, made


@pytest.fixture(scope="module")
def audited(hostile: tuple[Path, list[str]], tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Outcome]:
    """The audit of the folder, in a process of its own; nothing but run folder and cache may change."""
    root, _ = hostile
    place = tmp_path_factory.mktemp("audited")
    before, peak = snapshot(root.parent), 0
    (place / "home").mkdir()
    with pytest.MonkeyPatch.context() as patched:
        for name, folder in (("LABELAUDIT_CACHE", "cache"), ("HOME", "home"), ("TMPDIR", ".")):
            patched.setenv(name, str(place / folder))
        patched.chdir(place)
        words = ("score", root, "--run", place / "audit", "-o", place / "list.csv", "--top", "1000", *_OPTIONS)
        patched.setenv("TORCHINDUCTOR_CACHE_DIR", str(place / "cache"))  # made by an import of torch, in TMPDIR
        with start(*words, shell="> out 2> err") as process:
            # Not getrusage: there the memory of the process that forked counts too.
            while process.poll() is None:
                peak = max(peak, peak_bytes(process.pid))
                time.sleep(0.1)
    assert peak < _MOST_BYTES
    assert snapshot(root.parent) == before
    out, err = (place.joinpath(name).read_text(encoding="utf-8") for name in ("out", "err"))
    assert sorted(path.name for path in place.iterdir()) == ["audit", "cache", "err", "home", "list.csv", "out"]
    assert not list((place / "home").iterdir())
    return place / "audit", Outcome(process.returncode, out, err)


def peak_bytes(pid: int) -> int:
    """Return the largest resident size of a process so far; 0 where the system does not say."""
    with contextlib.suppress(OSError):
        found = re.search(r"^VmHWM:\s*(\d+) kB$", Path(f"/proc/{pid}/status").read_text(), re.MULTILINE)
        return 1024 * int(found[1]) if found else 0
    return 0


def test_the_audit_ends_without_a_traceback_and_lists_every_input(hostile, audited) -> None:
    (root, made), (folder, outcome) = hostile, audited
    assert outcome.code == 0, outcome.err
    assert "Traceback" not in outcome.err
    assert "Warning: " in outcome.err
    assert ".py:" not in outcome.err, "a warning of Python's reaches the user"
    assert outcome.err.replace("\n", "").isprintable()
    assert len(made) >= 300
    listed = set(pq.read_table(folder / "samples.parquet").column("path").to_pylist())
    suffixes = image_suffixes()
    for path in made:
        name = path.removeprefix("cat/")
        if not (root / path).is_dir() and name not in _NOT_SAMPLES and Path(name).suffix.lower() in suffixes:
            assert os.fsencode(path).decode("utf-8", "backslashreplace") in listed


def test_what_is_no_image_is_set_aside_with_a_reason(audited: tuple[Path, Outcome]) -> None:
    rows = pq.read_table(audited[0] / "samples.parquet").to_pylist()
    reason = {row["path"].removeprefix("cat/"): row["reason"] for row in rows}
    for name, expected in {
        "pipe.png": "not a regular file",
        "link-to-zero.png": "not a regular file",
        "link-to-itself.png": "too many levels of symbolic links",
        "link-to-a-text-outside.png": "not an image",
        "hole-of-2-gibibytes.png": "too large",
        "bad-not_images-ghost.png": "not an image",
        "bad-sizes-claims-65535.png": "too large to decode safely",
        "bad-metadata-profile-bomb.png": "too large",
        "latin-1 \\xe9.png": "not valid UTF-8",
    }.items():
        assert expected in reason[name], name
    good = ("metadata-noise-exif-3.jpg", "metadata-profile-noise.png", "sizes-bomb-1-bit.png", "sizes-wide.png")
    for name in ("new\nline.png", "-rf.png", *(f"bad-{name}" for name in good)):
        assert reason[name] == "", name
    # A link to a folder above the data brings no sample of another class into this one.
    assert not [name for name in reason if name.startswith("link-to-the-folder-above/")]
    assert "link-to-this-folder/000.png" not in reason


def test_the_others_have_the_losses_that_they_have_without_the_bad_files(hostile, audited, tmp_path) -> None:
    rows = [row for row in pq.read_table(audited[0] / "samples.parquet").to_pylist() if not row["reason"]]
    for row in rows:
        (tmp_path / "good" / row["path"]).parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(hostile[0] / row["path"], tmp_path / "good" / row["path"])
    succeed("score", tmp_path / "good", "--run", tmp_path / "audit", *_OPTIONS)
    for epoch in range(2):
        name = f"losses/epoch-{epoch:04d}.parquet"
        tables = [pq.read_table(folder / name) for folder in (audited[0], tmp_path / "audit")]
        assert tables[0].column("sample").to_pylist() == [row["sample"] for row in rows]
        for name in ("loss", "margin", "predicted", "alternative"):
            with_bad, without = (table.column(name).to_numpy().tobytes() for table in tables)
            assert with_bad == without


def test_classes_that_differ_in_case_or_unicode_form_only_are_two(tmp_path: Path) -> None:
    names = ("cat", "Cat", unicodedata.normalize("NFC", "é"), unicodedata.normalize("NFD", "é"))
    root = write_images(tmp_path / "images", classes=names)
    if len(list(root.iterdir())) < len(names):
        pytest.skip("a file system that takes these names for equal")
    outcome = succeed("score", root, "--run", tmp_path / "audit", *QUICK)
    assert "'Cat' and 'cat' differ only in spelling" in outcome.err
    classes = pq.read_table(tmp_path / "audit/samples.parquet").column("class").to_pylist()
    assert sorted(set(classes)) == sorted(names)


def test_an_output_through_a_link_goes_where_the_link_leads(finished: Path, tmp_path: Path) -> None:
    (tmp_path / "kept.csv").write_text("old")
    for name, target in {"link.csv": "kept.csv", "to-nothing.csv": "new.csv", "ring.csv": "ring.csv"}.items():
        (tmp_path / name).symlink_to(target)
    for name in ("link.csv", "to-nothing.csv"):
        succeed("score", finished, "-o", tmp_path / name)
        assert (tmp_path / name).is_symlink()
        assert (tmp_path / name).read_text() == (finished / "suspicious.csv").read_text()
    assert (tmp_path / "kept.csv").read_text() == (tmp_path / "new.csv").read_text()
    assert "a link that leads to itself" in run("score", finished, "-o", tmp_path / "ring.csv").error


def test_links_in_a_run_folder_cannot_make_anything_be_written_elsewhere(finished: Path, tmp_path: Path) -> None:
    run_folder = Path(shutil.copytree(finished, tmp_path / "audit"))
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


@pytest.mark.parametrize("name", [".lock", "losses", "heads", "exports", "retrain"])
def test_a_run_folder_whose_folders_are_links_is_refused(finished, photos, tmp_path, name) -> None:
    run_folder = Path(shutil.copytree(finished, tmp_path / "audit"))
    target = tmp_path / "mine"
    if name == "losses":
        (run_folder / name).rename(target)
    else:
        target.mkdir()
        (target / "precious").write_text("mine")
        (run_folder / name).unlink(missing_ok=True)
    (run_folder / name).symlink_to(target / "precious" if name == ".lock" else target)
    before = snapshot(target)
    for words in (
        ("fit", run_folder),
        ("export", run_folder, "--to", "cleanlab"),
        ("retrain", photos, "--weights", run_folder / "weights.csv", *QUICK),
    ):
        assert f"{run_folder / name} is a symbolic link" in run(*words).error
    assert snapshot(target) == before


def test_images_in_lab_are_read_in_their_colours() -> None:
    red = Image.new("RGB", (8, 8), (250, 20, 20))
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    lab = ImageCms.profileToProfile(red, *profiles, outputMode="LAB")
    pixels = decode(encoded(lab, "TIFF"), size=8, channels=3, resize="stretch")
    np.testing.assert_allclose(pixels[:, 0, 0], (250, 20, 20), atol=12)
