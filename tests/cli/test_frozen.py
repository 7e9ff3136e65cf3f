"""A head on the embedded backbone: chosen for larger pictures, offline, with a cache of embeddings."""

import json
import socket
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from tests.cli.helpers import file_bytes, pattern, save, succeed, write_images

KEPT = ("losses", "scores.parquet", "suspicious.csv")


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write_images(tmp_path / "large", classes=("ant", "bee", "cat"), each=8, size=96, suffix=".jpg")


@pytest.fixture(autouse=True)
def unplugged(monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(*_: object) -> None:
        raise AssertionError("the network is used")

    monkeypatch.setattr(socket.socket, "connect", refuse)


def cached_embeddings(cache_folder: Path) -> list[int]:
    """How many embeddings each part of the cache holds."""
    parts = sorted(cache_folder.rglob("part-*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    return [pq.read_metadata(path).num_rows for path in parts]


def test_large_pictures_are_embedded_once(large: Path, cache_folder: Path) -> None:
    first = succeed("score", large, "--run", "first", "--offline")
    assert (
        "Probe: a head on frozen tf_efficientnet_lite0, embedded weights (images of 96 pixels, above 64)" in first.err
    )
    assert json.loads(Path("first/run.json").read_text())["settings"]["kind"] == "frozen"
    assert "in the cache" not in first.err
    assert cached_embeddings(cache_folder) == [24]

    second = succeed("score", large, "--run", "second", "--offline")
    assert f"All 24 embeddings are in the cache ({cache_folder}" in second.err
    assert cached_embeddings(cache_folder) == [24]
    ours, theirs = file_bytes(Path("first")), file_bytes(Path("second"))
    assert all(theirs[name] == content for name, content in ours.items() if name.startswith(KEPT))

    save(large / "bee/003.jpg", pattern(1, 3, 96, np.random.default_rng(99)))
    third = succeed("score", large, "--run", "third", "--offline")
    assert f"23 of 24 embeddings are in the cache ({cache_folder}" in third.err
    assert cached_embeddings(cache_folder) == [24, 1]


def test_pictures_that_cannot_be_decoded_are_remembered(large: Path, cache_folder: Path) -> None:
    whole = (large / "cat/001.jpg").read_bytes()
    (large / "cat/001.jpg").write_bytes(whole[: len(whole) // 2])
    assert (
        "1 of 24 images cannot be read and are set aside (cat/001.jpg: damaged"
        in succeed("train-probe", large, "--run", "first", "--offline").err
    )
    again = succeed("score", large, "--run", "second", "--offline")
    assert "1 of 24 images cannot be read and are set aside" in again.err
    assert "All 24 embeddings are in the cache" in again.err
    scores = {row["path"]: row for row in pq.read_table("second/scores.parquet").to_pylist()}
    assert scores["cat/001.jpg"]["aul"] is None
    assert cached_embeddings(cache_folder) == [24]


def test_a_damaged_cache_is_made_anew(large: Path, cache_folder: Path) -> None:
    succeed("train-probe", large, "--run", "first", "--offline")
    for part in cache_folder.rglob("part-*.parquet"):
        part.write_bytes(b"PAR1")
    second = succeed("train-probe", large, "--run", "second", "--offline")
    assert "in the cache" not in second.err
    assert file_bytes(Path("first/losses")) == file_bytes(Path("second/losses"))
    assert cached_embeddings(cache_folder) == [24]


def test_small_pictures_are_trained_on(photos: Path) -> None:
    outcome = succeed("train-probe", photos, "--run", "audit", "--offline", "--epochs", "1")
    assert "from scratch (images of 8 pixels)" in outcome.err
    assert json.loads(Path("audit/run.json").read_text())["settings"]["kind"] == "train"


def test_a_retraining_of_large_pictures_trains_a_head_unless_a_network_is_asked_for(large: Path) -> None:
    weights = "".join(f"{path.relative_to(large)},1\n" for path in sorted(large.rglob("*.jpg")))
    Path("weights.csv").write_text(f"path,weight\n{weights}")
    words = ("retrain", large, "--val", large, "--weights", "weights.csv", "--offline", "--epochs", "1")
    told = {method: succeed(*words, "--method", method, "--out", method).err for method in ("aul", "dividemix")}
    for method, text in told.items():
        assert (
            f"Retraining with {method}: a head on frozen tf_efficientnet_lite0, embedded weights (images of 96" in text
        )
        assert f"Trained with {method}, test error " in text
    assert "Warning: dividemix is made for augmented images" in told["dividemix"]
    assert "Warning: " not in told["aul"]
    asked = succeed(*words, "--out", "network", "--probe", "train").err
    assert "Retraining with aul: training labelaudit_probe from scratch (as asked)" in asked
