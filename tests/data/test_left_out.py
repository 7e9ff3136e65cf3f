"""Files that are not in the audit are counted by reason and suffix, and lost classes are warned of."""

import errno
import io
import os

import pytest
from PIL import Image

from labelaudit.data import walk
from labelaudit.data.folder import scan
from labelaudit.data.images import decode_whole
from tests.data.helpers import PAIR, encoded, plain_png, write_files
from tests.helpers import failing


def test_everything_that_is_no_sample_is_counted_by_reason_and_suffix(tmp_path):
    png, other = plain_png(), b"x"
    files = {
        png: (
            *("cat/.thumb.png", "cat/.cache/0.png", ".git/0.png", "top.png", "@eaDir/cat/0.png"),
            *("cat/__MACOSX/0.png", "runs/one/losses/0.png", "run/0.png", ".labelaudit-dropped/cat/9.png"),
        ),
        other: ("cat/.DS_Store", "cat/notes.txt", "dog/deep/more.txt", "raw/0.CR2", "annotations/0.xml"),
        b"BAD": ("dog/nothing",),
        b'{"schema_version": 1}': ("runs/one/run.json",),
        b'{"config": 1}': ("run/run.json",),
    }
    root = write_files(tmp_path, PAIR | {path: content for content, paths in files.items() for path in paths})
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
    monkeypatch.setattr(os, "scandir", lambda path: (failing(errno.EACCES) if str(path) in closed else scandir)(path))
    catalogue = scan(root)
    assert catalogue.paths == ("cat/0.png", "dog/0.png")
    assert [row.text for row in catalogue.left_out] == ["2 × a folder that you may not read (cat/new)"]
    assert catalogue.warnings == [
        "class 'fox' is not in the audit: it is a folder that you may not read",
        "the images in 'cat/new' are not in the audit: the folder cannot be read",
    ]


def test_unsupported_formats_are_named_with_the_package_that_reads_them(tmp_path, monkeypatch):
    monkeypatch.setattr(walk, "image_suffixes", lambda: frozenset({".png"}))
    heic = "read when pillow-heif is installed: pip install pillow-heif"
    files = {"iphone/0.HEIC": b"x", "iphone/1.heic": b"x", "phone/0001": b"\0\0\0\x18ftypheic" + bytes(9)}
    catalogue = scan(write_files(tmp_path, PAIR | files | {"scan/IM0001": bytes(128) + b"DICM"}))
    assert catalogue.left_out[0].text == f"2 .heic: {heic} (iphone/0.HEIC)"
    assert catalogue.warnings == [
        f"class 'iphone' is not in the audit: 2 .heic: {heic} (iphone/0.HEIC)",
        f"class 'phone' is not in the audit: 1 file: {heic} (phone/0001)",
        f"class 'scan' is not in the audit: 1 file: {walk.UNSUPPORTED} (scan/IM0001)",
    ]


def test_heic_is_read_where_pillow_heif_is_installed(tmp_path):
    heif = pytest.importorskip("pillow_heif")
    content = io.BytesIO()
    heif.from_pillow(Image.new("RGB", (48, 32), "red")).save(content)
    catalogue = scan(write_files(tmp_path, PAIR | {"cat/1.HEIC": content.getvalue()}))
    assert (catalogue.used_N.all(), catalogue.width_N[1], catalogue.height_N[1]) == (True, 48, 32)
    assert decode_whole(content.getvalue()).shape == (32, 48, 3)


def test_classes_without_a_readable_image_are_warned_of_by_cause(tmp_path):
    lfs = b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n"
    files = {
        "annex/1.png": b"/annex/objects/SHA256E-s9--0.png\n",
        "blank/1.png": b"",
        "blank/2.png": b"",
        "empty/1.png": b"",
        "lfs/1.png": lfs,
        "page/1.png": b"\n<!DOCTYPE html><p>404",
        "page/2.png": b"<html>",
    }
    no_image = "not in the audit: no image can be read"
    assert scan(write_files(tmp_path, PAIR | files)).warnings == [
        f"class 'annex' is {no_image} (a git-annex pointer, not the image: git annex get fetches it)",
        f"the classes 'blank', 'empty' are {no_image} (empty file)",
        f"class 'lfs' is {no_image} (a Git LFS pointer, not the image: git lfs pull fetches it)",
        f"class 'page' is {no_image} (a web page, not an image: download it again)",
    ]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "GIF", "BMP", "WEBP", "TIFF"])
def test_a_file_without_a_suffix_is_an_image_by_its_content(tmp_path, form):
    files = {"cat/00": encoded(Image.new("RGB", (4, 4)), form), "dog/00": plain_png(), "dog/Makefile": b"all:\n"}
    catalogue = scan(write_files(tmp_path, files))
    assert catalogue.paths == ("cat/00", "dog/00")
    assert catalogue.used_N.all()
    assert [row.example for row in catalogue.left_out] == ["dog/Makefile"]
