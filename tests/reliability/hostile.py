"""Files that nobody wants in a data set, made by a script: at least 300, in the class folders of a small one.

python -m tests.reliability.hostile FOLDER     writes them, to look at or to audit
"""

import io
import os
import random
import socket
import struct
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np
from PIL import Image, ImageCms

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}
_CUTS = (1, 2, 4, 8, 16, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Bytes, or the share of them, that are left of a truncated file."""
_FLIPS = 14
_SIDE = 24

Content = Iterator[tuple[str, bytes]]


def write_hostile(root: Path, *, seed: int = 0) -> dict[str, str]:
    """Write the corpus into the class folder ``cat`` of ``root``, and what is no file of content beside it.

    Returns:
        What each bad input is, by its path below ``root``; the bytes of names are as `os.fsdecode` has them.
    """
    folder = root / "cat"
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    made: dict[str, str] = {}
    for make in (_truncated, _flipped, _not_images, _sizes, _metadata, _structures, _modes):
        for name, content in make(chance):
            path = folder / f"bad-{make.__name__.strip('_')}-{name}"
            path.write_bytes(content)
            made[f"cat/{path.name}"] = make.__name__.strip("_")
    made |= _named(folder) | _not_files(folder, root)
    return made


def picture(seed: int, size: tuple[int, int] = (_SIDE, _SIDE), mode: str = "RGB") -> Image.Image:
    """Noise."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, form: str, **options: object) -> bytes:
    """An image file's bytes."""
    file = io.BytesIO()
    image.save(file, form, **options)
    return file.getvalue()


def _whole(number: int, form: str) -> bytes:
    return encoded(picture(number), form)


def _truncated(_chance: random.Random) -> Content:
    for number, (form, suffix) in enumerate(FORMATS.items()):
        content = _whole(number, form)
        for cut in _CUTS:
            left = cut if isinstance(cut, int) else int(len(content) * cut)
            yield f"{left}{suffix}", content[:left]


def _flipped(chance: random.Random) -> Content:
    for number, (form, suffix) in enumerate(FORMATS.items()):
        content = _whole(number, form)
        for flip in range(_FLIPS):
            damaged = bytearray(content)
            # Half of them in the header, where a bit says more.
            end = 64 if flip % 2 else len(damaged)
            for _ in range(1 + flip // 4):
                damaged[chance.randrange(min(end, len(damaged)))] ^= 1 << chance.randrange(8)
            yield f"{flip}{suffix}", bytes(damaged)


def _not_images(chance: random.Random) -> Content:
    for number, (form, suffix) in enumerate(FORMATS.items()):
        yield f"empty{suffix}", b""
        yield f"noise-{number}{suffix}", chance.randbytes(500)
        yield f"zeros-{number}{suffix}", bytes(3000)
        magic = _whole(number, form)[:16]
        yield f"magic-then-noise{suffix}", magic + chance.randbytes(2000)
        other = list(FORMATS.values())[(number + 1) % len(FORMATS)]
        yield f"wrong-extension-{number}{other}", _whole(number + 100, form)
        yield f"twice-{number}{suffix}", _whole(number, form) * 2
        yield f"trailing-{number}{suffix}", _whole(number + 50, form) + b"<script>alert(1)</script>"
    yield "page.png", b"<!doctype html><img src=x onerror=alert(1)>"
    yield "pickle.png", b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94."
    yield "script.jpg", b"#!/bin/sh\ntouch /tmp/it-ran\n"
    yield "ghost.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(touch it-ran) run\n"
    yield "drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    yield "archive.png", b"PK\x03\x04" + chance.randbytes(200)
    yield "program.bmp", b"\x7fELF" + chance.randbytes(200)
    yield "document.tif", b"%PDF-1.7\n" + chance.randbytes(200)


def _chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def _png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    header = _chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + _chunk(b"IDAT", data) + _chunk(b"IEND", b"")


def _sizes(_chance: random.Random) -> Content:
    for number, (form, suffix) in enumerate(FORMATS.items()):
        yield f"one-pixel{suffix}", encoded(picture(number, (1, 1)), form)
        if form != "WEBP":  # which has no picture of more than 16,383
            yield f"wide{suffix}", encoded(picture(number, (30_000, 1)), form)
            yield f"tall{suffix}", encoded(picture(number, (1, 30_000)), form)
    for side in (0, 1, 20_000, 65_535, 2**31 - 1):
        yield f"claims-{side}.png", _png(side, side, data=zlib.compress(b"\0" * 100))
        yield f"claims-{side}.bmp", _bitmap(side)
        yield f"claims-{side}.gif", b"GIF89a" + struct.pack("<HH", min(side, 65_535), min(side, 65_535)) + bytes(3)
    rows = 13_000  # below what Pillow calls a bomb; 20 KB that unpack to 21 MB, and to 169 million pixels
    row = b"\0" + bytes(-(-rows // 8))
    yield "bomb-1-bit.png", _png(rows, rows, bits=1, colour=0, data=zlib.compress(row * rows, 9))
    yield "bomb-grey.png", _png(12_000, 12_000, colour=0, data=zlib.compress(bytes(12_001 * 12_000), 9))
    yield "bomb.gif", encoded(Image.new("P", (12_000, 12_000)), "GIF")
    yield "bomb.tif", encoded(Image.new("1", (13_000, 13_000)), "TIFF", compression="group4")


def _bitmap(side: int) -> bytes:
    header = struct.pack("<IiiHHIIiiII", 40, min(side, 2**31 - 1), -side, 1, 24, 0, 0, 0, 0, 0, 0)
    return b"BM" + struct.pack("<IHHI", 54, 0, 0, 54) + header


def _metadata(chance: random.Random) -> Content:
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    yield "huge-exif.jpg", encoded(picture(1), "JPEG", exif=exif)
    yield "huge-exif.png", encoded(picture(2), "PNG", exif=exif)
    yield "huge-exif.webp", encoded(picture(3), "WEBP", exif=exif)
    plain = _whole(4, "JPEG")
    for number in range(8):
        block = b"Exif\0\0" + chance.randbytes(50 + 400 * number)
        yield f"noise-exif-{number}.jpg", _with_segment(plain, 0xE1, block)
    loop = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack(
        "<HHHIII", 1, 0x8769, 4, 1, 8, 8
    )  # directories that hold each other
    yield "exif-loop.jpg", _with_segment(plain, 0xE1, loop)
    for value in (0, 9, 255, 65_535):
        turned = Image.Exif()
        turned[0x0112] = value
        yield f"orientation-{value}.jpg", encoded(picture(5), "JPEG", exif=turned)
    many = plain
    for _ in range(40):
        many = _with_segment(many, 0xFE, bytes(65_000))
    yield "comments-of-2-megabytes.jpg", many
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    for form in ("JPEG", "PNG", "WEBP", "TIFF"):
        suffix = FORMATS[form]
        yield f"profile{suffix}", encoded(picture(6), form, icc_profile=profile)
        yield f"profile-noise{suffix}", encoded(picture(7), form, icc_profile=chance.randbytes(3000))
        yield f"profile-cut{suffix}", encoded(picture(8), form, icc_profile=profile[:100])
        yield f"profile-empty{suffix}", encoded(picture(9), form, icc_profile=b"\0")
    data = zlib.compress(b"\0" + bytes(72))
    bomb = zlib.compress(bytes(80_000_000), 9)
    yield "profile-bomb.png", _png(24, 1, _chunk(b"iCCP", b"x\0\0" + bomb), data=data)
    yield "text-bomb.png", _png(24, 1, _chunk(b"zTXt", b"x\0\0" + bomb), data=data)
    yield "text-bombs.png", _png(24, 1, *[_chunk(b"zTXt", b"x\0\0" + bomb[:70_000])] * 20, data=data)


def _with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def _structures(chance: random.Random) -> Content:
    frames = [picture(number, mode="P") for number in range(60)]
    yield "frames.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    yield "frames.webp", encoded(picture(1), "WEBP", save_all=True, append_images=frames[:20])
    yield "frames.png", encoded(picture(1), "PNG", save_all=True, append_images=frames[:20])
    yield "pages.tif", encoded(picture(1), "TIFF", save_all=True, append_images=frames[:20])
    tiff = bytearray(_whole(3, "TIFF"))
    yield "next-page-is-itself.tif", _with_next_directory(tiff, struct.unpack_from("<I", tiff, 4)[0])
    yield "next-page-beyond.tif", _with_next_directory(tiff, 2**32 - 9)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        content = bytearray(encoded(picture(4), "TIFF", compression=compression))
        yield f"{compression}.tif", bytes(content)
        for flip in range(3):
            damaged = bytearray(content)
            damaged[8 + chance.randrange(len(damaged) - 8)] ^= 0xFF
            yield f"{compression}-{flip}.tif", bytes(damaged)
    yield "interlaced-cut.png", encoded(picture(5), "PNG")[:-20]
    yield "progressive-cut.jpg", encoded(picture(6), "JPEG", progressive=True)[:-300]
    yield "no-end.gif", encoded(picture(7), "GIF")[:-1]
    data = zlib.compress(b"\0" + bytes(72))
    yield "no-palette.png", _png(24, 1, colour=3, data=zlib.compress(b"\0" + bytes(24)))
    yield "unknown-chunk.png", _png(24, 1, _chunk(b"EVIL", chance.randbytes(100)), data=data)
    yield "depth-3.png", _png(24, 1, bits=3, data=data)
    yield "colour-9.png", _png(24, 1, colour=9, data=data)
    yield "wrong-sum.png", _png(24, 1, data=data).replace(_chunk(b"IDAT", data)[-4:], b"\0\0\0\0")
    yield "too-little.png", _png(24, 500, data=data)
    yield "too-much.png", _png(24, 1, data=zlib.compress(bytes(1_000_000)))
    yield "chunk-without-end.png", _png(24, 1, data=data)[:60] + b"\xff\xff\xff\xffIDAT"


def _with_next_directory(tiff: bytearray, offset: int) -> bytes:
    changed = bytearray(tiff)
    start = struct.unpack_from("<I", changed, 4)[0]
    entries = struct.unpack_from("<H", changed, start)[0]
    struct.pack_into("<I", changed, start + 2 + 12 * entries, offset)
    return bytes(changed)


def _modes(_chance: random.Random) -> Content:
    for mode in ("1", "L", "LA", "P", "RGBA", "I;16"):
        image = picture(1, mode="L").convert("I").convert("I;16") if mode == "I;16" else picture(1, mode=mode)
        yield f"{mode.replace(';', '-')}.png", encoded(image, "PNG")
    for mode in ("CMYK", "YCbCr", "LAB", "F", "I"):
        image = to_lab(picture(2)) if mode == "LAB" else picture(2, mode=mode)
        yield f"{mode}.tif", encoded(image, "TIFF")
    yield "CMYK.jpg", encoded(picture(3, mode="CMYK"), "JPEG")
    yield "transparent-palette.png", encoded(picture(4, mode="P"), "PNG", transparency=bytes(range(256)))
    yield "transparent-colour.png", encoded(picture(5), "PNG", transparency=(1, 2, 3))
    yield "transparent-palette.gif", encoded(picture(6, mode="P"), "GIF", transparency=3)
    real = np.full((24, 24), np.nan, dtype=np.float32)
    real[0] = np.inf
    yield "not-a-number.tif", encoded(Image.fromarray(real), "TIFF")


def to_lab(image: Image.Image) -> Image.Image:
    """The same colours in the LAB mode that TIFF can hold."""
    profiles = [ImageCms.createProfile(name) for name in ("sRGB", "LAB")]
    return ImageCms.profileToProfile(image, *profiles, outputMode="LAB")


_NAMES: tuple[bytes, ...] = (
    b"new\nline.png",
    b"carriage\rreturn.png",
    b"both\r\n.png",
    b"tab\t.png",
    b"bell\x07.png",
    b"escape\x1b[31mred\x1b[0m.png",
    b"title\x1b]0;owned\x07.png",
    b"delete\x7f.png",
    "right-to-left \u202egnp.exe.png".encode(),
    "marks \u200f\u200e\u2066\u2069.png".encode(),
    "no width \u200b\ufeff.png".encode(),
    "paragraph \u2029 line \u2028.png".encode(),
    "composed \u00e9.png".encode(),
    "decomposed e\u0301.png".encode(),
    "\U0001f431\u200d\U0001f464.png".encode(),
    b"n" * 251 + b".png",
    "ü".encode() * 125 + b"x.png",
    b"latin-1 \xe9.png",
    b"half \xf0\x9f.png",
    b"\xff\xfe\xfd.png",
    b"surrogate \xed\xa0\x80.png",
    b"-rf.png",
    b"--help.png",
    b"=1+1.png",
    b"@SUM(A1).png",
    b"'quoted'.png",
    b'"double".png',
    b"semi;colon,comma.png",
    b"back\\slash.png",
    b"%s%n{0}.png",
    b"$(touch it-ran) `touch it-ran`.png",
    b"|touch it-ran.png",
    b" space in front.png",
    b"space behind.png ",
    b"two..dots.png",
    b"UPPER.PNG",
    b"upper.png",
    b"CON.png",
    b"[red]markup[bold].png",
    b"<script>alert(1)<.png",
    b"*.png",
    b"?.png",
    b"file:colon.png",
    b".hidden.png",
    b"no suffix",
)


def _named(folder: Path) -> dict[str, str]:
    made = {}
    for number, name in enumerate(_NAMES):
        path = os.fsencode(folder) + b"/" + name
        with open(path, "wb") as handle:
            handle.write(encoded(picture(500 + number), "PNG"))
        made[f"cat/{os.fsdecode(name)}"] = "named"
    return made


def _not_files(folder: Path, root: Path) -> dict[str, str]:
    outside = root.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret.png").write_bytes(encoded(picture(900), "PNG"))
    (outside / "secret.txt").write_text("password")
    makers: dict[str, Callable[[Path], object]] = {
        "link-to-itself.png": lambda path: path.symlink_to(path.name),
        "link-in-a-ring-1.png": lambda path: path.symlink_to("link-in-a-ring-2.png"),
        "link-in-a-ring-2.png": lambda path: path.symlink_to("link-in-a-ring-1.png"),
        "link-to-nothing.png": lambda path: path.symlink_to("nothing.png"),
        "link-to-a-picture-outside.png": lambda path: path.symlink_to(outside / "secret.png"),
        "link-to-a-text-outside.png": lambda path: path.symlink_to(outside / "secret.txt"),
        "link-to-zero.png": lambda path: path.symlink_to("/dev/zero"),
        "link-to-random.png": lambda path: path.symlink_to("/dev/urandom"),
        "link-to-memory.png": lambda path: path.symlink_to("/proc/self/mem"),
        "link-to-the-terminal.png": lambda path: path.symlink_to("/dev/tty"),
        "folder.png": lambda path: path.mkdir(),
        "link-to-the-folder-above": lambda path: path.symlink_to(".."),
        "link-to-this-folder": lambda path: path.symlink_to("."),
        "link-to-the-root-of-proc": lambda path: path.symlink_to("/proc/self"),
        "pipe.png": os.mkfifo,
        "pipe.jpg": os.mkfifo,
        "socket.png": _socket,
        "forbidden.png": _forbidden,
        "hole-of-2-gibibytes.png": _hole,
        "cat": lambda path: path.symlink_to(root / "cat"),
    }
    made = {}
    for name, make in makers.items():
        make(folder / name)
        made[f"cat/{name}"] = "not_files"
    return made


def _socket(path: Path) -> None:
    before = Path.cwd()
    os.chdir(path.parent)  # the name of a socket may have 107 bytes
    try:
        with socket.socket(socket.AF_UNIX) as bound:
            bound.bind(path.name)
    finally:
        os.chdir(before)


def _forbidden(path: Path) -> None:
    path.write_bytes(encoded(picture(901), "PNG"))
    path.chmod(0)


def _hole(path: Path) -> None:
    with open(path, "wb") as handle:
        handle.truncate(2 << 30)


if __name__ == "__main__":
    found = write_hostile(Path(sys.argv[1]) / "hostile")
    print(f"{len(found)} bad inputs in {sys.argv[1]}/hostile")
