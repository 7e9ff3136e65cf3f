"""The answers to a drawn sample: write it as a CSV to be filled in, read answers back, and keep them in answers.csv."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.sample import NONE, RIGHT, SKIPPED, WRONG, Answers
from labelaudit.errors import DataError
from labelaudit.review.corrections import COLUMNS, read_review
from labelaudit.review.decisions import Decision, Ledger, LedgerAction, decided, is_ledger, read_decisions
from labelaudit.review.plan import find_path
from labelaudit.review.tree import RefusedError
from labelaudit.text import csv_lines

_ACTIONS: dict[int, LedgerAction] = {NONE: "undo", RIGHT: "keep", WRONG: "wrong", SKIPPED: "skip"}
_ANSWERS = {action: answer for answer, action in _ACTIONS.items()}
"""Any other action says that the given label is wrong."""


def sample_lines(catalogue: Catalogue, samples: Sequence[int], answers: Answers) -> Iterator[str]:
    """Yield the lines of a CSV of corrections with these samples, in this order, and the answers that are there."""
    rows = []
    for sample in samples:
        action, label = _said(answers, sample, catalogue)
        given = catalogue.classes[catalogue.label_N[sample]]
        shown = "" if action == "undo" else action
        rows.append((catalogue.paths[sample], given, shown, label, catalogue.sha256[sample]))
    return csv_lines(COLUMNS, rows)


def _said(answers: Answers, sample: int, catalogue: Catalogue) -> tuple[LedgerAction, str]:
    """Return the action and the label that say an answer in a file."""
    label = int(answers.label_N[sample])
    return ("change", catalogue.classes[label]) if label >= 0 else (_ACTIONS[int(answers.answer_N[sample])], "")


def read_answers(file: Path, catalogue: Catalogue) -> Answers:
    """Read the answers to samples: any file that `read_review` reads.

    Keep says right, wrong, change and drop say wrong, and a decision that is unclear is skipped. A DataError refuses a
    file that cannot be read, is of other images or labels, or says different things of one sample. In a ledger, which
    is about contents, what is said of other images does not count.
    """
    if is_ledger(file):
        return recorded_answers(file, catalogue)
    number_of = {path: sample for sample, path in enumerate(catalogue.paths)}
    answers, seen = Answers.none(len(catalogue)), set[int]()
    review = read_review(file)
    skipped = (Decision(path=one.path, action="skip", where=one.where, prefixed=True) for one in review.unclear)
    for one in (*review.corrections, *skipped):
        try:
            sample = _sample_of(one, number_of, catalogue)
        except RefusedError as error:
            what = f"{file} {one.where}: {one.path!r} {error}"
            raise DataError(what, fix="give a review of this audit") from error
        found = _answer(one, sample, catalogue)
        if sample in seen and found != (answers.answer_N[sample], answers.label_N[sample]):
            what = f"{file} {one.where}: {one.path!r} is there twice, with different answers"
            raise DataError(what, fix="keep one of the lines")
        seen.add(sample)
        answers.answer_N[sample], answers.label_N[sample] = found
    return answers


def _sample_of(one: Decision, number_of: dict[str, int], catalogue: Catalogue) -> int:
    path = find_path(one, number_of.__contains__)
    if path not in number_of:
        raise RefusedError("is not in this audit")
    sample = number_of[path]
    given = catalogue.classes[catalogue.label_N[sample]]
    if one.sha256 not in ("", catalogue.sha256[sample]):
        raise RefusedError("is another image than the one that was audited")
    if one.given_label not in ("", given):
        raise RefusedError(f"has the label {given!r} in this audit, and {one.given_label!r} in the review")
    return sample


def _answer(one: Decision, sample: int, catalogue: Catalogue) -> tuple[int, int]:
    """Return the answer, and the number of the right label; −1 for none, and for a new class."""
    label = catalogue.classes.index(one.label) if one.label in catalogue.classes else -1
    return (RIGHT, -1) if label == catalogue.label_N[sample] else (_ANSWERS.get(one.action, WRONG), label)


def recorded_answers(ledger: Path, catalogue: Catalogue) -> Answers:
    """Return the answers in a ledger, to every copy of an image too; none where there is no file."""
    answers = Answers.none(len(catalogue))
    for sample, decision in decided(catalogue, read_decisions(ledger)).items():
        answers.answer_N[sample], answers.label_N[sample] = _answer(decision, sample, catalogue)
    return answers


def record_answers(ledger: Path, catalogue: Catalogue, answers: Answers) -> None:
    """Append to an answers.csv what makes it say these answers."""
    known = recorded_answers(ledger, catalogue)
    differs_N = (known.answer_N != answers.answer_N) | (known.label_N != answers.label_N)
    step = [(sample, *_said(answers, sample, catalogue)) for sample in np.flatnonzero(differs_N).tolist()]
    Ledger(file=ledger, catalogue=catalogue, reviewer="").add([step])
