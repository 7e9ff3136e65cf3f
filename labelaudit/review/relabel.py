"""Apply a review to the data: move files between class folders and back, or write a corrected copy or labels file.

A copy has hard links where the file system has them. It grows in a hidden folder beside its place and is renamed to it
when it is complete. What a crash left there is deleted by the next try.

All functions raise a DataError where something cannot be read, a UsageError where ``out`` is not free, a RunError
where another process is at work or another relabeling was interrupted, and a StorageError where a file cannot be
written; running the same command again continues. This module loads no torch.
"""

from __future__ import annotations

import contextlib
import os
import shutil
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from labelaudit.data.catalogue import splits_of
from labelaudit.data.folder import class_bases, fixed_labels
from labelaudit.data.labels_file import LabelsFile, read_labels
from labelaudit.data.sources import walk_data
from labelaudit.errors import DataError, RunError, StorageError, UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review import moves
from labelaudit.review.corrections import ReviewFile
from labelaudit.review.plan import RelabelingPlan, plan_labels, plan_moves
from labelaudit.review.tree import Tree
from labelaudit.run.files import flush_folder, held, link_or_copy, storage_errors, write_lines
from labelaudit.text import csv_lines, guarded, listed, plural, unguarded

HALF = ".labelaudit-file"
"""In a growing copy, a file that is not whole yet."""
_HIDDEN = ("lock", "partial")


def plan_relabeling(
    root: Path,
    review: ReviewFile,
    *,
    split: Sequence[str] = (),
    labels_file: Path | None = None,
    reporter: Reporter = QUIET,
) -> RelabelingPlan:
    """Plan what a review changes in these data; nothing is written."""
    if (labels := _listed(root, split, labels_file)) is not None:
        return plan_labels(root.resolve(), labels.label_of, review, reporter)
    tree = _tree(root, split)
    journal = moves.last_journal(tree.root)
    if journal is not None and journal.state != "moved":
        reporter.warn(f"A relabeling of {root} was interrupted: the plan includes what is left of it")
    return plan_moves(tree, review, reporter)


def relabel(
    root: Path,
    review: ReviewFile,
    *,
    split: Sequence[str] = (),
    agree: Callable[[RelabelingPlan], bool] = lambda _plan: True,
    reporter: Reporter = QUIET,
) -> moves.Outcome | None:
    """Move files between class folders as a review says, or finish such moves that were interrupted.

    ``agree`` is called with the plan first; where it returns False, or nothing is to do, the outcome is None.
    """
    tree = Tree(root)
    with _holding(tree, root):
        journal = moves.last_journal(tree.root)
        if journal is not None and journal.state != "moved":
            undo_it = f"run labelaudit relabel {root} --undo"
            if journal.state == "undoing":
                raise RunError(f"undoing a relabeling of {root} was interrupted", fix=undo_it)
            if journal.corrections_sha256 != review.digest:
                raise RunError(
                    f"a relabeling of {root} by {journal.corrections!r} was interrupted",
                    fix=f"run it again with that file, or {undo_it}",
                )
            reporter.say(f"Continuing the interrupted relabeling of {journal.began}")
        else:
            plan = plan_moves(_tree(root, split), review, reporter)
            if plan.drops:
                _require_place_for_drops(tree)
            if not agree(plan) or not plan.steps:
                return None
            journal = moves.begin_journal(tree.root, review, plan)
        outcome = moves.carry_out(tree, journal, reporter)
    _warn(outcome, reporter)
    return outcome


