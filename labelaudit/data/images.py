"""Read one image file: its header, and its pixels as uint8.

Shapes: H height, W width, C channels (1 grey or 3 RGB).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import sys
import threading
import warnings
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from functools import cache
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from labelaudit.data.rendering import PLAIN, Rendering
from labelaudit.detect.images import UInt8Array
from labelaudit.errors import brief
from labelaudit.names import ResizeName

MAX_PIXELS = 178_956_970
"""The largest image that is decoded: above this Pillow warns of a decompression bomb."""

_GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_INTEGER_MODES = _GREY_MODES - {"1", "L", "LA", "La", "F"}
_COLOUR = {"RGB", "RGBA", "RGBX", "CMYK", "LAB", "YCbCr"}
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = {5, 6, 7, 8}
_TIFF_WIDTH, _TIFF_HEIGHT, _TIFF_BITS = 0x0100, 0x0101, 0x0102

_TIFF_STARTS = (b"II*\0", b"MM\0*", b"II+\0", b"MM\0+")
_NO_TIFF = "a TIFF that Pillow cannot read: it reads grey and color of 8 or 16 bits, grey of 32 bits and 32-bit floats"

_OTHER_ORDER = {"L": "B", "B": "L", "N": "B" if sys.byteorder == "little" else "L"}
"""By the byte order at the end of Pillow's name of a layout."""

_LARGE_PIXELS = 1 << 25
_LARGE = threading.Lock()
"""Held while an image above `_LARGE_PIXELS` is decoded: several threads would fill the memory."""

_FILTERS = threading.Lock()
"""Held while the process's warning filters are changed: two threads that restore them in the wrong order lose them."""

PREVIEW_SIDE = 512
"""Pixels that an image fits into where it is decided on."""
PREVIEW_TYPE = "image/webp"
"""The media type of what `preview` returns."""

CHANGED = "the file has changed since the audit"
"""Why an image is not shown: its label was judged by another one."""

_SHOWN_BY_BROWSERS = {"JPEG": "image/jpeg", "PNG": "image/png", "WEBP": "image/webp"}
_LOSSLESS_PIXELS = 1 << 20
"""Larger images are given to a browser as JPEG."""


class UnreadableImageError(ValueError):
    """An image that cannot be used; the message is the reason shown to the user."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """The header of an image file: its size as displayed, ``grey`` without color channels.

    ``deep`` is one of `labelaudit.data.rendering.DEEP_KINDS` for values of more than 8 bits. ``transparent`` is True
    where pixels may be.
    """

    width: int
    height: int
    grey: bool
    deep: str = ""
    transparent: bool = False


def image_suffixes() -> frozenset[str]:
    """Return the file name suffixes, lower case with the dot, that Pillow can open."""
    formats = _formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


@cache
def _formats() -> tuple[str, ...]:
    """Return the formats that Pillow opens, without EPS, which would start Ghostscript on a stranger's program."""
    Image.init()
    for name in ("pillow_heif", "pillow_avif", "pillow_jxl"):
        with contextlib.suppress(ImportError):
            plugin = importlib.import_module(name)  # HEIC, AVIF and JPEG XL, where installed
            if name == "pillow_heif":
                plugin.register_heif_opener()
    # Pillow tries them in this order, some at length: the usual ones come first.
    return ("JPEG", "PNG", *sorted(set(Image.OPEN) - {"EPS", "JPEG", "PNG"}))


def read_header(content: bytes) -> Header:
    """Read an image's size and mode from its bytes, without decoding the pixels; errors as in `decode`."""
    with _open(content) as image:
        deep, transparent = "", False
        with contextlib.suppress(Exception):  # a damaged palette or tag; decoding reports it
            deep = _deep(image)
            transparent = image.has_transparency_data
        width, height = image.size
        if image.format == "TIFF":  # some versions of Pillow give the size of a TIFF as stored, others as displayed
            width, height = int(image.tag_v2[_TIFF_WIDTH]), int(image.tag_v2[_TIFF_HEIGHT])
        if _orientation(image) in _SIDEWAYS:
            width, height = height, width
        grey = image.mode in _GREY_MODES
        return Header(width=width, height=height, grey=grey, deep=deep, transparent=transparent)


