"""One image file: what its header says, and its pixels as uint8.

Shapes: H height, W width, C channels (1 grey or 3 RGB).
"""

from __future__ import annotations

import contextlib
import importlib
import io
import threading
import warnings
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFile, ImageOps

from labelaudit.names import FitName

UInt8Array = npt.NDArray[np.uint8]

MAX_PIXELS = 178_956_970
"""Largest picture that is decoded: above this Pillow speaks of a decompression bomb."""

_GREY_MODES = {"1", "L", "LA", "La", "I", "F", "I;16", "I;16B", "I;16L", "I;16N"}
_WIDE_MODES = {"I", "I;16", "I;16B", "I;16L", "I;16N"}
_EXIF_ORIENTATION = 0x0112
_SIDEWAYS = {5, 6, 7, 8}
_TIFF_WIDTH, _TIFF_HEIGHT = 0x0100, 0x0101

_LARGE_PIXELS = 1 << 25
_LARGE = threading.Lock()
"""Held while a picture above `_LARGE_PIXELS` is decoded: a hundred small files can hold one each, and the threads that
decode would together fill the memory. JPEGs rarely count, being decoded at a reduced scale."""

_FILTERS = threading.Lock()
"""Held while the process's warning filters are changed: two threads that restore them out of turn would lose them."""


class UnreadableImageError(ValueError):
    """An image that cannot be used; the message is the reason shown to the user."""


@dataclass(frozen=True, kw_only=True)
class Header:
    """What is known of an image without decoding it: size in pixels as displayed, and whether it is grey."""

    width: int
    height: int
    grey: bool


def image_suffixes() -> frozenset[str]:
    """The file name suffixes, lower case with the dot, that Pillow can open."""
    formats = _formats()
    return frozenset(suffix for suffix, name in Image.registered_extensions().items() if name in formats)


@cache
def _formats() -> tuple[str, ...]:
    """What Pillow opens, less EPS: for that it would start Ghostscript on a stranger's program."""
    Image.init()
    for name in ("pillow_heif", "pillow_avif", "pillow_jxl"):
        with contextlib.suppress(ImportError):
            plugin = importlib.import_module(name)  # where installed: HEIC, AVIF and JPEG XL
            if name == "pillow_heif":
                plugin.register_heif_opener()
    return tuple(sorted(set(Image.OPEN) - {"EPS"}))


def read_header(content: bytes) -> Header:
    """Read an image's size and mode from its bytes, without decoding the pixels.

    Raises:
        UnreadableImageError: the bytes are no image, or one so large that decoding it would be dangerous.
    """
    with _open(content) as image:
        width, height = _stored_size(image)
        if _is_sideways(image):
            width, height = height, width
        return Header(width=width, height=height, grey=image.mode in _GREY_MODES)


def decode(content: bytes, *, size: int, channels: int, fit: FitName) -> UInt8Array:
    """Decode an image's first frame, upright, to ``size`` × ``size`` pixels.

    Transparent parts become white, 16-bit values are scaled to 8 bits, and a JPEG is decoded at the smallest of its
    reduced scales that still covers the target.

    Args:
        content: The file's bytes.
        size: Side of the result in pixels.
        channels: 1 for grey, 3 for RGB.
        fit: ``stretch`` keeps the whole picture and changes its proportions; ``crop`` scales the short side to ``size``
            and cuts the middle.

    Returns:
        uint8 array [C, H, W] with H = W = ``size``.

    Raises:
        UnreadableImageError: with the reason, for anything that cannot be decoded.
    """
    mode = "RGB" if channels == 3 else "L"
    with _open(content) as image, _damage(), _room_for(image, mode, size):
        pixels = np.asarray(_resize(_upright(image, mode), size, fit), dtype=np.uint8)
    if pixels.ndim == 2:
        return np.ascontiguousarray(pixels[None, :, :])
    return np.ascontiguousarray(pixels.transpose(2, 0, 1))


def decode_whole(content: bytes) -> UInt8Array:
    """Decode an image's first frame, upright, at its own size.

    Otherwise as `decode`.

    Returns:
        uint8 array [H, W, C]: C = 1 for a picture without colour channels, else 3.

    Raises:
        UnreadableImageError: with the reason, for anything that cannot be decoded.
    """
    with _open(content) as image, _damage():
        grey = image.mode in _GREY_MODES
        image.load()
        upright = _to_mode(ImageOps.exif_transpose(image), "L" if grey else "RGB")
        pixels = np.array(upright, dtype=np.uint8)
    return pixels[:, :, None] if grey else pixels


