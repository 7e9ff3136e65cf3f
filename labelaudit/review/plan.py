"""What a review amounts to for a data set: which sample changes, and which decisions are refused."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from labelaudit.data.catalogue import in_parts, readers
from labelaudit.names import ActionName
from labelaudit.progress import Reporter
from labelaudit.review.corrections import Correction, Refusal
from labelaudit.review.names import RefusedError, Tree


@dataclass(frozen=True, kw_only=True)
class Step:
    """What happens to a sample.

    Attributes:
        path: Where it is, below the data folder.
        given_label: Its label now.
        action: What happens.
        label: Its label then, for ``change``; else empty.
        target: Where the file goes, below the data folder; empty where it stays.
        renamed: True where the name was taken and the file gets another one.
    """

    path: str
    given_label: str
    action: ActionName
    label: str = ""
    target: str = ""
    renamed: bool = False


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a review amounts to for a data set.

    Attributes:
        steps: The samples that change or are dropped, in the review's order.
        kept: Number of samples that stay as they are.
        done_before: Number of samples that have been put right already.
        unreviewed: Number of samples without a decision.
        refused: Decisions that are not carried out.
        new_classes: Classes of which there are no samples yet.
        folders: Folders to be made, outer ones first.
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
        counts = Counter((step.given_label, step.label) for step in self.steps if step.action == "change")
        return [(*pair, count) for pair, count in sorted(counts.items(), key=lambda item: (-item[1], item[0]))]

    @property
    def drops(self) -> list[tuple[str, int]]:
        """(given label, count) of the dropped samples, the most frequent first."""
        counts = Counter(step.given_label for step in self.steps if step.action == "drop")
        return sorted(counts.items(), key=lambda item: (-item[1], item[0]))

    @property
    def renamed(self) -> list[Step]:
        """The steps whose file gets another name."""
        return [step for step in self.steps if step.renamed]


@dataclass(frozen=True, kw_only=True)
class Wanted:
    """A decision and what it means for its sample."""

    correction: Correction
    step: Step


def settle(wanted: Sequence[Wanted], tree: Tree, refused: list[Refusal], reporter: Reporter) -> list[Wanted]:
    """The decisions that can be carried out, one a sample.

    Args:
        wanted: Decisions that are fine by themselves.
        tree: The data folder.
        refused: Gets those that contradict each other, and those about files that have changed since the review.
        reporter: Told about the progress.
    """
    first: dict[str, Step] = {}
    torn = {
        entry.step.path
        for entry in wanted
        if (before := first.setdefault(entry.step.path, entry.step)) is not entry.step and before != entry.step
    }
    once = {entry.step.path: entry for entry in reversed(wanted)}
    expected = [
        (path, entry.correction.sha256)
        for path, entry in reversed(once.items())
        if path not in torn and entry.correction.sha256 and entry.step.action != "keep"
    ]
    faults = _changed_files(tree, expected, reporter)
    left = []
    for entry in wanted:
        path = entry.step.path
        if path in torn:
            refused.append(refusal(entry.correction, "is there more than once, with different corrections"))
        elif entry is once[path] and path in faults:
            refused.append(refusal(entry.correction, faults[path]))
        elif entry is once[path]:
            left.append(entry)
    return left


def refusal(correction: Correction, reason: str) -> Refusal:
    """A decision that is not carried out."""
    return Refusal(path=correction.path, where=correction.where, reason=reason)


def _changed_files(tree: Tree, expected: Sequence[tuple[str, str]], reporter: Reporter) -> dict[str, str]:
    """Why files are not the ones that were reviewed, by path; expected are path and SHA-256 (hex)."""

    def fault(path: str, sha256: str) -> str:
        try:
            return "" if tree.sha256(path) == sha256 else "its content has changed since it was reviewed"
        except RefusedError as error:
            return str(error)

    faults: dict[str, str] = {}
    with reporter.bar("Checking files", len(expected), "files") as advance, readers() as pool:
        for part in pool.map(lambda part: [(path, fault(path, sha)) for path, sha in part], in_parts(expected)):
            faults.update((path, reason) for path, reason in part if reason)
            advance(len(part))
    return faults
