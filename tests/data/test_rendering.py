"""One rule for a folder turns values of more than 8 bits and transparent parts into 8-bit images."""

import struct

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from labelaudit.data.folder import scan
from labelaudit.data.images import decode, decode_small, decode_whole, read_header
from labelaudit.data.pixels import PixelFormat, load_pixels
from labelaudit.data.rendering import Rendering, background_of, range_of
from tests.data.helpers import encoded, png_of, write_files
from tests.helpers import Listener


def colour_png(value_HWC):
    """A PNG of 16-bit colour, which Pillow does not write."""
    height, width, channels = value_HWC.shape
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in value_HWC)
    return png_of(struct.pack(">IIBBBBB", width, height, 16, {3: 2, 4: 6}[channels], 0, 0, 0), rows)


@pytest.mark.parametrize("side", [16, 200])
def test_hot_pixels_and_single_exposures_set_no_range_and_small_spots_do(side):
    hot = np.random.default_rng(0).integers(100, 110, (10, side, side)).astype(np.uint16)
    spotted = hot.copy()
    for number in range(10):
        hot[number, number, number + 3] = 65535
        spotted[number, number : number + 2, 4:6] = 5000
    hot[3], hot[7] = 65535, 0
    low, high = range_of(hot)
    assert 95 <= low < high < 115
    assert range_of(spotted)[1] == 5000


@pytest.mark.parametrize(
    ("images", "expected"),
    [
        ([np.array([[0, 200]], np.uint16), np.array([[3, 90]], np.uint16)], (0, 255)),
        ([np.array([[-1000, 3000]] * 4)] * 3, (-1000, 3000)),
        ([np.array([[np.nan, np.inf, 2.0, 4.0]] * 4)] * 3, (2, 4)),
        ([np.full((4, 4), np.nan)], (0, 1)),
        ([np.eye(2000, dtype=np.uint16)[:, :1] * 5000] * 4, (0, 5000)),
        ([np.array([[5000]]), np.array([[9]])], (9, 5000)),
    ],
    ids=["8-bit values", "signed", "not finite", "no value", "a few bright pixels", "two images"],
)
def test_the_range_is_that_of_the_data(images, expected):
    assert range_of(images) == pytest.approx(expected, abs=0.02 * (expected[1] - expected[0]))


@given(st.lists(st.lists(st.floats(width=32), min_size=1, max_size=9), min_size=1, max_size=5))
def test_any_values_have_a_range_and_a_rendering(rows):
    images = [np.array(row, dtype=np.float32) for row in rows]
    low, high = range_of(images)
    assert low < high
    assert Rendering(reals=(low, high)).eight_bit(images[0]).dtype == np.uint8


def test_values_become_eight_bit_in_order_and_are_clipped():
    rendering = Rendering(integers=(100, 355), reals=(-1, 1))
    assert rendering.eight_bit(np.array([[0, 100, 101, 355, 60000]])).tolist() == [[0, 0, 1, 255, 255]]
    assert rendering.eight_bit(np.array([[-1.0, 0.0, 1.0, np.nan]])).tolist() == [[0, 128, 255, 0]]


def icon(shade, size=8):
    image_HW4 = np.zeros((size, size, 4), dtype=np.uint8)
    image_HW4[2:6, 2:6] = (*(shade,) * 3, 255)
    return image_HW4


def test_the_background_leaves_shapes_visible():
    for shades, expected in (((0, 40, 200), (255, 0)), ((255, 0), (128, 1)), ((255, 0, 128), (64, 1))):
        assert background_of([icon(shade) for shade in shades]) == expected
    # A dark dot does not make a white shape visible on white.
    dotted_HW4 = icon(255)
    dotted_HW4[3, 3, :3] = 0
    assert background_of([dotted_HW4])[0] == 0
    page_HW4 = dotted_HW4.copy()
    page_HW4[1:, :] = (255, 255, 255, 255)
    page_HW4[4, 1:7, :3] = 0
    assert background_of([page_HW4, icon(0)]) == (255, 0)  # a mostly opaque page shows its text on any


def test_a_dim_folder_is_shown_by_one_rule_everywhere(tmp_path):
    dim_HW = np.random.default_rng(1).integers(0, 50, (40, 40)).astype(np.uint16)
    bright, dark = (encoded(Image.fromarray(dim_HW + np.uint16(low))) for low in (250, 100))
    files = {"a/0.png": bright, "a/1.png": bright, "b/0.png": dark, "b/1.png": dark, "b/cut.png": dark[:-300]}
    catalogue = scan(write_files(tmp_path, files))
    rendering = catalogue.rendering
    array_RCHW = load_pixels(catalogue, PixelFormat(size=40, channels=1)).array_RCHW
    assert array_RCHW[0].mean() > 180  # bright stays brighter than dark: no image has a rule of its own
    assert array_RCHW[3].mean() < 70
    for whole in (decode_whole(bright, rendering), decode_small(bright, side=40, rendering=rendering)):
        assert np.array_equal(whole[:, :, 0], array_RCHW[0, 0])


@pytest.mark.parametrize("channels", [3, 4])
def test_sixteen_bit_colour_keeps_its_lower_bits(channels):
    value_HWC = np.random.default_rng(0).integers(0, 200, (6, 5, channels)).astype(np.uint16)
    if channels == 4:
        value_HWC[..., 3] = 65535
    content = colour_png(value_HWC)
    assert read_header(content).deep == "integers"
    shown_CHW = decode(content, size=6, channels=3, resize="stretch", rendering=Rendering(integers=(0, 255)))
    assert abs(int(shown_CHW.max()) - int(value_HWC[..., :3].max())) < 20


def test_white_shapes_in_transparent_16_bit_images_are_not_shown_on_white(tmp_path):
    value_HW4 = np.zeros((9, 9, 4), dtype=np.uint16)
    value_HW4[2:6, 2:6] = 65535
    content = colour_png(value_HW4)
    reporter = Listener()
    catalogue = scan(write_files(tmp_path, {"a/0.png": content, "b/0.png": content}), reporter=reporter)
    assert catalogue.rendering.background == 0
    assert reporter.lines[1] == "Transparent parts are shown black: on white, 2 of 2 images would be nearly blank"
    assert decode_whole(content, catalogue.rendering).std() > 50
