"""cleanlab's way to find wrong labels: probabilities from networks that were trained without the sample.

Shapes: R rows that take part, K classes, P rows of a part, B batch.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch
from sklearn.metrics import average_precision_score, roc_auc_score
from sklearn.model_selection import StratifiedKFold

from labelaudit.engine.inputs import Inputs, Views
from labelaudit.engine.loop import Training, run_epochs
from labelaudit.errors import DataError
from labelaudit.methods.standard import Standard
from labelaudit.reproduce.speed.extras import require
from labelaudit.reproduce.speed.ours import recording_off
from labelaudit.reproduce.speed.problem import Problem

FOLDS = 5
RANKINGS = ("self_confidence", "normalized_margin")


@dataclass(frozen=True, kw_only=True)
class Ranked:
    """How well a ranking finds planted errors."""

    ranking: str
    average_precision: float
    auroc: float


def rank(problem: Problem, epochs: int, wrong_R: npt.NDArray[np.bool_]) -> list[Ranked]:
    """Cross-validate and rank by cleanlab's label quality, in each of its ways; the best one first.

    Args:
        problem: Rows with some wrong labels.
        epochs: Of each fold's training.
        wrong_R: Which they are.

    Raises:
        UsageError: ``cleanlab`` is not installed.
    """
    (cleanlab,) = require("cleanlab.rank")
    p_RK = out_of_fold_probabilities(problem, epochs)
    found = []
    for ranking in RANKINGS:
        suspicion_R = -cleanlab.get_label_quality_scores(problem.label_R.numpy(), p_RK, method=ranking)
        found.append(
            Ranked(
                ranking=ranking,
                average_precision=float(average_precision_score(wrong_R, suspicion_R)),
                auroc=float(roc_auc_score(wrong_R, suspicion_R)),
            )
        )
    return sorted(found, key=lambda ranked: -ranked.average_precision)


class Part:
    """Some rows of inputs, as inputs.

    Args:
        inputs: All rows.
        row_P: int64 numbers of those that are in the part.
    """

    def __init__(self, inputs: Inputs, row_P: torch.Tensor) -> None:
        self._inputs, self._row_P = inputs, row_P

    def __len__(self) -> int:
        return len(self._row_P)

    def draw_views(self, generator: torch.Generator, count: int | None = None) -> Views | None:
        """More than are needed: those of all rows."""
        return self._inputs.draw_views(generator)

    def announce(self, index_B: torch.Tensor) -> None:
        """Pass it on."""
        self._inputs.announce(self._row_P[index_B])

    def batch(self, index_B: torch.Tensor, views: Views | None) -> torch.Tensor:
        """The part's rows with these numbers."""
        return self._inputs.batch(self._row_P[index_B], views)


def out_of_fold_probabilities(problem: Problem, epochs: int) -> npt.NDArray[np.float32]:
    """Five networks, each trained on four fifths for so many epochs and asked about the rest.

    labelaudit's own loop trains them, without recording, with the problem's settings; the schedule ends with the last
    epoch.

    Returns:
        float32 [R, K].

    Raises:
        DataError: a class has too few samples for five folds.
    """
    settings = replace(problem.settings, epochs=epochs)
    label_R = problem.label_R
    if int(label_R.bincount().min()) < FOLDS:
        raise DataError(f"a class has fewer than {FOLDS} samples", fix="cross-validation needs one for each fold")
    folds = StratifiedKFold(FOLDS, shuffle=True, random_state=problem.settings.seed)
    p_RK: npt.NDArray[np.float32] | None = None
    for taught_P, asked_P in folds.split(np.zeros(len(label_R)), label_R.numpy()):
        row_P = torch.from_numpy(taught_P)
        training = Training([problem.build()], settings, problem.device)
        with recording_off():
            for _ in run_epochs(training, Part(problem.inputs, row_P), label_R[row_P], Standard(), lambda _: None):
                pass
        p_PK = training.predict(Part(problem.inputs, torch.from_numpy(asked_P))).numpy()
        if p_RK is None:
            p_RK = np.empty((len(label_R), p_PK.shape[1]), dtype=np.float32)
        p_RK[asked_P] = p_PK
    if p_RK is None:
        raise ValueError("no folds")
    return p_RK
