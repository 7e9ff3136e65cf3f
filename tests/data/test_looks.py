import numpy as np
import pytest

from labelaudit.data.looks import look_at, look_size, table_of_looks, thumbnail
from labelaudit.data.pixels import PixelFormat, decode_sample, pixel_digest
from labelaudit.detect.constants import EDGE_RIM, SIDE, WIDEST_EDGE
from labelaudit.detect.images import IMAGE_STATISTICS, copy_statistics, image_statistics
from labelaudit.names import COPY_KINDS
from tests.data.helpers import catalogue_of, encoded, noise_image, write_catalogue
from tests.helpers import Listener

FORM = PixelFormat(size=16, channels=3)


def catalogue_in(root):
    """Images of noise, of which the fourth is damaged and the sixth is set aside."""
    contents = [encoded(noise_image(seed)) for seed in range(40)]
    contents[3] = contents[3][:200]
    return write_catalogue(root, contents, ["gone" if number == 5 else "" for number in range(40)])


def test_images_are_looked_at_as_each_would_be_alone(tmp_path):
    catalogue, listener = catalogue_in(tmp_path), Listener()
    looked = look_at(catalogue, FORM, listener)
    assert looked.sample_R.tolist() == [0, 1, 2, 4, *range(6, 40)]
    assert list(looked.failures) == [3]
    assert looked.failures[3]
    assert listener.totals == [39]
    for sample, look in zip(looked.sample_R.tolist(), looked.looks, strict=True):
        pixels_CHW = decode_sample(catalogue, sample, FORM)
        assert look.digest == pixel_digest(pixels_CHW)
        np.testing.assert_allclose(look.value_S, image_statistics(pixels_CHW[None])[0], rtol=1e-5)
        assert (look.copy_MS is not None) == (catalogue.sha256[sample][0] in "0123")
        if look.copy_MS is not None:
            generator = np.random.default_rng(int(catalogue.sha256[sample][:16], 16))
            np.testing.assert_array_equal(look.copy_MS, copy_statistics(pixels_CHW[None], generator)[0])


def test_the_table_has_the_copies_of_some(tmp_path, monkeypatch):
    monkeypatch.setattr("labelaudit.data.looks.MOST_COPIED", 4)
    looked = look_at(catalogue_in(tmp_path), FORM, Listener())
    table = table_of_looks(looked.sample_R, looked.looks)
    copied = [row for row, look in enumerate(looked.looks) if look.copy_MS is not None]
    assert len(copied) > 4
    assert 1 <= len(table.copied_P) <= 4
    assert set(table.copied_P.tolist()) < set(copied)
    assert table.value_US.shape == (38, len(IMAGE_STATISTICS))
    assert table.copy_PMS.shape == (len(table.copied_P), len(COPY_KINDS), len(IMAGE_STATISTICS))
    np.testing.assert_array_equal(table.copy_PMS[0], looked.looks[table.copied_P[0]].copy_MS)
    assert table.digest_U.tolist() == [look.digest for look in looked.looks]
    assert len(table_of_looks(looked.sample_R[:0], []).value_US) == 0


def test_small_images_are_looked_at_as_they_are():
    for side, expected in ((4, 16), (30, 30), (64, 64), (65, 224), (1000, 224)):
        sizes = {name: np.full(3, side, dtype=np.int32) for name in ("width_N", "height_N")}
        assert look_size(catalogue_of([0, 0, 1], **sizes)) == expected


def test_a_thumbnail_is_grey_and_does_not_change_with_size_or_frame():
    x = np.random.default_rng(0).integers(0, 256, (3, 16, 16)).astype(np.uint8).repeat(8, axis=1).repeat(8, axis=2)
    thumb = thumbnail(x)
    assert (thumb.shape, thumb.dtype) == ((SIDE, SIDE), np.uint8)
    grey = np.array([1, 2, 1]) @ x.reshape(3, -1).astype(int) / 4
    assert abs(thumb.mean() - grey.mean()) < 8
    for other in (x.repeat(2, axis=1).repeat(2, axis=2), np.pad(x, ((0, 0), (10, 10), (10, 10)), constant_values=255)):
        assert np.abs(thumbnail(other).astype(int) - thumb).mean() < 12


def test_at_most_a_share_of_each_side_is_cut_off():
    x = np.zeros((1, 100, 100), dtype=np.uint8)
    x[0, 40:60, 40:60] = 200
    inner = int((1 - 2 * WIDEST_EDGE) * (1 - 2 * EDGE_RIM) * 100)
    assert thumbnail(x).mean() == pytest.approx(200 * 20**2 / inner**2, rel=0.1)
    assert thumbnail(np.full((1, 8, 8), 7, dtype=np.uint8)).tolist() == [[7] * SIDE] * SIDE
