"""Small pictures of samples, read in parallel, as many as a number of bytes holds.

Shapes: S samples.
"""

from __future__ import annotations

import base64
import hashlib
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from PIL import Image, features

from labelaudit.data.folder import read_file
from labelaudit.data.images import UnreadableImageError, decode_small
from labelaudit.data.parts import READERS, in_parts, readers
from labelaudit.data.rendering import PLAIN, Rendering
from labelaudit.progress import QUIET, Reporter

_WEBP = {"format": "WEBP", "quality": 62, "method": 2}
_JPEG = {"format": "JPEG", "quality": 68}
CHANGED = "the file has changed since the audit"
"""Why there is no picture: the label was judged by another one."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Which file to read.

    Attributes:
        path: Below the image folder.
        sha256: Of the content that was audited, hex.
    """

    path: str
    sha256: str


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """The outcome for the first of S pictures, in their order.

    Attributes:
        kind: The media type of every picture.
        content: Base64 of a picture, or None where there is none.
        reasons: Why there is none; empty otherwise.
    """

    kind: str
    content: Sequence[str | None]
    reasons: Sequence[str]

    @property
    def missing(self) -> int:
        """How many could not be had."""
        return sum(text is None for text in self.content)


NONE = Thumbnails(kind="", content=(), reasons=())
"""Before any picture was read."""


def read_thumbnails(
    root: Path,
    pictures: Sequence[Picture],
    *,
    side: int,
    most_bytes: int,
    rendering: Rendering = PLAIN,
    reporter: Reporter = QUIET,
) -> Thumbnails:
    """Read the pictures in order until the next would not fit.

    A file that is gone, damaged or no longer the one that was audited counts as read and takes no room.

    Args:
        root: The image folder.
        pictures: Which, most wanted first.
        side: Of the square that a thumbnail fits into, in pixels.
        most_bytes: What all of them may take together, as Base64.
        rendering: How values of more than 8 bits and transparent parts become 8-bit.
        reporter: Told about the progress.
    """
    form = _WEBP if features.check("webp") else _JPEG
    content: list[str | None] = []
    reasons: list[str] = []
    left = most_bytes

    def look(part: Sequence[Picture]) -> list[tuple[str | None, str]]:
        return [_thumbnail(root, picture, side, rendering, form) for picture in part]

    with reporter.bar("Thumbnails", len(pictures), "images") as advance:
        for part in _ahead(pictures, look):
            for text, reason in part:
                left -= len(text or "")
                if left < 0:
                    return Thumbnails(kind=_media_type(form), content=content, reasons=reasons)
                content.append(text)
                reasons.append(reason)
            advance(len(part))
    return Thumbnails(kind=_media_type(form), content=content, reasons=reasons)


def _ahead(
    pictures: Sequence[Picture], look: Callable[[Sequence[Picture]], list[tuple[str | None, str]]]
) -> Iterator[list[tuple[str | None, str]]]:
    """Parts in order, some of them ahead of the reader, who may stop at any."""
    with readers() as pool:
        waiting = []
        for part in in_parts(pictures):
            waiting.append(pool.submit(look, part))
            if len(waiting) > 2 * READERS:
                yield waiting.pop(0).result()
        for future in waiting:
            yield future.result()


def _thumbnail(
    root: Path, picture: Picture, side: int, rendering: Rendering, form: dict[str, object]
) -> tuple[str | None, str]:
    try:
        content = read_file(root / picture.path)
        if hashlib.sha256(content).hexdigest() != picture.sha256:
            return None, CHANGED
        pixels_HWC = decode_small(content, side=side, rendering=rendering)
    except UnreadableImageError as error:
        return None, str(error)
    encoded = io.BytesIO()
    Image.fromarray(pixels_HWC).save(encoded, **form)
    return base64.b64encode(encoded.getvalue()).decode("ascii"), ""


def _media_type(form: dict[str, object]) -> str:
    return f"image/{str(form['format']).lower()}"
