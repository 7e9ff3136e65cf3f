"""Write the page of an audit: one file of a bounded size.

Shapes: N samples, S samples in the gallery.
"""

from __future__ import annotations

import base64
import hashlib
import io
import json
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from importlib import resources
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from jinja2 import Environment, StrictUndefined
from markupsafe import Markup
from PIL import Image, features

from labelaudit import __version__
from labelaudit.audit.model import Audit
from labelaudit.data.catalogue import Catalogue, in_parallel
from labelaudit.data.folder import read_file
from labelaudit.data.images import UnreadableImageError, decode_small
from labelaudit.data.rendering import Rendering
from labelaudit.errors import RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.report import sentences
from labelaudit.report.page import words
from labelaudit.report.page.charts import LossCurves, charts, gather_curves, quantise, rounded, thin, top_loss
from labelaudit.run.files import behind_links, write_text
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import list_suspicious, read_baseline, suspicious_rows, unreadable_rows
from labelaudit.run.losses import EpochLosses, read_epochs, recorded_epochs
from labelaudit.text import printable

IntArray = npt.NDArray[np.int64]

SCRIPTS = ("base.js", "csv.js", "review.js", "charts.js", "cards.js", "gallery.js", "filters.js", "page.js")
"""The parts of the page's one script, in order."""
CHANGED = "the file has changed since the audit"
"""The reason why a changed file has no thumbnail: the label was judged by another image."""

_WEBP = {"format": "WEBP", "quality": 62, "method": 2}
_JPEG = {"format": "JPEG", "quality": 68}
_SIDES = ((1000, 160), (3000, 128))
"""Up to so many samples in the gallery, a thumbnail fits into so many pixels; above, `_SMALL_SIDE`."""
_SMALL_SIDE = 96
_EMPTY_BYTES = 8
"""Most bytes of a sample in the list of thumbnails beside the thumbnail's content."""
_BYTES_A_ROW = 140
"""Bytes of a sample in a page beside its path: numbers, content hash and curve."""
_MOST_FILES = 200
"""Unreadable files in a page."""
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, kw_only=True)
class PageLimits:
    """The largest page.

    Attributes:
        max_bytes: Size of the file that thumbnails fill up to.
        max_row_bytes: Part of that for the rows of the gallery, without thumbnails.
        max_rows: Samples in the gallery.
        max_thumbnails: Samples whose image is read.
    """

    max_bytes: int = 14_500_000
    max_row_bytes: int = 6_000_000
    max_rows: int = 50_000
    max_thumbnails: int = 10_000


