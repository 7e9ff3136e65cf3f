"""A plan for class folders: where each file goes, with nothing moved yet."""

from __future__ import annotations

from dataclasses import replace

from labelaudit.progress import QUIET, Reporter
from labelaudit.review.corrections import Correction, Refusal, Review
from labelaudit.review.names import (
    DROPPED,
    RefusedError,
    Tree,
    checked_class,
    checked_path,
    checked_sample,
    find_uploaded,
    free_path,
    parents,
    uploaded_as,
)
from labelaudit.review.plan import Plan, Step, Wanted, refusal, settle


def plan_moves(tree: Tree, review: Review, reporter: Reporter = QUIET) -> Plan:
    """Plan the moves that a review asks for.

    A file of another label goes to the same place in that class's folder, a dropped one to that place in
    ``.labelaudit-dropped/<class>``. A name that is taken gets a number.
    """
    classes = list(tree.classes)
    wanted: list[Wanted] = []
    refused: list[Refusal] = []
    done_before = 0
    for correction in review.corrections:
        try:
            step = _step(tree, correction, classes)
            if _is_done(tree, step, correction):
                done_before += 1
                continue
            _require_movable(tree, step)
        except RefusedError as error:
            refused.append(refusal(correction, str(error)))
            continue
        wanted.append(Wanted(correction=correction, step=step))
        if step.label and step.label not in classes:
            classes.append(step.label)
    settled = settle(wanted, tree, refused, reporter)
    steps, folders = _place(tree, [entry for entry in settled if entry.step.action != "keep"], refused)
    used = {step.label for step in steps}
    return Plan(
        steps=tuple(steps),
        kept=sum(entry.step.action == "keep" for entry in settled),
        done_before=done_before,
        unreviewed=review.unreviewed,
        refused=(*review.unclear, *refused),
        new_classes=tuple(name for name in classes[len(tree.classes) :] if name in used),
        folders=tuple(folders),
    )


def _step(tree: Tree, correction: Correction, classes: list[str]) -> Step:
    path = _find(tree, correction)
    base, given, rest = checked_sample(path, tree.bases)
    if correction.given_label not in ("", given):
        raise RefusedError(f"lies in {given!r}, but had the label {correction.given_label!r} when it was reviewed")
    if correction.action == "drop":
        return Step(path=path, given_label=given, action="drop", target=f"{DROPPED}/{path}")
    if correction.action == "keep" or correction.label == given:
        return Step(path=path, given_label=given, action="keep")
    label = checked_class(correction.label, classes)
    return Step(path=path, given_label=given, action="change", label=label, target=f"{base}{label}/{rest}")


def _find(tree: Tree, correction: Correction) -> str:
    """The path in the data folder: where the review may have folders before it, the longest end that is there."""
    path = checked_path(correction.path)
    parts = path.split("/")
    if correction.prefixed and not tree.has(path):
        ends = ("/".join(parts[start:]) for start in range(1, len(parts) - 1))
        if found := next((end for end in ends if tree.has(end)), None):
            return found
        if name := uploaded_as(path):
            return find_uploaded(name, correction.given_label, tree.by_stored_name)
    return path


def _is_done(tree: Tree, step: Step, correction: Correction) -> bool:
    """True when the file is gone and what was reviewed lies where it was to go."""
    if not step.target or not correction.sha256 or tree.has(step.path):
        return False
    try:
        tree.status(step.target)
        return tree.sha256(step.target) == correction.sha256
    except RefusedError:
        return False


def _require_movable(tree: Tree, step: Step) -> None:
    if not step.target:
        return
    device = tree.status(step.path).st_dev
    tree.require_real_folders(step.target)
    if device != tree.device(step.target):
        raise RefusedError("lies on another file system than the folder it goes to")


def _place(tree: Tree, wanted: list[Wanted], refused: list[Refusal]) -> tuple[list[Step], list[str]]:
    """The steps with names that are free, and the folders that have to be made."""
    steps: list[Step] = []
    folders: dict[str, None] = {}
    taken: set[str] = set()
    for entry in wanted:
        target = entry.step.target
        if taken.intersection(parents(target)):
            refused.append(refusal(entry.correction, "needs a folder where another file goes"))
            continue
        folders.update(dict.fromkeys(tree.missing_folders(target)))
        free = free_path(target, lambda path: path in taken or path in folders or tree.has(path))
        taken.add(free)
        steps.append(replace(entry.step, target=free, renamed=free != target))
    return steps, list(folders)
