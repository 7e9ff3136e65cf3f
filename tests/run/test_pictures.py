"""pictures.parquet: the statistics of the images."""

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.detect.images import IMAGE_STATISTICS, ImageTable
from labelaudit.errors import RunError, StorageError
from labelaudit.names import COPY_KINDS
from labelaudit.run.tables import read_image_table, write_image_table
from tests.run.helpers import names_in, room_for

S, M = len(IMAGE_STATISTICS), len(COPY_KINDS)


def pictures(samples=(0, 2, 3, 7), spoiled=(1, 3)):
    generator = np.random.default_rng(0)
    return ImageTable(
        sample_U=np.array(samples, dtype=np.int32),
        value_US=generator.normal(size=(len(samples), S)).astype(np.float32),
        copied_P=np.array(spoiled, dtype=np.int32),
        copy_PMS=generator.normal(size=(len(spoiled), M, S)).astype(np.float32),
        digest_U=np.array([f"{sample:016x}" for sample in samples], dtype=np.str_),
    )


@pytest.mark.parametrize("given", [pictures(), pictures(spoiled=()), pictures(samples=(5,), spoiled=(0,))])
def test_they_are_read_back_as_they_were(tmp_path, given):
    file = tmp_path / "pictures.parquet"
    assert read_image_table(file, 8) is None
    write_image_table(file, given)
    found = read_image_table(file, 8)
    for field in fields(ImageTable):
        np.testing.assert_array_equal(getattr(found, field.name), getattr(given, field.name))


def test_the_columns_are_open_to_other_tools(tmp_path):
    write_image_table(tmp_path / "pictures.parquet", pictures())
    table = pq.read_table(tmp_path / "pictures.parquet")
    assert table.column_names == ["sample", "spoiled", "digest", *IMAGE_STATISTICS]
    assert table.column("spoiled").to_pylist() == [""] * 4 + [kind for kind in COPY_KINDS for _ in range(2)]
    assert table.column("sample").to_pylist() == [0, 2, 3, 7] + [2, 7] * M


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sample", lambda column: [0, 0, *column[2:]]),
        ("sample", lambda column: [*column[:3], 8, *column[4:]]),
        ("sample", lambda column: [-1, *column[1:]]),
        ("sample", lambda column: [*column[:-1], 6]),
        ("spoiled", lambda column: [*column[:-1], "torn"]),
        (IMAGE_STATISTICS[1], lambda column: [None, *column[1:]]),
        (IMAGE_STATISTICS[0], None),
        (None, None),
    ],
    ids=["twice", "too high", "negative", "copy of none", "unknown kind", "no figure", "no column", "cut"],
)
def test_damage_is_an_error(tmp_path, name, values):
    file = tmp_path / "pictures.parquet"
    write_image_table(file, pictures())
    table = pq.read_table(file)
    if name is None:
        file.write_bytes(file.read_bytes()[:-20])
    elif values is None:
        pq.write_table(table.drop_columns([name]), file)
    else:
        at, old = table.column_names.index(name), table.column(name)
        pq.write_table(table.set_column(at, name, pa.array(values(old.to_pylist()), old.type)), file)
    with pytest.raises(RunError, match=r"pictures\.parquet is damaged"):
        read_image_table(file, 8)


def test_a_full_disk_leaves_nothing(tmp_path):
    many = 5000
    large = replace(pictures(samples=tuple(range(many))), digest_U=np.array([f"{i:016x}" for i in range(many)]))
    with room_for(1000), pytest.raises(StorageError, match="pictures"):
        write_image_table(tmp_path / "pictures.parquet", large)
    assert names_in(tmp_path) == []
