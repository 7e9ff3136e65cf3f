import io
import struct

import numpy as np
import pytest
from PIL import Image

from labelaudit.data import images
from labelaudit.data.images import UnreadableImageError, decode, decode_small, decode_whole, read_header
from labelaudit.data.rendering import Rendering
from tests.data.helpers import encoded, halves, noise_image, plain_png, png_that_claims

BLACK, WHITE = (0, 0, 0), (255, 255, 255)
INK, PAPER = (10, 20, 30), (200, 100, 50)


def rgb(content, *, size=4, resize="stretch"):
    return decode(content, size=size, channels=3, resize=resize)


def grey(content, *, size=4, resize="stretch"):
    return decode(content, size=size, channels=1, resize=resize)[0]


def ends(content):
    """Return the colours at the left and the right edge of the top row."""
    pixels_CHW = rgb(content).astype(int)
    return tuple(pixels_CHW[:, 0, 0].tolist()), tuple(pixels_CHW[:, 0, -1].tolist())


def palette_image(mode="P"):
    image = halves(mode, 0, 1) if mode == "P" else halves(mode, (0, 255), (1, 0))
    image.putpalette([*INK, *PAPER])
    return image


def float_image(left, right):
    return encoded(Image.fromarray(np.array([[left] * 2 + [right] * 2] * 4, dtype=np.float32)), "TIFF")


MODES = {
    "1": (encoded(halves("1", 0, 1)), BLACK, WHITE, True),
    "L": (encoded(halves("L", 30, 200)), (30,) * 3, (200,) * 3, True),
    "L-key": (encoded(halves("L", 30, 200), transparency=30), WHITE, (200,) * 3, True),
    "LA": (encoded(halves("LA", (30, 255), (30, 0))), (30,) * 3, WHITE, True),
    "P": (encoded(palette_image()), INK, PAPER, False),
    "P-key": (encoded(palette_image(), "GIF", transparency=1), INK, WHITE, False),
    "PA": (encoded(palette_image("PA"), "TIFF"), INK, WHITE, False),
    "RGB": (encoded(halves("RGB", INK, PAPER)), INK, PAPER, False),
    "RGB-key": (encoded(halves("RGB", INK, PAPER), transparency=INK), WHITE, PAPER, False),
    "RGBA": (encoded(halves("RGBA", (*INK, 255), (*INK, 0))), INK, WHITE, False),
    "RGBA-part": (encoded(halves("RGBA", (*BLACK, 51), (*BLACK, 204))), (204,) * 3, (51,) * 3, False),
    "CMYK": (encoded(halves("CMYK", (0, 0, 0, 0), (255, 0, 0, 0)), "TIFF"), WHITE, (0, 255, 255), False),
    "I;16": (encoded(halves("I;16", 0x1234, 0xFFFF)), (0x12,) * 3, WHITE, True),
    "I": (encoded(halves("I", 0x1234, 70000), "TIFF"), (0x12,) * 3, WHITE, True),
    "F-unit": (float_image(0.2, 1.0), (51,) * 3, WHITE, True),
    "F-outside": (float_image(-3.0, 130.0), BLACK, WHITE, True),
    "F-nan": (float_image(float("nan"), 0.2), BLACK, (51,) * 3, True),
    "WebP": (encoded(halves("RGB", INK, PAPER), "WEBP", lossless=True), INK, PAPER, False),
}


@pytest.mark.parametrize(("content", "left", "right", "is_grey"), MODES.values(), ids=MODES)
def test_every_mode_becomes_rgb_on_white(content, left, right, is_grey):
    assert ends(content) == (left, right)
    header = read_header(content)
    assert (header.width, header.height, header.grey) == (4, 4, is_grey)


