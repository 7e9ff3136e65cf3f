"""Plan a relabeling: which samples change, where their files go, and which decisions are refused."""

from __future__ import annotations

import contextlib
import itertools
import re
from collections import Counter
from collections.abc import Callable
from dataclasses import asdict, dataclass, replace
from pathlib import Path

from labelaudit.data.catalogue import each_in_parallel
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.corrections import ReviewFile
from labelaudit.review.decisions import UNDECIDED, Decision, LedgerAction, Refusal
from labelaudit.review.tree import (
    RefusedError,
    Tree,
    checked_class,
    checked_path,
    checked_sample,
    content_digest,
    free_path,
    numbered,
    parents,
)
from labelaudit.text import plural

_MOST_NAMES = 20  # numbered names that are looked at for a file that was moved before
_UPLOAD = re.compile(r"(?:^|/)upload/[0-9]+/[0-9a-f]{8}-[^/]+$")  # where Label Studio keeps an uploaded file


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens to one sample, which now has this path and given label.

    ``target`` is where the file goes, relative to the data folder; it is ``renamed`` where its name was taken. The step
    is ``inherited`` from a copy that is dropped.
    """

    path: str
    given_label: str
    action: LedgerAction
    label: str = ""
    target: str = ""
    renamed: bool = False
    inherited: bool = False


@dataclass(frozen=True, kw_only=True)
class RelabelingPlan:
    """What a review changes in a data set: steps in the review's order, and the folders to make, outer ones first.

    Of the other samples some are kept, some are corrected already, some have no decision.
    """

    steps: tuple[Step, ...]
    kept: int
    done_before: int = 0
    unreviewed: int = 0
    refused: tuple[Refusal, ...] = ()
    new_classes: tuple[str, ...] = ()
    folders: tuple[str, ...] = ()

    @property
    def pairs(self) -> list[tuple[str, str, int]]:
        """(given label, new label, count) of the changes, the most frequent first."""
        counts = Counter(sorted((step.given_label, step.label) for step in self.steps if step.action == "change"))
        return [(*pair, count) for pair, count in counts.most_common()]

    @property
    def drops(self) -> list[tuple[str, int]]:
        """(given label, count) of the dropped samples, the most frequent first."""
        return Counter(sorted(step.given_label for step in self.steps if step.action == "drop")).most_common()

    @property
    def summary(self) -> str:
        """The plan's counts in one line."""
        changed = sum(step.action == "change" for step in self.steps)
        labels = f"{plural(changed, 'label')} {'is' if changed == 1 else 'are'} changed"
        if inherited := sum(step.inherited for step in self.steps):
            labels += f" ({inherited:,} as decided for a dropped copy)"
        text = f"{labels}, {plural(len(self.steps) - changed, 'image')} dropped, {self.kept:,} kept"
        more = {"done before": self.done_before, "not reviewed": self.unreviewed, "refused": len(self.refused)}
        return text + "".join(f", {count:,} {what}" for what, count in more.items() if count)

    def as_json(self) -> dict[str, object]:
        """Return everything in the plan, to be written as JSON."""
        return {
            "change": sum(step.action == "change" for step in self.steps),
            "drop": sum(step.action == "drop" for step in self.steps),
            "keep": self.kept,
            "done_before": self.done_before,
            "unreviewed": self.unreviewed,
            "pairs": [{"given": given, "label": label, "count": count} for given, label, count in self.pairs],
            "new_classes": list(self.new_classes),
            "steps": [asdict(step) for step in self.steps],
            "refused": [asdict(refusal) for refusal in self.refused],
        }


def plan_moves(tree: Tree, review: ReviewFile, reporter: Reporter = QUIET) -> RelabelingPlan:
    """Plan the moves between class folders that a review asks for; nothing is moved.

    A file of another label goes to the same place in that class's folder, a dropped one to its path in `Tree.dropped`.
    A name that is taken gets a number.
    """
    classes = list(tree.classes)
    done_before = 0

    def step_of(correction: Decision) -> Step | None:
        nonlocal done_before
        path = find_path(correction, tree.has, least_parts=2)
        base, given, rest = checked_sample(path, tree.bases)
        step = _step(correction, path, given)
        if step.action == "drop":
            step = replace(step, target=f"{tree.dropped}/{path}")
        elif step.action == "change":
            step = replace(step, target=f"{base}{checked_class(step.label, classes)}/{rest}")
        if step.target and correction.sha256 and not tree.has(path) and _is_there(tree, step.target, correction.sha256):
            done_before += 1
            return None
        if step.target:
            device = tree.device_of_file(path)
            tree.require_real_folders(step.target)
            # Whether files can be dropped is checked once, for all, before they are moved.
            if device != tree.device("" if step.action == "drop" else step.target):
                raise RefusedError("lies on another file system than the folder it goes to")
        if step.label and step.label not in classes:
            classes.append(step.label)
        return step

    settled, refused = _settle(review, step_of, tree.root, reporter)
    steps: list[Step] = []
    folders: dict[str, None] = {}
    taken: set[str] = set()
    for correction, step in settled:
        if step.action == "keep":
            continue
        if taken.intersection(parents(step.target)):
            refused.append(correction.refused("needs a folder where another file goes"))
            continue
        folders.update(dict.fromkeys(tree.missing_folders(step.target)))
        free = free_path(step.target, lambda path: path in taken or path in folders or tree.has(path))
        taken.add(free)
        steps.append(replace(step, target=free, renamed=free != step.target))
    used = {step.label for step in steps}
    return RelabelingPlan(
        steps=tuple(steps),
        kept=sum(step.action == "keep" for _, step in settled),
        done_before=done_before,
        unreviewed=review.unreviewed,
        refused=tuple(refused),
        new_classes=tuple(name for name in classes[len(tree.classes) :] if name in used),
        folders=tuple(folders),
    )