@dataclass(frozen=True, kw_only=True)
class Page:
    """A page that was written.

    Attributes:
        path: The file.
        size_bytes: Its size.
        suspicious: Suspicious samples of the audit.
        new: How many of them a baseline does not know; None without a baseline.
        rows: How many are in the gallery; with a baseline, of the new ones.
        looked_at: How many of their images were looked for.
        missing: How many of these were not found.
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


@dataclass(frozen=True, kw_only=True)
class Gallery:
    """The samples that a page shows.

    Attributes:
        sample_S: Their numbers, in the order of suspicious.csv; with a baseline, only those that it does not know.
        rank_S: Their ranks in suspicious.csv.
        suspicious_N: Which samples of the audit are suspicious.
        new: How many suspicious samples a baseline does not know; None without a baseline.
    """

    sample_S: IntArray
    rank_S: IntArray
    suspicious_N: npt.NDArray[np.bool_]
    new: int | None


@dataclass(frozen=True, kw_only=True)
class Thumbnails:
    """The thumbnails of the first samples of a gallery.

    Attributes:
        kind: The media type of all of them.
        content: Base64 of a thumbnail; None where there is none.
        reasons: Why there is none; empty otherwise.
    """

    kind: str = ""
    content: Sequence[str | None] = ()
    reasons: Sequence[str] = ()

    @property
    def missing(self) -> int:
        """How many there are not."""
        return sum(text is None for text in self.content)


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

    Images that have moved or changed since the audit get a placeholder. Without the losses there are no curves.

    Args:
        run: A run folder with verdicts.
        path: The file; default: report.html in the run folder.
        limits: The largest page.
        reporter: Told about the progress.
        data: Where the image folder is now; None: where it was audited.
        baseline: Run folder or suspicious.csv; the gallery holds only the labels that it does not know.

    Raises:
        DataError: the baseline cannot be read.
        RunError: the run is unfinished or damaged, or the page goes into its folder while that is in use.
        StorageError: the file cannot be written.
    """
    audit, limits = Audit(run), limits or PageLimits()
    gallery = read_gallery(audit, limits, baseline=baseline)
    curves = _read_curves(audit, gallery, reporter)
    bare = render(audit, gallery.new, content_of(audit, gallery, curves, Thumbnails()))
    root, rows = audit.catalogue.root if data is None else data.resolve(), len(gallery.sample_S)
    thumbnails = read_thumbnails(
        root,
        audit.catalogue,
        gallery.sample_S[: limits.max_thumbnails],
        side=next((side for most, side in _SIDES if rows <= most), _SMALL_SIDE),
        most_bytes=limits.max_bytes - len(bare.encode()) - _EMPTY_BYTES * rows,
        reporter=reporter,
    )
    content, looked_at = content_of(audit, gallery, curves, thumbnails), len(thumbnails.content)
    missing_root = str(root) if 0 < looked_at == thumbnails.missing else ""
    text = render(audit, gallery.new, content, missing_root=missing_root)
    if path is None:
        with run.writing():
            write_text(run.page, text)
    else:
        write_text(behind_links(path), text)
    return Page(
        path=path or run.page,
        size_bytes=len(text.encode()),
        suspicious=audit.summary.suspicious,
        new=gallery.new,
        rows=rows,
        looked_at=looked_at,
        missing=thumbnails.missing,
        root=root,
    )


def read_gallery(audit: Audit, limits: PageLimits, *, baseline: Path | None = None) -> Gallery:
    """Read the suspicious samples: at most ``max_rows``, and as many as fit into ``max_row_bytes``.

    Raises:
        RunError: a file of the run is missing, damaged, or of another audit.
        DataError: the baseline cannot be read.
    """
    run, noise, paths = audit.run, audit.summary, audit.catalogue.paths
    known = None if baseline is None else read_baseline(baseline)
    p_N = audit.column("p_mislabeled")
    listed = list_suspicious(suspicious_rows(run.suspicious), noise.suspicious, most=limits.max_rows, baseline=known)
    sample_S, rank_S = (
        np.array([int(row[name]) for row in listed.rows], dtype=np.int64) for name in ("sample", "rank")
    )
    if (sample_S >= len(paths)).any():
        raise RunError(
            f"{run.suspicious} names samples that {run.samples} does not have", fix=f"run labelaudit fit {run.root}"
        )
    suspicious_N = p_N > noise.flag_above
    suspicious_N[sample_S] = True
    sizes = [len(paths[sample].encode("utf-8", "backslashreplace")) + _BYTES_A_ROW for sample in sample_S.tolist()]
    fit = int((np.cumsum(sizes) <= limits.max_row_bytes).sum())
    return Gallery(sample_S=sample_S[:fit], rank_S=rank_S[:fit], suspicious_N=suspicious_N, new=listed.new)


def _read_curves(audit: Audit, gallery: Gallery, reporter: Reporter) -> LossCurves:
    run, catalogue = audit.run, audit.catalogue
    with reporter.bar("Reading losses", len(recorded_epochs(run.losses)), "epochs") as advance:

        def counted() -> Iterator[EpochLosses]:
            for record in read_epochs(run.losses):
                yield record
                advance(1)

        try:
            return gather_curves(
                counted(), gallery.sample_S, catalogue.label_N, gallery.suspicious_N, classes=len(catalogue.classes)
            )
        except (ValueError, IndexError) as error:
            raise RunError(f"{run.losses} is damaged: {error}", fix=f"delete {run.root} and audit again") from error


