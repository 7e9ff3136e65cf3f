import errno
import os
import tempfile

import numpy as np
import pytest
from PIL import Image

from labelaudit.data import catalogue as parts
from labelaudit.data import pixels
from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat, decode_stream, load_pixels, pixel_digest
from labelaudit.errors import StorageError
from labelaudit.run import caches as pixel_cache
from tests.data.helpers import encoded, halves, plain_png, write_files

GREY_4 = PixelFormat(size=4, channels=1)


class Notes:
    """Keeps what is said."""

    def __init__(self):
        self.said = []

    def say(self, text):
        self.said.append(text)

    warn = say

    def bar(self, *_):
        return pixels.QUIET.bar("", 0, "")


@pytest.fixture
def shades(tmp_path):
    """150 pictures of which number i has the value i."""
    files = {f"{number % 2}/{number:03d}.png": plain_png(number) for number in range(150)}
    return scan(write_files(tmp_path / "shades", files))


def value_of(path):
    return int(path[2:5])


@pytest.fixture
def no_cache(monkeypatch):
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "0")


@pytest.fixture
def no_memory(monkeypatch):
    monkeypatch.setattr(pixels, "_free_memory_bytes", lambda: 0)


def load_until_interrupted(shades, monkeypatch):
    """Stop after 100 pictures, of which a whole part of 64 is noted."""
    decode_of_the_package, decoded = pixels.decode, []

    def decode_some(content, **form):
        if len(decoded) == 100:
            raise KeyboardInterrupt
        decoded.append(1)
        return decode_of_the_package(content, **form)

    with monkeypatch.context() as patched:
        patched.setattr(pixel_cache, "_NOTE_SECONDS", -1.0)
        patched.setattr(parts, "READERS", 1)
        patched.setattr(pixels, "decode", decode_some)
        with pytest.raises(KeyboardInterrupt):
            load_pixels(shades, GREY_4)


def test_row_after_row_holds_the_pictures_in_the_order_of_the_samples(shades):
    loaded = load_pixels(shades, GREY_4)
    assert loaded.array_RCHW.shape == (150, 1, 4, 4)
    assert loaded.array_RCHW.dtype == np.uint8
    assert loaded.sample_R.tolist() == list(range(150))
    for row, path in enumerate(shades.paths):
        assert (loaded.array_RCHW[row] == value_of(path)).all()
    assert loaded.failures == {}


def test_samples_set_aside_have_no_row(shades):
    loaded = load_pixels(shades.set_aside({0: "empty file", 75: "damaged"}), GREY_4)
    assert loaded.sample_R.tolist() == [number for number in range(150) if number not in (0, 75)]
    assert [int(picture[0, 0, 0]) for picture in loaded.array_RCHW] == [
        value_of(shades.paths[sample]) for sample in loaded.sample_R
    ]
    assert loaded.failures == {}


def test_pictures_that_turn_out_damaged_are_left_out_with_the_reason(shades):
    truncated, changed, vanished = 3, 77, 140
    (shades.root / shades.paths[truncated]).write_bytes(plain_png()[:50])
    shades = scan(shades.root)
    (shades.root / shades.paths[changed]).write_bytes(plain_png(200))
    (shades.root / shades.paths[vanished]).unlink()
    loaded = load_pixels(shades, GREY_4)
    assert set(loaded.failures) == {truncated, changed, vanished}
    assert loaded.failures[truncated].startswith("damaged: ")
    assert loaded.failures[changed] == "it changed while the folder was audited"
    assert loaded.failures[vanished] == "no such file or directory"
    assert loaded.sample_R.tolist() == [number for number in range(150) if number not in loaded.failures]
    assert [int(picture[0, 0, 0]) for picture in loaded.array_RCHW] == [
        value_of(shades.paths[sample]) for sample in loaded.sample_R
    ]


def test_the_format_decides_size_channels_and_proportions(tmp_path):
    wide = Image.fromarray(np.array([[0, 100, 200, 250]] * 2, dtype=np.uint8))
    catalogue = scan(write_files(tmp_path, {"cat/0.png": encoded(wide)}))
    crop = load_pixels(catalogue, PixelFormat(size=2, channels=1, resize="crop")).array_RCHW
    stretch = load_pixels(catalogue, PixelFormat(size=2, channels=3)).array_RCHW
    assert crop.tolist() == [[[[100, 200]] * 2]]
    # Bilinear from four pixels to two: triangle weights ¾ ¾ ¼ over 1.75, so 125 / 1.75 and 362.5 / 1.75.
    assert stretch.tolist() == [[[[71, 207]] * 2] * 3]


