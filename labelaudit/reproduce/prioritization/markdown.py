"""The tables as Markdown: ours beside the paper's."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from labelaudit import __version__
from labelaudit.reproduce.prioritization.records import MEAN, ResultRow, Tables
from labelaudit.reproduce.prioritization.settings import ALGORITHMS, CLEAN, DATA_SETS, PAPER, STANDARD, Scale

_NOTHING = "–"
_MOST_EPOCHS = 6


def as_markdown(tables: Tables, data: str, scale: Scale, images: int) -> str:
    """The whole page."""
    seeds = sorted({row.seed for row in tables.epochs})
    epochs = max(row.epoch for row in tables.epochs)
    lines = [
        f"# Prioritization: {data}",
        "",
        f"Scale {scale.name}: {images:,} images, {epochs} epochs of {scale.preset.model}, batch "
        f"{scale.preset.batch_size}, rate {scale.preset.lr:g}; seeds {', '.join(map(str, seeds))}; "
        f"labelaudit {__version__}.",
        "",
        *_table_1(tables),
        *_costs(tables),
        *_oversampling(tables),
        *_seeds(tables),
    ]
    return "\n".join(lines)


def _table_1(tables: Tables) -> list[str]:
    of = {(row.data_set, row.algorithm): row for row in tables.results if row.seed == MEAN}
    names = [entry.name for entry in DATA_SETS if any(name == entry.name for name, _ in of)]
    rows = []
    for algorithm in ALGORITHMS:
        if not any(made == algorithm.name for _, made in of):
            continue
        ours = [_cell(of.get((name, algorithm.name))) for name in names]
        rows.append([algorithm.title, *ours])
        if algorithm.name in PAPER:
            theirs = dict(zip((entry.name for entry in DATA_SETS), PAPER[algorithm.name], strict=True))
            rows.append(["*in the paper*", *(_paper_cell(theirs[name]) for name in names)])
    note = (
        "Examples that standard training back-propagates until its test error is at most 1.2 times its best, over "
        "those that the algorithm does (a dash: never), and in brackets the best test error. On the mean curve of the"
        " seeds, at the end of each pass over the data. The best error is chosen on the test data. The paper: "
        "WRN-28-10 on CIFAR-10, 5 seeds."
    )
    return _table("Table 1: speedup and error", note, ["algorithm", *names], rows)


def _cell(row: ResultRow | None) -> str:
    return _NOTHING if row is None else f"{_times(row.speedup)} ({100 * row.best_error:.2f}%)"


def _paper_cell(found: tuple[float | None, float] | None) -> str:
    if found is None:
        return ""
    speedup, error = found
    return f"*{_NOTHING if speedup is None else f'{speedup:.1f}×'} ({error:.2f}%)*"


def _times(value: float) -> str:
    return _NOTHING if math.isnan(value) else f"{value:.2f}×"


def _costs(tables: Tables) -> list[str]:
    rows = [
        [
            row.data_set,
            row.algorithm,
            _times(row.speedup),
            _times(row.work_speedup),
            _times(row.time_speedup),
            f"{row.backpropagated:,.0f}",
            f"{row.forwards:,.0f}",
            f"{row.seconds:.0f}",
        ]
        for row in tables.results
        if row.seed == MEAN
    ]
    note = (
        "The speedup by what is counted: examples back-propagated, forward passes (a backward pass counts as two), "
        "wall time. Then what the whole training took."
    )
    header = ["data", "algorithm", "back-propagated", "work", "time", "examples back-propagated", "forward", "seconds"]
    return _table("Forward passes and wall time", note, header, rows)


def _oversampling(tables: Tables) -> list[str]:
    epochs = sorted({row.epoch for row in tables.epochs})
    shown = [epochs[int(place)] for place in np.linspace(0, len(epochs) - 1, min(_MOST_EPOCHS, len(epochs)))]
    mean = {(row.data_set, row.algorithm): row for row in tables.results if row.seed == MEAN}
    rows = []
    for (data_set, algorithm), result in mean.items():
        if data_set == CLEAN.name or algorithm == STANDARD.name:
            continue
        cells = []
        for epoch in shown:
            shares = [
                row.selected_share
                for row in tables.epochs
                if (row.data_set, row.algorithm, row.epoch) == (data_set, algorithm, epoch)
            ]
            cells.append(f"{100 * float(np.mean(shares)):.1f}%")
        rows.append([data_set, algorithm, *cells, f"{result.oversampling:.2f}"])
    note = (
        "Figure 3: the share of corrupted samples among those that are back-propagated. Last, its mean over all "
        "epochs as a multiple of their share in the data, which is standard training's."
    )
    header = ["data", "algorithm", *(f"epoch {epoch}" for epoch in shown), "mean / rate"]
    return _table("Corrupted samples among those back-propagated", note, header, rows)


def _seeds(tables: Tables) -> list[str]:
    seeds = sorted({row.seed for row in tables.results} - {MEAN})
    if len(seeds) < 2:
        return []
    rows = []
    for data_set, algorithm in dict.fromkeys((row.data_set, row.algorithm) for row in tables.results):
        own = {row.seed: row for row in tables.results if (row.data_set, row.algorithm) == (data_set, algorithm)}
        rows.append([data_set, algorithm, *(_cell(own.get(seed)) for seed in seeds)])
    note = "Each seed by itself, against standard training with that seed."
    return _table("By seed", note, ["data", "algorithm", *(f"seed {seed}" for seed in seeds)], rows)


def _table(title: str, note: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    body = ["| " + " | ".join(row) + " |" for row in (header, *rows)]
    return [f"## {title}", "", note, "", body[0], "|" + "---|" * len(header), *body[1:], ""]