def read_thumbnails(
    root: Path,
    catalogue: Catalogue,
    sample_S: IntArray,
    *,
    side: int,
    most_bytes: int,
    reporter: Reporter = QUIET,
) -> Thumbnails:
    """Read the images of samples in order, until the next thumbnail would not fit.

    A file that is gone, damaged or no longer the one that was audited has a reason and takes no room.

    Args:
        root: Where the images are now.
        catalogue: Where they are below it, and their content hashes.
        sample_S: The samples.
        side: Of the square that a thumbnail fits into, in pixels.
        most_bytes: Of all thumbnails together, as Base64.
        reporter: Told about the progress.
    """
    form = _WEBP if features.check("webp") else _JPEG
    content: list[str | None] = []
    reasons: list[str] = []
    found = Thumbnails(kind=f"image/{str(form['format']).lower()}", content=content, reasons=reasons)
    left = most_bytes

    def read(samples: Sequence[int]) -> list[tuple[str | None, str]]:
        return [
            _thumbnail(root / catalogue.paths[i], catalogue.sha256[i], side, catalogue.rendering, form) for i in samples
        ]

    with reporter.bar("Thumbnails", len(sample_S), "images") as advance:
        for samples, thumbnails in in_parallel(sample_S.tolist(), read):
            for text, reason in thumbnails:
                left -= len(text or "")
                if left < 0:
                    return found
                content.append(text)
                reasons.append(reason)
            advance(len(samples))
    return found


def _thumbnail(
    file: Path, sha256: str, side: int, rendering: Rendering, form: dict[str, object]
) -> tuple[str | None, str]:
    try:
        content = read_file(file)
        if hashlib.sha256(content).hexdigest() != sha256:
            return None, CHANGED
        pixels_HWC = decode_small(content, side=side, rendering=rendering)
    except UnreadableImageError as error:
        return None, str(error)
    encoded = io.BytesIO()
    Image.fromarray(pixels_HWC).save(encoded, **form)
    return _base64(encoded.getvalue()), ""


