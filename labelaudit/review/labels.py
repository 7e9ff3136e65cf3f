"""Corrections for data whose labels are in a CSV: a corrected labels file, and no file moves."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path

from labelaudit.cells import csv_lines, guarded, unguarded
from labelaudit.data.labels_file import LabelsFile
from labelaudit.errors import UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.review.corrections import Correction, Refusal, Review
from labelaudit.review.names import RefusedError, Tree, by_stored_name, checked_path, find_uploaded, uploaded_as
from labelaudit.review.plan import Plan, Step, Wanted, refusal, settle
from labelaudit.run.files import write_lines


def plan_labels(tree: Tree, label_of: dict[str, str], review: Review, reporter: Reporter = QUIET) -> Plan:
    """Plan the changes to a labels file that a review asks for.

    Args:
        tree: The image folder, in which contents are checked.
        label_of: Label by path, as the labels file has them.
        review: The decisions.
        reporter: Told about the progress.
    """
    known = set(label_of.values())
    named = by_stored_name(label_of) if any(correction.prefixed for correction in review.corrections) else {}
    wanted: list[Wanted] = []
    refused: list[Refusal] = []
    for correction in review.corrections:
        try:
            wanted.append(Wanted(correction=correction, step=_step(label_of, named, known, correction)))
        except RefusedError as error:
            refused.append(refusal(correction, str(error)))
    settled = settle(wanted, tree, refused, reporter)
    steps = tuple(entry.step for entry in settled if entry.step.action != "keep")
    return Plan(
        steps=steps,
        kept=len(settled) - len(steps),
        unreviewed=review.unreviewed,
        refused=(*review.unclear, *refused),
        new_classes=tuple(dict.fromkeys(step.label for step in steps if step.label and step.label not in known)),
    )


def require_new(out: Path) -> None:
    """Refuse to overwrite a file.

    Raises:
        UsageError: there is one.
    """
    if os.path.lexists(out):
        raise UsageError(f"--out {out} is there already", fix="give a new file: nothing is overwritten")


def write_corrected_labels(labels: LabelsFile, plan: Plan, out: Path) -> None:
    """Write a labels file with the steps of a plan taken; other columns and the order of the rows stay.

    Raises:
        UsageError: ``out`` is there already.
        StorageError: it cannot be written.
    """
    require_new(out)
    write_lines(out, _corrected_lines(labels, {step.path: step for step in plan.steps}))


def _step(label_of: dict[str, str], named: dict[str, dict[str, str]], known: set[str], correction: Correction) -> Step:
    path = checked_path(correction.path)
    if correction.prefixed and path not in label_of:
        parts = path.split("/")
        ends = ("/".join(parts[start:]) for start in range(1, len(parts)))
        found = next((end for end in ends if end in label_of), None)
        if found is None and (name := uploaded_as(path)):
            found = find_uploaded(name, correction.given_label.strip(), named)
        path = found or path
    if path not in label_of:
        raise RefusedError("is not in the labels file")
    given = label_of[path]
    if correction.given_label.strip() not in ("", given):
        raise RefusedError(f"has the label {given!r}, but had {correction.given_label!r} when it was reviewed")
    if correction.action == "drop":
        return Step(path=path, given_label=given, action="drop")
    label = correction.label.strip()
    if correction.action == "keep" or label == given:
        return Step(path=path, given_label=given, action="keep")
    if label not in known and not (label and label.isprintable()):
        raise RefusedError(f"{correction.label!r} is no label")
    return Step(path=path, given_label=given, action="change", label=label)


def _corrected_lines(labels: LabelsFile, step_of: dict[str, Step]) -> Iterator[str]:
    """Only the two columns are guarded: the others are the user's own, and formulas in them may be meant."""
    path_at, label_at = labels.columns

    def corrected() -> Iterator[list[str]]:
        for path, cells in zip(labels.paths, labels.rows, strict=True):
            step = step_of.get(path)
            if step is not None and step.action == "drop":
                continue
            row = list(cells)
            row[path_at] = guarded(unguarded(row[path_at]))
            row[label_at] = guarded(unguarded(row[label_at]) if step is None else step.label)
            yield row

    return csv_lines(labels.header, corrected(), numbers=labels.header, separator=labels.separator)
