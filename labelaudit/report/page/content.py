"""What a page's script reads: by column, which is small and quick to parse.

Shapes: S samples in the gallery, P points of a curve.
"""

from __future__ import annotations

import base64
import re
from typing import Any

import numpy as np

from labelaudit import __version__
from labelaudit.report.page.charts import charts
from labelaudit.report.page.curves import LossCurves, quantise, thin, top_loss
from labelaudit.report.page.findings import Findings, FloatArray, IntArray
from labelaudit.report.page.thumbnails import Thumbnails

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
