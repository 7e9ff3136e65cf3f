import os
import time
from dataclasses import replace
from pathlib import Path
from unittest import mock

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.detect.constants import SIDE
from labelaudit.detect.images import IMAGE_STATISTICS, ImageStatistics
from labelaudit.errors import UsageError
from labelaudit.names import COPY_KINDS
from labelaudit.run import caches
from labelaudit.run.files import held
from tests.run.helpers import names_in

D = 4
ROW_BYTES = 100


FAILED = caches.Embedded(vector_D=None, reason="damaged: x")


def embedded(value):
    return caches.Embedded(vector_D=np.full(D, value, dtype=np.float32), reason="")


def hashes(*numbers):
    return [f"{number:064x}" for number in numbers]


def filled(*parts):
    """A cache with a part for each of these tuples; an image's embedding is its number."""
    cache = caches.EmbeddingCache("resnet-224")
    for numbers in parts:
        cache.add(hashes(*numbers), [embedded(number) for number in numbers])
    return cache


def numbers_found(cache, *wanted):
    return sorted(int(sha256, 16) for sha256 in cache.load(set(hashes(*wanted))))


def test_the_cache_lies_where_the_variable_says_else_in_the_users_cache(cache_folder, monkeypatch):
    assert caches.EmbeddingCache("resnet-224").load(set(hashes(1, 2))) == {}
    assert not cache_folder.exists()
    filled((1,))
    assert names_in(cache_folder / "embeddings") == ["resnet-224"]
    assert numbers_found(caches.EmbeddingCache("resnet-96"), 1) == []
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("/users") / name)
    for change in (lambda: monkeypatch.setenv("LABELAUDIT_CACHE", ""), lambda: monkeypatch.delenv("LABELAUDIT_CACHE")):
        change()
        assert caches.cache_root() == Path("/users/labelaudit")


@pytest.mark.parametrize("copied", [True, False])
def test_embeddings_failures_and_statistics_come_back_by_content_bit_for_bit(copied):
    generator = np.random.default_rng(0)
    value_VS = generator.normal(size=(1 + len(COPY_KINDS), len(IMAGE_STATISTICS))).astype(np.float32)
    look = ImageStatistics(
        digest="0123456789abcdef",
        thumb_GG=generator.integers(0, 256, (SIDE, SIDE), dtype=np.uint8),
        value_S=value_VS[0],
        copy_MS=value_VS[1:] if copied else None,
    )
    vector_D = generator.normal(size=D).astype(np.float32)
    caches.EmbeddingCache("a").add(hashes(5, 3), [replace(embedded(0), vector_D=vector_D, look=look), FAILED])
    found = caches.EmbeddingCache("a").load(set(hashes(3, 5, 9)))
    assert found.keys() == set(hashes(3, 5))
    first, second = (found[sha256] for sha256 in hashes(5, 3))
    assert second == FAILED
    assert first.vector_D.tobytes() == vector_D.tobytes()
    assert first.look.digest == look.digest
    for name in ("value_S", "copy_MS", "thumb_GG"):
        np.testing.assert_array_equal(getattr(first.look, name), getattr(look, name))