def test_channels_come_first_and_in_the_order_red_green_blue(tmp_path):
    content = encoded(halves("RGB", (10, 20, 30), (200, 100, 50)))
    catalogue = scan(write_files(tmp_path, {"cat/0.png": content}))
    (picture_CHW,) = load_pixels(catalogue, PixelFormat(size=4, channels=3)).array_RCHW
    assert picture_CHW[:, 0, 0].tolist() == [10, 20, 30]
    assert picture_CHW[:, 0, 3].tolist() == [200, 100, 50]


def test_data_without_a_readable_picture_gives_no_rows(shades):
    loaded = load_pixels(shades.set_aside(dict.fromkeys(range(150), "damaged")), GREY_4)
    assert loaded.array_RCHW.shape == (0, 1, 4, 4)
    assert loaded.sample_R.tolist() == []


def test_pixels_that_do_not_fit_into_memory_go_into_a_file_and_are_the_same(shades, no_memory, no_cache):
    notes = Notes()
    mapped = load_pixels(shades, GREY_4, reporter=notes)
    assert isinstance(mapped.array_RCHW, np.memmap)
    assert len(notes.said) == 1
    assert f"memory-mapped file in {tempfile.gettempdir()}" in notes.said[0]
    assert [int(picture[0, 0, 0]) for picture in mapped.array_RCHW] == [value_of(path) for path in shades.paths]


def test_pixels_that_fit_stay_in_memory_and_nothing_is_said(shades, monkeypatch, no_cache):
    monkeypatch.setattr(pixels, "_free_memory_bytes", lambda: int(150 * 16 / pixels.RAM_SHARE))
    notes = Notes()
    assert not isinstance(load_pixels(shades, GREY_4, reporter=notes).array_RCHW, np.memmap)
    assert notes.said == []
    monkeypatch.setattr(pixels, "_free_memory_bytes", lambda: int(150 * 16 / pixels.RAM_SHARE) - 2)
    assert isinstance(load_pixels(shades, GREY_4).array_RCHW, np.memmap)


@pytest.mark.skipif(not hasattr(os, "posix_fallocate"), reason="the system cannot reserve disk space")
def test_the_space_of_the_file_is_reserved_before_it_is_filled(shades, no_memory, no_cache, monkeypatch):
    def full(_handle, start, length):
        assert (start, length) == (0, 150 * 16)
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "posix_fallocate", full)
    with pytest.raises(StorageError, match=r"no room for 0\.0 GiB of pixels: No space left.*--image-size.*TMPDIR"):
        load_pixels(shades, GREY_4)


def test_no_folder_for_the_file_is_a_storage_error(shades, no_memory, no_cache, monkeypatch, tmp_path):
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "nowhere"))
    with pytest.raises(StorageError, match=r"no room for .* No such file or directory"):
        load_pixels(shades, GREY_4)


def test_a_stream_gives_the_asked_samples_in_the_asked_order(shades):
    asked = [149, 3, 3, *range(40, 100)]
    seen, values = [], []
    for numbers, pictures in decode_stream(shades, asked, GREY_4, part=7):
        assert len(numbers) <= 7
        seen.extend(numbers)
        values.extend(int(picture[0, 0, 0]) for picture in pictures)
    assert seen == asked
    assert values == [value_of(shades.paths[number]) for number in asked]


def test_a_stream_decodes_only_some_parts_ahead(shades, monkeypatch):
    started = []
    decode_of_the_package = pixels._decode_part

    def decode_part(catalogue, numbers, form):
        started.append(numbers[0])
        return decode_of_the_package(catalogue, numbers, form)

    monkeypatch.setattr(pixels, "READERS", 1)
    monkeypatch.setattr(pixels, "_decode_part", decode_part)
    stream = decode_stream(shades, range(150), GREY_4, part=1)
    next(stream)
    assert len(started) <= 3
    assert len(list(stream)) == 149


def test_free_memory_is_plausible():
    assert 1 << 20 < pixels._free_memory_bytes() < 1 << 50


