"""The tables as Markdown."""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

from labelaudit.reproduce.table1.records import Audit, Cell
from labelaudit.reproduce.table1.summary import Summary

_NOTHING = "–"
_NAMES = {
    "standard": "Standard",
    "random": "Random",
    "reed-hard": "Reed-Hard",
    "mentornet": "MentorNet-PD",
    "co-teaching": "Co-Teaching",
    "d2l": "D2L",
    "incv": "INCV",
    "aul": "AUL",
    "oracle": "Oracle",
    "elr": "ELR",
    "dividemix": "DivideMix with the AUL",
}


def as_markdown(data: str, heading: str, summary: Summary, audits: Sequence[Audit]) -> str:
    """The whole page.

    Args:
        data: Name of the data.
        heading: Sentences about it.
        summary: What was measured.
        audits: The audits that the methods shared.
    """
    parts = [f"# Robust training on noisy labels: {data}\n", f"{heading}\n"]
    parts += _errors(summary)
    parts += _expectations(summary)
    parts += _best(summary)
    parts += _times(summary)
    parts += _audits(audits)
    return "\n".join(parts)


def name_of(method: str) -> str:
    """As the paper writes it."""
    return _NAMES.get(method, method)


def _errors(summary: Summary) -> list[str]:
    header = ["method"]
    for noise in summary.noises:
        header += [noise, "paper"]
    rows = []
    for method in summary.methods:
        row = [name_of(method)]
        for noise in summary.noises:
            cell = summary.cell(method, noise)
            row += [_NOTHING, _NOTHING] if cell is None else [_ours(cell), _paper(cell)]
        rows.append(row)
    note = (
        "Test error in percent after the last epoch, ± the standard deviation over the seeds (n − 1). Beside it the "
        "AUL paper's Table 1, CIFAR-10 with ResNet-32 and 300 epochs: the orders compare, the figures do not."
    )
    return _table("Test error", note, header, rows)


def _ours(cell: Cell) -> str:
    trained = cell.seeds - cell.diverged
    if trained == 0:
        return "diverged"
    text = _with_deviation(cell.error, cell.deviation, 2)
    return f"{text} ({trained} of {cell.seeds}, others diverged)" if cell.diverged else text


def _paper(cell: Cell) -> str:
    if math.isnan(cell.paper_error):
        return cell.paper_note or _NOTHING
    return _with_deviation(cell.paper_error, cell.paper_deviation, 1)


def _with_deviation(value: float, deviation: float, digits: int) -> str:
    text = f"{value:.{digits}f}"
    return text if math.isnan(deviation) else f"{text} ± {deviation:.{digits}f}"


def _expectations(summary: Summary) -> list[str]:
    words = {True: "yes", False: "**no**", None: "no figure"}
    rows = [
        [
            one.noise,
            " < ".join(name_of(method) for method in one.methods),
            " < ".join(f"{error:.2f}" if math.isfinite(error) else _NOTHING for error in one.errors),
            words[one.came_out],
        ]
        for one in summary.expectations
    ]
    note = "Of the means over the seeds."
    return _table("Do the paper's orders come out?", note, ("noise", "order", "errors", "came out"), rows)


def _best(summary: Summary) -> list[str]:
    rows = [
        [name_of(method), *(_figure(summary.best.get((method, noise), math.nan), 2) for noise in summary.noises)]
        for method in summary.methods
    ]
    note = (
        "The least test error after any epoch, of the first network: what one would have with the test images to stop "
        "by. Far below the table above means that wrong labels were memorised in the end."
    )
    return _table("With early stopping on the test images", note, ("method", *summary.noises), rows)


def _times(summary: Summary) -> list[str]:
    rows = []
    for method in summary.methods:
        cells = [cell for cell in summary.cells if cell.method == method]
        rows.append(
            [
                name_of(method),
                _figure(summary.seconds[method], 2),
                _mean((cell.relative_epoch for cell in cells), 2),
                _mean((cell.relative_time for cell in cells), 2),
            ]
        )
    note = (
        "Without measuring the error; on a CPU the time that the processor worked. An epoch of DivideMix is a pass "
        "over the believed images, in all views, with as many suspicious ones; INCV's cross-validation counts in the "
        "last column alone. The audit is not in it."
    )
    header = ("method", "seconds an epoch", "epoch / Standard's", "whole training / Standard's")
    return _table("Time", note, header, rows)


def _audits(audits: Sequence[Audit]) -> list[str]:
    rows = [
        [
            audit.noise,
            str(audit.seed),
            _figure(audit.rate, 3),
            _figure(audit.noise_rate, 3),
            f"{_figure(audit.precision, 2)} / {_figure(audit.recall, 2)}",
            _figure(audit.seconds, 0),
        ]
        for audit in audits
    ]
    note = "One for each noise and seed; AUL, DivideMix and Co-Teaching have their weights or noise rate from it."
    header = ("noise", "seed", "rate", "estimate", "precision / recall", "seconds")
    return _table("Audits", note, header, rows)


def _mean(values: Iterable[float], digits: int) -> str:
    found = [value for value in values if math.isfinite(value)]
    return _figure(sum(found) / len(found), digits) if found else _NOTHING


def _figure(value: float, digits: int) -> str:
    return f"{value:.{digits}f}" if math.isfinite(value) else _NOTHING


def _table(title: str, note: str, header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    if not rows:
        return []
    lines = [f"## {title}\n", f"{note}\n", f"| {' | '.join(header)} |", "|" + "---|" * len(header)]
    return [*lines, *(f"| {' | '.join(row)} |" for row in rows), ""]
