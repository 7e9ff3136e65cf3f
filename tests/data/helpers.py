"""Images as bytes, and catalogues, that the tests of `labelaudit.data` share."""

import hashlib
import io
import struct
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from labelaudit.data.catalogue import Catalogue


def encoded(image: Image.Image, form: str = "PNG", **options: object) -> bytes:
    content = io.BytesIO()
    image.save(content, form, **options)
    return content.getvalue()


def plain_png(value: int = 100, size: tuple[int, int] = (4, 4)) -> bytes:
    return encoded(Image.new("L", size, value))


def halves(mode: str, left: object, right: object, size: tuple[int, int] = (4, 4)) -> Image.Image:
    """Return an image of two colours side by side."""
    image = Image.new(mode, size, left)
    image.paste(right, (size[0] // 2, 0, size[0], size[1]))
    return image


def noise_image(seed: int = 0, size: tuple[int, int] = (24, 24), mode: str = "RGB") -> Image.Image:
    pixels_HWC = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    return Image.fromarray(pixels_HWC).convert(mode)


def png_that_claims(width: int, height: int) -> bytes:
    """Return a PNG whose header promises that many pixels and whose body holds none."""
    return png_of(struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0), b"")


def png_of(header: bytes, rows: bytes) -> bytes:
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(rows)), (b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(png_chunk(*chunk) for chunk in chunks)


def png_chunk(kind: bytes, content: bytes) -> bytes:
    return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))


def write_files(root: Path, files: dict[str, bytes]) -> Path:
    for path, content in files.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(content)
    return root


def labels_csv(folder: Path, text: str | bytes) -> Path:
    file = folder / "labels.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    return file


def catalogue_of(labels, *, classes=("cat", "dog"), reasons=None, **changes) -> Catalogue:
    """Return a catalogue of files that do not exist, with these labels."""
    count = len(labels)
    values = {
        "root": Path("/data"),
        "paths": tuple(f"{classes[label]}/{number}.png" for number, label in enumerate(labels)),
        "label_N": np.array(labels, dtype=np.int32),
        **dict.fromkeys(("width_N", "height_N"), np.full(count, 4, dtype=np.int32)),
        "grey_N": np.zeros(count, dtype=bool),
        "sha256": tuple(f"{number:064x}" for number in range(count)),
    }
    return Catalogue(**{**values, **changes}, classes=tuple(classes), reasons=tuple(reasons or [""] * count))


def write_catalogue(root: Path, contents: Sequence[bytes | None], reasons: Sequence[str] | None = None) -> Catalogue:
    """Write files, and return a catalogue of them without a look into them; those that are None are missing."""
    files = {f"{number}.png": content for number, content in enumerate(contents)}
    write_files(root, {path: content for path, content in files.items() if content is not None})
    sha256 = tuple("" if content is None else hashlib.sha256(content).hexdigest() for content in contents)
    reasons = reasons or ["missing" if content is None else "" for content in contents]
    return catalogue_of([0] * len(files), root=root, paths=tuple(files), sha256=sha256, reasons=reasons)


def given_in(catalogue: Catalogue) -> dict[str, str]:
    """Return the given label of each path."""
    return {path: catalogue.classes[label] for path, label in zip(catalogue.paths, catalogue.label_N, strict=True)}


PAIR = {"cat/0.png": plain_png(10), "dog/0.png": plain_png(200)}
