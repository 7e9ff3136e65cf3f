"""Copies with wrong labels and spoiled pictures."""

import csv

import numpy as np
from PIL import Image

from labelaudit.audit.corrupt import draw_permutation, shuffle_pixels
from labelaudit.data.folder import scan
from labelaudit.engine.order import derive_seed
from labelaudit.reproduce.kinds.markdown import share
from labelaudit.reproduce.kinds.spoil import Rates, write_spoiled
from labelaudit.reproduce.kinds.tables import MatrixRecord

RATES = Rates(mislabeled=0.2, shuffled=0.1, gaussian=0.1)


def folder_of(root, *, count=20, size=(9, 7)):
    """Three classes of coloured pictures."""
    generator = np.random.default_rng(0)
    for name in ("ant", "bee", "cat"):
        (root / name).mkdir(parents=True)
        for number in range(count):
            x_HWC = generator.integers(0, 256, (size[1], size[0], 3)).astype(np.uint8)
            Image.fromarray(x_HWC).save(root / name / f"{number:02}.png")
    return scan(root)


def rows(file):
    with open(file, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def pixels(file):
    return np.asarray(Image.open(file))


def test_exactly_so_many_of_each_kind_and_nothing_twice(tmp_path):
    catalogue = folder_of(tmp_path / "data")
    spoiled = write_spoiled(catalogue, tmp_path / "out", RATES, seed=1)
    truth, labels = rows(spoiled.truth), rows(spoiled.labels)
    assert [row["path"] for row in truth] == [row["path"] for row in labels]
    kinds = [row["kind"] for row in truth]
    assert {kind: kinds.count(kind) for kind in set(kinds)} == {
        "mislabeled": 12,
        "shuffled": 6,
        "gaussian": 6,
        "clean": 36,
    }
    for right, given in zip(truth, labels, strict=True):
        assert (right["label"] != given["label"]) == (right["kind"] == "mislabeled")
    assert spoiled.kinds() == {row["path"]: row["kind"] for row in truth}
    assert {len({row["label"] for row in truth if row["kind"] == kind}) for kind in ("mislabeled",)} == {3}


def test_untouched_pictures_are_the_same_files_and_spoiled_ones_are_not(tmp_path):
    catalogue = folder_of(tmp_path / "data")
    spoiled = write_spoiled(catalogue, tmp_path / "out", RATES, seed=1)
    for row in rows(spoiled.truth):
        copy = spoiled.images / row["path"]
        if row["kind"] in ("mislabeled", "clean"):
            assert copy.samefile(tmp_path / "data" / row["path"])
            continue
        name, _, number = copy.stem.partition("-")
        original = pixels(tmp_path / "data" / row["label"] / f"{name}.png")
        assert catalogue.paths[int(number)] == f"{row['label']}/{name}.png"
        assert (pixels(copy) != original).any()
        if row["kind"] == "shuffled":
            from_P = draw_permutation(*original.shape[:2], seed=derive_seed(1, "shuffle"))
            np.testing.assert_array_equal(pixels(copy), shuffle_pixels(original, from_P))


def test_equal_seeds_give_equal_copies_and_others_do_not(tmp_path):
    catalogue = folder_of(tmp_path / "data")
    texts = []
    for name, seed in (("a", 3), ("b", 3), ("c", 4)):
        spoiled = write_spoiled(catalogue, tmp_path / name, RATES, seed=seed, images=30)
        files = {row["path"]: pixels(spoiled.images / row["path"]).tobytes() for row in rows(spoiled.truth)}
        texts.append((spoiled.truth.read_text(), spoiled.labels.read_text(), files))
    assert texts[0] == texts[1] != texts[2]
    assert len(texts[0][2]) == 30


def test_a_copy_that_is_there_is_left_alone_and_half_a_copy_is_finished(tmp_path):
    catalogue = folder_of(tmp_path / "data")
    spoiled = write_spoiled(catalogue, tmp_path / "out", RATES, seed=1)
    whole = spoiled.truth.read_bytes()
    spoiled.truth.unlink()  # as if it had been interrupted
    write_spoiled(catalogue, tmp_path / "out", RATES, seed=1)
    assert spoiled.truth.read_bytes() == whole
    before = spoiled.labels.stat().st_mtime_ns
    write_spoiled(catalogue, tmp_path / "out", RATES, seed=1)
    assert spoiled.labels.stat().st_mtime_ns == before


def cell(true_kind, called, samples, *, suspicious=True):
    return MatrixRecord(
        noise="x", model="m", seed=0, true_kind=true_kind, suspicious=suspicious, called=called, samples=samples
    )


def test_shares_by_hand():
    matrix = [
        cell("shuffled", "corrupted", 8),
        cell("shuffled", "mislabeled", 2),
        cell("shuffled", "corrupted", 25, suspicious=False),
        cell("shuffled", "", 5, suspicious=False),
        cell("clean", "mislabeled", 100),
    ]
    assert share(matrix, ("shuffled",), "corrupted", True) == 0.8
    assert share(matrix, ("shuffled",), "corrupted", None) == 33 / 40
    assert share(matrix, ("shuffled",), None, None) == 10 / 40
    assert np.isnan(share(matrix, ("gaussian",), "corrupted", True))
