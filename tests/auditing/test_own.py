import errno
import os
import re

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from safetensors.numpy import save_file

from labelaudit.auditing.own import read_embeddings, read_predictions
from labelaudit.data.folder import scan
from labelaudit.errors import DataError
from labelaudit.run.files import file_digest
from tests.helpers import Listener

VALUE_ND = np.array([[0.5, 0.25, 8.0], [1.0, 2.0, -3.0], [4.0, 0.0, 1.0], [6.0, 5.0, 4.0], [7.0, 7.0, 7.0]])
P_NK = np.array([[0.75, 0.25], [0.5, 0.5], [1.0, 0.0], [0.125, 0.875], [0.25, 0.75]])
ALL = np.arange(5)


@pytest.fixture
def catalogue(image_folder):
    """Two cats (another one is damaged: its header is whole, its pixels are not) and two dogs."""
    photos = image_folder(each=3)
    (photos / "dog" / "002.png").unlink()
    damaged = photos / "cat" / "002.png"
    damaged.write_bytes(damaged.read_bytes()[:-30])
    found = scan(photos)
    assert found.used_N.all()
    assert found.paths == ("cat/000.png", "cat/001.png", "cat/002.png", "dog/000.png", "dog/001.png")
    return found


@pytest.fixture
def file(tmp_path):
    """Writes values in the order of the samples to a file with this name, and returns the path."""

    def write(name, value_ND):
        path = tmp_path / name
        if name.endswith(".npy"):
            np.save(path, value_ND)
        else:
            save_file({"features": np.ascontiguousarray(value_ND)}, path)
        return path

    return write


@pytest.fixture
def table(tmp_path, catalogue):
    """Writes columns to a Parquet file, beside those paths of the samples that are asked for."""

    def write(columns, paths=None):
        path = tmp_path / "own.parquet"
        pq.write_table(pa.table({"path": catalogue.paths if paths is None else paths, **columns}), path)
        return path

    return write


@pytest.mark.parametrize("dtype", ["float16", "float32", "float64"])
@pytest.mark.parametrize("name", ["own.npy", "own.safetensors"])
def test_rows_are_those_of_the_samples(catalogue, file, name, dtype):
    own = read_embeddings(file(name, VALUE_ND.astype(dtype)), catalogue)
    taken_RD = own.take(np.array([4, 0]))
    assert taken_RD.dtype == np.float32
    np.testing.assert_array_equal(taken_RD, VALUE_ND[[4, 0]])


def test_arrays_are_read_through_a_memory_map_also_in_columns(catalogue, file):
    own = read_embeddings(file("own.npy", np.asfortranarray(VALUE_ND)), catalogue)
    assert isinstance(own.value_XD, np.memmap)
    np.testing.assert_array_equal(own.take(ALL), VALUE_ND)


LISTS = {
    "list": pa.list_(pa.float64()),
    "large": pa.large_list(pa.float32()),
    "fixed": pa.list_(pa.float32(), 3),
    "half": pa.list_(pa.float16()),
}


@pytest.mark.parametrize("kind", LISTS.values(), ids=LISTS)
def test_rows_of_a_table_are_matched_by_their_path(catalogue, table, kind):
    order = [3, 1, 0, 4]  # the damaged image has no row
    values = [*VALUE_ND[order].astype(np.float16), np.zeros(3, dtype=np.float16)]
    paths = [*(catalogue.paths[i] for i in order), "cat/gone.png"]
    listener = Listener()
    path = table({"embedding": pa.array(values, kind), "more": ["x"] * 5}, paths)
    own = read_embeddings(path, catalogue, listener)
    np.testing.assert_array_equal(own.take(np.array([0, 1, 3, 4])), VALUE_ND[[0, 1, 3, 4]])
    assert listener.lines == [f"{path}: 1 row is of no image in the folder (cat/gone.png)"]


def test_columns_named_by_classes_are_in_the_order_of_the_classes(catalogue, table):
    for columns in ({"dog": P_NK[:, 1], "cat": P_NK[:, 0]}, {"probabilities": list(P_NK)}):
        np.testing.assert_array_equal(read_predictions(table(columns), catalogue).take(ALL), P_NK)


def changed(value_ND, **rows):
    """The same values with other ones in the rows r0, r1, …"""
    value_ND = value_ND.copy()
    for name, row in rows.items():
        value_ND[int(name[1:])] = row
    return value_ND


def test_what_a_damaged_image_has_is_not_looked_at(catalogue, file):
    for row in (np.nan, 0.0, 1e300):
        read_embeddings(file("own.npy", changed(VALUE_ND, r2=row)), catalogue)
        read_predictions(file("own.npy", changed(P_NK, r2=row)), catalogue)


LOGITS = "these look like logits; give probabilities: apply the softmax first"
WRONG = {
    "four rows": (
        VALUE_ND[:4],
        "has 4 rows, and .* has 5 images; give a row for each, in the order of",
    ),
    "one axis": (VALUE_ND[0], r"has float64 values of shape \(3,\); give float16, float32 or float64"),
    "whole numbers": (VALUE_ND.astype(int), r"has int64 values of shape \(5, 3\)"),
    "no columns": (VALUE_ND[:, :0], r"has float64 values of shape \(5, 0\)"),
    "NaN": (changed(VALUE_ND, r1=np.nan), "has values that are NaN or infinite, .* for 'cat/001.png'; look for"),
    "too large": (
        changed(VALUE_ND, r0=np.inf, r3=1e39),
        ".* too large for float32, for 'cat/000.png' and 1 more image",
    ),
}


