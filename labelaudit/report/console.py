"""An audit in the terminal: the lines that sum it up, and the most suspicious labels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from labelaudit.report.content import Report
from labelaudit.report.kinds import MATRIX_HEADER, advice_sentences, kinds_sentences, matrix_note, matrix_rows
from labelaudit.report.unused import left_out_sentences, unreadable_sentence
from labelaudit.text import printable

_MOST_CLASSES = 12
_AS_GOOD_AS_ALL = 0.995
_ANY_WIDTH = 100_000


def show_summary(console: Console, noise: dict[str, Any]) -> None:
    """Print noise rate and its interval, counts, the classes that stand out, power, and every warning.

    Args:
        console: Where to.
        noise: The content of noise.json.
    """
    rate, interval = noise["noise_rate"], noise["noise_rate_interval"]
    shown = "unknown" if rate is None else f"{rate:.1%}"
    between = f", {interval[0]:.1%} to {interval[1]:.1%}" if interval else ""
    console.print(
        f"[bold]{noise['suspicious']:,}[/bold] of {noise['readable']:,} labels are suspicious; "
        f"estimated noise rate [bold]{shown}[/bold]{between} "
        f"({noise['fit']['estimator']} on {noise['fit']['rank_by']}, {noise['epochs']} epochs)"
    )
    _show_classes(console, noise["classes"])
    _show_confusion(console, noise["confusion"])
    _show_power(console, noise["power"])
    _show_kinds(console, noise)
    if sentence := unreadable_sentence(noise):
        console.print(f"[yellow]Unreadable:[/yellow] {escape(sentence)}")
    _show_left_out(console, noise)
    for warning in noise["warnings"]:
        console.print(f"[yellow]Warning:[/yellow] {escape(printable(warning))}")


def show_estimators(console: Console, noise: dict[str, Any]) -> None:
    """Print what each estimator says, the chosen one marked.

    Args:
        console: Where to.
        noise: The content of noise.json.
    """
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    for title, side in (("estimator", "left"), ("from", "left"), ("noise rate", "right"), ("suspicious", "right")):
        table.add_column(title, justify=side)  # type: ignore[arg-type]
    for name, found in noise["estimators"].items():
        mark = "[bold]→ " if name == noise["fit"]["estimator"] else "  "
        table.add_row(mark + name, found["rank_by"], f"{found['noise_rate']:.1%}", f"{found['suspicious']:,}")
        for kind, tail in found.get("by_kind", {}).items():
            low, high = tail["interval"]
            table.add_row(f"    like {kind}", "", f"{tail['noise_rate']:.1%} ({low:.1%} to {high:.1%})", "")
    console.print(table)


def _suspicious_table(rows: Sequence[dict[str, str]]) -> Table:
    """The first rows of suspicious.csv as a table; see `show_suspicious`."""
    table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    kinds = any(row.get("kind") for row in rows)
    names = ("rank", "path", "given", "suggested", "P(mislabeled)", "AUL", *(["kind"] if kinds else []))
    for name in names:
        table.add_column(name, justify="right" if name in ("rank", "P(mislabeled)", "AUL") else "left", no_wrap=True)
    for row in rows:
        table.add_row(
            row["rank"],
            escape(printable(row["path"])),
            escape(printable(row["given_label"])),
            escape(printable(row["suggested_label"])),
            f"{float(row['p_mislabeled']):.3f}",
            f"{float(row['aul']):.1f}",
            *([escape(printable(row.get("kind", "")))] if kinds else []),
        )
    return table


def show_suspicious(console: Console, rows: Sequence[dict[str, str]]) -> None:
    """Print the first rows of suspicious.csv.

    Where the table would be too wide, each path gets a line of its own, so that it can be copied.

    Args:
        console: Where to.
        rows: Cells by column name.
    """
    table = _suspicious_table(rows)
    if console.measure(table, options=console.options.update(width=_ANY_WIDTH)).maximum <= console.width:
        console.print(table)
        return
    for row in rows:
        figures = f"P(mislabeled) {float(row['p_mislabeled']):.3f}, AUL {float(row['aul']):.1f}"
        kind = f", {row['kind']}" if row.get("kind") else ""
        labels = f"{row['given_label']} → {row['suggested_label']}"
        console.print(escape(printable(f"{row['rank']:>5}  {labels}")), soft_wrap=True)
        console.print(escape(printable(f"       {figures}{kind}")))
        console.print(escape(printable(f"       {row['path']}")), soft_wrap=True)


def _show_left_out(console: Console, noise: dict[str, Any]) -> None:
    for number, line in enumerate(left_out_sentences(noise)):
        console.print(f"{'  ' if number else ''}{escape(printable(line))}")


def show_checks(console: Console, report: Report) -> None:
    """Print what is new since a baseline, and a line for each check of the gate that has a limit."""
    findings = report.findings
    if findings.new is not None:
        console.print(
            f"Against the baseline: [bold]{findings.new:,}[/bold] suspicious labels are new, "
            f"{findings.total - findings.new:,} known, {findings.gone:,} gone"
        )
    for check in report.checks:
        if check.outcome != "skipped":
            colour, word = ("bold red", "Failed") if check.outcome == "failed" else ("green", "Passed")
            console.print(f"[{colour}]{word}:[/{colour}] {escape(printable(check.sentence))}")


def _show_classes(console: Console, classes: list[dict[str, Any]]) -> None:
    worst = sorted(classes, key=lambda entry: -entry["noise_rate"])[:_MOST_CLASSES]
    table = Table(box=box.SIMPLE_HEAD, title_justify="left", pad_edge=False)
    for name, side in (("class", "left"), ("images", "right"), ("suspicious", "right"), ("noise rate", "right")):
        table.add_column(name, justify=side, overflow="fold")  # type: ignore[arg-type]
    for entry in worst:
        table.add_row(
            escape(printable(entry["class"])),
            f"{entry['samples']:,}",
            f"{entry['suspicious']:,}",
            f"{entry['noise_rate']:.1%}",
        )
    console.print(table)
    if len(classes) > len(worst):
        console.print(f"… and {len(classes) - len(worst)} classes with less noise")


def _show_confusion(console: Console, confusion: list[dict[str, Any]]) -> None:
    if confusion:
        pairs = ", ".join(f"{entry['given']} → {entry['suggested']} ({entry['count']:,})" for entry in confusion[:5])
        console.print(f"Most frequent given → suggested: {escape(printable(pairs))}")


def _show_power(console: Console, power: dict[str, Any]) -> None:
    kinds = [entry for entry in power["kinds"] if entry["class"] is None]
    if kinds:
        found = "; ".join(f"of {entry['planted']:,} {entry['kind']} ones {entry['found']:,}" for entry in kinds)
        console.print(f"Of labels made wrong on purpose, this audit ranks above the cut: {found}")
    if power["review"]:
        useful = [entry for entry in power["review"] if entry["caught"] < _AS_GOOD_AS_ALL] or power["review"][:1]
        shown = ", ".join(f"the top {entry['top']:,} hold about {entry['caught']:.0%}" for entry in useful)
        console.print(f"Of the errors that the noise rate counts, {shown}")


def _show_kinds(console: Console, noise: dict[str, Any]) -> None:
    for sentence in kinds_sentences(noise):
        console.print(escape(printable(sentence)))
    rows = matrix_rows(noise)
    if rows:
        console.print(escape(matrix_note(noise)))
        # What nothing was called is left out, so that the table fits 80 columns.
        used = [number for number in range(len(MATRIX_HEADER)) if any(row[number] != "0" for row in rows)]
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for number in used:
            table.add_column(MATRIX_HEADER[number], justify="right" if number else "left", no_wrap=True)
        for row in rows:
            table.add_row(*(escape(printable(row[number])) for number in used))
        console.print(table)
    advice = advice_sentences(noise)
    if advice:
        console.print(escape(printable(f"{advice[0]} {advice[-1]}")))
