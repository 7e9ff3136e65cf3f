"""What is in a folder and not in the audit: it is counted by reason and suffix, and lost classes are warned of."""

import io
import os
from pathlib import Path

import pytest
from PIL import Image

from labelaudit.data import walk
from labelaudit.data.folder import require_outside, scan
from labelaudit.data.images import decode_whole
from labelaudit.errors import DataError, UsageError
from tests.data.helpers import encoded, plain_png, write_files

PAIR = {"cat/0.png": plain_png(10), "dog/0.png": plain_png(200)}


def test_everything_that_is_no_sample_is_counted_by_reason_and_suffix(tmp_path):
    extra = {
        "cat/.thumb.png": plain_png(),
        "cat/.cache/0.png": plain_png(),
        "cat/.DS_Store": b"x",
        ".git/0.png": plain_png(),
        "top.png": plain_png(),
        "cat/notes.txt": b"x",
        "dog/deep/more.txt": b"x",
        "dog/nothing": b"BAD",
        "raw/0.CR2": b"x",
        "annotations/0.xml": b"x",
        "@eaDir/cat/0.png": plain_png(),
        "cat/__MACOSX/0.png": plain_png(),
        "runs/one/run.json": b'{"schema_version": 1}',
        "runs/one/losses/0.png": plain_png(),
        "run/run.json": b'{"config": 1}',
        "run/0.png": plain_png(),
        ".labelaudit-dropped/cat/9.png": plain_png(),
    }
    root = write_files(tmp_path, PAIR | extra)
    (root / "newt").mkdir()
    (root / "owl").symlink_to(tmp_path / "gone")
    catalogue = scan(root)
    assert catalogue.paths == ("cat/0.png", "dog/0.png", "run/0.png")
    assert {(row.reason, row.suffix): row.files for row in catalogue.left_out} == {
        (walk.HIDDEN, ""): 2,
        (walk.BESIDE, ".png"): 1,
        (walk.NO_IMAGE, ".txt"): 2,
        (walk.NO_IMAGE, ".xml"): 1,
        (walk.NO_IMAGE, ".json"): 1,
        (walk.NO_IMAGE, ""): 1,
        (walk.UNSUPPORTED, ".cr2"): 1,
        (walk.IN_A_TOOLS_FOLDER, ""): 2,
        (walk.IN_A_RUN, ""): 2,
        (walk.DROPPED, ""): 1,
        ("a link that leads nowhere", ""): 1,
    }
    assert [row.files for row in catalogue.left_out] == sorted((row.files for row in catalogue.left_out), reverse=True)
    assert catalogue.warnings == [
        "class 'newt' is not in the audit: its folder is empty",
        "class 'raw' is not in the audit: 1 .cr2: in a format that is not read: convert it to PNG or JPEG (raw/0.CR2)",
        "class 'owl' is not in the audit: it is a link that leads nowhere",
    ]


def test_folders_that_may_not_be_read_are_warned_of(tmp_path, monkeypatch):
    root = write_files(tmp_path, PAIR | {"fox/0.png": plain_png(), "cat/new/1.png": plain_png()})
    closed, scandir = {str(root / "fox"), str(root / "cat/new")}, os.scandir

    def refuse(path):
        if str(path) in closed:
            raise PermissionError(13, "Permission denied", str(path))
        return scandir(path)

    monkeypatch.setattr(os, "scandir", refuse)
    catalogue = scan(root)
    assert catalogue.paths == ("cat/0.png", "dog/0.png")
    assert [row.text for row in catalogue.left_out] == ["2 × a folder that you may not read (cat/new)"]
    assert catalogue.warnings == [
        "class 'fox' is not in the audit: it is a folder that you may not read",
        "the images in 'cat/new' are not in the audit: the folder cannot be read",
    ]


