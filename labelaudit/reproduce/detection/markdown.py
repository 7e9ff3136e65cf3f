"""The tables as Markdown: mean ± spread over the seeds."""

from __future__ import annotations

import math
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from typing import TypeVar

from labelaudit.reproduce.detection.quality import spread
from labelaudit.reproduce.detection.records import EstimateRecord, Record, Tables

_MOST_EPOCHS = 8
_NOTHING = "–"

Row = TypeVar("Row", bound=Record)
Key = TypeVar("Key", bound=Hashable)


@dataclass(frozen=True, kw_only=True)
class Heading:
    """What the page says before its tables.

    Attributes:
        data: Name of the data folder.
        lines: Sentences about it.
        paper_estimator: The AUL paper's own, which stands beside the audit's.
    """

    data: str
    lines: tuple[str, ...]
    paper_estimator: str = "gmm"


def as_markdown(tables: Tables, heading: Heading) -> str:
    """The whole page; tables without rows are left out."""
    several = len({row.model for row in tables.audits}) > 1
    parts = [f"# Detection of wrong labels: {heading.data}\n", "\n".join(heading.lines) + "\n"]
    parts += _ranking(tables, several)
    parts += _estimates(tables, several)
    parts += _intervals(tables, several)
    parts += _controls(tables, several)
    parts += _loss_against_aul(tables, several)
    parts += _networks(tables)
    parts += _over_rates(tables, heading.paper_estimator)
    return "\n".join(parts)


def figure(values: Iterable[float], digits: int = 4) -> str:
    """``mean ± deviation`` of the values that are numbers, and of how many where some are not."""
    every = list(values)
    found = spread(every)
    if not found.count:
        return _NOTHING
    text = f"{found.mean:.{digits}f}"
    if not math.isnan(found.deviation):
        text += f" ± {found.deviation:.{digits}f}"
    return text if found.count == len(every) else f"{text} ({found.count} of {len(every)})"


def grouped(rows: Iterable[Row], key: Callable[[Row], Key]) -> dict[Key, list[Row]]:
    """The rows by key, in the order in which keys appear first."""
    groups: dict[Key, list[Row]] = {}
    for row in rows:
        groups.setdefault(key(row), []).append(row)
    return groups


def without_rate(noise: str) -> str:
    """``KIND`` or ``KIND:CLASSES`` of a setting's name."""
    kind, _, rest = noise.partition(":")
    return f"{kind}:{classes}" if (classes := rest.partition(":")[2]) else kind


def even_epochs(epochs: int, most: int = _MOST_EPOCHS) -> list[int]:
    """At most so many of the epochs 1 … ``epochs``, evenly spaced, the first and the last among them."""
    if epochs <= most:
        return list(range(1, epochs + 1))
    return [1 + round(step * (epochs - 1) / (most - 1)) for step in range(most)]


