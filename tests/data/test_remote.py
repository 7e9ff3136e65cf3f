from pathlib import Path
from unittest import mock

import fsspec
import pytest

import labelaudit
from labelaudit.data.folder import scan
from labelaudit.data.remote import local
from labelaudit.errors import DataError, UsageError
from tests.cli.helpers import QUICK, run, succeed, write_images
from tests.data.helpers import PAIR, plain_png
from tests.data.test_containers import zip_of
from tests.helpers import Listener

MEMORY = fsspec.filesystem("memory")


@pytest.fixture
def bucket():
    MEMORY.store.clear()
    MEMORY.pipe({f"/bucket/photos/{path}": content for path, content in PAIR.items()})


def fetched(address, **options):
    """The copy of the data at an address, and what is said of it."""
    copy = local(Path(address), listener := Listener(), **options)
    return copy, listener.lines[-1:]


def test_what_has_changed_is_fetched_and_nothing_else(bucket):
    copy, said = fetched("memory://bucket/photos")
    assert said == [f"memory://bucket/photos: 2 of 2 files were fetched, to {copy}"]
    assert (scan(copy).paths, scan(copy).fixed) == (tuple(PAIR), True)
    MEMORY.pipe("/bucket/photos/cat/1.png", plain_png(7))
    MEMORY.pipe("/bucket/photos/cat/0.png", plain_png(99))
    MEMORY.rm("/bucket/photos/dog/0.png")
    assert "2 of 2 files" in fetched("memory://bucket/photos/")[1][0]
    assert (copy / "cat/0.png").read_bytes() == plain_png(99)
    assert not (copy / "dog/0.png").exists()
    assert "0 of 2 files" in fetched("memory://bucket/photos")[1][0]
    assert fetched("memory://bucket/photos", offline=True) == (copy, [])


def test_what_was_fetched_before_a_failure_is_kept(bucket):
    whole = MEMORY.get_file

    def fail(name, target):
        if "dog" in name:
            raise ConnectionResetError("reset")
        whole(name, target)

    with (
        mock.patch.object(MEMORY, "get_file", fail),
        pytest.raises(DataError, match=r"cannot read memory://bucket/photos \(reset\)"),
    ):
        fetched("memory://bucket/photos")
    assert "1 of 2 files" in fetched("memory://bucket/photos")[1][0]


def test_an_archive_is_one_file(bucket, tmp_path):
    MEMORY.pipe("/bucket/a.zip", zip_of(tmp_path / "a.zip", PAIR).read_bytes())
    copy, _ = fetched("memory://bucket/a.zip")
    assert (copy.name, scan(copy).paths) == ("a.zip", tuple(PAIR))


def test_what_cannot_be_read_is_one_line(bucket):
    for address, kind, message in (
        ("memory://gone", DataError, "there are no files in memory://gone; check the address"),
        ("nothing://x", UsageError, r"nothing://x is no address \(Protocol not known"),
        ("memory://new", UsageError, "--offline forbids reading memory://new; audit it once without"),
    ):
        with pytest.raises(kind, match=message):
            fetched(address, offline=address.endswith("new"))
    MEMORY.store["/bucket/bad/../x"] = MEMORY.open("/bucket/x", "wb")
    with pytest.raises(DataError, match="leads out of it"):
        fetched("memory://bucket/bad")
    with (
        mock.patch.object(fsspec.core, "url_to_fs", side_effect=ImportError("Install s3fs")),
        pytest.raises(UsageError, match=r"\(Install s3fs\); pip install 'labelaudit\[remote\]'"),
    ):
        fetched("s3://x")


def test_score_takes_addresses_and_relabel_writes_a_labels_file(bucket, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    images = write_images(Path("photos"), each=4)
    for part in ("train", "test"):
        MEMORY.put(str(images), f"/{part}", recursive=True)
    said = succeed("score", "memory://train", "--test", "memory://test", *QUICK).err
    assert "memory://test: 16 of 16 files were fetched" in said
    assert "16 of train, 16 of test" in said
    Path("c.csv").write_text("path,given_label,action,label\n")
    assert "give --out NEW.csv" in run("relabel", "labelaudit-runs/train+test", "c.csv", "--yes").error
    assert labelaudit.open_run("labelaudit-runs/train+test").summary.splits[0].leaked == 16