def undo(
    root: Path,
    *,
    agree: Callable[[moves.Journal], bool] = lambda _journal: True,
    reporter: Reporter = QUIET,
) -> moves.Outcome | None:
    """Take the last relabeling of a folder back, finished or not; another call takes back the one before.

    ``agree`` is called with the journal first; False cancels. Raises a RunError where there is nothing to take back, or
    another file is where a file was; the others are taken back.
    """
    tree = Tree(root)
    with _holding(tree, root):
        journal = moves.last_journal(tree.root)
        if journal is None:
            fix = "check the folder; to undo a copy, delete it"
            raise RunError(f"there is no relabeling of {root} to undo", fix=fix)
        if journal.state != "undoing":
            if not agree(journal):
                return None
            journal = journal.written(state="undoing")
        outcome = moves.take_back(tree, journal, reporter)
        if blocked := outcome.blocked:
            raise RunError(
                f"{plural(len(blocked), 'file')} cannot go back, since others are in their places: "
                f"{listed([repr(target) for _, target in blocked], 3)}",
                fix=f"move those away and run labelaudit relabel {root} --undo again",
            )
    _warn(outcome, reporter)
    return outcome


def relabel_copy(
    root: Path,
    plan: RelabelingPlan,
    out: Path,
    *,
    split: Sequence[str] = (),
    reporter: Reporter = QUIET,
) -> int:
    """Write a copy of a data folder that is corrected as a plan says.

    Dropped and hidden files, empty folders and what is no file are left out. Symbolic links keep their targets. Returns
    the number of files.
    """
    tree = _tree(root, split)
    require_apart(out, tree.root)
    require_new(out)
    target_of = {step.path: step.target for step in plan.steps if step.action == "change"}
    dropped = {step.path for step in plan.steps if step.action == "drop"}
    with growing(out) as folder:
        files = [path for path in _files(tree) if path not in dropped]
        with reporter.bar("Copying files", len(files), "files") as advance:
            for path in files:
                place = folder / target_of.get(path, path)
                place.parent.mkdir(parents=True, exist_ok=True)
                if (tree.root / path).is_symlink():
                    place.symlink_to(os.path.realpath(tree.root / path))
                else:
                    link_or_copy(tree.root / path, place, folder / HALF)
                advance(1)
    return len(files)


def require_apart(out: Path, root: Path) -> None:
    """Raise a UsageError where one of the folders contains the other."""
    place, data = out.resolve(), root.resolve()
    if place == data or data in place.parents or place in data.parents:
        raise UsageError(f"{out} and {root} contain one another", fix="choose a place beside the data folder")


def require_new(out: Path) -> None:
    """Raise a UsageError where ``out`` is anything but an empty folder."""
    if os.path.lexists(out) and (out.is_symlink() or not out.is_dir() or any(out.iterdir())):
        raise UsageError(f"{out} already exists", fix="choose a new folder: nothing is overwritten")


@contextlib.contextmanager
def growing(out: Path) -> Iterator[Path]:
    """Yield an empty hidden folder beside ``out``, which is flushed to the disk and renamed to ``out`` at the end.

    Raises a UsageError where ``out`` exists, a RunError where another process makes it, and a StorageError where the
    disk fails.
    """
    with storage_errors(out):
        out.parent.mkdir(parents=True, exist_ok=True)
    lock, folder = (out.absolute().with_name(f".{out.absolute().name}.labelaudit-{what}") for what in _HIDDEN)
    with held(lock, out), storage_errors(out):
        require_new(out)
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir()
        yield folder
        os.sync()  # all contents at once: flushing each file would take longer than writing it
        folder.rename(out)
        flush_folder(out.parent)


def _files(tree: Tree) -> Iterator[str]:
    """Yield the files and symbolic links below the data folder that are not hidden, sorted."""

    def fail(error: OSError) -> None:
        raise error

    for folder, folders, names in os.walk(tree.root, onerror=fail):
        links = [name for name in folders if Path(folder, name).is_symlink()]
        folders[:] = sorted(name for name in folders if not name.startswith(".") and name not in links)
        shown = sorted(name for name in (*names, *links) if not name.startswith("."))
        paths = (Path(folder, name) for name in shown)
        yield from (path.relative_to(tree.root).as_posix() for path in paths if path.is_symlink() or path.is_file())