def _table(title: str, note: str, header: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    body = [_line(row) for row in rows]
    if not body:
        return []
    return [f"## {title}\n", f"{note}\n", _line(header), "|" + "---|" * len(header), *body, ""]


def _line(cells: Sequence[str]) -> str:
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |"


def _label(row: Record, several: bool) -> str:
    return f"{row.noise} ({row.model})" if several else row.noise


def _ranking(tables: Tables, several: bool) -> list[str]:
    chosen = {row.statistic for row in tables.ranking if row.chosen and row.source == "labelaudit"}
    columns = list(grouped(tables.ranking, lambda row: (row.source, row.statistic)))
    header = ["noise"]
    for source, statistic in columns:
        name = statistic if source == "labelaudit" else f"{source}: {statistic}"
        header.append(f"**{name}**" if statistic in chosen and source == "labelaudit" else name)
    parts = []
    note = "Bold: the statistic that ranks in the audit."
    for title, name in (("AUROC", "auroc"), ("Average precision", "average_precision")):
        rows = []
        for label, group in grouped(tables.ranking, lambda row: _label(row, several)).items():
            cells = grouped(group, lambda row: (row.source, row.statistic))
            rows.append([label, *(figure(getattr(row, name) for row in cells.get(column, [])) for column in columns)])
        parts += _table(f"Ranking: {title}", note, header, rows)
    return parts


def _estimates(tables: Tables, several: bool) -> list[str]:
    rows = []
    groups = grouped(tables.estimates, lambda row: (_label(row, several), row.source, row.estimator))
    for (label, source, estimator), group in groups.items():
        name = estimator if source == "labelaudit" else f"{source}: {estimator}"
        rows.append([label, f"**{name}**" if group[0].chosen else name, *_estimate_cells(group)])
    note = (
        "*Error* is the estimated less the true noise rate. Precision, recall and F1 are those of P(mislabeled) > .5, "
        "or of the peer's own rule; *flagged* is the share that it calls wrong. ECE: 15 equal bins. "
        "Bold: the audit's estimator."
    )
    columns = ("true rate", "noise rate", "error", "flagged", "precision", "recall", "F1", "ECE")
    return _table("Noise rate and suspicious labels", note, ("noise", "estimator", *columns), rows)


def _estimate_cells(group: Sequence[EstimateRecord]) -> list[str]:
    names = ("true_rate", "noise_rate", "error", "flagged", "precision", "recall", "f1", "calibration_error")
    return [figure((getattr(row, name) for row in group), 3) for name in names]


def _intervals(tables: Tables, several: bool) -> list[str]:
    rows = []
    for label, group in grouped(tables.audits, lambda row: _label(row, several)).items():
        held = [row.held for row in group if not math.isnan(row.held)]
        rows.append(
            [
                label,
                figure((row.noise_rate for row in group), 3),
                figure((row.low for row in group), 3),
                figure((row.high for row in group), 3),
                f"{sum(held):.0f} of {len(held)}" if held else _NOTHING,
                figure((row.suggestion for row in group), 3),
                figure((row.seconds for row in group), 1),
            ]
        )
    note = (
        "*Suggestion*: the share of wrong labels whose suggested label is right. "
        "An audit that was done in several goes has no seconds."
    )
    header = ("noise", "true rate", "low", "high", "held the truth", "suggestion", "audit, s")
    return _table("The audit's interval", note, header, rows)


def _controls(tables: Tables, several: bool) -> list[str]:
    groups = grouped(tables.controls, lambda row: (_label(row, several), row.kind))
    rows = [
        [
            label,
            kind,
            figure((float(row.planted) for row in group), 0),
            figure((row.found / row.planted for row in group), 3),
        ]
        for (label, kind), group in groups.items()
    ]
    note = "The share of the labels that the audit itself made wrong which lie above its cut."
    return _table("Power on planted controls", note, ("noise", "kind", "planted", "found"), rows)


def _loss_against_aul(tables: Tables, several: bool) -> list[str]:
    parts = []
    # Networks that train for different numbers of epochs have different columns.
    for epochs, audits in grouped(tables.audits, lambda row: row.epochs).items():
        shown = even_epochs(epochs)
        labels = {(row.noise, row.model) for row in audits}
        rows = []
        records = [row for row in tables.epochs if (row.noise, row.model) in labels]
        for label, group in grouped(records, lambda row: _label(row, several)).items():
            of_epoch = grouped(group, lambda row: row.epoch)
            if not any(math.isfinite(row.aul_auroc) for row in group):
                continue
            rows.append([label, "loss", *(figure(row.loss_auroc for row in of_epoch[epoch]) for epoch in shown)])
            rows.append([label, "AUL", *(figure(row.aul_auroc for row in of_epoch[epoch]) for epoch in shown)])
        parts += _table(
            "The loss of an epoch against the AUL up to it",
            "AUROC; the AUL paper's Figures 2 and 3.",
            ("noise", "", *(f"epoch {epoch}" for epoch in shown)),
            rows,
        )
    return parts


def _networks(tables: Tables) -> list[str]:
    groups = grouped(tables.networks, lambda row: (row.noise, row.model, row.other_model))
    rows = [
        [*key, figure((row.aul for row in group), 3), figure((row.last_loss for row in group), 3)]
        for key, group in groups.items()
    ]
    note = "Pearson's correlation over the samples; the AUL paper's Figures 4 and 5."
    header = ("noise", "network", "other network", "AUL", "loss of the last epoch")
    return _table("Agreement of networks", note, header, rows)


def _over_rates(tables: Tables, paper_estimator: str) -> list[str]:
    """Only for kinds of noise at more than one rate, and the first network."""
    model = tables.audits[0].model if tables.audits else ""
    rows = []
    estimates = [row for row in tables.estimates if row.model == model and row.source == "labelaudit"]
    settings = grouped(estimates, lambda row: row.noise)
    kinds = [without_rate(noise) for noise in settings]
    for noise, group in settings.items():
        if kinds.count(without_rate(noise)) < 2:
            continue
        cells = [noise, figure((row.true_rate for row in group if row.chosen), 3)]
        for members in ([row for row in group if row.estimator == paper_estimator], [r for r in group if r.chosen]):
            cells += [
                figure((getattr(row, name) for row in members), 3) for name in ("noise_rate", "precision", "recall")
            ]
        rows.append(cells)
    note = f"The AUL paper's Figures 7 and 9: its own way ({paper_estimator} on the AUL), and the audit's."
    columns = [f"{who}: {what}" for who in ("paper", "audit") for what in ("rate", "precision", "recall")]
    return _table("Over noise rates", note, ("noise", "true rate", *columns), rows)
