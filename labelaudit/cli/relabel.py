"""``labelaudit relabel``: apply a review's corrections to the data."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from typer import Argument, Option

from labelaudit.cli import options as o
from labelaudit.cli.console import Terminal, printed
from labelaudit.errors import DataError, UsageError
from labelaudit.names import PlanFormatName
from labelaudit.text import plural

if TYPE_CHECKING:
    from labelaudit.auditing.model import Data
    from labelaudit.review.plan import RelabelingPlan
    from labelaudit.run.layout import RunFolder

EPILOG = o.examples(
    "labelaudit relabel labelaudit-runs/photos     (what was decided there, in the folder that was audited)",
    "labelaudit relabel photos decisions.csv --dry-run",
    "labelaudit relabel photos --undo",
    "labelaudit relabel photos label-studio.json --out photos-corrected",
    "labelaudit relabel flat decisions.csv --labels labels.csv --out corrected.csv",
)
_MOST_PAIRS = 30
_MOST_NAMED = 10


@o.screen_options
def command(
    data: Annotated[
        Path, Argument(metavar="DATA", help="Folder with a folder of images per class; or its audit's RUN.")
    ],
    terminal: Terminal,
    file: Annotated[
        Path | None,
        Argument(
            metavar="[DECISIONS]",
            help="decisions.csv, Label Studio's JSON or CVAT's export; default: what was decided in RUN.",
        ),
    ] = None,
    out: Annotated[
        Path | None, Option(help="Write a corrected copy (hard links) here, of a zip or table the labels; DATA stays.")
    ] = None,
    labels: Annotated[Path | None, Option(help="CSV path,label, not class folders; corrected in --out.")] = None,
    split: o.Split = None,
    undo: Annotated[bool, Option("--undo", help="Take the last relabeling of DATA back.")] = False,
    dry_run: Annotated[bool, Option("--dry-run", help="Only show the plan.")] = False,
    yes: Annotated[bool, Option("--yes", "-y", help="Do not ask before files are moved.")] = False,
    accept_suggestions: Annotated[
        bool, Option("--accept-suggestions", help="CVAT: untouched tags are accepted.")
    ] = False,
    output: Annotated[PlanFormatName, Option("--format", help="How to print the plan on stdout.")] = "table",
) -> None:
    """Move images to the class folders that a review names, or write a corrected copy; nothing is deleted.

    Dropped images go to DATA-dropped, beside DATA. A relabeling that was interrupted is finished by the same command,
    or taken back by --undo.
    """
    from labelaudit.run.layout import newest

    run = newest(data)
    if undo and (out is not None or (labels is not None and not run.exists)):
        raise UsageError("--undo takes moves in DATA back, and --out makes none", fix="delete what --out made")
    if not undo and file is None and not run.exists:
        raise UsageError("no corrections are given", fix="name the file, or give --undo")
    known = _known(data, labels, split, run, undo=undo)
    data, labels, folders = known.root, known.labels_file, known.split
    if not (known.moves or out or dry_run):
        what = f"the labels of {data} are not those of folders, so that no file can be moved"
        raise UsageError(what, fix="give --out NEW.csv, for a corrected labels file")

    from labelaudit.auditing.model import Data, read_catalogue
    from labelaudit.review.corrections import read_decided, read_review
    from labelaudit.review.relabel import plan_relabeling, relabel, relabel_copy, relabel_labels

    if undo:
        _undo(data, file, dry_run=dry_run, yes=yes, terminal=terminal)
        return
    review = None if file is None else read_review(file, accept_suggestions=accept_suggestions)
    if review is None:
        review = read_decided(run, read_catalogue(run))

    def agree(plan: RelabelingPlan) -> bool:
        asks = bool(plan.steps) and not yes
        if asks:
            _require_terminal()
        _show(plan, output)
        _require_usable(plan)
        return not asks or _confirmed(f"Move {plural(len(plan.steps), 'file')} in {data}?")

    if dry_run or out is not None:
        plan = plan_relabeling(data, review, split=folders, labels_file=labels, reporter=terminal)
        _show(plan, output)
        if dry_run or out is None:
            return
        _require_usable(plan)
    if out is not None and not known.moves:
        relabel_labels(data, plan, labels, out, split=folders)
        told, labels, folders = f"Corrected labels: {out}", out, ()
    elif out is not None:
        files = relabel_copy(data, plan, out, split=folders, reporter=terminal)
        told, data = f"Corrected copy: {out} ({plural(files, 'file')})", out
    elif outcome := relabel(data, review, split=folders, agree=agree, reporter=terminal):
        told = f"Moved {plural(outcome.moved, 'file')}. To undo: labelaudit relabel {data} --undo"
    else:
        terminal.say("Nothing was moved")
        return
    terminal.say(told)
    terminal.say(f"To audit again: {Data(root=data, labels_file=labels, split=folders).score_command}")


def _known(data: Path, labels: Path | None, split: str | None, run: RunFolder, *, undo: bool) -> Data:
    """Return what is known of the data: by their run, or else by a look at them, which undoing does without."""
    from labelaudit.auditing.model import Data, recorded_data
    from labelaudit.data.folder import fixed_labels

    if run.exists:
        if labels is not None or split is not None:
            what = f"{data} is a run folder, which knows its labels and splits"
            raise UsageError(what, fix="leave --labels and --split out, or give the data")
        return recorded_data(run)
    folders = o.split_names(split)
    fixed = not undo and labels is None and fixed_labels(data, folders) is not None
    return Data(root=data, labels_file=labels, split=folders, fixed=fixed)


def _undo(data: Path, file: Path | None, *, dry_run: bool, yes: bool, terminal: Terminal) -> None:
    from labelaudit.review.moves import Journal
    from labelaudit.review.relabel import undo

    if file is not None:
        raise UsageError(f"--undo takes no corrections, and {file} is given", fix="leave it out")

    def agree(journal: Journal) -> bool:
        what = f"{plural(len(journal.moves), 'file')} moved by {journal.corrections!r} on {journal.began}"
        if dry_run:
            terminal.say(f"Would move back {what}")
            return False
        if not yes:
            _require_terminal()
        return yes or _confirmed(f"Move back {what}?")

    if outcome := undo(data, agree=agree, reporter=terminal):
        terminal.say(f"Moved {plural(outcome.moved, 'file')} back")


def _require_usable(plan: RelabelingPlan) -> None:
    if not plan.steps and not plan.kept and not plan.done_before and plan.refused:
        raise DataError("none of the corrections can be used", fix="see the reasons above")


def _require_terminal() -> None:
    if not sys.stdin.isatty():
        fix = "give --yes, or --dry-run to look only"
        raise UsageError("there is no terminal to ask whether files may be moved", fix=fix)


def _confirmed(question: str) -> bool:
    """Ask a question on the terminal; no answer, as by Ctrl-D, is a no."""
    try:
        return typer.confirm(question, err=True)
    except typer.Abort:
        return False


def _show(plan: RelabelingPlan, output: PlanFormatName) -> None:
    """Print how many samples change, per pair of classes, and everything a reviewer may not expect."""
    if output == "json":
        typer.echo(json.dumps(plan.as_json(), indent=2))
        return

    from labelaudit.report.console import print_rows, shown

    with printed() as console:
        if plan.steps:
            rows = [(shown(given), shown(label), f"{count:,}") for given, label, count in plan.pairs]
            rows += [(shown(given), "[bold]dropped[/bold]", f"{count:,}") for given, count in plan.drops]
            titles = ("given", "becomes", ">images")
            print_rows(console, titles, rows, most=_MOST_PAIRS, more="more pairs of classes")
        console.print(plan.summary)
        lists = {
            "New class folders" if plan.folders else "New classes": [repr(name) for name in plan.new_classes],
            "Renamed, since the name is taken": [f"{step.path} → {step.target}" for step in plan.steps if step.renamed],
            "[yellow]Refused[/yellow]": [f"{each.where}: {each.path!r} {each.reason}" for each in plan.refused],
        }
        for title, lines in lists.items():
            if lines:
                console.print(f"{title} ({len(lines):,}):")
            for line in lines[:_MOST_NAMED]:
                console.print(f"  {shown(line)}")
            if len(lines) > _MOST_NAMED:
                console.print(f"  … and {len(lines) - _MOST_NAMED:,} more (--format json lists all)")
