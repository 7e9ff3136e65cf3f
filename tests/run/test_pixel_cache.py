import os
import threading
import time

import numpy as np
import pytest

from labelaudit.errors import UsageError
from labelaudit.run import caches as pixel_cache
from labelaudit.run.caches import PixelCache, cache_limit_bytes, cache_root

ROW_BYTES = 100


def row(value):
    return np.full((1, 10, 10), value, dtype=np.uint8)


def fill(key, count=10):
    cache = PixelCache(key, ROW_BYTES)
    with cache.locked(lambda: None), cache.writer() as writer:
        writer.add([row(value) for value in range(count)])
        return writer.finish()


def used_ago(key, seconds):
    path = cache_root() / "pixels" / f"{key}.json"
    os.utime(path, (time.time() - seconds,) * 2)


def is_there(key):
    return (cache_root() / "pixels" / f"{key}.u8").exists()


def test_an_entry_holds_the_rows_in_order_and_the_failures_by_position():
    cache = PixelCache("a", ROW_BYTES)
    assert cache.find() is None
    with cache.locked(lambda: None), cache.writer() as writer:
        writer.add([row(7), "damaged"])
        writer.add([row(9)])
        written = writer.finish()
    found = cache.find()
    assert found == written
    assert (found.rows, found.failures) == (2, {1: "damaged"})
    assert found.file.read_bytes() == bytes([7] * 100 + [9] * 100)
    assert sorted(path.suffix for path in found.file.parent.iterdir()) == [".json", ".u8"]


@pytest.mark.parametrize("size", [0, 999, 1001])
def test_an_entry_of_the_wrong_size_is_not_found(size):
    os.truncate(fill("a").file, size)
    assert PixelCache("a", ROW_BYTES).find() is None


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"rows": "many", "failures": {}}', '{"rows": 10, "failures": 3}'])
def test_an_entry_that_says_nothing_useful_is_not_found(content):
    fill("a")
    (cache_root() / "pixels" / "a.json").write_text(content)
    assert PixelCache("a", ROW_BYTES).find() is None


def test_rows_behind_the_last_note_are_written_again(monkeypatch):
    cache = PixelCache("a", ROW_BYTES)
    with cache.writer() as writer:
        monkeypatch.setattr(pixel_cache, "_NOTE_SECONDS", -1.0)
        writer.add([row(1), "damaged"])
        monkeypatch.setattr(pixel_cache, "_NOTE_SECONDS", 1000.0)
        writer.add([row(99)])
    with cache.writer() as writer:
        assert writer.done == 2
        writer.add([row(2)])
        found = writer.finish()
    assert (found.rows, found.failures) == (2, {1: "damaged"})
    assert found.file.read_bytes() == bytes([1] * 100 + [2] * 100)


@pytest.mark.parametrize("damage", ["no note", "short rows", "note of nothing"])
def test_a_damaged_beginning_is_begun_again(monkeypatch, damage):
    cache = PixelCache("a", ROW_BYTES)
    monkeypatch.setattr(pixel_cache, "_NOTE_SECONDS", -1.0)
    with cache.writer() as writer:
        writer.add([row(1)])
    folder = cache_root() / "pixels"
    if damage == "no note":
        (folder / "a.note").unlink()
    elif damage == "short rows":
        os.truncate(folder / "a.partial", 50)
    else:
        (folder / "a.note").write_text("null")
    with cache.writer() as writer:
        assert writer.done == 0
        writer.add([row(3)])
        assert writer.finish().file.read_bytes() == bytes([3] * 100)


def test_a_second_writer_waits_for_the_first_and_finds_its_entry():
    told, found = threading.Event(), []

    def second():
        cache = PixelCache("a", ROW_BYTES)
        with cache.locked(told.set):
            found.append(cache.find())

    cache = PixelCache("a", ROW_BYTES)
    with cache.locked(lambda: None), cache.writer() as writer:
        other = threading.Thread(target=second)
        other.start()
        assert told.wait(10)
        writer.add([row(1)])
        written = writer.finish()
    other.join(10)
    assert found == [written]


def test_entries_used_longest_ago_give_way(monkeypatch):
    for key, ago in (("old", 300), ("older", 400), ("new", 100)):
        fill(key)
        used_ago(key, ago)
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "3e-6")
    assert PixelCache("next", ROW_BYTES).make_room(10)
    assert [is_there(key) for key in ("older", "old", "new")] == [False, True, True]
    assert PixelCache("next", ROW_BYTES).make_room(21)
    assert [is_there(key) for key in ("older", "old", "new")] == [False, False, False]


def test_finding_an_entry_makes_it_the_last_to_give_way(monkeypatch):
    for key, ago in (("a", 300), ("b", 200)):
        fill(key)
        used_ago(key, ago)
    assert PixelCache("a", ROW_BYTES).find()
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "2e-6")
    assert PixelCache("next", ROW_BYTES).make_room(10)
    assert [is_there(key) for key in ("a", "b")] == [True, False]


def test_an_entry_larger_than_the_limit_leaves_the_others_alone(monkeypatch):
    fill("a")
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "2e-6")
    assert not PixelCache("next", ROW_BYTES).make_room(21)
    assert is_there("a")


def test_a_partial_file_is_deleted_when_nobody_went_on_with_it_for_a_week(monkeypatch):
    monkeypatch.setattr(pixel_cache, "_NOTE_SECONDS", -1.0)
    for key in ("new", "old"):
        with PixelCache(key, ROW_BYTES).writer() as writer:
            writer.add([row(1)])
    folder = cache_root() / "pixels"
    os.utime(folder / "old.partial", (time.time() - 8 * 24 * 3600,) * 2)
    assert PixelCache("next", ROW_BYTES).make_room(1)
    assert sorted(path.name for path in folder.iterdir()) == ["new.note", "new.partial"]


def test_pixels_that_are_being_read_outlive_their_entry(monkeypatch):
    array = np.memmap(fill("a").file, dtype=np.uint8, mode="r")
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "1e-6")
    assert PixelCache("next", ROW_BYTES).make_room(10)
    assert not is_there("a")
    assert array[-1] == 9


def test_the_limit_is_half_of_what_the_disk_could_give(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1000})())
    assert cache_limit_bytes(200) == 600


@pytest.mark.parametrize("value", ["", "much", "-1", "nan", "inf"])
def test_a_limit_that_is_no_size_is_refused(monkeypatch, value):
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", value)
    with pytest.raises(UsageError, match="is not a size"):
        PixelCache("a", ROW_BYTES).make_room(1)
