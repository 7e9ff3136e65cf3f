import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.errors import RunError
from labelaudit.run.losses import discard_from, read_epochs, recorded_epochs, write_epoch
from tests.run.helpers import epoch_record, names_in

ARRAYS = ("sample_R", "loss_R", "margin_R", "predicted_R", "alternative_R")


def written(folder, epochs):
    for epoch in reversed(range(epochs)):
        write_epoch(folder, epoch_record(epoch))
    return folder


def require_equal(one, other):
    assert one.epoch == other.epoch
    for name in ARRAYS:
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


@pytest.mark.parametrize("name", ["run-12:30", "sample=1/loss=2", "50% 日本"])
def test_epochs_are_read_back_in_order_from_folders_of_any_name(tmp_path, monkeypatch, name):
    monkeypatch.chdir(tmp_path)
    for folder in (tmp_path / name, (tmp_path / name).relative_to(tmp_path)):
        read = list(read_epochs(written(folder, 3)))
        assert len(read) == 3
        for epoch, record in enumerate(read):
            require_equal(record, epoch_record(epoch))


def test_epochs_are_ordered_by_number_and_other_files_ignored(tmp_path):
    others = (".epoch-0003.parquet.partial", "epoch-0004.parquet.bak", "epoch-.parquet", "notes.txt")
    for name in ("epoch-10000.parquet", "epoch-9999.parquet", "epoch-0002.parquet", *others):
        (tmp_path / name).touch()
    assert recorded_epochs(tmp_path) == [2, 9999, 10000]
    assert recorded_epochs(tmp_path / "nowhere") == []


def test_discarding_deletes_this_epoch_and_later_ones_only(tmp_path):
    written(tmp_path, 5)
    (tmp_path / "notes.txt").touch()
    discard_from(tmp_path, 3)
    assert names_in(tmp_path) == ["epoch-0000.parquet", "epoch-0001.parquet", "epoch-0002.parquet", "notes.txt"]
    discard_from(tmp_path, 0)
    discard_from(tmp_path / "nowhere", 0)
    assert recorded_epochs(tmp_path) == []


@pytest.mark.parametrize("gone", [0, 2])
def test_a_missing_epoch_is_refused_before_anything_is_read(tmp_path, gone):
    written(tmp_path, 5)
    (tmp_path / f"epoch-{gone:04d}.parquet").unlink()
    with pytest.raises(RunError, match=f"lacks epoch {gone}"):
        next(read_epochs(tmp_path))


def test_epochs_of_other_samples_are_refused(tmp_path):
    samples = next(read_epochs(written(tmp_path, 1))).sample_R
    assert len(list(read_epochs(tmp_path, samples=samples))) == 1
    with pytest.raises(RunError, match=r"epoch-0000\.parquet has other samples than the audit; delete "):
        list(read_epochs(tmp_path, samples=samples[1:]))


@pytest.mark.parametrize(
    ("name", "values", "refused"),
    [
        ("loss", None, True),
        ("loss", [0.5, None, 1.0, 2.0, 3.0], True),
        ("epoch", [1, 1, 1, 1, 0], True),
        ("sample", ["a", "b", "c", "d", "e"], True),
        ("entropy", [0.0] * 5, False),  # a column of a later version
    ],
)
def test_a_file_with_other_columns_or_of_another_epoch_is_refused(tmp_path, name, values, refused):
    file = written(tmp_path, 2) / "epoch-0001.parquet"
    table = pq.read_table(file)
    columns = {column: table.column(column) for column in table.column_names if column != name}
    pq.write_table(pa.table(columns if values is None else {**columns, name: values}), file)
    if not refused:
        require_equal(list(read_epochs(tmp_path))[1], epoch_record(1))
        return
    with pytest.raises(RunError, match=r"epoch-0001\.parquet (does not hold the records of epoch 1|is damaged)"):
        list(read_epochs(tmp_path))
