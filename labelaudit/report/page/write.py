"""Writing the page of an audit: one file of a bounded size.

Shapes: S samples in the gallery.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from importlib import resources
from pathlib import Path
from typing import Any

import numpy as np
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image, features

from labelaudit import __version__
from labelaudit.data.catalogue import READERS, in_parts, readers
from labelaudit.data.folder import read_file
from labelaudit.data.images import UnreadableImageError, decode_small
from labelaudit.data.rendering import PLAIN, Rendering
from labelaudit.errors import RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.report.page.charts import LossCurves, charts, gather_curves, quantise, thin, top_loss
from labelaudit.report.page.findings import Findings, FloatArray, IntArray, read_findings
from labelaudit.report.page.words import Words, describe
from labelaudit.run.documents import read_noise
from labelaudit.run.files import behind_links, write_text
from labelaudit.run.layout import RunFolder
from labelaudit.run.losses import EpochLosses, read_epochs, recorded_epochs
from labelaudit.text import printable

SCRIPTS = ("base.js", "csv.js", "review.js", "charts.js", "cards.js", "gallery.js", "filters.js", "page.js")
"""In this order they make up the page's one script."""


def render(words: Words, content: dict[str, Any], *, missing_root: str = "") -> str:
    """The whole page.

    Args:
        words: Its texts.
        content: Its data; see `labelaudit.report.page.write.content_of`.
        missing_root: The image folder, where none of the images could be had from it; else empty.
    """
    script = "\n".join(["", '"use strict";', "(() => {", *map(_asset, SCRIPTS), "})();", ""])
    style = _asset("page.css")
    environment = Environment(autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    return environment.from_string(_asset("page.html.jinja")).render(
        words=words,
        rows=len(content["rows"]["sample"]),
        thumbnails=len(content["thumbnails"]["content"]),
        missing_root=missing_root,
        version=__version__,
        policy=_policy(style, script),
        style=Markup(style),
        script=Markup(script),
        data=Markup(embedded_json(content)),
    )


def embedded_json(value: object) -> str:
    """JSON that can stand in a script element whatever it holds: ``<`` and what else could end it is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate has no UTF-8; its escape is JSON's own.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _policy(style: str, script: str) -> str:
    """A Content-Security-Policy under which only this style and this script count, and nothing is fetched."""
    return "; ".join(
        [
            "default-src 'none'",
            "img-src data:",
            f"style-src {_source(style)}",
            f"script-src {_source(script)}",
            "base-uri 'none'",
            "form-action 'none'",
            "require-trusted-types-for 'script'",
            "trusted-types 'none'",
        ]
    )


def _source(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode('ascii')}'"


def _asset(name: str) -> str:
    return (resources.files("labelaudit.report.page") / "assets" / name).read_text(encoding="utf-8")


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


_BYTES_A_ROW = 140
"""What a sample takes in a page beside its path: numbers, content hash and curve."""

_SHA256 = re.compile(r"[0-9a-f]{64}")


def rows_that_fit(findings: Findings, most_bytes: int) -> int:
    """How many of the ranked samples take at most so many bytes, without thumbnails."""
    paths = findings.catalogue.paths
    lengths = [len(paths[sample].encode("utf-8", "backslashreplace")) for sample in findings.ranked_S.tolist()]
    return int((np.cumsum(np.array(lengths, dtype=np.int64) + _BYTES_A_ROW) <= most_bytes).sum())


def content_of(findings: Findings, ranked_S: IntArray, curves: LossCurves, thumbnails: Thumbnails) -> dict[str, Any]:
    """A page's data, ready for JSON.

    Args:
        findings: What was found.
        ranked_S: The samples in the gallery, as they are ranked.
        curves: Of these samples.
        thumbnails: Of the first of them.
    """
    catalogue, samples = findings.catalogue, ranked_S.tolist()
    sample_SP, class_KP = thin(curves.sample_SE), thin(curves.class_KE)
    top = top_loss(sample_SP, class_KP)
    return {
        "version": __version__,
        "fingerprint": catalogue.fingerprint,
        "classes": catalogue.classes,
        "kinds": findings.kinds,
        "statistic": findings.statistic,
        **charts(findings, curves),
        "rows": {
            "sample": samples,
            "path": [catalogue.paths[i] for i in samples],
            "given": catalogue.label_N[ranked_S].tolist(),
            "suggested": findings.suggested_N[ranked_S].tolist(),
            "kind": findings.kind_N[ranked_S].tolist(),
            "p": _short(findings.p_mislabeled_N[ranked_S], ".5g"),
            "value": _short(findings.value_N[ranked_S], ".4g"),
            "rank": None if findings.new is None else findings.rank_S[: len(samples)].tolist(),
            "sha256": _base64(b"".join(_digest(catalogue.sha256[i]) for i in samples)),
        },
        "curves": {
            "points": sample_SP.shape[1],
            "samples": _base64(quantise(sample_SP, top).tobytes()),
            "classes": _base64(quantise(class_KP, top).tobytes()),
        },
        "thumbnails": _thumbnails(thumbnails),
    }


def _thumbnails(thumbnails: Thumbnails) -> dict[str, Any]:
    """For each sample its picture in Base64, or the number of the reason why there is none."""
    reasons = list(dict.fromkeys(reason for reason in thumbnails.reasons if reason))
    number_of = {reason: number for number, reason in enumerate(reasons)}
    pairs = zip(thumbnails.content, thumbnails.reasons, strict=True)
    return {
        "kind": thumbnails.kind,
        "content": [number_of[reason] if text is None else text for text, reason in pairs],
        "reasons": reasons,
    }


def _digest(sha256: str) -> bytes:
    """A SHA-256 as bytes; zeros, which no file has, where the file could not be read."""
    return bytes.fromhex(sha256) if _SHA256.fullmatch(sha256) else bytes(32)


def _short(values: FloatArray, form: str) -> list[float | None]:
    return [float(format(value, form)) if np.isfinite(value) else None for value in values.tolist()]


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")


_SIDES = ((1000, 160), (3000, 128))
"""Up to so many samples in the gallery, a thumbnail fits into so many pixels; above, `_SMALL_SIDE`."""
_SMALL_SIDE = 96
_EMPTY_BYTES = 8
"""What a sample without a thumbnail takes at most in the list of thumbnails, and one with it beside its content."""


@dataclass(frozen=True, kw_only=True)
class PageLimits:
    """How large a page may grow.

    Attributes:
        max_bytes: Size of the file that thumbnails fill up to.
        max_row_bytes: What the rows of the gallery may take of that, without thumbnails.
        max_rows: Samples in the gallery.
        max_thumbnails: Samples whose image is read.
    """

    max_bytes: int = 14_500_000
    max_row_bytes: int = 6_000_000
    max_rows: int = 50_000
    max_thumbnails: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Page:
    """What was written.

    Attributes:
        path: Where.
        size_bytes: Of the file.
        suspicious: Suspicious samples of the audit.
        new: How many of them a baseline does not know; None without a baseline.
        rows: How many are in the gallery; with a baseline, of the new ones.
        looked_at: The images of the first so many were read,
        missing: but so many of these could not be had.
        root: The image folder that they were looked for in.
    """

    path: Path
    size_bytes: int
    suspicious: int
    new: int | None
    rows: int
    looked_at: int
    missing: int
    root: Path

    @property
    def without_images(self) -> bool:
        """True when images were looked for and none was found."""
        return 0 < self.looked_at == self.missing


def write_page(
    run: RunFolder,
    path: Path | None = None,
    limits: PageLimits | None = None,
    reporter: Reporter = QUIET,
    *,
    data: Path | None = None,
    baseline: Path | None = None,
) -> Page:
    """Write the page of an audit.

    Images that have moved or changed since leave a placeholder, and losses that were deleted leave out the curves.

    Args:
        run: A run folder with verdicts.
        path: The file; default: report.html in the run folder.
        limits: How large it may grow.
        reporter: Told about the progress.
        data: Where the image folder is now; None: where it was audited.
        baseline: Run folder or suspicious.csv; the gallery holds only the labels that it does not know.

    Raises:
        DataError: the baseline cannot be read.
        RunError: the run is unfinished or damaged, or the page goes into its folder while that is in use.
        StorageError: the file cannot be written.
    """
    limits = limits or PageLimits()
    read_noise(run)  # says best what an unfinished run lacks
    findings = read_findings(run, most=limits.max_rows, baseline=baseline)
    words = describe(findings)
    ranked_S = findings.ranked_S[: rows_that_fit(findings, limits.max_row_bytes)]
    curves = _read_curves(run, findings, ranked_S, reporter)
    bare = render(words, content_of(findings, ranked_S, curves, NONE))
    root = findings.catalogue.root if data is None else data.resolve()
    thumbnails = read_thumbnails(
        root,
        _pictures(findings, ranked_S[: limits.max_thumbnails]),
        side=next((side for most, side in _SIDES if len(ranked_S) <= most), _SMALL_SIDE),
        most_bytes=limits.max_bytes - len(bare.encode()) - _EMPTY_BYTES * len(ranked_S),
        rendering=findings.catalogue.rendering,
        reporter=reporter,
    )
    page = Page(
        path=path or run.page,
        size_bytes=0,
        suspicious=words.suspicious,
        new=findings.new,
        rows=len(ranked_S),
        looked_at=len(thumbnails.content),
        missing=thumbnails.missing,
        root=root,
    )
    content = content_of(findings, ranked_S, curves, thumbnails)
    text = render(words, content, missing_root=printable(str(root)) if page.without_images else "")
    if path is None:
        with run.writing():
            write_text(run.page, text)
    else:
        write_text(behind_links(path), text)
    return replace(page, size_bytes=len(text.encode()))


def _read_curves(run: RunFolder, findings: Findings, ranked_S: IntArray, reporter: Reporter) -> LossCurves:
    catalogue = findings.catalogue
    with reporter.bar("Reading losses", len(recorded_epochs(run.losses)), "epochs") as advance:

        def counted() -> Iterator[EpochLosses]:
            for record in read_epochs(run.losses):
                yield record
                advance(1)

        try:
            return gather_curves(
                counted(), ranked_S, catalogue.label_N, findings.suspicious_N, classes=len(catalogue.classes)
            )
        except (ValueError, IndexError) as error:
            raise RunError(f"{run.losses} is damaged: {error}", fix=f"delete {run.root} and audit again") from error


def _pictures(findings: Findings, ranked_S: IntArray) -> list[Picture]:
    catalogue = findings.catalogue
    return [Picture(path=catalogue.paths[i], sha256=catalogue.sha256[i]) for i in ranked_S.tolist()]
