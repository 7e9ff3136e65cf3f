"""Choose examples of the classes for a review: images with trusted labels, near the one that is reviewed.

Shapes: N samples, S shown rows, P images that may be examples of a class, D features.
"""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from labelaudit.auditing.model import Audit, RowArray
from labelaudit.detect import Float32Array
from labelaudit.run.caches import find_embeddings

SHOWN = 4  # examples of a class beside an image
NEAREST_ROWS = 2000  # with examples of their own; those behind them have the typical ones of their classes
_TRUSTED_BELOW = 0.05  # P(mislabeled) of an image that can stand for its class; with too few, the least suspicious do


def choose_examples(audit: Audit, sample_S: RowArray, suggested_S: Sequence[int], *, most: int) -> Mapping[str, Any]:
    """Choose examples for rows with these samples and suggested labels (−1 for none), from about ``most`` images.

    Returns the numbers of all ``samples``, those of the first rows first, and as positions in them the typical ones of
    each of the ``classes``, and for each of the first ``rows`` those near it of its given and of its suggested label.
    Near is a high cosine of the centered embeddings in the cache; without them there are only the typical images.
    """
    pairs = list(zip(audit.catalogue.label_N[sample_S].tolist(), suggested_S, strict=True))[:NEAREST_ROWS]
    used = sorted({*audit.catalogue.label_N[sample_S].tolist(), *suggested_S} - {-1})
    trusted_of = _trusted(audit, used)
    typical = {label: trusted[:SHOWN].tolist() for label, trusted in trusted_of.items()}
    each = max(SHOWN, most // max(1, len(used)))
    # Evenly over all that are trusted: the most typical ones are alike.
    pool_of = {label: some[:: -(-len(some) // each) or 1] for label, some in trusted_of.items()}
    digests, first = audit.catalogue.sha256, sample_S[: len(pairs)].tolist()
    vector_of = find_embeddings({digests[sample] for some in (first, *pool_of.values()) for sample in some})
    if not vector_of:
        return _as_positions(typical, [])
    mean_D = np.mean(list(vector_of.values()), axis=0)
    near: list[dict[int, list[int]]] = [{} for _ in first]
    for label, pool in pool_of.items():
        known = [int(sample) for sample in pool if digests[sample] in vector_of]
        rows = [row for row, sample in enumerate(first) if label in pairs[row] and digests[sample] in vector_of]
        if not known or not rows:
            continue
        unit_PD = _units([vector_of[digests[sample]] for sample in known], mean_D)
        cosine_SP = _units([vector_of[digests[first[row]]] for row in rows], mean_D) @ unit_PD.T
        for row, order_P in zip(rows, np.argsort(-cosine_SP, axis=1, kind="stable").tolist(), strict=True):
            others = (known[at] for at in order_P if digests[known[at]] != digests[first[row]])  # no copy of itself
            near[row][label] = [one for one, _ in zip(others, range(SHOWN), strict=False)]
    of_row = []
    for found, (given, suggested) in zip(near, pairs, strict=True):
        best = {**typical, **found}
        of_row.append((best.get(given, []), best.get(suggested, [])))
    return _as_positions(typical, of_row)


def _as_positions(
    of_class: Mapping[int, list[int]], of_row: Sequence[tuple[list[int], list[int]]]
) -> Mapping[str, Any]:
    samples = list(dict.fromkeys(itertools.chain(*itertools.chain(*of_row), *of_class.values())))
    place = {sample: position for position, sample in enumerate(samples)}
    return {
        "samples": samples,
        "classes": {label: [place[one] for one in found] for label, found in of_class.items()},
        "rows": [[[place[one] for one in found] for found in pair] for pair in of_row],
    }


def _trusted(audit: Audit, classes: Sequence[int]) -> dict[int, RowArray]:
    """Return the trusted images of each class, that with the lowest AUL first."""
    p_N, aul_N, label_N = audit.column("p_mislabeled"), audit.column("aul"), audit.catalogue.label_N
    usable_N = p_N <= audit.summary.flag_above
    found = {}
    for label in classes:
        own = np.flatnonzero(usable_N & (label_N == label))
        trusted = own[p_N[own] <= _TRUSTED_BELOW]
        if len(trusted) < SHOWN:
            trusted = own[np.argsort(p_N[own], kind="stable")[:SHOWN]]
        found[label] = trusted[np.argsort(aul_N[trusted], kind="stable")]
    return found


def _units(vectors: Sequence[Float32Array], mean_D: Float32Array) -> Float32Array:
    """Return vectors without their mean, of length 1."""
    centered = np.stack(vectors) - mean_D
    units: Float32Array = centered / np.maximum(np.linalg.norm(centered, axis=1, keepdims=True), 1e-12)
    return units
