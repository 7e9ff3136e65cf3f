"""The tables as Markdown."""

from __future__ import annotations

import math
from collections.abc import Sequence

from labelaudit.reproduce.detection.markdown import figure
from labelaudit.reproduce.kinds.spoil import TRUE_KINDS
from labelaudit.reproduce.kinds.tables import CALLED, MatrixRecord, PlantedRecord, RankingRecord, SelectorRecord

_SHOWN = (*CALLED[:-1], "nothing")


def as_markdown(
    heading: Sequence[str],
    matrix: Sequence[MatrixRecord],
    ranking: Sequence[RankingRecord],
    planted: Sequence[PlantedRecord],
    selectors: Sequence[SelectorRecord],
) -> str:
    """The whole page; counts are summed over the seeds, shares are mean ± standard deviation."""
    lines = [*heading, "", "## What samples are called", ""]
    for suspicious, title in ((True, "Suspicious"), (False, "Not suspicious")):
        lines += [f"{title}:", "", *_table(("truth", *_SHOWN, "samples"), _matrix_rows(matrix, suspicious)), ""]
    lines += ["## Against the goals", "", *_goals(matrix), ""]
    lines += ["## How well each is found: AUROC against the clean (against all others)", "", *_ranking(ranking), ""]
    lines += ["## What the audit says of itself: planted controls", "", *_planted(planted), ""]
    lines += ["## Noise in what a selector takes, as the audit estimates it", "", *_selectors(selectors), ""]
    return "\n".join(lines)


def share(matrix: Sequence[MatrixRecord], true: Sequence[str], called: str | None, suspicious: bool | None) -> float:
    """Of the samples of these true kinds, that are suspicious or not (None: either), how many are called so.

    Args:
        matrix: Of one audit.
        true: True kinds.
        called: A kind; None: anything, so that it is the share of the suspicious.
        suspicious: Which samples count.
    """
    rows = [row for row in matrix if row.true_kind in true]
    if called is None:
        return _ratio(sum(row.samples for row in rows if row.suspicious), sum(row.samples for row in rows))
    rows = [row for row in rows if suspicious is None or row.suspicious == suspicious]
    return _ratio(sum(row.samples for row in rows if row.called == called), sum(row.samples for row in rows))


def _goals(matrix: Sequence[MatrixRecord]) -> list[str]:
    spoiled = ("shuffled", "gaussian")
    asked = (
        ("of the suspicious corrupted pictures, called corrupted", spoiled, "corrupted", True),
        ("of all corrupted pictures, called corrupted", spoiled, "corrupted", None),
        ("of the suspicious wrong labels, called mislabeled", ("mislabeled",), "mislabeled", True),
        ("of the wrong labels, suspicious", ("mislabeled",), None, None),
        ("of the corrupted pictures, suspicious", spoiled, None, None),
        ("of the clean samples, suspicious", ("clean",), None, None),
        ("of the clean samples and wrong labels, called corrupted", ("clean", "mislabeled"), "corrupted", None),
    )
    by_seed = [[row for row in matrix if row.seed == seed] for seed in dict.fromkeys(row.seed for row in matrix)]
    rows = []
    for name, true, called, suspicious in asked:
        rows.append((name, figure([share(one, true, called, suspicious) for one in by_seed])))
    return _table(("share", "value"), rows)


def _matrix_rows(matrix: Sequence[MatrixRecord], suspicious: bool) -> list[tuple[str, ...]]:
    rows = []
    for true in TRUE_KINDS:
        counts = [
            sum(
                row.samples
                for row in matrix
                if (row.true_kind, row.suspicious, row.called) == (true, suspicious, called)
            )
            for called in CALLED
        ]
        rows.append((true, *(f"{count:,}" for count in (*counts, sum(counts)))))
    return rows


def _ranking(ranking: Sequence[RankingRecord]) -> list[str]:
    statistics = list(dict.fromkeys(row.statistic for row in ranking))
    rows = []
    for true in dict.fromkeys(row.true_kind for row in ranking):
        cells = []
        for statistic in statistics:
            found = [row for row in ranking if (row.true_kind, row.statistic) == (true, statistic)]
            cells.append(f"{figure(row.auroc for row in found)} ({figure(row.auroc_of_all for row in found)})")
        rows.append((true, *cells))
    return _table(("truth", *statistics), rows)


def _planted(planted: Sequence[PlantedRecord]) -> list[str]:
    rows = []
    for name in dict.fromkeys(row.planted for row in planted):
        counts = [
            sum(row.samples for row in planted if (row.planted, row.called) == (name, called)) for called in CALLED
        ]
        rows.append((name, *(f"{count:,}" for count in (sum(counts), *counts))))
    return _table(("planted", "samples", *_SHOWN[:-1], "not found"), rows)


def _selectors(selectors: Sequence[SelectorRecord]) -> list[str]:
    rows = []
    for name, selectivity in dict.fromkeys((row.selector, row.selectivity) for row in selectors):
        found = [row for row in selectors if (row.selector, row.selectivity) == (name, selectivity)]
        rows.append(
            (
                name,
                selectivity,
                figure((row.noise_share for row in found), 3),
                figure((row.base_rate for row in found), 3),
                "safe" if all(row.safe for row in found) else "",
            )
        )
    return _table(("selector", "selectivity", "noise taken", "noise there is", ""), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(cells) + " |" for cells in lines]


def _ratio(part: int, whole: int) -> float:
    return part / whole if whole else math.nan
