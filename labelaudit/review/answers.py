"""A sample to review: write it as a CSV with a column ``answer``, read answers back, and keep them in answers.csv."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import numpy as np

from labelaudit.data.catalogue import Catalogue
from labelaudit.detect.sample import NONE, RIGHT, SKIPPED, WRONG, Answers
from labelaudit.errors import DataError
from labelaudit.review.corrections import NO_LABEL, read_review
from labelaudit.review.decisions import Decision, Ledger, LedgerAction, decided, is_ledger, read_decisions
from labelaudit.run.files import reading
from labelaudit.run.lists import read_csv
from labelaudit.text import csv_lines, unguarded

COLUMNS = ("place", "path", "given_label", "answer", "sample", "sha256")
_FOR_ANSWERS = "give the CSV of labelaudit sample, or corrections from the page, Label Studio or CVAT"
_SAID = {RIGHT: ("right", "yes"), WRONG: ("wrong", "no"), SKIPPED: ("skip", "?"), NONE: ("",)}
"""Words for each answer: the second is for data with a class that is called like the first."""
_WORDS = {word: answer for answer, words in _SAID.items() for word in words}
_CLASS = "class:"


_Entry = tuple[int, Decision]
"""An answer in a file, and the image that it is about; the right label is in ``label`` where it was named."""


def sample_lines(catalogue: Catalogue, samples: list[int], answers: Answers) -> Iterator[str]:
    """Yield the lines of a CSV with these samples, in this order, and the answers that are there already."""
    rows = []
    for place, sample in enumerate(samples, start=1):
        given, answer = catalogue.classes[catalogue.label_N[sample]], _written(answers, sample, catalogue)
        rows.append((place, catalogue.paths[sample], given, answer, sample, catalogue.sha256[sample]))
    return csv_lines(COLUMNS, rows)


def _written(answers: Answers, sample: int, catalogue: Catalogue) -> str:
    label = int(answers.label_N[sample])
    if label >= 0:
        return _CLASS + catalogue.classes[label]
    words = _SAID[int(answers.answer_N[sample])]
    return next((word for word in words if word not in catalogue.classes), words[0])


def has_answers(file: Path) -> bool:
    """Return True for a CSV with a column ``answer``; raise a DataError where it cannot be read."""
    with reading(file), open(file, "rb") as handle:
        header = handle.readline(1 << 16).removeprefix(b"\xef\xbb\xbf").strip().split(b",")
    return b"answer" in [name.strip(b'"') for name in header]


def read_answers(file: Path, catalogue: Catalogue) -> Answers:
    """Read the answers to samples: a ledger, the CSV of `sample_lines`, or any file of corrections.

    In the column ``answer`` stand right or yes, wrong or no, the right label, or skip or ?; empty is no answer. Of
    corrections, keep says right, change and drop say wrong, and a decision that is unclear is skipped. A DataError
    refuses a file that cannot be read, is of other images or labels, or says different things of one sample. In a
    ledger, which is about contents, what is said of other images does not count.
    """
    if is_ledger(file):
        return recorded_answers(file, catalogue)
    number_of = {path: sample for sample, path in enumerate(catalogue.paths)}
    class_of = {name: number for number, name in enumerate(catalogue.classes)}
    answers, seen = Answers.none(len(catalogue)), set[int]()
    for said, entry in _answered(file, class_of) if has_answers(file) else _corrected(file):
        path = _known(entry, number_of)

        def refuse(what: str, fix: str, where: str = f"{file} {entry.where}") -> DataError:
            return DataError(f"{where}: {what}", fix=fix)

        if path not in number_of:
            raise refuse(f"{entry.path!r} is not in this audit", "give a review of this audit")
        sample = number_of[path]
        given = catalogue.classes[catalogue.label_N[sample]]
        if entry.sha256 and entry.sha256 != catalogue.sha256[sample]:
            raise refuse(f"{path!r} is another image than the one that was audited", "give a review of this audit")
        if entry.given_label not in ("", given):
            what = f"{path!r} has the label {given!r} in this audit, and {entry.given_label!r} in the review"
            raise refuse(what, "give a review of this audit")
        if entry.label and entry.label not in class_of:
            fix = "write right, wrong, skip or the name of a class"
            raise refuse(f"{entry.label!r} is no answer and no class", fix)
        answer, label = said, class_of.get(entry.label, -1)
        if label == catalogue.label_N[sample]:
            answer, label = RIGHT, -1
        found = answers.answer_N[sample], answers.label_N[sample]
        if sample in seen and found != (answer, label):
            raise refuse(f"{path!r} is there twice, with different answers", "keep one of the lines")
        seen.add(sample)
        answers.answer_N[sample], answers.label_N[sample] = answer, label
    return answers


def _known(entry: Decision, number_of: dict[str, int]) -> str:
    """Return the path of an audited sample; of an address its longest end that is one."""
    parts = entry.path.split("/")
    ends = ["/".join(parts[start:]) for start in range(len(parts) if entry.prefixed else 1)]
    return next((end for end in ends if end in number_of), entry.path)


def _answered(file: Path, class_of: dict[str, int]) -> Iterator[_Entry]:
    for line, row in read_csv(file, ("path", "answer"), _FOR_ANSWERS):
        cells = {name: unguarded(row.get(name) or "") for name in COLUMNS}
        said = cells["answer"].strip()
        word = said.lower()
        if word in _WORDS and said in class_of:
            other = next(each for each in _SAID[_WORDS[word]] if each != word)
            what = f"{file} line {line}: {said!r} is an answer, and a class too"
            raise DataError(what, fix=f"write {other} for the answer, or {_CLASS}{said} for the class")
        label = "" if word in _WORDS else said if said in class_of else said.removeprefix(_CLASS)
        given, sha256 = cells["given_label"], cells["sha256"].strip().lower()
        about = Decision(
            path=cells["path"], action="change", label=label, given_label=given, sha256=sha256, where=f"line {line}"
        )
        yield _WORDS.get(word, WRONG), about


def _corrected(file: Path) -> Iterator[_Entry]:
    review = read_review(file)
    for decision in review.corrections:
        yield RIGHT if decision.action == "keep" else WRONG, decision
    for refusal in review.unclear:
        said = WRONG if refusal.reason == NO_LABEL else SKIPPED
        yield said, Decision(path=refusal.path, action="keep", where=refusal.where, prefixed=True)


_ACTIONS: dict[int, LedgerAction] = {NONE: "undo", RIGHT: "keep", WRONG: "wrong", SKIPPED: "skip"}


def recorded_answers(ledger: Path, catalogue: Catalogue) -> Answers:
    """Return the answers in a ledger, to every copy of an image too; none where there is no file."""
    answers, number_of = Answers.none(len(catalogue)), {name: number for number, name in enumerate(catalogue.classes)}
    said = {action: answer for answer, action in _ACTIONS.items()}
    for sample, decision in decided(catalogue, read_decisions(ledger)).items():
        answers.answer_N[sample] = said.get(decision.action, WRONG)
        answers.label_N[sample] = number_of.get(decision.label, -1)
    return answers


def record_answers(ledger: Path, catalogue: Catalogue, answers: Answers) -> None:
    """Append to an answers.csv what makes it say these answers."""
    known, step = recorded_answers(ledger, catalogue), list[tuple[int, LedgerAction, str]]()
    differs_N = (known.answer_N != answers.answer_N) | (known.label_N != answers.label_N)
    for sample in np.flatnonzero(differs_N).tolist():
        label = int(answers.label_N[sample])
        action = "change" if label >= 0 else _ACTIONS[int(answers.answer_N[sample])]
        step.append((sample, action, catalogue.classes[label] if label >= 0 else ""))
    Ledger(file=ledger, catalogue=catalogue, reviewer="").add([step])
