"""Thumbnails: in order, within their bytes, and a reason where there is none."""

import base64
import hashlib
import io
from pathlib import Path

import pytest
from PIL import Image

from labelaudit.report.page.write import CHANGED, Picture, Thumbnails, read_thumbnails
from tests.report.page.helpers import picture


def write(root: Path, names: list[str], size: tuple[int, int] = (12, 10)) -> list[Picture]:
    found = []
    for number, name in enumerate(names):
        content = picture(number, size)
        (root / name).write_bytes(content)
        found.append(Picture(path=name, sha256=hashlib.sha256(content).hexdigest()))
    return found


def read(root: Path, pictures: list[Picture], most_bytes: int = 10**9, side: int = 96) -> Thumbnails:
    return read_thumbnails(root, pictures, side=side, most_bytes=most_bytes)


def opened(text: str | None) -> Image.Image:
    assert text is not None
    image = Image.open(io.BytesIO(base64.b64decode(text)))
    image.load()
    return image


def test_every_picture_gets_its_own(tmp_path: Path) -> None:
    pictures = write(tmp_path, [f"{number}.png" for number in range(200)])
    thumbnails = read(tmp_path, pictures)
    assert len(thumbnails.content) == 200
    assert thumbnails.missing == 0
    assert len(set(thumbnails.content)) == 200
    assert f"image/{str(opened(thumbnails.content[0]).format).lower()}" == thumbnails.kind
    assert read(tmp_path, pictures) == thumbnails
    assert read(tmp_path, pictures[::-1]).content == thumbnails.content[::-1]


def test_they_fit_and_keep_their_proportions(tmp_path: Path) -> None:
    wide, tall, thin, small = (
        write(tmp_path, [name], size)[0]
        for name, size in {
            "wide.png": (400, 100),
            "tall.png": (100, 400),
            "thin.png": (2000, 1),
            "small.png": (12, 10),
        }.items()
    )
    sizes = [opened(text).size for text in read(tmp_path, [wide, tall, thin, small]).content]
    assert sizes == [(96, 24), (24, 96), (96, 1), (12, 10)]


def test_what_is_gone_changed_or_damaged_has_a_reason(tmp_path: Path) -> None:
    gone, changed, damaged, folder, fine = write(
        tmp_path, ["gone.png", "changed.png", "damaged.png", "folder", "fine.png"]
    )
    (tmp_path / "gone.png").unlink()
    (tmp_path / "changed.png").write_bytes(picture(99))
    content = picture(2)[:60]
    (tmp_path / "damaged.png").write_bytes(content)
    damaged = Picture(path="damaged.png", sha256=hashlib.sha256(content).hexdigest())
    (tmp_path / "folder").unlink()
    (tmp_path / "folder").mkdir()
    thumbnails = read(tmp_path, [gone, changed, damaged, folder, fine])
    assert [text is None for text in thumbnails.content] == [True, True, True, True, False]
    assert thumbnails.missing == 4
    assert thumbnails.reasons[0] == "no such file or directory"
    assert thumbnails.reasons[1] == CHANGED
    assert thumbnails.reasons[2].startswith("damaged: ")
    assert thumbnails.reasons[3:] == ["not a regular file", ""]


def test_of_a_folder_that_is_gone_nothing_is_had(tmp_path: Path) -> None:
    thumbnails = read(tmp_path / "nowhere", [Picture(path="a.png", sha256="")] * 3)
    assert (thumbnails.missing, len(thumbnails.content)) == (3, 3)


@pytest.mark.parametrize("count", [0, 1, 70, 199])
def test_the_bytes_are_kept_exactly(tmp_path: Path, count: int) -> None:
    pictures = write(tmp_path, [f"{number}.png" for number in range(200)])
    everything = read(tmp_path, pictures)
    first = sum(len(text or "") for text in everything.content[:count])
    assert read(tmp_path, pictures, first).content == everything.content[:count]
    assert len(read(tmp_path, pictures, max(first - 1, 0)).content) == max(count - 1, 0)
    assert read(tmp_path, pictures, -5).content == []


def test_a_file_outside_is_not_shown(tmp_path: Path) -> None:
    (tmp_path / "root").mkdir()
    secret = picture(5)
    (tmp_path / "secret.png").write_bytes(secret)
    assert read(tmp_path / "root", [Picture(path="../secret.png", sha256="0" * 64)]).content == [None]
