"""Write hundreds of files that nobody wants in a data set into the class folders of a small one.

python -m tests.reliability.hostile FOLDER     writes them, to look at or to audit
"""

import contextlib
import os
import random
import socket
import struct
import sys
import zlib
from collections.abc import Iterator
from pathlib import Path

from PIL import Image, ImageCms

from tests.data.helpers import encoded, noise_image, png_chunk

FORMATS = {"JPEG": ".jpg", "PNG": ".png", "WEBP": ".webp", "GIF": ".gif", "TIFF": ".tif", "BMP": ".bmp"}
_CUTS = (1, 2, 4, 8, 16, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99)
"""Bytes, or the share of them, that are left of a truncated file."""
_FLIPS = 14
_SIDE = 24

Content = Iterator[tuple[str, bytes]]


def write_hostile(root: Path, *, seed: int = 0) -> list[str]:
    """Write the bad inputs into the class folder ``cat`` of ``root``, and something secret beside ``root``.

    Returns:
        Their paths below ``root``; the bytes of names are as `os.fsdecode` has them.
    """
    folder = root / "cat"
    folder.mkdir(parents=True, exist_ok=True)
    chance = random.Random(seed)
    for make in (_truncated, _flipped, _not_images, _sizes, _metadata, _structures):
        for name, content in make(chance):
            (folder / f"bad-{make.__name__.strip('_')}-{name}").write_bytes(content)
    for number, name in enumerate(_NAMES):
        Path(folder, os.fsdecode(name)).write_bytes(encoded(noise_image(500 + number), "PNG"))
    _write_not_files(folder)
    return [f"cat/{path.name}" for path in folder.iterdir()]