def test_special_colours_frames_and_a_damaged_exif_block():
    content = encoded(halves("CMYK", (0, 0, 0, 0), (255, 0, 0, 0), (32, 16)), "JPEG", quality=95)  # stored inverted
    for found, expected in zip(ends(content), (WHITE, (0, 255, 255)), strict=True):
        np.testing.assert_allclose(found, expected, atol=6)
    # Luminance: 0.299 · 10 + 0.587 · 20 + 0.114 · 30 = 18.15 and 0.299 · 200 + 0.587 · 100 + 0.114 · 50 = 124.2
    assert grey(encoded(halves("RGB", INK, PAPER)))[0].tolist() == [18, 18, 124, 124]
    frames = [Image.new("RGB", (4, 4), colour) for colour in (INK, PAPER)]
    for form in ("GIF", "PNG"):
        content = encoded(frames[0], form, save_all=True, append_images=frames[1:])
        assert ends(content) == (INK, INK), form
    content = encoded(Image.new("RGB", (6, 4), INK), "JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\xff\xff\x12\x01")
    assert (read_header(content).width, rgb(content).shape) == (6, (3, 4, 4))


@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("orientation", "row", "column"),
    [(1, 0, 0), (2, 0, -1), (3, -1, -1), (4, -1, 0), (5, 0, 0), (6, 0, -1), (7, -1, -1), (8, -1, 0)],
)
def test_an_image_is_turned_upright(form, orientation, row, column):
    exif = Image.Exif()
    exif[0x0112] = orientation
    stored = Image.new("RGB", (32, 16))
    stored.paste((255, 255, 255), (0, 0, 16, 8))
    content = encoded(stored, form, exif=exif)

    header = read_header(content)
    assert (header.width, header.height) == ((32, 16) if orientation < 5 else (16, 32))
    corners = grey(content, size=16)[[0, 0, -1, -1], [0, -1, 0, -1]] > 128
    assert corners.sum() == 1
    assert grey(content, size=16)[row, column] > 128


def test_stretch_keeps_everything_and_crop_the_middle():
    image = Image.fromarray(np.array([[0, 100, 200, 250]] * 2, dtype=np.uint8))
    content = encoded(image)
    assert grey(content, size=2, resize="crop").tolist() == [[100, 200]] * 2
    # Bilinear from four pixels to two: triangle weights ¾ ¾ ¼ over 1.75, so 125 / 1.75 and 362.5 / 1.75.
    assert grey(content, size=2, resize="stretch").tolist() == [[71, 207]] * 2
    upright = encoded(image.transpose(Image.Transpose.ROTATE_270))
    assert grey(upright, size=2, resize="crop").tolist() == [[100, 100], [200, 200]]
    assert grey(upright, size=2, resize="stretch").tolist() == [[71, 71], [207, 207]]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "^empty file$"),
        (b"II*\0" + bytes(60), "^a TIFF that Pillow cannot read"),
        (b"path,label\n", "^not an image that Pillow can read$"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 8 8\nshowpage\n%%EOF\n", "^not an image"),  # would run a program
        (plain_png()[:12], "^not an image|^damaged"),
        (png_that_claims(20000, 20000), "^too large to decode safely"),
        (png_that_claims(0, 5), "^no pixels|^damaged|^not an image"),
    ],
)
def test_an_unusable_header_gives_the_reason(content, reason):
    for read in (read_header, rgb, lambda content: decode_small(content, side=96), decode_whole):
        with pytest.raises(UnreadableImageError, match=reason):
            read(content)


def test_16_bit_colour_in_separate_planes_is_refused():
    """Pillow would read the low and the high bytes as pixels beside each other."""
    tags = [(256, 4, 1, 2), (257, 4, 1, 2), (258, 3, 3, 134), (259, 3, 1, 1), (262, 3, 1, 2), (273, 4, 3, 140)]
    tags += [(277, 3, 1, 3), (278, 4, 1, 2), (279, 4, 3, 152), (284, 3, 1, 2)]
    directory = struct.pack("<H", len(tags)) + b"".join(struct.pack("<HHII", *tag) for tag in tags) + bytes(4)
    lists = struct.pack("<HHH", 16, 16, 16) + struct.pack("<III", 164, 172, 180) + struct.pack("<III", 8, 8, 8)
    content = b"II*\0" + struct.pack("<I", 8) + directory + lists + bytes(24)
    with pytest.raises(UnreadableImageError, match="separate planes"):
        read_header(content)


