"""What a review is worth: plant errors, audit, answer the suspicious list with the truth, relabel a copy, audit again.

An image counts as removed only where the next copy has it, with the same content, in the folder of its right class.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np

from labelaudit import __version__
from labelaudit.auditing.demo import write_digits
from labelaudit.auditing.model import Data
from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import RunError, UsageError
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce import ExperimentOptions, runner
from labelaudit.reproduce.runner import NOTHING, NoisyLabels, Row, Tables, number, table
from labelaudit.reproduce.truth import AUDITED, audit
from labelaudit.review.corrections import Correction, read_review, write_corrections
from labelaudit.review.relabel import plan_relabeling, relabel_copy
from labelaudit.run.files import storage_errors
from labelaudit.run.layout import RunFolder

_ROUNDS = (
    AUDITED
    + "audit:int64 samples:int64 wrong:int64 noise_rate estimate low high suspicious:int64 reviewed:int64 found:int64 "
    "removed:int64 spoilt:int64"
)
"""One audit (from 1) and its review: the true noise rate, the estimate, and what became of the suspicious list.

Reviewed is all of the list, or nothing after the last audit; ``found`` are the wrong labels in it, ``removed`` those
that the next copy has right, ``spoilt`` the right ones that it has wrong.
"""


def measure(asked: ExperimentOptions, reporter: Reporter = QUIET) -> str:
    """Measure, and write ``relabeling.md`` and ``rounds.parquet``."""
    runner.check_experiment(asked)
    if asked.rounds < 1:
        raise UsageError(f"--rounds {asked.rounds} is too few", fix="give at least 1")
    with storage_errors(asked.out):
        asked.out.mkdir(parents=True, exist_ok=True)
        data = asked.data or write_digits(asked.out / "digits", rate=0.0, seed=0).images
    truth = runner.scan_truth(data, None, reporter)
    about = f"{int(truth.used_N.sum()):,} images of {len(truth.classes)} classes; labelaudit {__version__}."
    tables = Tables("Audit, review, relabel, audit again", about, rounds=_ROUNDS)
    cases, measure_case = runner.noise_cases(asked.noises, truth.classes), partial(_measure, asked, truth, reporter)
    return runner.run_cases(asked, cases, tables, measure_case, _page, reporter)


def _measure(
    asked: ExperimentOptions, truth: Catalogue, reporter: Reporter, case: NoisyLabels, seed: int, folder: Path
) -> Iterator[dict[str, list[Row]]]:
    """Audit the planted errors, review, relabel and audit again, so many times.

    The folder gets ``audit-K/images``, ``run`` and the ``corrections.csv`` that leads to the next audit.
    """
    places = [folder / f"audit-{number}" for number in range(1, asked.rounds + 2)]
    with storage_errors(folder):
        for place in places:
            place.mkdir(parents=True, exist_ok=True)
    noisy_N = runner.planted_labels(truth, case, seed)
    planted = [
        _decision(truth, sample, truth.classes[noisy_N[sample]])
        for sample in np.flatnonzero(noisy_N != truth.label_N).tolist()
    ]
    right, _ = _relabel(truth, truth.root, planted, places[0] / "planted.csv", places[0] / "images", reporter)
    rows: list[Row] = []
    before, expected = dict[tuple[str, str], bool](), dict[tuple[str, str], tuple[str, str]]()
    for count, place in enumerate(places, start=1):
        reporter.say(f"Audit {count} of {len(places)}")
        options, images = replace(asked.training, seed=seed), place / "images"
        found = audit(case.name, Data(root=images), RunFolder(place / "run"), right, options, reporter)
        catalogue, (low, high) = found.fitted.catalogue, found.interval
        # By path and content: an image that is not found where it should be counts as wrong.
        names = zip(catalogue.paths, catalogue.sha256, strict=True)
        wrong_of = dict(zip(names, found.wrong_N.tolist(), strict=True))
        if rows:
            pairs = [(before[old], wrong_of.get(new, True)) for old, new in expected.items()]
            rows[-1] |= {
                "reviewed": len(pairs),
                "found": sum(was_wrong for was_wrong, _ in pairs),
                "removed": sum(was_wrong and not is_wrong for was_wrong, is_wrong in pairs),
                "spoilt": sum(is_wrong and not was_wrong for was_wrong, is_wrong in pairs),
            }
        before = wrong_of
        row = {**found.row, "audit": count, "samples": len(found.wrong_U), "wrong": int(found.wrong_U.sum())}
        row |= {"noise_rate": found.true_rate, "estimate": found.noise_rate, "low": low, "high": high}
        row |= {"suspicious": len(found.suspicious), **dict.fromkeys(("reviewed", "found", "removed", "spoilt"), 0)}
        rows.append(row)
        if count < len(places):
            label_of = dict(zip(right.paths, (right.classes[label] for label in right.label_N), strict=True))
            listed = found.suspicious.tolist()
            decisions = [_decision(catalogue, sample, label_of[catalogue.paths[sample]]) for sample in listed]
            file, following = place / "corrections.csv", places[count] / "images"
            right, target_of = _relabel(right, images, decisions, file, following, reporter)
            expected = {(one.path, one.sha256): (target_of.get(one.path, one.path), one.sha256) for one in decisions}
    yield {"rounds": rows}


def _decision(catalogue: Catalogue, sample: int, label: str) -> Correction:
    """Return the decision of a reviewer who takes ``label`` for the right one."""
    given = catalogue.classes[catalogue.label_N[sample]]
    return Correction(
        path=catalogue.paths[sample],
        action="keep" if label == given else "change",
        label="" if label == given else label,
        given_label=given,
        sha256=catalogue.sha256[sample],
    )


def _relabel(
    truth: Catalogue, images: Path, corrections: Sequence[Correction], file: Path, out: Path, reporter: Reporter
) -> tuple[Catalogue, dict[str, str]]:
    """Relabel a folder into a copy, unless it exists, through the same file and the same code as a user does.

    Returns:
        The right labels by the paths in the copy, and the new path of every file that has one.

    Raises:
        RunError: ``file`` holds other decisions, or one of them is refused.
        StorageError: the copy cannot be written.
    """
    if not file.exists():
        write_corrections(file, corrections)
    review = read_review(file)
    if [replace(one, where="") for one in review.corrections] != list(corrections):
        raise RunError(
            f"{file} holds other decisions: the data or the version have changed since",
            fix=f"delete {file.parent}, or give another --out",
        )
    plan = plan_relabeling(images, review, reporter=reporter)
    if plan.refused:
        first = plan.refused[0]
        raise RunError(
            f"{len(plan.refused)} of the decisions in {file} are refused, the first: {first.path!r} {first.reason}",
            fix="give a data folder without symbolic links that nothing else changes meanwhile",
        )
    if not out.exists():
        relabel_copy(images, review, out, reporter=reporter)
    target_of = {step.path: step.target for step in plan.steps}
    return replace(truth, paths=tuple(target_of.get(path, path) for path in truth.paths)), target_of


def _page(tables: Tables) -> list[str]:
    cells = {
        (row["noise"], row["seed"], row["audit"]): {
            "wrong labels": f"{row['wrong']:,}",
            "noise rate": f"{row['noise_rate']:.4f}",
            "estimate": number(row["estimate"], 4)
            + ("" if math.isnan(row["low"]) else f" ({row['low']:.4f} to {row['high']:.4f})"),
            "suspicious": f"{row['suspicious']:,}",
            **_outcome(row),
        }
        for row in tables["rounds"]
    }
    note = (
        "*Reviewed* is everything that the audit lists as suspicious, answered with the truth; *removed* are the wrong "
        "labels among it that are right in the next audit's folder, *made wrong* right ones that are wrong there. The "
        "estimate has its interval in brackets."
    )
    return table("Rounds", note, ("noise", "seed", "audit"), cells)


def _outcome(row: Row) -> dict[str, str]:
    if not row["reviewed"]:
        return dict.fromkeys(("reviewed", "removed", "made wrong"), NOTHING)
    share = f" ({row['removed'] / row['found']:.1%})" if row["found"] else ""
    removed = f"{row['removed']:,} of {row['found']:,}{share}"
    return {"reviewed": f"{row['reviewed']:,}", "removed": removed, "made wrong": f"{row['spoilt']:,}"}
