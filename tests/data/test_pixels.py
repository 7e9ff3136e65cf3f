import numpy as np
import pytest

from labelaudit.data import pixels
from labelaudit.data.folder import scan
from labelaudit.data.pixels import PixelFormat, load_pixels, pixel_digest
from labelaudit.errors import StorageError
from tests.data.helpers import plain_png, write_files
from tests.helpers import Listener

GREY_4 = PixelFormat(size=4, channels=1)
BYTES = 150 * 16


@pytest.fixture
def shades(tmp_path):
    """Scan 150 images of which number i has the value i."""
    files = {f"{number % 2}/{number:03d}.png": plain_png(number) for number in range(150)}
    return scan(write_files(tmp_path / "shades", files))


def require_rows(loaded, catalogue):
    """Check that each row has the value of its sample."""
    values = [int(catalogue.paths[sample][2:5]) for sample in loaded.sample_R]
    assert loaded.array_RCHW[:, 0, 0, 0].tolist() == values
    assert (loaded.array_RCHW == loaded.array_RCHW[:, :, :1, :1]).all()


def test_rows_are_the_readable_images_in_order(shades):
    loaded = load_pixels(shades, GREY_4)
    assert (loaded.array_RCHW.shape, loaded.array_RCHW.dtype) == ((150, 1, 4, 4), np.uint8)
    assert loaded.sample_R.tolist() == list(range(150))
    require_rows(loaded, shades)
    loaded = load_pixels(shades.set_aside(dict.fromkeys(range(150), "damaged")), GREY_4)
    assert (loaded.array_RCHW.shape, loaded.sample_R.tolist()) == ((0, 1, 4, 4), [])


@pytest.mark.parametrize("cache", ["1", "0"])
def test_damaged_images_are_left_out_with_the_reason(shades, monkeypatch, cache):
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", cache)
    truncated, changed, vanished = 3, 77, 140
    (shades.root / shades.paths[truncated]).write_bytes(plain_png()[:50])
    shades = scan(shades.root)
    (shades.root / shades.paths[changed]).write_bytes(plain_png(200))
    (shades.root / shades.paths[vanished]).unlink()
    loaded = load_pixels(shades, GREY_4)
    assert loaded.failures.pop(truncated).startswith("damaged: ")
    reasons = {changed: "it changed while the folder was audited", vanished: "no such file or directory"}
    assert loaded.failures == reasons
    assert len(loaded.sample_R) == 147
    require_rows(loaded, shades)


def test_pixels_that_fit_neither_into_memory_nor_into_the_cache_are_refused(shades, monkeypatch):
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "0")
    monkeypatch.setattr(pixels, "_free_memory_bytes", lambda: BYTES / pixels.RAM_SHARE)
    require_rows(load_pixels(shades, GREY_4), shades)
    monkeypatch.setattr(pixels, "_free_memory_bytes", lambda: BYTES / pixels.RAM_SHARE - 2)
    with pytest.raises(StorageError, match=r"no room for 0\.0 GiB of pixels .*--image-size.*LABELAUDIT_CACHE_GB"):
        load_pixels(shades, GREY_4)


def test_a_second_load_reads_the_cache(shades, monkeypatch):
    (shades.root / shades.paths[3]).write_bytes(plain_png()[:50])
    shades = scan(shades.root).set_aside({1: "empty file"})
    first, listener = load_pixels(shades, GREY_4), Listener()
    monkeypatch.setattr(pixels, "decode", None)
    second = load_pixels(shades, GREY_4, reporter=listener)
    assert np.array_equal(second.array_RCHW, first.array_RCHW)
    assert second.sample_R.tolist() == first.sample_R.tolist() == [0, 2, *range(4, 150)]
    assert second.failures == first.failures
    assert listener.lines[0].startswith("149 images are decoded already")
    monkeypatch.setattr(pixels, "_free_memory_bytes", lambda: int(BYTES / pixels.RAM_SHARE))
    assert not isinstance(load_pixels(shades, GREY_4).array_RCHW, np.memmap)
    mapped = load_pixels(shades, GREY_4, processes=2)
    assert isinstance(mapped.array_RCHW, np.memmap)
    assert np.array_equal(mapped.array_RCHW, first.array_RCHW)


def test_an_image_that_was_missing_for_a_moment_is_not_remembered_as_damaged(shades):
    path = shades.root / shades.paths[5]
    content = path.read_bytes()
    path.unlink()
    assert load_pixels(shades, GREY_4).failures.keys() == {5}
    path.write_bytes(content)
    assert load_pixels(shades, GREY_4).failures == {}


def test_a_changed_image_or_another_format_is_another_entry(shades):
    load_pixels(shades, GREY_4)
    path = shades.root / shades.paths[0]
    path.write_bytes(plain_png(99))
    assert int(load_pixels(scan(shades.root), GREY_4).array_RCHW[0, 0, 0, 0]) == 99
    assert load_pixels(shades.set_aside({0: "x"}), PixelFormat(size=2, channels=3)).array_RCHW.shape == (149, 3, 2, 2)


def test_the_digest_depends_on_the_pixels_only():
    one, other = np.random.default_rng(0).integers(0, 256, (2, 3, 8, 8)).astype(np.uint8)
    assert pixel_digest(one) == pixel_digest(one.copy(order="F")) != pixel_digest(other)
    assert len(pixel_digest(one)) == 16