@pytest.mark.parametrize("damage", [lambda content: b"", lambda content: content[: len(content) // 2]])
def test_a_damaged_part_is_deleted_and_the_others_are_used(damage):
    cache = filled((1, 2))
    assert pq.read_table(cache.folder).column_names == ["sha256", "embedding", "reason", "digest", "look", "thumbnail"]
    (broken,) = cache.folder.iterdir()
    cache.add(hashes(3), [embedded(3)])
    broken.write_bytes(damage(broken.read_bytes()))
    pq.write_table(pa.table({"sha256": hashes(2)}), cache.folder / "part-other-columns.parquet")
    assert numbers_found(cache, 1, 2, 3) == [3]
    assert len(names_in(cache.folder)) == 1
    cache.add(hashes(1, 2), [embedded(1), FAILED])
    found = cache.load(set(hashes(1, 2, 3, 4)))
    assert found.pop(hashes(2)[0]) == FAILED
    assert {int(sha256, 16): result.vector_D[0] for sha256, result in found.items()} == {1: 1, 3: 3}


def test_empty_undeletable_and_other_files_do_no_harm(monkeypatch):
    cache = filled((1,))
    part = next(iter(cache.folder.iterdir()))
    pq.write_table(pq.read_table(part).slice(0, 0), cache.folder / "part-none.parquet")
    for name in (".part-1.parquet.partial", "notes.txt", "part-0.parquet"):
        (cache.folder / name).write_bytes(b"x")
    monkeypatch.setattr(Path, "unlink", mock.Mock(side_effect=PermissionError(13, "Permission denied")))
    assert numbers_found(cache, 1) == [1]
    assert len(names_in(cache.folder)) == 5


def row(value):
    return np.full((1, 10, 10), value, dtype=np.uint8)


def entry(key, count=10):
    return caches.PixelCache(key, ROW_BYTES, count)


def fill(key, images=()):
    """Write an entry, by default of ten images."""
    images = images or [row(value) for value in range(10)]
    cache = entry(key, len(images))
    cache.folder.mkdir(parents=True, exist_ok=True)
    return cache.note(cache.write(images))


def path_of(key, suffix="u8"):
    return caches.cache_root() / "pixels" / f"{key}.{suffix}"


def use_ago(**seconds):
    """Fill entries that were last used so many seconds ago."""
    for key, ago in seconds.items():
        fill(key)
        os.utime(path_of(key, "json"), (time.time() - ago,) * 2)


def make_room(rows):
    return entry("next", rows).make_room()


def test_an_entry_holds_the_rows_in_order_and_the_failures_by_position():
    assert entry("a").find() is None
    written = fill("a", [row(7), "damaged", row(9)])
    path_of("a", "lock").touch()  # of a killed process
    assert entry("a", 3).find() == written == caches.CachedPixels(rows=2, failures={1: "damaged"})
    assert path_of("a").read_bytes() == bytes([7] * 100 + [9] * 100)
    assert names_in(path_of("a").parent) == ["a.json", "a.u8"]
    assert entry("a", 4).find() is None
    assert entry("a", 2).find() is None


@pytest.mark.parametrize("damage", [999, "", "null", '{"rows": "many", "failures": {}}'])
def test_a_damaged_entry_is_written_again(damage):
    fill("a")
    if isinstance(damage, int):
        os.truncate(path_of("a"), damage)
    else:
        path_of("a", "json").write_text(damage)
    assert entry("a").find() is None
    assert fill("a") == entry("a").find()


def test_what_is_broken_off_leaves_nothing():
    fill("a")
    with pytest.raises(ZeroDivisionError):
        entry("a").write(row(1 // number) for number in (1, 0))
    assert names_in(path_of("a").parent) == []


def test_the_least_recently_used_entries_are_deleted_for_one_that_fits(monkeypatch):
    use_ago(old=300, older=400, new=100)
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "3e-6")
    for rows, fits, left in ((31, False, 3), (10, True, 2), (21, True, 0)):
        assert make_room(rows) == fits
        assert [key for key in ("new", "old", "older") if path_of(key).exists()] == ["new", "old", "older"][:left]


def test_finding_an_entry_counts_as_using_it_and_readers_keep_what_is_deleted(monkeypatch):
    use_ago(a=300, b=200)
    assert entry("a").find()
    array = np.memmap(path_of("b"), dtype=np.uint8, mode="r")
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "2e-6")
    assert make_room(10)
    assert [path_of(key).exists() for key in ("a", "b")] == [True, False]
    assert array[-1] == 9


def test_what_a_crash_has_left_makes_room_first_unless_it_is_being_written(monkeypatch):
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "3e-6")
    use_ago(whole=300)
    for key in ("left", "now"):
        path_of(key).write_bytes(bytes(1000))
    with held(entry("now").lock, caches.cache_root()):
        assert make_room(10)
    assert [path_of(key).exists() for key in ("whole", "left", "now")] == [True, False, True]


def test_the_limit_is_half_of_what_the_disk_could_give(monkeypatch):
    monkeypatch.setattr("shutil.disk_usage", lambda _path: type("Usage", (), {"free": 1000})())
    assert caches.cache_limit_bytes(200) == 600
    for value in ("", "much", "-1", "nan", "inf"):
        monkeypatch.setenv("LABELAUDIT_CACHE_GB", value)
        with pytest.raises(UsageError, match="is not a size"):
            make_room(1)


def test_embeddings_of_any_backbone_are_found_by_content():
    assert caches.find_embeddings({"a"}) == {}
    vectors = np.arange(12, dtype=np.float32).reshape(4, 3)
    one, other = caches.EmbeddingCache("one"), caches.EmbeddingCache("other")
    one.add(["a", "b"], [caches.Embedded(vector_D=vectors[0], reason=""), FAILED])
    other.add(["a", "b", "c"], [caches.Embedded(vector_D=vector_D, reason="") for vector_D in vectors[1:]])
    (other.folder / "part-x.parquet").write_bytes(b"no parquet")
    found = caches.find_embeddings({"a", "b", "z"})
    assert {name: vector_D.tolist() for name, vector_D in found.items()} == {"a": [3, 4, 5], "b": [6, 7, 8]}
    assert caches.find_embeddings({"z"}) == {}
