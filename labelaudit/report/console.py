"""An audit in the terminal: a summary and the most suspicious labels."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Literal

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from labelaudit.report import sentences
from labelaudit.run.changes import Changes
from labelaudit.run.documents import AnnotatorsNoise, Noise
from labelaudit.run.lists import Row
from labelaudit.text import printable

_MOST_CLASSES = 12  # and annotators
_MOST_ROWS = 10
_ANY_WIDTH = 100_000


def show_outcome(
    console: Console, noise: Noise, rows: Sequence[Row], root: Path | None = None, *, everything: bool = False
) -> None:
    """Print what matters after an audit: rate, first suspicious labels, how many to look at, and what went wrong.

    The images are below ``root``; a terminal that has links gets one for each. ``everything`` prints the whole summary.
    """
    if everything:
        show_summary(console, noise)
        show_suspicious(console, rows, root)
        return
    _print_lines(console, _headline(noise), *map(shown, sentences.review_sentences(noise)))
    if rows:
        show_suspicious(console, rows, root)
    lines = sentences.kept_sentence(noise), sentences.advice(noise), sentences.no_class_sentence(noise)
    _print_lines(console, *lines, *map(shown, sentences.splits_sentences(noise)))
    left_out = sentences.left_out_sentences(noise)[:1]
    _show_faults(console, noise, [f"{line.rstrip(':')}; --verbose says which" for line in left_out])


def show_summary(console: Console, noise: Noise) -> None:
    """Print noise rate and its interval, counts, the classes that stand out, what is wrong, and every warning."""
    lines = [f"{_headline(noise)}, {sentences.basis(noise)}", *map(shown, sentences.review_sentences(noise))]
    _print_lines(console, *lines, sentences.kept_sentence(noise))
    _show_classes(console, noise)
    if noise.confusion:
        pairs = ", ".join(f"{pair.given} → {pair.suggested} ({pair.count:,})" for pair in noise.confusion[:5])
        console.print(f"Most frequent given → suggested: {shown(pairs)}")
    if noise.suspicious and (useful := sentences.useful_reviews(noise)):
        errors = (noise.best_rate or 0.0) * noise.readable
        parts = (f"{row.caught * errors:,.0f} in the top {row.top:,} ({row.caught:.0%})" for row in useful)
        console.print(f"Estimated errors: {', '.join(parts)}")
    _print_lines(console, *map(shown, sentences.kinds_sentences(noise)))
    first, *kinds = sentences.left_out_sentences(noise) or [""]
    _show_faults(console, noise, [first, *(f"  {line}" for line in kinds)])


def show_annotators(console: Console, found: AnnotatorsNoise, *, everything: bool = True) -> None:
    """Print which annotator is wrong most often, and with ``everything`` the figures of each."""
    for sentence in sentences.annotators_sentences(found)[: None if everything else 1]:
        console.print(shown(sentence))
    if everything:
        rows = [[*map(shown, row)] for row in sentences.annotators_rows(found)]
        more = "annotators more; annotators.json has them"
        print_rows(console, sentences.ANNOTATORS_HEADER, rows, most=_MOST_CLASSES, more=more)
    for warning in found.warnings:
        console.print(f"[yellow]Warning:[/yellow] {shown(warning)}")


def show_changes(console: Console, changes: Changes) -> None:
    """Print what changed between two audits: figures, classes, and the first suspicious labels of each sort."""
    for line in sentences.changes_lines(changes):
        console.print(shown(line))
    rows = [[*map(shown, row)] for row in sentences.changed_classes(changes)]
    print_rows(console, sentences.CHANGES_HEADER, rows, most=_MOST_CLASSES, more="classes with less change")
    for title, labels in sentences.changed_lists(changes):
        if labels:
            console.print(f"{title}, the first of {len(labels):,}:")
            show_suspicious(console, labels[:_MOST_ROWS])


def show_suspicious(console: Console, rows: Sequence[Row], root: Path | None = None) -> None:
    """Print the first rows of suspicious.csv as a table; where it is too wide, each path on a line of its own."""
    cells = [_cells(row, root) for row in rows]
    kinds = ["kind"] if any(kind for *_, kind in cells) else []
    table = table_of(">", "path", "given → suggested", ">P(wrong)", *kinds, no_wrap=True)
    for row_cells in cells:
        table.add_row(*row_cells[: 4 + len(kinds)])
    if console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum <= console.width:
        console.print(table)
        return
    for rank, path, labels, p_mislabeled, kind in cells:
        console.print(f"{rank:>5}  {labels}, P(wrong) {p_mislabeled}{kind and ', '}{kind}", soft_wrap=True)
        console.print(f"       {path}", soft_wrap=True)


def _cells(row: Row, root: Path | None) -> tuple[str, str, str, str, str]:
    path = shown(row["path"])
    if root is not None:
        path = f"[link={(root.absolute() / row['path']).as_uri()}]{path}[/link]"
    labels = shown(f"{row['given_label']} → {sentences.suggestion(row)}")
    kind = "" if row["kind"] == "mislabeled" else shown(row["kind"])
    return row["rank"], path, labels, f"{float(row['p_mislabeled']):.3f}", kind


def _show_classes(console: Console, noise: Noise) -> None:
    reviewed = {row.name: row for row in noise.reviewed.classes} if noise.reviewed else {}
    rows = []
    for row in sorted(noise.classes, key=lambda row: -row.noise_rate):
        rows.append([shown(row.name), f"{row.samples:,}", f"{row.suspicious:,}", f"{row.noise_rate:.1%}"])
        if found := reviewed.get(row.name):
            rows[-1].append(f"{found.noise_rate:.1%} ({sentences.range_text(found.noise_rate_interval)})")
    titles = ("class", ">images", ">suspicious", ">noise rate", *([">reviewed"] if reviewed else []))
    print_rows(console, titles, rows, most=_MOST_CLASSES, more="classes with less noise")


def _headline(noise: Noise) -> str:
    return sentences.headline(noise, lambda figure: f"[bold]{figure}[/bold]")


def _print_lines(console: Console, *lines: str) -> None:
    """Print the lines that are not empty."""
    for line in filter(None, lines):
        console.print(line)


def _show_faults(console: Console, noise: Noise, left_out: Sequence[str]) -> None:
    unreadable = sentences.unreadable_sentence(noise)
    _print_lines(console, unreadable and f"[yellow]Unreadable:[/yellow] {shown(unreadable)}", *map(shown, left_out))
    for warning in noise.warnings:
        console.print(f"[yellow]Warning:[/yellow] {shown(warning)}")


def print_rows(
    console: Console, titles: Sequence[str], rows: Sequence[Sequence[str]], *, most: int, more: str = ""
) -> None:
    """Print a table of the first rows, with the titles of `table_of`, and how many ``more`` there are."""
    table = table_of(*titles)
    for row in rows[:most]:
        table.add_row(*row)
    console.print(table)
    if len(rows) > most:
        console.print(f"… and {len(rows) - most:,} {more}")


def table_of(*titles: str, no_wrap: bool = False) -> Table:
    """Return an empty table; columns whose title begins with ``>`` are aligned to the right."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title in titles:
        justify: Literal["left", "right"] = "right" if title.startswith(">") else "left"
        table.add_column(title.removeprefix(">"), justify=justify, no_wrap=no_wrap, overflow="fold")
    return table


def shown(text: str) -> str:
    """Return text that rich prints on one line, as it is."""
    return escape(printable(text))
