import numpy as np
import pytest
from PIL import Image
from sklearn.datasets import load_digits

from labelaudit.reproduce.many_classes import write_numbers


def test_a_picture_shows_the_digits_of_its_class(tmp_path):
    write_numbers(tmp_path, classes=120, images=2)
    assert len(list(tmp_path.glob("*/*.png"))) == 240
    digits = load_digits()
    known = {
        (np.clip(picture * 16, 0, 255).astype(np.uint8)).tobytes(): d
        for picture, d in zip(digits.images, digits.target.tolist(), strict=True)
    }
    picture = np.asarray(Image.open(tmp_path / "117" / "0001.png"))
    assert picture.shape == (32, 32)
    corners = [picture[:16, :16], picture[:16, 16:], picture[16:, :16]]
    assert [known[np.ascontiguousarray(corner[::2, ::2]).tobytes()] for corner in corners] == [1, 1, 7]
    assert not picture[16:, 16:].any()


def test_equal_arguments_give_equal_files_and_another_seed_gives_others(tmp_path):
    for name, seed in (("a", 0), ("b", 0), ("c", 1)):
        write_numbers(tmp_path / name, classes=3, images=3, seed=seed)
    content = {
        name: [file.read_bytes() for file in sorted((tmp_path / name).glob("*/*.png"))] for name in ("a", "b", "c")
    }
    assert content["a"] == content["b"] != content["c"]


def test_there_are_a_thousand_numbers(tmp_path):
    with pytest.raises(ValueError, match="from 2 to 1000"):
        write_numbers(tmp_path, classes=1001)
