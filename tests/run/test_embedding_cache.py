import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.detect.images import IMAGE_STATISTICS, ImageStatistics
from labelaudit.errors import StorageError
from labelaudit.names import COPY_KINDS
from labelaudit.run.caches import Embedded, EmbeddingCache, cache_root
from tests.run.helpers import names_in, room_for

D = 4


def embedded(value):
    return Embedded(vector_D=np.full(D, value, dtype=np.float32), reason="")


def failed(reason="damaged: x"):
    return Embedded(vector_D=None, reason=reason)


def hashes(*numbers):
    return [f"{number:064x}" for number in numbers]


def filled(*parts):
    """A cache with a part for each of these numbers' tuples; a picture's embedding is its number."""
    cache = EmbeddingCache("resnet-224")
    for numbers in parts:
        cache.add(hashes(*numbers), [embedded(number) for number in numbers], D)
    return cache


def numbers_found(cache, *wanted):
    return sorted(int(sha256, 16) for sha256 in cache.load(set(hashes(*wanted))))


def test_the_cache_lies_where_the_variable_says(cache_folder):
    assert cache_root() == cache_folder
    filled((1,))
    assert names_in(cache_folder / "embeddings") == ["resnet-224"]


def test_without_the_variable_it_lies_in_the_users_cache(monkeypatch):
    monkeypatch.setattr("platformdirs.user_cache_path", lambda name: Path("/users") / name)
    for change in (lambda: monkeypatch.setenv("LABELAUDIT_CACHE", ""), lambda: monkeypatch.delenv("LABELAUDIT_CACHE")):
        change()
        assert cache_root() == Path("/users/labelaudit")


def test_an_empty_cache_finds_nothing_and_makes_no_folder(cache_folder):
    assert EmbeddingCache("resnet-224").load(set(hashes(1, 2))) == {}
    assert not cache_folder.exists()


def test_embeddings_are_found_by_content_bit_for_bit():
    vector_PD = np.random.default_rng(0).normal(size=(3, D)).astype(np.float32)
    cache = EmbeddingCache("resnet-224")
    cache.add(hashes(5, 3, 9), [Embedded(vector_D=vector_D, reason="") for vector_D in vector_PD], D)
    found = EmbeddingCache("resnet-224").load(set(hashes(3, 5, 9)))
    for sha256, vector_D in zip(hashes(5, 3, 9), vector_PD, strict=True):
        assert found[sha256].vector_D.dtype == np.float32
        assert found[sha256].vector_D.tobytes() == vector_D.tobytes()
        assert found[sha256].reason == ""


@pytest.mark.parametrize("spoiled", [True, False])
def test_what_was_seen_of_a_picture_comes_back_with_its_embedding(spoiled):
    generator = np.random.default_rng(0)
    copy_MS = generator.normal(size=(len(COPY_KINDS), len(IMAGE_STATISTICS))).astype(np.float32)
    value_S = generator.normal(size=len(IMAGE_STATISTICS)).astype(np.float32)
    look = ImageStatistics(digest="0123456789abcdef", value_S=value_S, copy_MS=copy_MS if spoiled else None)
    cache = EmbeddingCache("resnet-224")
    cache.add(hashes(5, 6), [replace(embedded(5), look=look), embedded(6)], D)
    found = cache.load(set(hashes(5, 6)))
    again = found[hashes(5)[0]].look
    assert again.digest == look.digest
    np.testing.assert_array_equal(again.value_S, value_S)
    assert (again.copy_MS is None) == (not spoiled)
    if spoiled:
        np.testing.assert_array_equal(again.copy_MS, copy_MS)
    assert found[hashes(6)[0]].look is None


def test_only_what_is_wanted_is_given():
    assert numbers_found(filled((1, 2, 3)), 2, 7) == [2]


def test_every_addition_is_kept_beside_the_earlier_ones():
    cache = filled((1, 2), (3,))
    assert numbers_found(cache, 1, 2, 3, 4) == [1, 2, 3]
    cache.add(hashes(4), [embedded(4)], D)
    found = cache.load(set(hashes(1, 2, 3, 4)))
    assert {int(sha256, 16): result.vector_D[0] for sha256, result in found.items()} == {1: 1, 2: 2, 3: 3, 4: 4}
    assert len(names_in(cache.folder)) == 3


