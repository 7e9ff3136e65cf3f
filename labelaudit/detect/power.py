"""How well an audit finds wrong labels: counted on planted ones, and expected from P(mislabeled).

Shapes: N samples, P planted controls.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from labelaudit.detect.curves import FloatArray
from labelaudit.detect.evidence import Evidence
from labelaudit.names import CONTROL_KINDS, ControlKind, StatisticName

BoolArray = npt.NDArray[np.bool_]

_REVIEWS = (0.25, 0.5, 1.0, 1.5, 2.0)
"""How far down the ranked list somebody might look, in multiples of the suspicious."""


@dataclass(frozen=True, kw_only=True)
class Found:
    """Of so many planted wrong labels, how many are above the cut.

    Attributes:
        label: The class that they were given, or None for all.
    """

    kind: ControlKind
    label: int | None
    planted: int
    found: int


@dataclass(frozen=True, kw_only=True)
class Review:
    """Who looks at the first ``top`` of the ranked list sees about this share of the errors."""

    top: int
    caught: float


@dataclass(frozen=True, kw_only=True)
class Power:
    """How well wrong labels are found; nothing of a kind that was not planted."""

    found: tuple[Found, ...]
    reviews: tuple[Review, ...]


def measure_power(evidence: Evidence, rank_by: StatisticName, p_N: FloatArray, flagged_N: BoolArray) -> Power:
    """Count planted wrong labels above the cut, and add up P(mislabeled) down the list.

    The cut is the least suspicion of a flagged sample. Without a flagged sample nothing is above it.

    Args:
        evidence: Of N samples.
        rank_by: The statistic that ranks.
        p_N: P(mislabeled).
        flagged_N: The suspicious.
    """
    return Power(found=tuple(_found(evidence, rank_by, flagged_N)), reviews=_reviews(p_N, int(flagged_N.sum())))


def _found(evidence: Evidence, rank_by: StatisticName, flagged_N: BoolArray) -> list[Found]:
    if evidence.controls is None or evidence.taught is None:
        return []
    own_N = flagged_N & evidence.own_N
    cut = evidence.statistics.suspicion(rank_by)[own_N].min() if own_N.any() else np.inf
    suspicion_N, label_N = evidence.taught.suspicion(rank_by), evidence.controls.label_N
    rows = []
    for kind in CONTROL_KINDS:
        planted_N = evidence.controls.of_kind(kind) & np.isfinite(suspicion_N)
        above_N = planted_N & (suspicion_N >= cut)
        if planted_N.any():
            rows.append(Found(kind=kind, label=None, planted=int(planted_N.sum()), found=int(above_N.sum())))
        for label in np.unique(label_N[planted_N]).tolist():
            of_class_N = label_N == label
            rows.append(
                Found(
                    kind=kind,
                    label=label,
                    planted=int((planted_N & of_class_N).sum()),
                    found=int((above_N & of_class_N).sum()),
                )
            )
    return rows


def _reviews(p_N: FloatArray, flagged: int) -> tuple[Review, ...]:
    p = np.sort(p_N[np.isfinite(p_N)])[::-1]
    total = p.sum()
    if total <= 0:
        return ()
    caught = np.cumsum(p) / total
    tops = sorted({min(len(p), max(1, _round(share * max(flagged, total)))) for share in _REVIEWS})
    return tuple(Review(top=top, caught=float(caught[top - 1])) for top in tops)


def _round(value: float) -> int:
    """To two figures: nobody plans to look at 1,837 images."""
    return int(float(f"{value:.2g}"))
