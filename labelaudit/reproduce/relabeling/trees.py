"""Image folders with wrong labels and with corrected ones, and which of their labels are right.

Shapes: N samples.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from labelaudit.data.catalogue import Catalogue
from labelaudit.errors import RunError
from labelaudit.progress import QUIET, Reporter
from labelaudit.reproduce.detection.labels import noisy_labels
from labelaudit.reproduce.detection.settings import Planted
from labelaudit.review.corrections import Correction, read_review, write_corrections
from labelaudit.review.relabel import Corrections, plan_relabeling, relabel_copy


def planted_errors(truth: Catalogue, noise: Planted, seed: int) -> list[Correction]:
    """The changes that make right labels wrong."""
    noisy_N = noisy_labels(truth, kind=noise.kind, rate=noise.rate, seed=seed, among=noise.among)
    return [
        decision(truth, sample, label=truth.classes[noisy_N[sample]])
        for sample in np.flatnonzero(noisy_N != truth.label_N).tolist()
    ]


def decision(catalogue: Catalogue, sample: int, *, label: str) -> Correction:
    """What a reviewer says who takes ``label`` for the right one."""
    given = catalogue.classes[catalogue.label_N[sample]]
    return Correction(
        path=catalogue.paths[sample],
        action="keep" if label == given else "change",
        label="" if label == given else label,
        given_label=given,
        sha256=catalogue.sha256[sample],
    )


def corrected_copy(
    truth: Catalogue, images: Path, corrections: Iterable[Correction], file: Path, out: Path, reporter: Reporter = QUIET
) -> tuple[Catalogue, dict[str, str]]:
    """Relabel a folder into a copy, through the same file and the same code as a user does.

    Args:
        truth: The right labels of the images; its paths are those in ``images``.
        images: The folder, which stays as it is.
        corrections: The decisions.
        file: Gets them.
        out: The copy; where it is there already it is taken for what it should be.
        reporter: Told about the progress.

    Returns:
        The right labels by the paths in the copy, and the new path of every file that has one.

    Raises:
        RunError: ``file`` holds other decisions, or one of them is refused.
        StorageError: the copy cannot be written; the same call goes on.
    """
    _keep(file, corrections)
    asked = Corrections(file=file)
    plan = plan_relabeling(images, asked, reporter=reporter)
    if plan.refused:
        first = plan.refused[0]
        raise RunError(
            f"{len(plan.refused)} of the decisions in {file} are refused, the first: {first.path!r} {first.reason}",
            fix="give a data folder without symbolic links that nothing else changes meanwhile",
        )
    if not out.exists():
        relabel_copy(images, asked, out, reporter=reporter)
    target_of = {step.path: step.target for step in plan.steps}
    return replace(truth, paths=tuple(target_of.get(path, path) for path in truth.paths)), target_of


def _keep(file: Path, corrections: Iterable[Correction]) -> None:
    """Write the decisions, or find them there."""
    if not file.exists():
        write_corrections(file, corrections)
        return
    wanted = [replace(correction, where="") for correction in corrections]
    if [replace(correction, where="") for correction in read_review(file).corrections] != wanted:
        raise RunError(
            f"{file} holds other decisions: the data or the version have changed since",
            fix=f"delete {file.parent}, or give another --out",
        )