def test_a_second_load_decodes_nothing(shades, monkeypatch):
    first = load_pixels(shades, GREY_4)
    monkeypatch.setattr(pixels, "decode", None)
    notes = Notes()
    second = load_pixels(scan(shades.root), GREY_4, reporter=notes)
    assert np.array_equal(second.array_RCHW, first.array_RCHW)
    assert second.sample_R.tolist() == first.sample_R.tolist()
    assert notes.said[0].startswith("All 150 images are decoded already")


def test_a_cache_that_does_not_fit_into_memory_is_mapped(shades, monkeypatch):
    in_memory = load_pixels(shades, GREY_4)
    monkeypatch.setattr(pixels, "_free_memory_bytes", lambda: int(150 * 16 / pixels.RAM_SHARE))
    assert not isinstance(load_pixels(shades, GREY_4).array_RCHW, np.memmap)
    mapped = load_pixels(shades, GREY_4, processes=2)
    assert isinstance(mapped.array_RCHW, np.memmap)
    assert np.array_equal(mapped.array_RCHW, in_memory.array_RCHW)


def test_damaged_pictures_are_remembered_with_their_reason(shades, monkeypatch):
    (shades.root / shades.paths[3]).write_bytes(plain_png()[:50])
    shades = scan(shades.root).set_aside({1: "empty file"})
    first = load_pixels(shades, GREY_4)
    monkeypatch.setattr(pixels, "decode", None)
    second = load_pixels(shades, GREY_4)
    assert first.failures.keys() == {3}
    assert second.failures == first.failures
    assert second.sample_R.tolist() == first.sample_R.tolist() == [0, 2, *range(4, 150)]
    assert [int(picture[0, 0, 0]) for picture in second.array_RCHW] == [
        value_of(shades.paths[sample]) for sample in second.sample_R
    ]


def test_a_picture_that_was_away_for_a_moment_is_not_remembered_as_damaged(shades):
    path = shades.root / shades.paths[5]
    content = path.read_bytes()
    path.unlink()
    assert load_pixels(shades, GREY_4).failures.keys() == {5}
    path.write_bytes(content)
    assert load_pixels(shades, GREY_4).failures == {}


def test_nor_is_one_that_was_away_before_an_interruption(shades, monkeypatch):
    path = shades.root / shades.paths[5]
    content = path.read_bytes()
    path.unlink()
    load_until_interrupted(shades, monkeypatch)
    assert load_pixels(shades, GREY_4).failures.keys() == {5}
    path.write_bytes(content)
    assert load_pixels(shades, GREY_4).failures == {}


def test_an_interrupted_decoding_goes_on_after_the_last_note(shades, monkeypatch):
    expected = load_pixels(shades, PixelFormat(size=4, channels=3)).array_RCHW[:, :1]
    load_until_interrupted(shades, monkeypatch)
    notes = Notes()
    loaded = load_pixels(shades, GREY_4, reporter=notes)
    assert notes.said == ["64 images were decoded before an interruption"]
    assert np.array_equal(loaded.array_RCHW, expected)


def test_a_cache_that_cannot_be_written_is_a_warning(shades, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("LABELAUDIT_CACHE", str(tmp_path / "file"))
    notes = Notes()
    loaded = load_pixels(shades, GREY_4, reporter=notes)
    assert [int(picture[0, 0, 0]) for picture in loaded.array_RCHW] == [value_of(path) for path in shades.paths]
    assert len(notes.said) == 1
    assert notes.said[0].startswith("nothing is kept for the next audit of these images: ")
    assert notes.said[0].endswith("LABELAUDIT_CACHE")


def test_a_changed_picture_or_another_format_is_another_entry(shades):
    load_pixels(shades, GREY_4)
    path = shades.root / shades.paths[0]
    path.write_bytes(plain_png(99))
    assert int(load_pixels(scan(shades.root), GREY_4).array_RCHW[0, 0, 0, 0]) == 99
    assert load_pixels(shades.set_aside({0: "x"}), PixelFormat(size=2, channels=1)).array_RCHW.shape == (149, 1, 2, 2)


def test_the_digest_is_of_the_pixels_however_they_lie_in_memory():
    one, other = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.uint8)
    assert pixel_digest(one) == pixel_digest(one.copy(order="F")) != pixel_digest(other)
    assert len(pixel_digest(one)) == 16
