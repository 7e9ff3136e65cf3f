"""pictures.parquet."""

from dataclasses import fields, replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.detect.images import IMAGE_STATISTICS, ImageTable
from labelaudit.errors import RunError
from labelaudit.names import COPY_KINDS
from labelaudit.run.tables import read_pictures, write_pictures
from tests.run.helpers import room_for

S, M = len(IMAGE_STATISTICS), len(COPY_KINDS)


def pictures(samples=(0, 2, 3, 7), spoiled=(1, 3), *, seed=0):
    generator = np.random.default_rng(seed)
    return ImageTable(
        sample_U=np.array(samples, dtype=np.int32),
        value_US=generator.normal(size=(len(samples), S)).astype(np.float32),
        copied_P=np.array(spoiled, dtype=np.int32),
        copy_PMS=generator.normal(size=(len(spoiled), M, S)).astype(np.float32),
        digest_U=np.array([f"{sample:016x}" for sample in samples], dtype=np.str_),
    )


def require_equal(one, other):
    for field in fields(ImageTable):
        np.testing.assert_array_equal(getattr(one, field.name), getattr(other, field.name))


@pytest.mark.parametrize("given", [pictures(), pictures(spoiled=()), pictures(samples=(5,), spoiled=(0,))])
def test_they_are_read_back_as_they_were(tmp_path, given):
    write_pictures(tmp_path / "pictures.parquet", given)
    found = read_pictures(tmp_path / "pictures.parquet", 8)
    require_equal(found, given)


def test_the_columns_are_open_to_other_tools(tmp_path):
    write_pictures(tmp_path / "pictures.parquet", pictures())
    table = pq.read_table(tmp_path / "pictures.parquet")
    assert table.column_names == ["sample", "spoiled", "digest", *IMAGE_STATISTICS]
    assert table.column("spoiled").to_pylist() == [""] * 4 + [kind for kind in COPY_KINDS for _ in range(2)]
    assert table.column("sample").to_pylist() == [0, 2, 3, 7] + [2, 7] * M


def test_a_run_without_them_is_of_an_earlier_version(tmp_path):
    assert read_pictures(tmp_path / "pictures.parquet", 8) is None


def cut(file):
    file.write_bytes(file.read_bytes()[:-20])


def change(name, values):
    def damage(file):
        table = pq.read_table(file)
        number = table.column_names.index(name)
        column = table.column(name).to_pylist()
        pq.write_table(table.set_column(number, name, pa.array(values(column), table.schema.field(name).type)), file)

    return damage


DAMAGE = {
    "cut": cut,
    "no parquet": lambda file: file.write_bytes(b"pictures"),
    "without a column": lambda file: pq.write_table(pq.read_table(file).drop_columns([IMAGE_STATISTICS[0]]), file),
    "a sample twice": change("sample", lambda column: [0, 0, *column[2:]]),
    "another sample": change("sample", lambda column: [*column[:3], 8, *column[4:]]),
    "a negative sample": change("sample", lambda column: [-1, *column[1:]]),
    "a copy of no sample": change("sample", lambda column: [*column[:-1], 6]),
    "an unknown kind": change("spoiled", lambda column: [*column[:-1], "torn"]),
    "no figures": change(IMAGE_STATISTICS[1], lambda column: [None, *column[1:]]),
}


@pytest.mark.parametrize("name", DAMAGE)
def test_damage_is_told(tmp_path, name):
    file = tmp_path / "pictures.parquet"
    write_pictures(file, pictures())
    DAMAGE[name](file)
    with pytest.raises(RunError, match=r"pictures\.parquet is damaged"):
        read_pictures(file, 8)


def test_a_full_disk_leaves_no_half_of_it(tmp_path):
    many = 5000
    large = replace(pictures(samples=tuple(range(many))), digest_U=np.array([f"{i:016x}" for i in range(many)]))
    with room_for(1000), pytest.raises(Exception, match="pictures"):
        write_pictures(tmp_path / "pictures.parquet", large)
    assert list(tmp_path.iterdir()) == []
