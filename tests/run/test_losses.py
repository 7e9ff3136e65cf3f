import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from labelaudit.errors import RunError, StorageError
from labelaudit.run.losses import EpochLosses, discard_from, read_epochs, recorded_epochs, write_epoch
from tests.run.helpers import epoch_record, names_in, room_for

ARRAYS = ("sample_R", "loss_R", "margin_R", "predicted_R", "alternative_R")


def written(folder, epochs):
    for epoch in range(epochs):
        write_epoch(folder, epoch_record(epoch))
    return folder


def require_equal(one, other):
    assert one.epoch == other.epoch
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def replace_column(file, name, values):
    """Write the file again with other values in a column, or without the column."""
    table = pq.read_table(file)
    place = table.schema.get_field_index(name)
    table = table.remove_column(place) if values is None else table.set_column(place, name, pa.array(values))
    pq.write_table(table, file)


def test_epochs_are_read_back_bit_for_bit_and_in_order(tmp_path):
    records = [epoch_record(epoch) for epoch in range(12)]
    for record in reversed(records):
        write_epoch(tmp_path / "losses", record)
    read = list(read_epochs(tmp_path / "losses"))
    assert len(read) == 12
    for one, other in zip(read, records, strict=True):
        require_equal(one, other)


@given(data=st.data(), count=st.integers(0, 30), epoch=st.just(0))
def test_any_numbers_survive(tmp_path_factory, data, count, epoch):
    folder = tmp_path_factory.getbasetemp() / "any-losses"
    integers = arrays.arrays(np.int32, count)
    reals = arrays.arrays(np.float32, count, elements=st.floats(width=32))
    drawn = [data.draw(values) for values in (integers, reals, reals, integers, integers)]
    record = EpochLosses(epoch=epoch, **dict(zip(ARRAYS, drawn, strict=True)))
    write_epoch(folder, record)
    require_equal(next(iter(read_epochs(folder))), record)


def test_a_file_has_the_documented_columns_in_compact_encodings(tmp_path):
    write_epoch(tmp_path, epoch_record(3, count=2000))
    file = pq.ParquetFile(tmp_path / "epoch-0003.parquet")
    assert [(field.name, str(field.type)) for field in file.schema_arrow] == [
        ("sample", "int32"),
        ("epoch", "int32"),
        ("loss", "float"),
        ("margin", "float"),
        ("predicted", "int32"),
        ("alternative", "int32"),
    ]
    group = file.metadata.row_group(0)
    columns = {group.column(number).path_in_schema: group.column(number) for number in range(6)}
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    for name in ("loss", "margin"):
        assert "BYTE_STREAM_SPLIT" in columns[name].encodings
        assert "PLAIN" not in columns[name].encodings
    assert "DELTA_BINARY_PACKED" in columns["sample"].encodings
    assert set(file.read().column("epoch").to_pylist()) == {3}
    assert b"nats" in file.schema_arrow.metadata[b"loss"]
    file.close()


def test_epochs_are_counted_by_their_number_and_other_files_passed_over(tmp_path):
    for name in ("epoch-10000.parquet", "epoch-9999.parquet", "epoch-0002.parquet"):
        (tmp_path / name).touch()
    for name in (".epoch-0003.parquet.partial", "epoch-0004.parquet.bak", "epoch-.parquet", "notes.txt"):
        (tmp_path / name).touch()
    assert recorded_epochs(tmp_path) == [2, 9999, 10000]
    assert recorded_epochs(tmp_path / "nowhere") == []
    assert list(read_epochs(tmp_path / "nowhere")) == []


def test_discarding_deletes_this_epoch_and_later_ones_only(tmp_path):
    written(tmp_path, 5)
    (tmp_path / "notes.txt").touch()
    discard_from(tmp_path, 3)
    assert names_in(tmp_path) == ["epoch-0000.parquet", "epoch-0001.parquet", "epoch-0002.parquet", "notes.txt"]
    discard_from(tmp_path, 3)
    assert recorded_epochs(tmp_path) == [0, 1, 2]
    discard_from(tmp_path, 0)
    discard_from(tmp_path / "nowhere", 0)
    assert recorded_epochs(tmp_path) == []


