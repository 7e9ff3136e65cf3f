"""Tell top folders that are no classes from classes with folders in them."""

from itertools import product

import pytest

from labelaudit.data.folder import scan
from labelaudit.errors import DataError, UsageError
from tests.data.helpers import plain_png, write_files
from tests.helpers import Listener


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
        (crossed("site1 site2", "cat dog"), "--split site1,site2"),
        ([*crossed("birds/train birds/val", "owl tit"), "beasts/cat", "beasts/dog"], "--split birds/train,birds/val"),
        (crossed("north/images south/images", "cat dog fox"), "--split north/images,south/images"),
        (crossed("k-fold-1 k-fold-2", "cat dog"), "--split k-fold-1,k-fold-2"),
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
    ],
)
def test_classes_with_folders_in_them_are_audited(tmp_path, folders):
    catalogue = scan(images(tmp_path, *folders))
    assert set(catalogue.classes) == {folder.split("/")[0] for folder in folders}
    assert len(catalogue) == 2 * len(folders)


@pytest.mark.parametrize(
    ("folders", "text", "serious"),
    [
        (crossed("cat dog", "day night"), "use --split cat,dog; otherwise --split .", True),
        (["cat", "dog", "fox", "test/cat", "test/dog"], "folders with the same names as its siblings (cat, dog)", True),
        (["train/cat", "train/dog", "extra"], "use --split train; otherwise --split .", True),
        (["good", "bad/dent", "bad/crack"], "bad alone holds folders (crack, dent) and no images of its own", False),
        (["pets/cat", "pets/dog", "forms/disc", "forms/box"], "use --split forms,pets; otherwise --split .", False),
    ],
)
def test_doubts_are_warnings_or_notes_and_split_settles_them(tmp_path, folders, text, serious):
    root, listener = images(tmp_path, *folders), Listener()
    catalogue = scan(root, reporter=listener)
    assert set(catalogue.classes) == {folder.split("/")[0] for folder in folders}
    (found,) = catalogue.warnings if serious else listener.lines
    assert text in found
    assert len(catalogue.warnings) == serious
    assert scan(root, split=["."], reporter=listener).warnings == []


def test_splits_are_read_as_one_data_set(tmp_path):
    root = images(tmp_path, *crossed("train val test", "cat dog"), "val/owl")
    write_files(root, {"train/stray.png": plain_png()})
    catalogue = scan(root, split=["train/", "./val"])
    assert catalogue.classes == ("cat", "dog", "owl")
    assert catalogue.paths[::4] == ("train/cat/0.png", "val/cat/0.png", "val/owl/0.png")
    assert catalogue.split == ("train", "val")
    assert catalogue.split_names == ["train"] * 4 + ["val"] * 6
    assert {row.reason: row.files for row in catalogue.left_out} == {
        "outside the folders of --split": 4,
        "beside the class folders": 1,
    }
    whole = scan(root, split=["."])
    assert (whole.classes, whole.split_names) == (("test", "train", "val"), [])


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
    with pytest.raises(UsageError, match="--labels and --split"):
        scan(root, split=["train"], labels_file=tmp_path / "labels.csv")