def test_what_reads_a_format_is_named_where_it_is_not_installed(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "image_suffixes", lambda: frozenset({".png"}))
    catalogue = scan(write_files(tmp_path, PAIR | {"iphone/0.HEIC": b"x", "iphone/1.heic": b"x"}))
    (row,) = catalogue.left_out
    assert row.text == "2 .heic: read when pillow-heif is installed: pip install pillow-heif (iphone/0.HEIC)"
    assert catalogue.warnings == [f"class 'iphone' is not in the audit: {row.text}"]


def test_a_class_of_files_without_a_suffix_in_a_format_that_is_not_read_is_a_warning(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "image_suffixes", lambda: frozenset({".png"}))
    files = {"scan/IM0001": bytes(128) + b"DICM", "phone/0001": b"\0\0\0\x18ftypheic" + bytes(9)}
    warnings = scan(write_files(tmp_path, PAIR | files)).warnings
    assert [text.partition(": ")[0] for text in warnings] == [
        "class 'phone' is not in the audit",
        "class 'scan' is not in the audit",
    ]
    assert "pillow-heif" in warnings[0]
    assert "in a format that is not read" in warnings[1]


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    content = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (48, 32), "red")).save(content)
    catalogue = scan(write_files(tmp_path, PAIR | {"cat/1.HEIC": content.getvalue()}))
    assert (catalogue.readable_N.all(), catalogue.width_N[1], catalogue.height_N[1]) == (True, 48, 32)
    assert decode_whole(content.getvalue()).shape == (32, 48, 3)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n", "a Git LFS pointer, not the image"),
        (b"/annex/objects/SHA256E-s9--0.png\n", "a git-annex pointer, not the image"),
        (b"\n<!DOCTYPE html><p>404", "a web page, not an image"),
    ],
)
def test_what_stands_in_place_of_an_image_is_named(tmp_path, content, reason):
    catalogue = scan(write_files(tmp_path, PAIR | {"fox/1.png": content}))
    assert catalogue.reasons[2].startswith(reason)
    assert f"class 'fox' is not in the audit: no image can be read ({reason}" in catalogue.warnings[0]


def test_classes_that_cannot_be_read_are_warned_of_by_cause(tmp_path):
    files = {
        "blank/1.png": b"",
        "blank/2.png": b"",
        "empty/1.png": b"",
        "page/1.png": b"<html>",
        "page/2.png": b"<html>",
    }
    assert scan(write_files(tmp_path, PAIR | files)).warnings == [
        "the classes 'blank', 'empty' are not in the audit: no image can be read (empty file)",
        "class 'page' is not in the audit: no image can be read (a web page, not an image: download it again)",
    ]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_file_without_a_suffix_is_an_image_by_its_content(tmp_path, form):
    files = {"cat/00": encoded(Image.new("RGB", (4, 4)), form), "dog/00": plain_png(), "dog/Makefile": b"all:\n"}
    catalogue = scan(write_files(tmp_path, files))
    assert catalogue.paths == ("cat/00", "dog/00")
    assert catalogue.readable_N.all()
    assert [row.example for row in catalogue.left_out] == ["dog/Makefile"]


def test_where_nothing_counts_the_reason_is_said(tmp_path):
    root = write_files(tmp_path, {"cat/0.dat": b"x", "dog/0.dat": b"x"})
    with pytest.raises(DataError, match=r"no image files in .* \(2 \.dat: not an image by its name \(cat/0\.dat\)\)"):
        scan(root)
    with pytest.raises(DataError, match=r"has no class folders \(1 \.png: beside the class folders \(0\.png\)\)"):
        scan(write_files(tmp_path / "flat", {"0.png": plain_png()}))


def test_nothing_is_written_into_the_image_folder(tmp_path):
    data = tmp_path / "data"
    (data / "cat").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    for place in (data, data / "cat" / "run", tmp_path / "link" / "run", data / ".." / "data" / "run"):
        with pytest.raises(UsageError, match=rf"--run .* image folder.*; give a place outside it, as {data}-audit"):
            require_outside(place, data, "--run")
    require_outside(tmp_path / "data-audit", data, "--run")
    require_outside(Path("runs"), data, "--run")
