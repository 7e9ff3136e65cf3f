import errno
import hashlib
import os
from itertools import product

import pytest
from PIL import Image

from labelaudit.data import containers, walk
from labelaudit.data.containers import read_file
from labelaudit.data.folder import require_outside, scan
from labelaudit.data.images import UnreadableImageError, decode_whole
from labelaudit.errors import DataError, UsageError
from tests.data.helpers import PAIR, encoded, given_in, noise_image, plain_png, png_that_claims, write_files
from tests.helpers import failing


def test_class_folders_are_the_labels(tmp_path):
    content = encoded(Image.new("RGB", (6, 3)))
    files = {"dog/b.png": content, "cat/a.png": plain_png(), "dog/a.JPG": encoded(noise_image(size=(48, 32)), "JPEG")}
    catalogue = scan(write_files(tmp_path, files))
    assert given_in(catalogue) == {"cat/a.png": "cat", "dog/a.JPG": "dog", "dog/b.png": "dog"}
    assert catalogue.width_N.tolist() == [4, 48, 6]
    assert catalogue.height_N.tolist() == [4, 32, 3]
    assert catalogue.grey_N.tolist() == [True, False, False]
    assert catalogue.sha256[2] == hashlib.sha256(content).hexdigest()
    assert catalogue.used_N.all()


def test_links_to_folders_are_followed_but_not_upwards(tmp_path):
    root = write_files(tmp_path / "images", {**PAIR, "cat/first/1.png": plain_png()})
    write_files(tmp_path / "more", {"2.png": plain_png()})
    links = (("cat/up", root / "cat"), ("cat/second", "first"), ("dog/more", tmp_path / "more"))
    for link, target in (*links, ("owl", "cat"), ("self", "self")):
        (root / link).symlink_to(target, target_is_directory=True)
    inside = ("0.png", "first/1.png", "second/1.png")
    expected = {f"{label}/{name}": label for label in ("cat", "owl") for name in inside}
    assert given_in(scan(root)) == {**expected, "dog/0.png": "dog", "dog/more/2.png": "dog"}


@pytest.mark.timeout(20)
def test_links_pipes_damaged_files_and_names_that_are_no_utf8_are_set_aside(tmp_path):
    huge = png_that_claims(30000, 30000)
    write_files(tmp_path, PAIR | {"cat/bad.png": huge, "cat/empty.png": b"", "dog/text.png": b"404 Not Found"})
    (tmp_path / "cat" / "self.png").symlink_to("self.png")
    (tmp_path / "dog" / "gone.png").symlink_to("nothing.png")
    os.mkfifo(tmp_path / "cat" / "pipe.png")
    (tmp_path / os.fsdecode(b"caf\xe9")).mkdir()
    for name in (b"cat/\xff.png", b"caf\xe9/0.png"):
        (tmp_path / os.fsdecode(name)).write_bytes(plain_png())
    catalogue = scan(tmp_path)
    assert catalogue.classes == ("caf\\xe9", "cat", "dog")
    found = {path: reason for path, reason in zip(catalogue.paths, catalogue.reasons, strict=True) if reason}
    assert found == {
        "caf\\xe9/0.png": "file name is not valid UTF-8",
        "cat/\\xff.png": "file name is not valid UTF-8",
        "cat/bad.png": "too large to decode safely",
        "cat/empty.png": "empty file",
        "cat/pipe.png": "not a regular file",
        "cat/self.png": "too many levels of symbolic links",
        "dog/gone.png": "no such file or directory",
        "dog/text.png": "not an image that Pillow can read",
    }
    assert catalogue.used_N.tolist() == [path not in found for path in catalogue.paths]
    bad = catalogue.paths.index("cat/bad.png")
    assert (catalogue.sha256[bad], catalogue.width_N[bad]) == (hashlib.sha256(huge).hexdigest(), 0)
    assert catalogue.sha256[catalogue.paths.index("cat/self.png")] == ""


def test_a_huge_file_is_not_read(tmp_path, monkeypatch):
    file = tmp_path / "huge.png"
    with open(file, "wb") as handle:
        handle.truncate(containers.MAX_FILE_BYTES + (5 << 20))
    with pytest.raises(UnreadableImageError, match=r"^file of 1029 MiB is too large$"):
        read_file(file)
    monkeypatch.setattr(containers, "MAX_FILE_BYTES", 3)
    write_files(tmp_path, {"fits": b"abc"})
    assert read_file(tmp_path / "fits") == b"abc"