@pytest.mark.parametrize(("value_ND", "expected"), WRONG.values(), ids=WRONG)
def test_wrong_embeddings_are_refused(catalogue, file, value_ND, expected):
    path = file("own.npy", value_ND)
    with pytest.raises(DataError, match=rf"\A{re.escape(str(path))} {expected}"):
        read_embeddings(path, catalogue)


IMPROBABLE = {
    "logits": (changed(P_NK, r0=[-2.5, 1.5]), rf"has values from -2.5 to 1.5 for 'cat/000.png'; {LOGITS}"),
    "logits that sum to 1": (changed(P_NK, r3=[-1.0, 2.0]), LOGITS),
    "a class is missing": (0.5 * P_NK, "sum to 0.5, not to 1, for 'cat/000.png' and 4 more images"),
    "three classes": (VALUE_ND, "has 3 values an image, and .* has 2 classes; give one for each class"),
}


@pytest.mark.parametrize(("p_NK", "expected"), IMPROBABLE.values(), ids=IMPROBABLE)
def test_what_is_no_probability_is_refused(catalogue, file, p_NK, expected):
    with pytest.raises(DataError, match=expected):
        read_predictions(file("own.npy", p_NK), catalogue)


def test_sums_may_be_rounded(catalogue, file):
    for factor, fits in ((1.0009, True), (0.9991, True), (1.002, False), (0.998, False)):
        path = file("own.npy", factor * P_NK)
        if fits:
            read_predictions(path, catalogue)
        else:
            with pytest.raises(DataError, match=r"not to 1|logits"):
                read_predictions(path, catalogue)


def lists(rows):
    return {"embedding": list(VALUE_ND[rows])}


def test_wrong_tables_are_refused(catalogue, table):
    paths = list(catalogue.paths)
    for columns, named, expected in (
        (lists([0, 1]), paths[:2], r"has no row for 'dog/000.png' and 1 more image; give one for every image; paths"),
        (lists([0, 0, 1, 1, 2]), [paths[0], paths[0], "a", "a", "b"], "has 'cat/000.png' and 1 more more than once"),
        (lists(ALL), list(range(5)), "has no text column 'path'; add one"),
        ({"features": list(VALUE_ND)}, paths, "has no list column 'embedding'; name the column"),
        ({"embedding": [[1.0], [1.0, 2.0], [1.0], [1.0], [1.0]]}, paths, "are empty, or not of one length"),
        ({"embedding": [[1.0], [None], [1.0], [1.0], [1.0]]}, paths, "NaN or infinite, .* for 'cat/001.png'"),
        ({"embedding": [[1], [2], [3], [4], [5]]}, paths, "'embedding' of .* has int64 values; give float16"),
    ):
        with pytest.raises(DataError, match=expected):
            read_embeddings(table(columns, named), catalogue)
    half = P_NK[:, 0]
    for columns, expected in (
        ({"cat": half}, "has no column for the class 'dog'; name a column after each class"),
        ({"cat": half, "dog": ["a"] * 5}, "the column 'dog' of .* has string values"),
    ):
        with pytest.raises(DataError, match=expected):
            read_predictions(table(columns), catalogue)


def test_files_that_cannot_be_read_are_refused(catalogue, tmp_path, file):
    os.mkfifo(tmp_path / "pipe.npy")
    missing = os.strerror(errno.ENOENT).lower()
    two = tmp_path / "two.safetensors"
    save_file({"a": VALUE_ND, "b": VALUE_ND}, two)
    np.save(tmp_path / "objects.npy", np.array([{}, {}]), allow_pickle=True)
    for name in ("text.parquet", "text.safetensors", "text.csv"):
        (tmp_path / name).write_text("path,embedding\n")
    (tmp_path / "cut.npy").write_bytes(file("own.npy", VALUE_ND).read_bytes()[:-8])
    for name, expected in (
        ("gone.npy", rf"cannot read .*gone.npy: {missing}; check the path"),
        ("pipe.npy", "cannot read .*: not a regular file|invalid"),
        ("two.safetensors", r"has 2 tensors \(a, b\); save one"),
        ("objects.npy", "is damaged, or no .npy file"),
        ("cut.npy", "is damaged, or no .npy file"),
        ("text.parquet", "is damaged, or no .parquet file"),
        ("text.safetensors", "is damaged, or no .safetensors file"),
        ("text.csv", "is of no format that is read here; give .parquet, .npy or .safetensors"),
    ):
        with pytest.raises(DataError, match=expected):
            read_embeddings(tmp_path / name, catalogue)
    with pytest.raises(DataError, match=rf"cannot read .*gone.npy: {missing}"):
        file_digest(tmp_path / "gone.npy")


def test_images_that_are_set_aside_need_no_row_but_count_in_an_array(catalogue, file, table):
    some = catalogue.set_aside({2: "damaged", 4: "gone"})
    with pytest.raises(DataError, match=r"has 3 rows, and .* has 5 images, of which 3 are used"):
        read_embeddings(file("own.npy", VALUE_ND[:3]), some)
    own = read_embeddings(table(lists([3, 1, 0]), [catalogue.paths[i] for i in (3, 1, 0)]), some)
    np.testing.assert_array_equal(own.take(np.array([0, 1, 3])), VALUE_ND[[0, 1, 3]])
