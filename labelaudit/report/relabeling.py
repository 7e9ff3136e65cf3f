"""The plan of a relabeling, for people and for programs."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rich import box
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from labelaudit.review.plan import Plan
from labelaudit.text import printable

_MOST_PAIRS = 30
_MOST_NAMED = 10


def show_plan(console: Console, plan: Plan) -> None:
    """Print how many samples change, per pair of classes, and everything a reviewer may not expect."""
    if plan.steps:
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False)
        for name, side in (("given", "left"), ("becomes", "left"), ("images", "right")):
            table.add_column(name, justify=side)  # type: ignore[arg-type]
        rows = [*plan.pairs, *((given, None, count) for given, count in plan.drops)]
        for given, label, count in rows[:_MOST_PAIRS]:
            table.add_row(_shown(given), "[bold]dropped[/bold]" if label is None else _shown(label), f"{count:,}")
        console.print(table)
        if len(rows) > _MOST_PAIRS:
            console.print(f"… and {len(rows) - _MOST_PAIRS} more pairs of classes")
    console.print(summary(plan))
    _list(console, "New class folders" if plan.folders else "New classes", [repr(name) for name in plan.new_classes])
    _list(
        console,
        "Renamed, since the name is taken",
        [f"{step.path} → {step.target}" for step in plan.renamed],
    )
    _list(
        console,
        "[yellow]Refused[/yellow]",
        [f"{refusal.where}: {refusal.path!r} {refusal.reason}" for refusal in plan.refused],
    )


def summary(plan: Plan) -> str:
    """The plan's counts in one line."""
    changes = sum(step.action == "change" for step in plan.steps)
    counts = (
        (changes, "change"),
        (len(plan.steps) - changes, "dropped"),
        (plan.kept, "kept"),
        (plan.done_before, "done before"),
        (plan.unreviewed, "not reviewed"),
        (len(plan.refused), "refused"),
    )
    return ", ".join(f"{count:,} {what}" for count, what in counts if count or what in ("change", "dropped", "kept"))


def plan_as_json(plan: Plan) -> dict[str, Any]:
    """Everything in a plan, to be written as JSON."""
    return {
        "change": sum(step.action == "change" for step in plan.steps),
        "drop": sum(step.action == "drop" for step in plan.steps),
        "keep": plan.kept,
        "done_before": plan.done_before,
        "unreviewed": plan.unreviewed,
        "pairs": [{"given": given, "label": label, "count": count} for given, label, count in plan.pairs],
        "new_classes": list(plan.new_classes),
        "steps": [asdict(step) for step in plan.steps],
        "refused": [asdict(refusal) for refusal in plan.refused],
    }


def _list(console: Console, title: str, lines: Sequence[str]) -> None:
    if not lines:
        return
    console.print(f"{title} ({len(lines):,}):")
    for line in lines[:_MOST_NAMED]:
        console.print(f"  {_shown(line)}")
    if len(lines) > _MOST_NAMED:
        console.print(f"  … and {len(lines) - _MOST_NAMED:,} more (--format json lists all)")


def _shown(text: str) -> str:
    return escape(printable(text))