def test_a_labels_file_replaces_the_folders(tmp_path):
    root = write_files(tmp_path / "images", PAIR | {"flat.png": plain_png(), "0": plain_png()})
    labels = tmp_path / "labels.csv"
    labels.write_text("path,label\nflat.png,wolf\ncat/0.png,dog\n0,cat\nnowhere.png,dog\ndog,dog\n")
    catalogue = scan(root, labels_file=labels)
    expected = {"0": "cat", "cat/0.png": "dog", "dog": "dog", "flat.png": "wolf", "nowhere.png": "dog"}
    assert given_in(catalogue) == expected
    assert catalogue.paths == tuple(expected)
    assert catalogue.reasons == ("", "", "is a directory", "", "no such file or directory")
    assert [row.text for row in catalogue.left_out] == ["1 .png: not in the labels file (dog/0.png)"]


def test_unusable_folders_are_refused(tmp_path, monkeypatch):
    write_files(tmp_path, {"file.png": plain_png(), "flat/0.png": plain_png(), "flat/.hidden/0.png": plain_png()})
    write_files(tmp_path, {"data/cat/0.dat": b"x", "data/dog/0.dat": b"x"})
    for name, message in (
        ("nowhere", r"there is no folder .*nowhere\W give a folder that holds one folder"),
        ("file.png", r"file\.png is not a folder"),
        ("x" * 300, r"cannot read .*: file name too long\W check the path"),
        ("flat", r"has no class folders \(1 \.png: beside .* \(0\.png\); 1 file: hidden.*\).* or .* --labels"),
        ("data", r"no image files in .* \(2 \.dat: not an image by its name \(cat/0\.dat\)\)"),
    ):
        with pytest.raises(DataError, match=message):
            scan(tmp_path / name)
    monkeypatch.setattr(os, "scandir", failing(errno.EACCES))
    with pytest.raises(DataError, match=r"cannot read .*: permission denied"):
        scan(tmp_path)


def test_nothing_is_written_into_the_image_folder(tmp_path):
    data = tmp_path / "data"
    (data / "cat").mkdir(parents=True)
    (tmp_path / "link").symlink_to(data)
    for place in (data, data / "cat" / "run", tmp_path / "link" / "run", data / ".." / "data" / "run"):
        with pytest.raises(UsageError, match=rf"--run .* image folder.*; give a place outside it, as {data}-audit"):
            require_outside(place, data, "--run")
    require_outside(tmp_path / "data-audit", data, "--run")


def test_everything_that_is_no_sample_is_counted_by_reason_and_suffix(tmp_path):
    images = ("cat/.thumb.png", "cat/.cache/0.png", ".git/0.png", "top.png", "@eaDir/cat/0.png", "run/0.png")
    images += ("cat/__MACOSX/0.png", "runs/one/losses/0.png")
    others = ("cat/.DS_Store", "cat/notes.txt", "dog/deep/more.txt", "raw/0.CR2", "annotations/0.xml", "dog/nothing")
    files = {**PAIR, **dict.fromkeys(images, plain_png()), **dict.fromkeys(others, b"BAD")}
    runs = {"runs/one/run.json": b'{"schema_version": 1}', "run/run.json": b'{"config": 1}'}
    root = write_files(tmp_path, files | runs)
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
    heif, file = pytest.importorskip("pillow_heif"), tmp_path / "cat/1.HEIC"
    write_files(tmp_path, PAIR)
    heif.from_pillow(Image.new("RGB", (48, 32), "red")).save(file)
    catalogue = scan(tmp_path)
    assert (catalogue.used_N.all(), catalogue.width_N[1], catalogue.height_N[1]) == (True, 48, 32)
    assert decode_whole(file.read_bytes()).shape == (32, 48, 3)