def test_another_backbone_has_another_cache():
    filled((1,))
    assert numbers_found(EmbeddingCache("resnet-96"), 1) == []


def test_failures_are_remembered_with_their_reason():
    cache = EmbeddingCache("resnet-224")
    cache.add(hashes(1, 2, 3), [embedded(1), failed("damaged: truncated"), embedded(3)], D)
    found = cache.load(set(hashes(1, 2, 3)))
    assert found[hashes(2)[0]] == failed("damaged: truncated")
    assert [found[sha256].vector_D.tolist() for sha256 in hashes(1, 3)] == [[1.0] * D, [3.0] * D]


def test_a_part_of_failures_only_is_kept():
    cache = EmbeddingCache("resnet-224")
    cache.add(hashes(1), [failed()], D)
    assert cache.load(set(hashes(1))) == {hashes(1)[0]: failed()}


@pytest.mark.parametrize(
    "damage",
    [
        pytest.param(lambda content: b"", id="empty"),
        pytest.param(lambda content: content[: len(content) // 2], id="truncated"),
        pytest.param(lambda content: b"\0" * len(content), id="zeros"),
    ],
)
def test_a_damaged_part_is_deleted_and_the_others_are_used(damage):
    cache = filled((1, 2))
    (broken,) = cache.folder.iterdir()
    cache.add(hashes(3), [embedded(3)], D)
    broken.write_bytes(damage(broken.read_bytes()))
    assert numbers_found(cache, 1, 2, 3) == [3]
    assert not broken.exists()
    assert len(names_in(cache.folder)) == 1
    cache.add(hashes(1, 2), [embedded(1), embedded(2)], D)
    assert numbers_found(cache, 1, 2, 3) == [1, 2, 3]


def test_a_part_with_other_columns_is_deleted():
    cache = filled((1,))
    pq.write_table(pa.table({"sha256": hashes(2)}), cache.folder / "part-other.parquet")
    assert numbers_found(cache, 1, 2) == [1]
    assert "part-other.parquet" not in names_in(cache.folder)


def test_a_damaged_part_that_cannot_be_deleted_is_passed_over(monkeypatch):
    cache = filled((1,))
    (cache.folder / "part-0.parquet").write_bytes(b"x")

    def refuse(self, missing_ok=False):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(Path, "unlink", refuse)
    assert numbers_found(cache, 1) == [1]


def test_other_files_in_the_folder_are_left_alone():
    cache = filled((1,))
    for name in (".part-1.parquet.partial", "notes.txt"):
        (cache.folder / name).write_bytes(b"x")
    assert numbers_found(cache, 1) == [1]
    assert {".part-1.parquet.partial", "notes.txt"} <= set(names_in(cache.folder))


def test_a_part_without_pictures_is_harmless():
    cache = filled((1,))
    part = next(iter(cache.folder.iterdir()))
    pq.write_table(pq.read_table(part).slice(0, 0), cache.folder / "part-none.parquet")
    assert numbers_found(cache, 1) == [1]
    assert len(names_in(cache.folder)) == 2


def test_the_columns_are_open_to_other_tools():
    table = pq.read_table(next(iter(filled((1,)).folder.iterdir())))
    assert table.column_names == ["sha256", "embedding", "reason", "digest", "look"]
    assert table.column("embedding").to_pylist() == [[1.0] * D]
    assert table.schema.field("embedding").type.value_type == pa.float32()


def test_a_full_or_read_only_disk_is_a_storage_error(monkeypatch):
    cache = filled((1,))
    with room_for(100), pytest.raises(StorageError, match="no space left"):
        cache.add(hashes(2), [embedded(2)], D)
    assert len(os.listdir(cache.folder)) == 1

    def refuse(*_, **__):
        raise OSError(30, os.strerror(30))

    monkeypatch.setattr(Path, "mkdir", refuse)
    with pytest.raises(StorageError, match="may not be written"):
        cache.add(hashes(2), [embedded(2)], D)