def decode_small(content: bytes, *, side: int) -> UInt8Array:
    """Decode an image's first frame, upright and in its own proportions, to fit into ``side`` × ``side`` pixels.

    Otherwise as `decode`; a picture that fits already keeps its size.

    Returns:
        uint8 array [H, W, C] with 1 ≤ H, W ≤ ``side`` and C = 3.

    Raises:
        UnreadableImageError: with the reason, for anything that cannot be decoded.
    """
    with _open(content) as image, _damage(), _room_for(image, "RGB", side):
        upright = _upright(image, "RGB")
        scale = min(1.0, side / max(upright.size))
        size = tuple(max(1, round(length * scale)) for length in upright.size)
        if size != upright.size:
            upright = upright.resize(size, Image.Resampling.BILINEAR)
        return np.asarray(upright, dtype=np.uint8)


@contextlib.contextmanager
def _damage() -> Iterator[None]:
    """Turn whatever decoding raises into an `UnreadableImageError`."""
    try:
        yield
    except UnreadableImageError:
        raise
    except Exception as error:
        # Pillow's plugins raise almost anything on damaged files: OSError, SyntaxError, struct.error, IndexError.
        raise UnreadableImageError(_reason(error)) from error


@contextlib.contextmanager
def _room_for(image: Image.Image, mode: str, side: int) -> Iterator[None]:
    """Choose the scale of a JPEG, the smallest that covers ``side``; then wait for room if the picture is large."""
    image.draft(mode, (side, side))
    with _LARGE if image.size[0] * image.size[1] > _LARGE_PIXELS else contextlib.nullcontext():
        yield


def _upright(image: Image.Image, mode: str) -> Image.Image:
    """The decoded picture, turned as it is meant to be seen."""
    image.load()
    return _to_mode(ImageOps.exif_transpose(image), mode)


def _open(content: bytes) -> Image.Image:
    if not content:
        raise UnreadableImageError("empty file")
    try:
        with _FILTERS, warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image = Image.open(io.BytesIO(content), formats=_formats())
            width, height = image.size
    except Exception as error:
        raise UnreadableImageError(_reason(error)) from error
    if width < 1 or height < 1:
        raise UnreadableImageError(f"no pixels ({width} x {height})")
    if width * height > MAX_PIXELS:
        raise UnreadableImageError(f"too large to decode safely ({width} x {height})")
    return image


def _stored_size(image: Image.Image) -> tuple[int, int]:
    if image.format == "TIFF":  # some versions of Pillow give the size of a TIFF as stored, others as displayed
        return int(image.tag_v2[_TIFF_WIDTH]), int(image.tag_v2[_TIFF_HEIGHT])
    width, height = image.size
    return width, height


def _is_sideways(image: Image.Image) -> bool:
    try:
        return image.getexif().get(_EXIF_ORIENTATION) in _SIDEWAYS
    except Exception:
        # A damaged EXIF block says nothing about the pixels, which decode on their own.
        return False


def _to_mode(image: Image.Image, mode: str) -> Image.Image:
    if image.mode in _WIDE_MODES:
        wide = np.asarray(image).astype(np.int64)
        if wide.max(initial=0) > 255:
            wide = np.clip(wide, 0, 65535) >> 8
        image = Image.fromarray(np.clip(wide, 0, 255).astype(np.uint8))
    elif image.mode == "F":
        real = np.nan_to_num(np.asarray(image, dtype=np.float32), nan=0.0, posinf=255.0, neginf=0.0)
        scale = 255.0 if real.max(initial=0.0) <= 1.0 else 1.0
        image = Image.fromarray(np.clip(real * scale, 0, 255).astype(np.uint8))
    elif image.has_transparency_data:
        image = image.convert("RGBA")
        white = Image.new("RGBA", image.size, (255, 255, 255, 255))
        image = Image.alpha_composite(white, image)
    return image if image.mode == mode else image.convert(mode)


def _resize(image: Image.Image, size: int, fit: FitName) -> Image.Image:
    width, height = image.size
    if width == height == size:
        return image
    if fit == "crop" and width != height:
        side = min(width, height)
        left, top = (width - side) // 2, (height - side) // 2
        box = (left, top, left + side, top + side)
        return image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return image.resize((size, size), Image.Resampling.BILINEAR)


def _reason(error: Exception) -> str:
    if isinstance(error, Image.DecompressionBombError):
        return "too large to decode safely"
    if isinstance(error, Image.UnidentifiedImageError):
        return "not an image that Pillow can read"
    text = " ".join(str(error).split())
    return f"damaged: {text[:120]}" if text else f"damaged: {type(error).__name__}"


# A truncated file is reported, never silently filled up with grey.
ImageFile.LOAD_TRUNCATED_IMAGES = False