def test_the_limit_on_pixels_is_ours_and_not_pillows(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 10)  # Pillow would warn
    monkeypatch.setattr(images, "MAX_PIXELS", 15)
    with pytest.raises(UnreadableImageError, match=r"too large to decode safely \(4 x 4\)"):
        read_header(plain_png())
    monkeypatch.setattr(images, "MAX_PIXELS", 16)
    assert rgb(plain_png()).shape == (3, 4, 4)


def test_a_damaged_image_is_refused_and_never_filled_up():
    for form in ("JPEG", "GIF", "WEBP", "TIFF", "BMP", "PNG"):
        content = bytearray(encoded(noise_image(size=(32, 32)), form))
        with pytest.raises(UnreadableImageError, match=r"^(damaged: .|not an image)"):
            rgb(bytes(content[: len(content) * 3 // 5]), size=32)
    content[content.index(b"IDAT") + 10] ^= 0x10
    assert read_header(bytes(content)).width == 32
    with pytest.raises(UnreadableImageError, match=r"^damaged: "):
        rgb(bytes(content))


def test_suffixes_are_those_that_can_be_opened():
    suffixes = images.image_suffixes()
    assert {".png", ".jpg", ".jpeg", ".gif", ".webp", ".tif", ".tiff", ".bmp"} <= suffixes
    assert not {".pdf", ".eps", ".txt", ".csv", "png", ".PNG", ""} & suffixes


def test_a_small_image_keeps_its_proportions_is_upright_and_has_three_channels():
    sizes = {(400, 100): (96, 24), (97, 97): (96, 96), (96, 10): (96, 10), (5000, 1): (96, 1)}
    for size, (width, height) in sizes.items():
        pixels_HWC = decode_small(encoded(halves("RGB", INK, PAPER, size)), side=96)
        assert (pixels_HWC.shape, pixels_HWC.dtype) == ((height, width, 3), np.uint8)
        assert (pixels_HWC[0, 0].tolist(), pixels_HWC[-1, -1].tolist()) == (list(INK), list(PAPER))
    exif = Image.Exif()
    exif[0x0112] = 6  # turned a quarter: what is stored on the left is the top
    stored = halves("RGB", WHITE, BLACK, (64, 16))
    pixels_HWC = decode_small(encoded(stored, "JPEG", exif=exif, quality=95), side=32)
    assert pixels_HWC.shape == (32, 8, 3)
    assert pixels_HWC[2].mean() > 200 + pixels_HWC[-3].mean()
    assert decode_small(plain_png(100), side=96).tolist() == [[[100] * 3] * 4] * 4


def test_what_a_browser_shows_as_the_audit_saw_it_is_not_converted_and_others_are():
    for form in ("JPEG", "PNG", "WEBP"):
        content = encoded(noise_image(1), form)
        assert images.for_browser(content) == (content, f"image/{form.lower()}")
    deep_HW = np.array([[0, 65535], [32768, 16384]], dtype=np.uint16)
    clear = Image.new("RGBA", (3, 2), (200, 10, 10, 0))
    rendering = Rendering(integers=(0.0, 32768.0), background=0)
    for content, shown in (
        (encoded(Image.fromarray(deep_HW)), [[0, 255], [255, 128]]),
        (encoded(clear), np.zeros((2, 3, 3))),
        (encoded(noise_image(2), "TIFF"), np.asarray(noise_image(2))),
    ):
        converted, kind = images.for_browser(content, rendering)
        assert (kind, converted[:4]) == ("image/png", b"\x89PNG")
        np.testing.assert_array_equal(np.asarray(Image.open(io.BytesIO(converted))), shown)
    large, kind = images.for_browser(encoded(noise_image(3, (1200, 900)), "TIFF"))
    assert (kind, Image.open(io.BytesIO(large)).size) == ("image/jpeg", (1200, 900))
    with pytest.raises(UnreadableImageError):
        images.for_browser(b"<svg/>")


def test_a_preview_has_no_metadata(tmp_path):
    image, exif = noise_image(1, (600, 300)), Image.Exif()
    exif[0x010E] = "secret"
    small = images.preview(encoded(image, "JPEG", exif=exif), side=512)
    assert b"secret" not in small
    assert Image.open(io.BytesIO(small)).size == (512, 256)