def decode(content: bytes, *, size: int, channels: int, resize: ResizeName, rendering: Rendering = PLAIN) -> UInt8Array:
    """Decode an image's first frame, upright: uint8 [C, H, W] with H = W = ``size`` pixels and C = ``channels``.

    ``stretch`` changes the proportions; ``crop`` scales the short side to ``size`` and cuts the middle. A JPEG is
    decoded at the smallest of its reduced scales that covers the target. What cannot be decoded is an
    UnreadableImageError, with the reason.
    """
    mode = "RGB" if channels == 3 else "L"
    with _decoding(content, mode, size) as image:
        pixels = np.asarray(_resize(_upright(image, content, mode, rendering), size, resize), dtype=np.uint8)
    return np.ascontiguousarray(pixels[None] if pixels.ndim == 2 else pixels.transpose(2, 0, 1))


def decode_whole(content: bytes, rendering: Rendering = PLAIN) -> UInt8Array:
    """Decode an image's first frame, upright, at its own size: uint8 [H, W, C], C = 1 for grey ones, else 3."""
    with _decoding(content) as image:
        grey = image.mode in _GREY_MODES
        pixels = np.array(_upright(image, content, "L" if grey else "RGB", rendering), dtype=np.uint8)
    return pixels[:, :, None] if grey else pixels


def decode_small(content: bytes, *, side: int, rendering: Rendering = PLAIN) -> UInt8Array:
    """Decode an image's first frame, upright and in its own proportions: uint8 [H, W, 3] with 1 ≤ H, W ≤ ``side``.

    An image that fits already keeps its size. Otherwise as `decode`.
    """
    with _decoding(content, "RGB", side) as image:
        upright = _upright(image, content, "RGB", rendering)
        scale = min(1.0, side / max(upright.size))
        size = tuple(max(1, round(length * scale)) for length in upright.size)
        return np.asarray(upright.resize(size, Image.Resampling.BILINEAR), dtype=np.uint8)


def preview(content: bytes, *, side: int, rendering: Rendering = PLAIN) -> bytes:
    """Return a small copy of an image for a page, encoded anew and without metadata; see `decode_small`."""
    encoded = io.BytesIO()
    Image.fromarray(decode_small(content, side=side, rendering=rendering)).save(encoded, "WEBP", quality=62, method=2)
    return encoded.getvalue()


def for_browser(content: bytes, rendering: Rendering = PLAIN) -> tuple[bytes, str]:
    """Return an image's bytes and media type for a browser: the file's own where it is shown as the audit saw it.

    Others are converted by the rendering of the audit. Errors are those of `decode`.
    """
    with _open(content) as image:
        kind = image.format or ""
    header = read_header(content)
    if kind in _SHOWN_BY_BROWSERS and not header.deep and not header.transparent:
        return content, _SHOWN_BY_BROWSERS[kind]
    pixels_HWC = decode_whole(content, rendering)
    image = Image.fromarray(pixels_HWC[:, :, 0] if pixels_HWC.shape[2] == 1 else pixels_HWC)
    encoded = io.BytesIO()
    kind = "PNG" if image.width * image.height <= _LOSSLESS_PIXELS else "JPEG"
    image.save(encoded, format=kind, quality=92)
    return encoded.getvalue(), _SHOWN_BY_BROWSERS[kind]


