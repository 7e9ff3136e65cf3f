"""Corrections back into the data: moves between class folders and back, a corrected copy, a corrected labels file.

Neither this module nor what it imports loads torch.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

from labelaudit.data.folder import class_bases
from labelaudit.data.labels_file import LabelsFile, read_labels
from labelaudit.data.walk import walk_folder
from labelaudit.errors import RunError, StorageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.copies import Copied, require_free, write_copy
from labelaudit.review.corrections import Review, read_review
from labelaudit.review.folders import plan_moves
from labelaudit.review.labels import plan_labels, require_new, write_corrected_labels
from labelaudit.review.moves import (
    LOCK,
    Journal,
    Outcome,
    begin_journal,
    carry_out,
    last_journal,
    remove_leftovers,
    take_back,
)
from labelaudit.review.names import Tree
from labelaudit.review.plan import Plan
from labelaudit.run.lock import held

_MOST_NAMED = 3


@dataclass(frozen=True, kw_only=True)
class Corrections:
    """Which decisions, and how to read them.

    Attributes:
        file: corrections.csv, Label Studio's JSON export, or CVAT's export for images.
        accept_suggestions: Take tags of CVAT that nobody touched as accepted.
        split: The folders in the data whose class folders were audited; empty for the data folder itself.
    """

    file: Path
    accept_suggestions: bool = False
    split: tuple[str, ...] = ()

    def read(self) -> Review:
        """Read them.

        Raises:
            DataError: the file cannot be read, or is of no format that is known.
        """
        return read_review(self.file, accept_suggestions=self.accept_suggestions)


def plan_relabeling(
    root: Path, corrections: Corrections, *, labels_file: Path | None = None, reporter: Reporter = QUIET
) -> Plan:
    """What `relabel`, `relabel_copy` or, with a labels file, `relabel_labels` would do; nothing is written.

    Raises:
        DataError: the folder, the corrections or the labels file cannot be read.
    """
    if labels_file is None:
        tree, review = _tree(root, corrections), corrections.read()
        journal = last_journal(tree.root)
        if journal is not None and journal.state != "moved":
            reporter.warn(f"A relabeling of {root} was interrupted: the plan is for what is left of it, and more")
        return plan_moves(tree, review, reporter)
    return plan_labels(Tree(root), _labels(root, labels_file).label_of, corrections.read(), reporter)


def relabel(
    root: Path,
    corrections: Corrections,
    *,
    agree: Callable[[Plan], bool] = lambda _plan: True,
    reporter: Reporter = QUIET,
) -> Outcome | None:
    """Move files between class folders as a review says; go on with such moves that were interrupted.

    Args:
        root: ``root/<class>/…/<image>``.
        corrections: The decisions.
        agree: Asked once the plan is made, before anything is moved.
        reporter: Told about the progress.

    Returns:
        What was moved; None when there was nothing to do, or no agreement.

    Raises:
        DataError: the folder or the corrections cannot be read.
        RunError: another process relabels this folder, or other corrections are half carried out.
        StorageError: the folder cannot be written to; running the same again goes on.
    """
    tree, review = Tree(root), corrections.read()
    with _holding(tree):
        journal = last_journal(tree.root)
        if journal is not None and journal.state != "moved":
            _require_same(journal, review, root)
            reporter.say(f"Going on with the relabeling of {journal.began} that was interrupted")
        else:
            plan = plan_moves(_tree(root, corrections), review, reporter)
            if not agree(plan) or not plan.steps:
                return None
            journal = begin_journal(tree.root, review, plan)
        with _hinted(root):
            outcome = carry_out(tree, journal, reporter)
    for source, target in outcome.renamed:
        reporter.warn(f"{source!r} is now {target!r}: something else had appeared in its place")
    _warn_of_gone(outcome, reporter)
    return outcome


def undo(
    root: Path,
    *,
    corrections: Corrections | None = None,
    agree: Callable[[Journal], bool] = lambda _journal: True,
    reporter: Reporter = QUIET,
) -> Outcome | None:
    """Take the last relabeling of a folder back, finished or not; calling it again takes back the one before.

    Args:
        root: The folder.
        corrections: Where given, only a relabeling by these is taken back.
        agree: Asked before anything is moved.
        reporter: Told about the progress.

    Returns:
        What was moved; None when there was no agreement.

    Raises:
        RunError: there is nothing to take back, or something else is where a file was; the rest is taken back.
        StorageError: the folder cannot be written to; running the same again goes on.
    """
    tree = Tree(root)
    with _holding(tree):
        journal = last_journal(tree.root)
        if journal is None:
            raise RunError(f"there is no relabeling of {root} to undo", fix="check the folder; a copy is just deleted")
        if corrections is not None and corrections.read().digest != journal.digest:
            raise RunError(
                f"the last relabeling of {root} was by {journal.corrections!r}, not by {corrections.file}",
                fix="leave the file out to undo it",
            )
        if journal.state != "undoing":
            if not agree(journal):
                return None
            journal = journal.at("undoing")
        with _hinted(root):
            outcome = take_back(tree, journal, reporter)
            if outcome.blocked:
                journal.of([(old, new) for new, old in reversed(outcome.blocked)])
                raise _blocked(outcome, root)
            journal.remove()
    _warn_of_gone(outcome, reporter)
    return outcome


def relabel_copy(
    root: Path,
    corrections: Corrections,
    out: Path,
    *,
    agree: Callable[[Plan], bool] = lambda _plan: True,
    reporter: Reporter = QUIET,
) -> Copied | None:
    """Write a corrected copy of a data folder; the folder itself stays as it is.

    Returns:
        What the copy is made of; None where there was no agreement.

    Raises:
        DataError: the folder or the corrections cannot be read.
        UsageError: ``out`` is there, or lies in the data folder.
        StorageError: the copy cannot be written; running the same again goes on.
    """
    tree = _tree(root, corrections)
    require_free(tree, out)
    plan = plan_moves(tree, corrections.read(), reporter)
    return write_copy(tree, plan, out, reporter) if agree(plan) else None


def relabel_labels(
    root: Path,
    corrections: Corrections,
    labels_file: Path,
    out: Path,
    *,
    agree: Callable[[Plan], bool] = lambda _plan: True,
    reporter: Reporter = QUIET,
) -> Plan | None:
    """Write a corrected labels file, for images that do not lie in class folders.

    Returns:
        What was corrected; None where there was no agreement.

    Raises:
        DataError: the folder, the corrections or the labels file cannot be read.
        UsageError: ``out`` is there already.
        StorageError: it cannot be written.
    """
    require_new(out)
    plan = plan_relabeling(root, corrections, labels_file=labels_file, reporter=reporter)
    if not agree(plan):
        return None
    write_corrected_labels(_labels(root, labels_file), plan, out)
    return plan


def _tree(root: Path, corrections: Corrections) -> Tree:
    if not root.is_dir():
        return Tree(root)
    return Tree(root, class_bases(root, corrections.split))


def _labels(root: Path, labels_file: Path) -> LabelsFile:
    return read_labels(labels_file, root, walk_folder(root).images)


@contextlib.contextmanager
def _holding(tree: Tree) -> Iterator[None]:
    with held(tree.root / LOCK, tree.root):
        remove_leftovers(tree.root)
        yield


@contextlib.contextmanager
def _hinted(root: Path) -> Iterator[None]:
    try:
        yield
    except StorageError as error:
        raise StorageError(
            error.what, fix=f"put that right and run the command again, or undo it: labelaudit relabel {root} --undo"
        ) from error


def _require_same(journal: Journal, review: Review, root: Path) -> None:
    undo_it = f"run labelaudit relabel {root} --undo"
    if journal.state == "undoing":
        raise RunError(f"undoing a relabeling of {root} was interrupted", fix=undo_it)
    if journal.digest != review.digest:
        raise RunError(
            f"a relabeling of {root} by {journal.corrections!r} was interrupted",
            fix=f"run it again with that file, or {undo_it}",
        )


def _blocked(outcome: Outcome, root: Path) -> RunError:
    places = ", ".join(repr(target) for _, target in outcome.blocked[:_MOST_NAMED])
    more = len(outcome.blocked) - _MOST_NAMED
    return RunError(
        f"{len(outcome.blocked)} files cannot go back, since others are in their places: {places}"
        + (f" and {more} more" if more > 0 else ""),
        fix=f"move those away and run labelaudit relabel {root} --undo again",
    )


def _warn_of_gone(outcome: Outcome, reporter: Reporter) -> None:
    if outcome.gone:
        source, target = outcome.gone[0]
        reporter.warn(f"{len(outcome.gone)} files are gone, among them {source!r}, which was to be {target!r}")
