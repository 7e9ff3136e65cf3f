import csv
import hashlib

import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from labelaudit.audit.demo import write_digits
from labelaudit.data.folder import scan


@pytest.fixture(scope="module")
def digits(tmp_path_factory):
    return write_digits(tmp_path_factory.mktemp("digits"), rate=0.1, seed=3)


def content_of(folder):
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


def truth_of(digits):
    with open(digits.truth_csv, encoding="utf-8", newline="") as handle:
        return list(csv.DictReader(handle))


def test_equal_arguments_give_equal_files_and_another_seed_other_errors(tmp_path, monkeypatch):
    few = load_digits()
    few.images, few.target = few.images[:200], few.target[:200]
    monkeypatch.setattr("labelaudit.audit.demo.load_digits", lambda: few)
    one, same, other = (write_digits(tmp_path / str(n), rate=0.1, seed=seed) for n, seed in enumerate((3, 3, 4)))
    assert content_of(one.images.parent) == content_of(same.images.parent)
    assert one.wrong == same.wrong
    assert one.wrong != other.wrong


def test_all_digits_are_there_and_the_asked_share_is_wrong(digits):
    catalogue = scan(digits.images)
    assert len(catalogue) == 1797
    assert catalogue.readable_N.all()
    assert catalogue.classes == tuple("0123456789")
    assert len(digits.wrong) == round(0.1 * 1797)
    assert digits.wrong <= set(catalogue.paths)


def test_the_truth_names_every_file_and_what_is_wrong_with_it(digits):
    rows = truth_of(digits)
    assert list(rows[0]) == ["path", "label", "given"]
    assert [row["path"] for row in rows] == sorted(row["path"] for row in rows)
    assert {row["path"] for row in rows} == set(scan(digits.images).paths)
    assert {row["path"] for row in rows if row["label"] != row["given"]} == digits.wrong
    assert all(row["path"].startswith(f"{row['given']}/") for row in rows)


def test_a_file_shows_the_digit_that_the_truth_names(digits):
    source = load_digits()
    for row in truth_of(digits)[::100]:
        number = int(row["path"][2:6])
        assert row["label"] == str(source.target[number])
        pixels_HW = np.asarray(Image.open(digits.images / row["path"]))
        assert pixels_HW.tolist() == np.minimum(source.images[number] * 16, 255).astype(int).tolist()