def read_values(content: bytes, rendering: Rendering | None) -> npt.NDArray[Any]:
    """Decode the values from which the rendering of a folder is decided; errors as in `decode`.

    Without a rendering these are stored values of more than 8 bits, [H, W] or [H, W, C] without opacity; with one uint8
    [H, W, 4]. Of images above 512 pixels they are of every n-th row and column.
    """
    with _decoding(content) as image:
        step = -(-max(image.size) // 512)
        if rendering is None:
            return _deep_values(image, content)[0][::step, ::step].copy()
        return np.asarray(_eight_bit(image, content, rendering).convert("RGBA"))[::step, ::step].copy()


@contextlib.contextmanager
def _decoding(content: bytes, mode: str = "RGB", side: int | None = None) -> Iterator[Image.Image]:
    """Open an image to decode it; with ``side``, a JPEG at the smallest scale that covers it."""
    with _open(content) as image:
        try:
            if side is not None:
                image.draft(mode, (side, side))
            with _LARGE if image.size[0] * image.size[1] > _LARGE_PIXELS else contextlib.nullcontext():
                yield image
        except UnreadableImageError:
            raise
        except Exception as error:
            # Pillow's plugins raise almost anything on damaged files: OSError, SyntaxError, struct.error, IndexError.
            raise UnreadableImageError(_reason(error)) from error


def _upright(image: Image.Image, content: bytes, mode: str, rendering: Rendering) -> Image.Image:
    """Return the decoded image as 8-bit on the background, upright."""
    image = ImageOps.exif_transpose(_eight_bit(image, content, rendering))
    if image.has_transparency_data:
        image = image.convert("RGBA")
        background = Image.new("RGBA", image.size, (*(rendering.background,) * 3, 255))
        image = Image.alpha_composite(background, image)
    return image if image.mode == mode else image.convert(mode)


def _eight_bit(image: Image.Image, content: bytes, rendering: Rendering) -> Image.Image:
    """Return the decoded image as 8-bit, with its opacity and its orientation."""
    if not _deep(image):
        image.load()
        return image
    values, opacity_HW1 = _deep_values(image, content)
    pixels = rendering.eight_bit(values)
    shown = Image.fromarray(pixels if opacity_HW1 is None else np.concatenate([pixels, opacity_HW1], axis=2))
    shown.getexif()[_EXIF_ORIENTATION] = _orientation(image)
    return shown


def _open(content: bytes) -> Image.Image:
    if not content:
        raise UnreadableImageError("empty file")
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=_formats())
            width, height = image.size
    except Image.UnidentifiedImageError as error:
        reason = _NO_TIFF if content.startswith(_TIFF_STARTS) else "not an image that Pillow can read"
        raise UnreadableImageError(reason) from error
    except Exception as error:
        raise UnreadableImageError(_reason(error)) from error
    if width < 1 or height < 1:
        raise UnreadableImageError(f"no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(f"too large to decode safely ({width} x {height})")
    is_16_bit = image.format == "TIFF" and image.mode in _COLOUR and 16 in image.tag_v2.get(_TIFF_BITS, ())
    if is_16_bit and not _deep_layout(image, _COLOUR):
        raise UnreadableImageError("16-bit color in separate planes, which Pillow reads as 8-bit")
    return image


def _orientation(image: Image.Image) -> int:
    with contextlib.suppress(Exception):  # a damaged EXIF block does not concern the pixels
        return int(image.getexif().get(_EXIF_ORIENTATION, 1))
    return 1


def _deep(image: Image.Image) -> str:
    """Return how the file stores values of more than 8 bits; empty for 8-bit images. Call it before loading."""
    if image.mode == "F":
        return "reals"
    return "integers" if image.mode in _INTEGER_MODES or _deep_layout(image) else ""


def _deep_layout(image: Image.Image, modes: Collection[str] = ("RGB", "RGBA")) -> str:
    """Return Pillow's name of 16-bit color in a file, such as ``RGB;16B``; Pillow keeps the upper 8 bits only."""
    layout = image.tile[0][3] if image.tile else ""
    name = layout if isinstance(layout, str) else str(layout[0]) if layout else ""
    return name if image.mode in modes and ";16" in name else ""


def _deep_values(image: Image.Image, content: bytes) -> tuple[npt.NDArray[Any], npt.NDArray[np.uint8] | None]:
    """Return stored values [H, W] or [H, W, C] of an image of more than 8 bits, and opacity [H, W, 1] if it has one."""
    layout = _deep_layout(image)
    image.load()
    values = np.asarray(image)
    if layout:
        opacity_HW1 = values[..., 3:] if values.shape[2] == 4 else None
        return (values[..., :3].astype(np.uint16) << 8) | _lower_bytes(content, layout), opacity_HW1
    return values, None


def _lower_bytes(content: bytes, layout: str) -> npt.NDArray[np.uint8]:
    """Decode 16-bit color in the wrong byte order, so that Pillow keeps the lower 8 bits: [H, W, 3].

    Where Pillow has no such order (grey with opacity), the result is one 0.
    """
    swapped = layout[:-1] + _OTHER_ORDER.get(layout[-1], "L")
    with _open(content) as image:
        for number, tile in enumerate(image.tile):
            layout_of = swapped if isinstance(tile[3], str) else (swapped, *tile[3][1:])
            named = hasattr(tile, "_replace")  # Pillow 10 has plain tuples
            image.tile[number] = tile._replace(args=layout_of) if named else (*tile[:3], layout_of)
        try:
            image.load()
        except ValueError:
            return np.zeros(1, dtype=np.uint8)
        return np.asarray(image)[..., :3]


def _resize(image: Image.Image, size: int, resize: ResizeName) -> Image.Image:
    side = min(image.size)
    left, top = ((length - side) // 2 for length in image.size)
    box = (left, top, left + side, top + side) if resize == "crop" else None
    return image.resize((size, size), Image.Resampling.BILINEAR, box=box)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too large to decode safely"
    return f"damaged: {brief(error, 120)}"


# A truncated file is reported, never filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False