def relabel_labels(
    root: Path,
    plan: RelabelingPlan,
    labels_file: Path | None,
    out: Path,
    *,
    split: Sequence[str] = (),
) -> None:
    """Write a labels file that is corrected as a plan says, for images that do not lie in class folders of files.

    It has the other columns and the order of ``labels_file``, or without one, the labels that the data have themselves:
    see `labelaudit.data.folder.fixed_labels`.
    """
    if os.path.lexists(out):
        raise UsageError(f"--out {out} already exists", fix="choose a new file: nothing is overwritten")
    if (labels := _listed(root, split, labels_file)) is None:
        raise UsageError(f"{root} has class folders of files", fix="relabel them, or give the labels file")
    write_lines(out, _corrected_lines(labels, plan))


def _listed(root: Path, split: Sequence[str], labels_file: Path | None) -> LabelsFile | None:
    """Return the labels where they are not class folders of files: those of the labels file, or the data's own."""
    if labels_file is not None:
        return read_labels(labels_file, root, walk_data(root).images)
    if (label_of := fixed_labels(root, split)) is None:
        return None
    header, rows = ["path", "label"], [[path, label] for path, label in label_of.items()]
    if names := splits_of(label_of, split):
        header, rows = [*header, "split"], [[*row, name] for row, name in zip(rows, names, strict=True)]
    return LabelsFile(header, rows, (0, 1), ",", label_of, list(label_of))


def _corrected_lines(labels: LabelsFile, plan: RelabelingPlan) -> Iterator[str]:
    """Guard only the two columns: the others are the user's own, and formulas in them may be meant.

    Of an image with several annotators that is corrected, the first row is left.
    """
    step_of = {step.path: step for step in plan.steps}
    path_at, label_at = labels.columns
    rows = []
    corrected: set[str] = set()
    for path, row in zip(labels.paths, labels.rows, strict=True):
        step = step_of.get(path)
        if step is None or (step.action != "drop" and path not in corrected):
            corrected |= {path} if step else set()
            label = unguarded(row[label_at]) if step is None else step.label
            cells = {path_at: guarded(unguarded(row[path_at])), label_at: guarded(label)}
            rows.append([cells.get(number, cell) for number, cell in enumerate(row)])
    return csv_lines(labels.header, rows, numbers=labels.header, separator=labels.separator)


def _tree(root: Path, split: Sequence[str]) -> Tree:
    return Tree(root, class_bases(root, split) if root.is_dir() else ("",))


@contextlib.contextmanager
def _holding(tree: Tree, root: Path) -> Iterator[None]:
    """Hold the folder for this process; an error on the disk in the body says how to continue."""
    with held(tree.root / moves.LOCK, tree.root):
        moves.remove_leftovers(tree.root)
        try:
            yield
        except StorageError as error:
            fix = f"fix that and run the command again, or undo it: labelaudit relabel {root} --undo"
            raise StorageError(error.what, fix=fix) from error


def _require_place_for_drops(tree: Tree) -> None:
    """Raise a DataError where files cannot be moved to the folder for dropped ones."""
    place = tree.root.parent / Path(tree.dropped).name
    nearest = place if place.exists() else place.parent
    if nearest.stat().st_dev != tree.root.stat().st_dev:
        why = "which is on another file system"
    elif not os.access(nearest, os.W_OK | os.X_OK):
        why = f"and {nearest} is not writable"
    else:
        return
    what = f"dropped images go from {tree.root} to {place}, {why}"
    raise DataError(what, fix="give --out for a corrected copy without them")


def _warn(outcome: moves.Outcome, reporter: Reporter) -> None:
    for source, target in outcome.blocked:
        reporter.warn(f"{source!r} is still there: another file has appeared as {target!r}")
    if outcome.gone:
        source, target = outcome.gone[0]
        missing = plural(len(outcome.gone), "file is", "files are")
        reporter.warn(f"{missing} missing, among them {source!r}, which was to become {target!r}")
