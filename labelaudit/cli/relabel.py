"""``labelaudit relabel``: a review's corrections, back into the data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Optional

import typer

from labelaudit.cli import options as o
from labelaudit.errors import DataError, UsageError
from labelaudit.names import PlanFormatName

if TYPE_CHECKING:
    from labelaudit.cli.console import Terminal
    from labelaudit.review.plan import Plan
    from labelaudit.review.relabel import Corrections

EPILOG = o.examples(
    "labelaudit relabel photos corrections.csv --dry-run",
    "labelaudit relabel photos corrections.csv",
    "labelaudit relabel photos --undo",
    "labelaudit relabel photos label-studio.json --out photos-corrected",
    "labelaudit relabel flat corrections.csv --labels labels.csv --out corrected.csv",
)


def command(
    data: o.DataArgument,
    file: Annotated[
        Optional[Path],
        typer.Argument(
            metavar="[CORRECTIONS]", help="corrections.csv, Label Studio's JSON export, or CVAT's export for images."
        ),
    ] = None,
    out: Annotated[
        Optional[Path],
        typer.Option("--out", help="Write a corrected copy here (hard links) and leave DATA as it is."),
    ] = None,
    labels: Annotated[
        Optional[Path],
        typer.Option("--labels", help="CSV path,label instead of class folders; --out gets the corrected CSV."),
    ] = None,
    split: o.Split = None,
    undo: Annotated[bool, typer.Option("--undo", help="Take the last relabeling of DATA back.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only show the plan.")] = False,
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask before files are moved.")] = False,
    accept_suggestions: Annotated[
        bool,
        typer.Option("--accept-suggestions", help="CVAT: tags that nobody touched count as accepted."),
    ] = False,
    output: Annotated[PlanFormatName, typer.Option("--format", help="How to print the plan on stdout.")] = "table",
    quiet: o.Quiet = False,
    no_progress: o.NoProgress = False,
) -> None:
    """Move images to the class folders that a review says, or write a corrected copy; nothing is deleted.

    Dropped images go to DATA/.labelaudit-dropped. A relabeling that was interrupted is finished by the same command, or
    taken back by --undo.
    """
    _check(file, out, labels, undo=undo, dry_run=dry_run)

    from labelaudit.cli.console import Terminal
    from labelaudit.review.relabel import Corrections

    terminal = Terminal(quiet=quiet, progress=not no_progress)
    if undo:
        wanted = None if file is None else Corrections(file=file)
        _undo(data, wanted, dry_run=dry_run, yes=yes, terminal=terminal)
    elif file is not None:
        corrections = Corrections(file=file, accept_suggestions=accept_suggestions, split=o.split_names(split))
        _relabel(data, corrections, out, labels, output, dry_run=dry_run, yes=yes, terminal=terminal)


def _check(file: Path | None, out: Path | None, labels: Path | None, *, undo: bool, dry_run: bool) -> None:
    if undo and (out is not None or labels is not None):
        raise UsageError("--undo takes moves in DATA back, and with --out none are made", fix="delete what --out made")
    if not undo and file is None:
        raise UsageError("no corrections are given", fix="name the file, or give --undo")
    if labels is not None and out is None and not dry_run:
        raise UsageError("--labels needs a place for the corrected labels", fix="give --out NEW.csv")


def _relabel(
    data: Path,
    corrections: Corrections,
    out: Path | None,
    labels: Path | None,
    output: PlanFormatName,
    *,
    dry_run: bool,
    yes: bool,
    terminal: Terminal,
) -> None:
    from labelaudit.review.relabel import plan_relabeling, relabel, relabel_copy, relabel_labels

    def agree(plan: Plan) -> bool:
        if plan.steps and out is None and not yes:
            _require_somebody()
        _show(plan, output)
        if not plan.steps and not plan.kept and not plan.done_before and plan.refused:
            raise DataError("none of the corrections can be used", fix="see the reasons above")
        return yes or out is not None or not plan.steps or _confirm(f"Move {len(plan.steps):,} files in {data}?")

    if dry_run:
        _show(plan_relabeling(data, corrections, labels_file=labels, reporter=terminal), output)
    elif out is None:
        outcome = relabel(data, corrections, agree=agree, reporter=terminal)
        terminal.say(
            "Nothing was moved"
            if outcome is None
            else f"Moved {outcome.moved:,} files. To take it back: labelaudit relabel {data} --undo"
        )
    elif labels is None:
        copied = relabel_copy(data, corrections, out, agree=agree, reporter=terminal)
        if copied is not None:
            terminal.say(_describe(copied.linked, copied.copied, copied.symbolic, copied.skipped, out))
    else:
        relabel_labels(data, corrections, labels, out, agree=agree, reporter=terminal)
        terminal.say(f"Corrected labels: {out}")


def _undo(data: Path, corrections: Corrections | None, *, dry_run: bool, yes: bool, terminal: Terminal) -> None:
    from labelaudit.review.moves import Journal
    from labelaudit.review.relabel import undo

    def agree(journal: Journal) -> bool:
        what = f"{len(journal.moves):,} files that were moved by {journal.corrections!r} on {journal.began}"
        if dry_run:
            terminal.say(f"Would move back {what}")
            return False
        if not yes:
            _require_somebody()
        return yes or _confirm(f"Move back {what}?")

    outcome = undo(data, corrections=corrections, agree=agree, reporter=terminal)
    if outcome is not None:
        terminal.say(f"Moved {outcome.moved:,} files back")


def _show(plan: Plan, output: PlanFormatName) -> None:
    from labelaudit.cli.console import hand_out, printed
    from labelaudit.report.relabeling import plan_as_json, show_plan

    if output == "json":
        hand_out(json.dumps(plan_as_json(plan), indent=2) + "\n")
    else:
        with printed() as console:
            show_plan(console, plan)


def _describe(linked: int, copied: int, symbolic: int, skipped: int, out: Path) -> str:
    parts = [f"{linked:,} hard links"] if linked else []
    parts += [f"{copied:,} copies (this file system has no hard links from there)"] if copied else []
    parts += [f"{symbolic:,} symbolic links"] if symbolic else []
    parts += [f"{skipped:,} left out that are no files"] if skipped else []
    return f"Corrected copy: {out} ({', '.join(parts) or 'empty'})"


def _require_somebody() -> None:
    if not sys.stdin.isatty():
        raise UsageError(
            "there is nobody to ask whether files may be moved", fix="give --yes, or --dry-run to look only"
        )


def _confirm(question: str) -> bool:
    return typer.confirm(question, err=True)