def test_classes_without_a_readable_image_are_warned_of_by_cause(tmp_path):
    files = {
        **dict.fromkeys(("blank/1.png", "blank/2.png", "empty/1.png"), b""),
        "annex/1.png": b"/annex/objects/SHA256E-s9--0.png\n",
        "lfs/1.png": b"version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n",
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


def images(root, *folders):
    return write_files(root, {f"{folder}/{number}.png": plain_png() for folder in folders for number in range(2)})


def crossed(outer, inner):
    return [f"{first}/{second}" for first, second in product(outer.split(), inner.split())]


@pytest.mark.parametrize(
    ("folders", "command"),
    [
        (crossed("train val test", "cat dog"), "--split train,val,test"),
        ([*crossed("seg_train/in seg_test/in", "cat dog"), "seg_pred"], "--split seg_train/in,seg_test/in"),
        ([*crossed("train", "cat dog"), "val"], r"--split train \(val without class folders\)"),
        (["train", "test"], r"no class folders: give the labels with --labels FILE\.csv"),
        (crossed("north south", "cat dog fox"), "--split north,south"),
        ([*crossed("birds/train birds/val", "owl tit"), "beasts/cat", "beasts/dog"], "--split birds/train,birds/val"),
        (crossed("north/images south/images", "cat dog fox"), "--split north/images,south/images"),
        (crossed("fold1/train fold1/val fold2/train fold2/val", "cat dog"), "--split fold1/train,fold1/val,fold2/tr"),
        (["My train/cat", "My train/dog", "My val/cat", "My val/dog"], "--split 'My train,My val'"),
        (["images", "masks"], r"their annotations, not classes; give the labels with --labels FILE\.csv"),
        (crossed("train val", "images labels"), "images, train/labels in .* their annotations"),
        (crossed("dataset", "cat dog"), "give .*/dataset"),
        (crossed("set/train set/val", "cat dog"), "--split set/train,set/val"),
    ],
)
def test_parts_of_a_data_set_are_refused_with_the_command(tmp_path, folders, command):
    with pytest.raises(DataError, match=command):
        scan(images(tmp_path, *folders))


@pytest.mark.parametrize(
    "folders",
    [
        crossed("cat dog", "2021 2022"),
        [*crossed("beast bird", "2021 2022"), "bird/2023"],
        ["train/ice", "train/tgv", "plane/jet", "plane/prop"],
        ["test", "control"],
        crossed("chair table sofa", "front side top"),
        crossed("shirt dress", "red_1 green blue"),
        crossed("cat/train cat/val dog/train dog/val", "2021 2022"),
        ["test_tube/a", "test_tube/b", "train_station/c", "train_station/d"],
        ["good", "bad/dent", "bad/crack"],
    ],
)
def test_classes_with_folders_in_them_are_audited(tmp_path, folders):
    catalogue = scan(images(tmp_path, *folders))
    assert set(catalogue.classes) == {folder.split("/")[0] for folder in folders}
    assert len(catalogue) == 2 * len(folders)


@pytest.mark.parametrize(
    ("folders", "text"),
    [
        (crossed("cat dog", "day night"), "use --split cat,dog; otherwise --split ."),
        (["cat", "dog", "fox", "test/cat", "test/dog"], "the folder test holds folders (cat, dog), which are treated"),
        (["train/cat", "train/dog", "extra"], "use --split train if it has the classes; otherwise use --split ."),
    ],
)
def test_doubts_are_warnings_that_split_settles(tmp_path, folders, text):
    root = images(tmp_path, *folders)
    catalogue = scan(root)
    assert set(catalogue.classes) == {folder.split("/")[0] for folder in folders}
    (found,) = catalogue.warnings
    assert text in found
    assert scan(root, split=["."]).warnings == []


def test_unusable_splits_are_refused(tmp_path):
    root = images(tmp_path, *crossed("train", "cat dog"), "val")
    for split, message in (
        ("trian", r"there is no folder trian in .*; there are: train, val"),
        ("../x", r"there is no folder \.\./x"),
        ("train train/cat", "contain one another"),
        (". train", "contain one another"),
        ("train val", "val in .* has no class folders with images"),
    ):
        with pytest.raises(DataError, match=message):
            scan(root, split=split.split())
    (tmp_path / "labels.csv").write_text("path,label\ntrain/cat/0.png,cat\n")
    with pytest.raises(UsageError, match=r"--split names splits, and .*labels\.csv has no column split"):
        scan(root, split=["train"], labels_file=tmp_path / "labels.csv")
