"""A head on the embedded backbone: chosen for larger images, offline, with a cache of embeddings."""

import json
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
from PIL import Image

from tests.cli.helpers import file_bytes, pattern, succeed, write_images


@pytest.fixture
def large(tmp_path: Path) -> Path:
    return write_images(tmp_path / "large", classes=("ant", "bee", "cat"), each=8, size=96, suffix=".jpg")


def cached_embeddings(cache_folder: Path) -> list[int]:
    """How many embeddings each part of the cache holds."""
    parts = sorted(cache_folder.rglob("part-*.parquet"), key=lambda path: path.stat().st_mtime_ns)
    return [pq.read_metadata(path).num_rows for path in parts]


def test_large_images_are_embedded_once(large: Path, cache_folder: Path) -> None:
    whole = (large / "cat/001.jpg").read_bytes()
    (large / "cat/001.jpg").write_bytes(whole[: len(whole) // 2])
    first = succeed("score", large, "--run", "first", "--offline").err
    assert "Probe: a head on frozen tf_efficientnet_lite0, embedded weights (images of 96 pixels, above 64)" in first
    assert "1 of 24 images cannot be read and are set aside (cat/001.jpg: damaged" in first
    assert "in the cache" not in first
    assert json.loads(Path("first/run.json").read_text())["settings"]["kind"] == "frozen"
    assert cached_embeddings(cache_folder) == [24]

    second = succeed("train-probe", large, "--run", "second", "--offline").err
    assert f"All 24 embeddings are in the cache ({cache_folder}" in second
    assert "1 of 24 images cannot be read and are set aside" in second
    assert file_bytes(Path("first/losses")) == file_bytes(Path("second/losses"))

    Image.fromarray(pattern(1, 3, 96, np.random.default_rng(99))).save(large / "bee/003.jpg")
    third = succeed("train-probe", large, "--run", "third", "--offline").err
    assert f"23 of 24 embeddings are in the cache ({cache_folder}" in third
    assert cached_embeddings(cache_folder) == [24, 1]


def test_a_retraining_of_large_images_trains_a_head_unless_a_network_is_asked_for(large: Path) -> None:
    weights = "".join(f"{path.relative_to(large)},1\n" for path in sorted(large.rglob("*.jpg")))
    Path("weights.csv").write_text(f"path,weight\n{weights}")
    words = ("retrain", large, "--val", large, "--weights", "weights.csv", "--offline", "--epochs", "1", "--method")
    text = succeed(*words, "dividemix", "--out", "head").err
    assert "Retraining with dividemix: a head on frozen tf_efficientnet_lite0, embedded weights (images" in text
    assert "Trained with dividemix, test error " in text
    assert "Warning: dividemix is made for augmented images" in text
    asked = succeed(*words, "aul", "--out", "network", "--probe", "train").err
    assert "Retraining with aul: training labelaudit_probe from scratch (as asked)" in asked