def test_an_epoch_written_again_replaces_the_old_one(tmp_path):
    write_epoch(tmp_path, epoch_record(0, seed=1))
    write_epoch(tmp_path, epoch_record(0, seed=2))
    (read,) = read_epochs(tmp_path)
    require_equal(read, epoch_record(0, seed=2))


@pytest.mark.parametrize(("gone", "named"), [(0, 0), (2, 2)])
def test_a_gap_in_the_row_is_refused_before_anything_is_read(tmp_path, gone, named):
    written(tmp_path, 5)
    (tmp_path / f"epoch-{gone:04d}.parquet").unlink()
    with pytest.raises(RunError, match=f"lacks epoch {named}"):
        next(read_epochs(tmp_path))


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: b"\0" * len(content), id="zeros"),
        pytest.param(lambda content: content[:-20] + b"\xff" * 12 + content[-8:], id="footer"),
        pytest.param(lambda content: b"sample,loss\n1,0.5\n", id="csv"),
    ],
)
def test_a_damaged_file_is_refused_and_earlier_epochs_are_still_given(tmp_path, damage):
    file = written(tmp_path, 3) / "epoch-0001.parquet"
    file.write_bytes(damage(file.read_bytes()))
    epochs = read_epochs(tmp_path)
    require_equal(next(epochs), epoch_record(0))
    with pytest.raises(RunError, match=r"epoch-0001\.parquet is damaged \(") as caught:
        next(epochs)
    assert len(caught.value.what.splitlines()) == 1
    assert caught.value.fix


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("loss", None),
        ("loss", [0.5, None, 1.0, 2.0, 3.0]),
        ("epoch", [1, 1, 1, 1, 0]),
        ("sample", ["a", "b", "c", "d", "e"]),
    ],
)
def test_a_file_that_holds_something_else_is_refused(tmp_path, name, values):
    replace_column(written(tmp_path, 2) / "epoch-0001.parquet", name, values)
    with pytest.raises(RunError, match=r"epoch-0001\.parquet (does not hold the records of epoch 1|is damaged)"):
        list(read_epochs(tmp_path))


def test_a_file_under_the_name_of_another_epoch_is_refused(tmp_path):
    written(tmp_path, 2)
    (tmp_path / "epoch-0000.parquet").replace(tmp_path / "epoch-0001.parquet")
    write_epoch(tmp_path, epoch_record(0))
    with pytest.raises(RunError, match=r"epoch-0001\.parquet does not hold the records of epoch 1"):
        list(read_epochs(tmp_path))


def test_other_columns_of_a_later_version_do_not_matter(tmp_path):
    file = written(tmp_path, 1) / "epoch-0000.parquet"
    pq.write_table(pq.read_table(file).append_column("entropy", pa.array([0.0] * 5)), file)
    (read,) = read_epochs(tmp_path)
    require_equal(read, epoch_record(0))


@pytest.mark.parametrize("name", ["run-12:30", "epoch=7", "sample=1/loss=2", "50% more", "日本"])
def test_a_run_folder_may_have_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / name, (tmp_path / name).relative_to(tmp_path)):
        write_epoch(folder, epoch_record(0))
        (read,) = read_epochs(folder)
        require_equal(read, epoch_record(0))


def test_a_full_disk_is_a_storage_error_and_leaves_no_piece(tmp_path):
    written(tmp_path, 1)
    with room_for(2000), pytest.raises(StorageError, match=r"no space left for .*epoch-0001\.parquet"):
        write_epoch(tmp_path, epoch_record(1, count=5000))
    assert names_in(tmp_path) == ["epoch-0000.parquet"]


def test_a_file_in_the_place_of_the_folder_is_a_storage_error(tmp_path):
    (tmp_path / "losses").touch()
    with pytest.raises(StorageError, match=r"cannot write .*losses"):
        write_epoch(tmp_path / "losses", epoch_record(0))
