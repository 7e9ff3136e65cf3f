from pathlib import Path

import numpy as np
import pytest

from labelaudit.audit.demo import write_digits_split
from labelaudit.data.folder import scan
from labelaudit.data.labels_file import read_labels_csv
from labelaudit.errors import RunError
from labelaudit.reproduce.detection.settings import parse_noise
from labelaudit.reproduce.table1.data import choose, plant


@pytest.fixture
def clean(image_folder):
    return scan(image_folder(classes=("ant", "bee", "cat"), per_class=20))


def test_images_are_drawn_by_the_seed(clean):
    chosen = choose(clean, 30, 0)
    assert len(chosen.paths) == 30
    assert set(chosen.paths) < set(clean.paths)
    label_of = dict(zip(clean.paths, clean.label_N, strict=True))
    assert [label_of[path] for path in chosen.paths] == chosen.label_N.tolist()
    assert chosen.paths == choose(clean, 30, 0).paths
    assert chosen.paths != choose(clean, 30, 1).paths
    assert choose(clean, 1000, 0).paths == clean.paths


def test_unreadable_images_are_not_drawn(image_folder):
    root = image_folder(per_class=4)
    (root / "cat" / "000.png").write_bytes(b"no picture")
    chosen = choose(scan(root), 100, 0)
    assert len(chosen.paths) == 7
    assert "cat/000.png" not in chosen.paths


def test_noise_is_planted_exactly_and_the_seed_is_in_the_file_name(clean, tmp_path):
    noisy = plant(parse_noise("uniform:0.4", clean.classes), clean, tmp_path / "out", subset=30, seed=3)
    assert noisy.data.labels_file.name == "uniform-0.4-seed3.csv"
    given, truth = read_labels_csv(noisy.data.labels_file), read_labels_csv(noisy.truth_csv)
    assert given.keys() == truth.keys()
    wrong = [path for path in given if given[path] != truth[path]]
    assert (len(given), len(wrong), noisy.images, noisy.rate) == (30, 12, 30, 0.4)


def test_pair_flips_go_to_the_next_class(clean, tmp_path):
    noisy = plant(parse_noise("pair-flip:0.4", clean.classes), clean, tmp_path / "out", subset=60, seed=0)
    given, truth = read_labels_csv(noisy.data.labels_file), read_labels_csv(noisy.truth_csv)
    following = {"ant": "bee", "bee": "cat", "cat": "ant"}
    assert {given[path] for path in given if given[path] != truth[path]} == set(following)
    assert all(given[path] in (truth[path], following[truth[path]]) for path in given)


def test_another_subset_in_the_same_folder_is_refused(clean, tmp_path):
    noise = parse_noise("uniform:0.4", clean.classes)
    plant(noise, clean, tmp_path, subset=30, seed=0)
    plant(noise, clean, tmp_path, subset=30, seed=0)
    with pytest.raises(RunError, match="--subset of before"):
        plant(noise, clean, tmp_path, subset=40, seed=0)


def test_the_digits_have_a_test_quarter(tmp_path: Path):
    train, test = (scan(folder) for folder in write_digits_split(tmp_path))
    assert (len(train.paths), len(test.paths)) == (1348, 449)
    assert train.classes == test.classes == tuple("0123456789")
    assert not set(train.sha256) & set(test.sha256) or len(set(train.sha256) & set(test.sha256)) < 5
    assert np.bincount(test.label_N).min() > 30