def render(audit: Audit, new: int | None, content: Mapping[str, Any], *, missing_root: str = "") -> str:
    """Return the whole page.

    Args:
        audit: The audit.
        new: How many suspicious labels a baseline does not know; None without a baseline.
        content: The data; see `content_of`.
        missing_root: The image folder, where none of the images was found in it; else empty.
    """
    noise, (low, high) = audit.summary, audit.summary.noise_rate_interval or (0.0, 0.0)
    script = "\n".join(["", '"use strict";', "(() => {", *map(_asset, SCRIPTS), "})();", ""])
    style = _asset("page.css")
    environment = Environment(
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
        finalize=lambda value: printable(value) if type(value) is str else value,
    )
    return environment.from_string(_asset("page.html.jinja")).render(
        noise=noise,
        title=words.title_of(audit.catalogue.root),
        facts=words.facts_of(audit),
        rate=sentences.rate_text(noise),
        rate_sentence=words.rate_sentence(noise.noise_rate),
        interval=f"between {low:.1%} and {high:.1%}",
        has_interval=bool(noise.noise_rate_interval) and noise.noise_rate is not None,
        new=new,
        unreadable=sentences.unreadable_sentence(noise),
        unreadable_files=list(islice(unreadable_rows(audit.catalogue), _MOST_FILES)),
        left_out=sentences.left_out_sentences(noise),
        estimators=words.estimator_rows(noise),
        planted=words.control_rows(noise),
        review=words.review_shares(noise),
        kinds=sentences.kinds_sentences(noise),
        matrix_header=sentences.MATRIX_HEADER,
        matrix=sentences.matrix_rows(noise),
        matrix_note=sentences.matrix_note(noise),
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
    """Return JSON in which ``<`` and whatever else could end a script element is escaped."""
    text = json.dumps(value, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    for character in "<>&\u2028\u2029":
        text = text.replace(character, f"\\u{ord(character):04x}")
    # A lone surrogate has no UTF-8; its escape is JSON's own.
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _policy(style: str, script: str) -> str:
    """Return a Content-Security-Policy that allows this style and this script, and no request."""
    style_hash, script_hash = (_base64(hashlib.sha256(text.encode()).digest()) for text in (style, script))
    return (
        f"default-src 'none'; img-src data:; style-src 'sha256-{style_hash}'; script-src 'sha256-{script_hash}'; "
        "base-uri 'none'; form-action 'none'; require-trusted-types-for 'script'; trusted-types 'none'"
    )


def _asset(name: str) -> str:
    return (resources.files("labelaudit.report.page") / "assets" / name).read_text(encoding="utf-8")


def content_of(audit: Audit, gallery: Gallery, curves: LossCurves, thumbnails: Thumbnails) -> dict[str, object]:
    """Return a page's data, ready for JSON.

    Args:
        audit: The audit.
        gallery: Which of its samples are shown.
        curves: Of these samples.
        thumbnails: Of the first of them.
    """
    catalogue, samples = audit.catalogue, gallery.sample_S.tolist()
    statistic = audit.summary.fit.rank_by
    sample_SP, class_KP = thin(curves.sample_SE), thin(curves.class_KE)
    top = top_loss(sample_SP, class_KP)
    scores = audit.scores
    kind_of = scores.column("kind").to_pylist() if "kind" in scores.column_names else [None] * len(scores)
    kinds = sorted({kind for kind in kind_of if kind})
    suggested = scores.column("suggested_label").take(gallery.sample_S).to_pylist()
    return {
        "version": __version__,
        "fingerprint": catalogue.fingerprint,
        "classes": catalogue.classes,
        "kinds": kinds,
        "statistic": statistic,
        **charts(audit, gallery.suspicious_N, curves),
        "rows": {
            "sample": samples,
            "path": [catalogue.paths[i] for i in samples],
            "given": catalogue.label_N[samples].tolist(),
            "suggested": _positions(suggested, catalogue.classes),
            "kind": _positions([kind_of[i] for i in samples], kinds),
            "p": rounded(audit.column("p_mislabeled")[samples], digits=5),
            "value": rounded(audit.column(statistic)[samples]),
            "rank": None if gallery.new is None else gallery.rank_S.tolist(),
            "sha256": _base64(b"".join(_digest(catalogue.sha256[i]) for i in samples)),
        },
        "curves": {
            "points": sample_SP.shape[1],
            "samples": _base64(quantise(sample_SP, top).tobytes()),
            "classes": _base64(quantise(class_KP, top).tobytes()),
        },
        "thumbnails": _listed(thumbnails),
    }


def _listed(thumbnails: Thumbnails) -> dict[str, object]:
    """Return for each sample its thumbnail, or the number of the reason why there is none."""
    reasons = list(dict.fromkeys(reason for reason in thumbnails.reasons if reason))
    pairs = zip(thumbnails.content, thumbnails.reasons, strict=True)
    content = [reasons.index(reason) if text is None else text for text, reason in pairs]
    return {"kind": thumbnails.kind, "content": content, "reasons": reasons}


def _positions(texts: Sequence[str | None], names: Sequence[str]) -> list[int]:
    """Return where each text stands in ``names``; −1 for None and for others."""
    number_of = {name: number for number, name in enumerate(names)}
    return [-1 if text is None else number_of.get(text, -1) for text in texts]


def _digest(sha256: str) -> bytes:
    """Return a SHA-256 as bytes; zeros where the file could not be read."""
    return bytes.fromhex(sha256) if _SHA256.fullmatch(sha256) else bytes(32)


def _base64(content: bytes) -> str:
    return base64.b64encode(content).decode("ascii")