def _whole(number: int, form: str) -> bytes:
    return encoded(noise_image(number), form)


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
            end = min(64, len(damaged)) if flip % 2 else len(damaged)  # half of them in the header
            for _ in range(1 + flip // 4):
                damaged[chance.randrange(end)] ^= 1 << chance.randrange(8)
            yield f"{flip}{suffix}", bytes(damaged)


def _not_images(chance: random.Random) -> Content:
    for number, (form, suffix) in enumerate(FORMATS.items()):
        yield f"empty{suffix}", b""
        yield f"noise{suffix}", chance.randbytes(500)
        yield f"zeros{suffix}", bytes(3000)
        yield f"magic-then-noise{suffix}", _whole(number, form)[:16] + chance.randbytes(2000)
        yield f"wrong-extension-{number}{[*FORMATS.values()][number - 1]}", _whole(number + 100, form)
        yield f"twice{suffix}", _whole(number, form) * 2
        yield f"trailing{suffix}", _whole(number + 50, form) + b"<script>alert(1)</script>"
    yield "page.png", b"<!doctype html><img src=x onerror=alert(1)>"
    yield "pickle.png", b"\x80\x04\x95\x1c\x00\x00\x00\x00\x00\x00\x00\x8c\x02os\x94\x8c\x06system\x94\x93\x94."
    yield "script.jpg", b"#!/bin/sh\ntouch /tmp/it-ran\n"
    yield "ghost.png", b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 10 10\n(touch it-ran) run\n"
    yield "drawing.png", b"<svg xmlns='http://www.w3.org/2000/svg'><script>1</script></svg>"
    for name, magic in (("archive.png", b"PK\x03\x04"), ("program.bmp", b"\x7fELF"), ("document.tif", b"%PDF-1.7\n")):
        yield name, magic + chance.randbytes(200)


def _png(width: int, height: int, *chunks: bytes, bits: int = 8, colour: int = 2, data: bytes = b"") -> bytes:
    header = png_chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, bits, colour, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + png_chunk(b"IDAT", data) + png_chunk(b"IEND", b"")


_ROW = zlib.compress(b"\0" + bytes(3 * _SIDE))
"""The data of a PNG of one black row."""


def _sizes(_chance: random.Random) -> Content:
    for number, (form, suffix) in enumerate(FORMATS.items()):
        yield f"one-pixel{suffix}", encoded(noise_image(number, (1, 1)), form)
        if form != "WEBP":  # which holds at most 16,383 pixels a side
            yield f"wide{suffix}", encoded(noise_image(number, (30_000, 1)), form)
            yield f"tall{suffix}", encoded(noise_image(number, (1, 30_000)), form)
    for side in (0, 1, 20_000, 65_535, 2**31 - 1):
        header = struct.pack("<IIiiHHIIiiII", 54, 40, side, -side, 1, 24, 0, 0, 0, 0, 0, 0)
        yield f"claims-{side}.png", _png(side, side, data=zlib.compress(b"\0" * 100))
        yield f"claims-{side}.bmp", b"BM" + struct.pack("<IHH", 54, 0, 0) + header
        yield f"claims-{side}.gif", b"GIF89a" + struct.pack("<HH", min(side, 65_535), min(side, 65_535)) + bytes(3)
    rows = 13_000  # below what Pillow calls a bomb; 20 KB that unpack to 21 MB, and to 169 million pixels
    row = b"\0" + bytes(-(-rows // 8))
    yield "bomb-1-bit.png", _png(rows, rows, bits=1, colour=0, data=zlib.compress(row * rows, 9))
    yield "bomb.tif", encoded(Image.new("1", (13_000, 13_000)), "TIFF", compression="group4")


def _metadata(chance: random.Random) -> Content:
    exif = Image.Exif()
    exif[0x010E] = "x" * 60_000
    for form in ("JPEG", "PNG", "WEBP"):
        yield f"huge-exif{FORMATS[form]}", encoded(noise_image(1), form, exif=exif)
    plain = _whole(4, "JPEG")
    for number in range(8):
        block = b"Exif\0\0" + chance.randbytes(50 + 400 * number)
        yield f"noise-exif-{number}.jpg", _with_segment(plain, 0xE1, block)
    directories_in_themselves = b"Exif\0\0II*\0\x08\0\0\0" + struct.pack("<HHHIII", 1, 0x8769, 4, 1, 8, 8)
    yield "exif-loop.jpg", _with_segment(plain, 0xE1, directories_in_themselves)
    for value in (0, 9, 255, 65_535):
        turned = Image.Exif()
        turned[0x0112] = value
        yield f"orientation-{value}.jpg", encoded(noise_image(5), "JPEG", exif=turned)
    many = plain
    for _ in range(40):
        many = _with_segment(many, 0xFE, bytes(65_000))
    yield "comments-of-2-megabytes.jpg", many
    profile = ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes()
    profiles = {"": profile, "-noise": chance.randbytes(3000), "-cut": profile[:100], "-empty": b"\0"}
    for form in ("JPEG", "PNG", "WEBP", "TIFF"):
        for number, (name, content) in enumerate(profiles.items()):
            yield f"profile{name}{FORMATS[form]}", encoded(noise_image(6 + number), form, icc_profile=content)
    bomb = b"x\0\0" + zlib.compress(bytes(80_000_000), 9)
    yield "profile-bomb.png", _png(_SIDE, 1, png_chunk(b"iCCP", bomb), data=_ROW)
    yield "text-bomb.png", _png(_SIDE, 1, png_chunk(b"zTXt", bomb), data=_ROW)
    yield "text-bombs.png", _png(_SIDE, 1, *[png_chunk(b"zTXt", bomb[:70_000])] * 20, data=_ROW)


def _with_segment(jpeg: bytes, marker: int, content: bytes) -> bytes:
    return jpeg[:2] + struct.pack(">BBH", 0xFF, marker, len(content) + 2) + content + jpeg[2:]


def _structures(chance: random.Random) -> Content:
    frames = [noise_image(number, mode="P") for number in range(60)]
    yield "frames.gif", encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    for form in ("WEBP", "PNG", "TIFF"):
        yield f"frames{FORMATS[form]}", encoded(noise_image(1), form, save_all=True, append_images=frames[:20])
    tiff = _whole(3, "TIFF")
    yield "next-page-is-itself.tif", _with_next_directory(tiff, struct.unpack_from("<I", tiff, 4)[0])
    yield "next-page-beyond.tif", _with_next_directory(tiff, 2**32 - 9)
    for compression in ("tiff_lzw", "tiff_deflate", "packbits", "jpeg"):
        content = encoded(noise_image(4), "TIFF", compression=compression)
        yield f"{compression}.tif", content
        for flip in range(3):
            damaged = bytearray(content)
            damaged[8 + chance.randrange(len(damaged) - 8)] ^= 0xFF
            yield f"{compression}-{flip}.tif", bytes(damaged)
    yield "interlaced-cut.png", encoded(noise_image(5), "PNG")[:-20]
    yield "progressive-cut.jpg", encoded(noise_image(6), "JPEG", progressive=True)[:-300]
    yield "no-end.gif", encoded(noise_image(7), "GIF")[:-1]
    yield "no-palette.png", _png(_SIDE, 1, colour=3, data=zlib.compress(b"\0" + bytes(_SIDE)))
    yield "unknown-chunk.png", _png(_SIDE, 1, png_chunk(b"EVIL", chance.randbytes(100)), data=_ROW)
    yield "depth-3.png", _png(_SIDE, 1, bits=3, data=_ROW)
    yield "colour-9.png", _png(_SIDE, 1, colour=9, data=_ROW)
    yield "wrong-sum.png", _png(_SIDE, 1, data=_ROW).replace(png_chunk(b"IDAT", _ROW)[-4:], b"\0\0\0\0")
    yield "too-little.png", _png(_SIDE, 500, data=_ROW)
    yield "too-much.png", _png(_SIDE, 1, data=zlib.compress(bytes(1_000_000)))
    yield "chunk-without-end.png", _png(_SIDE, 1, data=_ROW)[:60] + b"\xff\xff\xff\xffIDAT"


def _with_next_directory(tiff: bytes, offset: int) -> bytes:
    changed = bytearray(tiff)
    start = struct.unpack_from("<I", changed, 4)[0]
    entries = struct.unpack_from("<H", changed, start)[0]
    struct.pack_into("<I", changed, start + 2 + 12 * entries, offset)
    return bytes(changed)


_ODD_BYTES = (
    b"new\nline.png/carriage\rreturn.png/both\r\n.png/tab\t.png/bell\x07.png/escape\x1b[31mred\x1b[0m.png/"
    b"title\x1b]0;owned\x07.png/delete\x7f.png/latin-1 \xe9.png/half \xf0\x9f.png/\xff\xfe\xfd.png/"
    b"surrogate \xed\xa0\x80.png/-rf.png/--help.png/=1+1.png/@SUM(A1).png/'quoted'.png/\"double\".png/"
    b"semi;colon,comma.png/back\\slash.png/%s%n{0}.png/$(touch it-ran) `touch it-ran`.png/|touch it-ran.png/"
    b" space in front.png/space behind.png /two..dots.png/UPPER.PNG/upper.png/CON.png/[red]markup[bold].png/"
    b"<script>alert(1)<.png/*.png/?.png/file:colon.png/.hidden.png/no suffix"
)
_ODD_CHARACTERS = (
    "right-to-left \u202egnp.exe.png/marks \u200f\u200e\u2066\u2069.png/no width \u200b\ufeff.png/"
    "paragraph \u2029 line \u2028.png/composed \u00e9.png/decomposed e\u0301.png/\U0001f431\u200d\U0001f464.png"
)
_NAMES = [*_ODD_BYTES.split(b"/"), *_ODD_CHARACTERS.encode().split(b"/")]
_NAMES += [b"n" * 251 + b".png", "\u00fc".encode() * 125 + b"x.png"]  # 255 bytes


def _write_not_files(folder: Path) -> None:
    outside = folder.parent.parent / "outside"
    outside.mkdir(exist_ok=True)
    (outside / "secret.png").write_bytes(encoded(noise_image(900), "PNG"))
    (outside / "secret.txt").write_text("password")
    for name, target in {
        **{"link-to-itself.png": "link-to-itself.png", "link-to-nothing.png": "nothing.png"},
        **{"link-in-a-ring-1.png": "link-in-a-ring-2.png", "link-in-a-ring-2.png": "link-in-a-ring-1.png"},
        "link-to-an-image-outside.png": outside / "secret.png",
        "link-to-a-text-outside.png": outside / "secret.txt",
        **{"link-to-zero.png": "/dev/zero", "link-to-random.png": "/dev/urandom"},
        **{"link-to-memory.png": "/proc/self/mem", "link-to-the-terminal.png": "/dev/tty"},
        **{"link-to-the-folder-above": "..", "link-to-this-folder": ".", "link-to-the-root-of-proc": "/proc/self"},
        "cat": folder,
    }.items():
        (folder / name).symlink_to(target)
    (folder / "folder.png").mkdir()
    for name in ("pipe.png", "pipe.jpg"):
        os.mkfifo(folder / name)
    with contextlib.chdir(folder), socket.socket(socket.AF_UNIX) as bound:  # the name of a socket may have 107 bytes
        bound.bind("socket.png")
    (folder / "forbidden.png").write_bytes(encoded(noise_image(901), "PNG"))
    (folder / "forbidden.png").chmod(0)
    with open(folder / "hole-of-2-gibibytes.png", "wb") as handle:
        handle.truncate(2 << 30)


if __name__ == "__main__":
    found = write_hostile(Path(sys.argv[1]) / "hostile")
    print(f"{len(found)} bad inputs in {sys.argv[1]}/hostile")
