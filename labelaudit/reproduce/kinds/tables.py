"""One audit of a spoiled copy against the truth, as rows of tables.

Shapes: N samples.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TypedDict

import numpy as np
import numpy.typing as npt

from labelaudit.audit.advise import Advice
from labelaudit.audit.judge import Fitted
from labelaudit.names import KINDS
from labelaudit.reproduce.detection.quality import rank_quality
from labelaudit.reproduce.detection.records import Record
from labelaudit.reproduce.kinds.spoil import TRUE_KINDS

CALLED = (*KINDS, "")
"""What a sample can be called; the last is nothing."""


class Start(TypedDict):
    """The fields with which every record begins; see `labelaudit.reproduce.detection.records.Record`."""

    noise: str
    model: str
    seed: int


@dataclass(frozen=True, kw_only=True)
class MatrixRecord(Record):
    """One cell of the confusion matrix.

    Attributes:
        true_kind: What was done to the samples.
        suspicious: Whether their label is suspicious.
        called: Their kind; empty for none.
        samples: How many.
    """

    true_kind: str
    suspicious: bool
    called: str
    samples: int


@dataclass(frozen=True, kw_only=True)
class RankingRecord(Record):
    """How well a statistic ranks one true kind above the clean samples.

    Attributes:
        true_kind: Which; ``corrupted`` for both spoiled ones.
        statistic: Which; higher = more suspicious.
        auroc: Against the clean samples alone.
        auroc_of_all: Against all other samples.
    """

    true_kind: str
    statistic: str
    auroc: float
    auroc_of_all: float


@dataclass(frozen=True, kw_only=True)
class PlantedRecord(Record):
    """One cell of the audit's own matrix, from what it planted itself; see `labelaudit.detect.kinds.Called`."""

    planted: str
    expected: str
    called: str
    samples: int


@dataclass(frozen=True, kw_only=True)
class SelectorRecord(Record):
    """The noise in what a selector takes: as the audit estimates it, and with the truth in its place."""

    selector: str
    selectivity: str
    base_rate: float
    noise_share: float
    safe: bool


def matrix_of(start: Start, fitted: Fitted, kinds: Mapping[str, str]) -> list[MatrixRecord]:
    """The confusion matrix of one audit.

    Args:
        start: The first fields of each record.
        fitted: The audit.
        kinds: The true kind of each path.
    """
    true_N = np.array([kinds[path] for path in fitted.catalogue.paths])
    flagged_N = np.zeros(len(true_N), dtype=bool)
    flagged_N[fitted.verdicts.order[: fitted.verdicts.flagged]] = True
    called_N = np.array(CALLED)[fitted.kinds.kind_N]
    return [
        MatrixRecord(
            **start,
            true_kind=true,
            suspicious=suspicious,
            called=called,
            samples=int(((true_N == true) & (flagged_N == suspicious) & (called_N == called)).sum()),
        )
        for true in TRUE_KINDS
        for suspicious in (True, False)
        for called in CALLED
    ]


def ranking_of(start: Start, fitted: Fitted, kinds: Mapping[str, str]) -> list[RankingRecord]:
    """How well the kinds are found, by the statistics that could.

    Args:
        start: The first fields of each record.
        fitted: The audit.
        kinds: The true kind of each path.
    """
    true_N = np.array([kinds[path] for path in fitted.catalogue.paths])
    rank_by = fitted.noise.fit.rank_by
    scores: dict[str, npt.NDArray[np.float64]] = {
        "aul": fitted.statistics.aul_N,
        rank_by: fitted.statistics.suspicion(rank_by),
    }
    scores["corruption"] = np.nan_to_num(fitted.kinds.corruption_N)
    wanted = {kind: (kind,) for kind in TRUE_KINDS[:-1]} | {"corrupted": ("shuffled", "gaussian")}
    records = []
    for name, members in wanted.items():
        is_kind_N = np.isin(true_N, members)
        compared_N = is_kind_N | (true_N == "clean")
        for statistic, score_N in scores.items():
            records.append(
                RankingRecord(
                    **start,
                    true_kind=name,
                    statistic=statistic,
                    auroc=rank_quality(is_kind_N[compared_N], score_N[compared_N]).auroc,
                    auroc_of_all=rank_quality(is_kind_N, score_N).auroc,
                )
            )
    return records


def planted_of(start: Start, fitted: Fitted) -> list[PlantedRecord]:
    """The audit's own matrix.

    Args:
        start: The first fields of each record.
        fitted: The audit.
    """
    return [
        PlantedRecord(
            **start,
            planted=row.planted,
            expected=row.expected,
            called=called,
            samples=row.count - sum(row.called.values()) if not called else row.called[called],  # type: ignore[index]
        )
        for row in fitted.kinds.matrix
        for called in CALLED
    ]


def selectors_of(start: Start, advice: Advice) -> list[SelectorRecord]:
    """Return the rows of the audit's advice; ``start`` has their first fields."""
    return [
        SelectorRecord(
            **start,
            selector=row.selector,
            selectivity=row.selectivity,
            noise_share=row.noise_share,
            base_rate=advice.base_rate,
            safe=advice.safe == row.selector,
        )
        for row in advice.selectors
    ]