def _is_there(tree: Tree, target: str, sha256: str) -> bool:
    """Return whether what was reviewed lies where it was to go, or under one of the numbered names."""
    for path in itertools.islice(numbered(target), _MOST_NAMES):
        with contextlib.suppress(RefusedError):
            tree.device_of_file(path)
            if content_digest(tree.root / path) == sha256:
                return True
    return False


def plan_labels(root: Path, label_of: dict[str, str], review: ReviewFile, reporter: Reporter = QUIET) -> RelabelingPlan:
    """Plan the changes to a labels file with these labels by path; contents are checked below ``root``."""
    known = set(label_of.values())

    def step_of(correction: Decision) -> Step:
        correction = replace(correction, label=correction.label.strip(), given_label=correction.given_label.strip())
        path = find_path(correction, label_of.__contains__)
        if path not in label_of:
            raise RefusedError("is not in the labels file")
        step = _step(correction, path, label_of[path])
        if step.action == "change" and step.label not in known and not (step.label and step.label.isprintable()):
            raise RefusedError(f"{step.label!r} is no label")
        return step

    settled, refused = _settle(review, step_of, root, reporter)
    steps = tuple(step for _, step in settled if step.action != "keep")
    return RelabelingPlan(
        steps=steps,
        kept=len(settled) - len(steps),
        unreviewed=review.unreviewed,
        refused=tuple(refused),
        new_classes=tuple(dict.fromkeys(step.label for step in steps if step.label and step.label not in known)),
    )


def _step(correction: Decision, path: str, given: str) -> Step:
    """Return what a decision means for the sample at ``path`` with the label ``given``."""
    if correction.action in UNDECIDED:
        raise RefusedError(UNDECIDED[correction.action])
    if correction.given_label not in ("", given):
        raise RefusedError(f"has the label {given!r}, but had {correction.given_label!r} when it was reviewed")
    is_change = correction.action == "change" and correction.label != given
    action = correction.action if is_change or correction.action == "drop" else "keep"
    label = correction.label if is_change else ""
    return Step(path=path, given_label=given, action=action, label=label, inherited=correction.inherited)


def _settle(
    review: ReviewFile, step_of: Callable[[Decision], Step | None], root: Path, reporter: Reporter
) -> tuple[list[tuple[Decision, Step]], list[Refusal]]:
    """Return the decisions that can be carried out, one per sample, and those that cannot.

    Refused are also decisions that contradict each other, or whose file has changed since the review.
    """
    wanted: dict[str, list[tuple[Decision, Step]]] = {}
    refused = list(review.unclear)
    for correction in review.corrections:
        try:
            if step := step_of(correction):
                wanted.setdefault(step.path, []).append((correction, step))
        except RefusedError as error:
            refused.append(correction.refused(str(error)))
    agreed = []
    for entries in wanted.values():
        if all(step == entries[0][1] for _, step in entries):
            agreed.append(entries[0])
        else:
            why = "is there more than once, with different corrections"
            refused += [correction.refused(why) for correction, _ in entries]
    expected = [(correction, step.path) for correction, step in agreed if correction.sha256 and step.action != "keep"]

    def fault(entry: tuple[Decision, str]) -> str:
        correction, path = entry
        try:
            is_same = content_digest(root / path) == correction.sha256
            return "" if is_same else "its content has changed since it was reviewed"
        except RefusedError as error:
            return str(error)

    found = each_in_parallel(expected, fault, reporter.bar("Checking files", len(expected), "files"))
    faults = {path: correction.refused(why) for (correction, path), why in zip(expected, found, strict=True) if why}
    return [entry for entry in agreed if entry[1].path not in faults], [*refused, *faults.values()]


def find_path(correction: Decision, is_there: Callable[[str], bool], *, least_parts: int = 1) -> str:
    """Return the path of a decision's sample: of an address its longest end with ``least_parts`` parts that exists."""
    path = checked_path(correction.path)
    if not correction.prefixed or is_there(path):
        return path
    parts = path.split("/")
    for start in range(1, len(parts) - least_parts + 1):
        if is_there(end := "/".join(parts[start:])):
            return end
    if _UPLOAD.search(path):
        hint = "give each task the image's path below the data folder as data.path"
        raise RefusedError(f"is an upload of Label Studio, which does not say where it was; {hint}")
    return path
