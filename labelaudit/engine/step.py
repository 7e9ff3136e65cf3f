"""The one loss rule, and what is recorded of a batch.

Shapes: B batch, b the part of it that this process has, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch.nn import functional

from labelaudit.methods.base import Lesson


@dataclass(frozen=True, kw_only=True)
class Record:
    """What is recorded of each sample, detached; all [B]."""

    loss_B: torch.Tensor
    margin_B: torch.Tensor
    predicted_B: torch.Tensor
    alternative_B: torch.Tensor


def lesson_loss(
    logits_bC: torch.Tensor, lesson: Lesson, places: slice = slice(None), prior_B: torch.Tensor | None = None
) -> torch.Tensor:
    """Σ prior · weight · CE(logits, target) / count: the loss that is minimised.

    A batch whose weights are all zero gives 0 with zero gradient.

    Args:
        logits_bC: float32, of all samples of the batch or of some.
        lesson: Target and weights of all B samples, and what the count is.
        places: The places in the batch of the samples that there are logits of; the count is of all.
        prior_B: Weights that the samples have whatever is taught; where they are not given, all are 1.
    """
    weight_B = lesson.weight_B if prior_B is None else prior_B * lesson.weight_B
    loss_b = functional.cross_entropy(logits_bC, lesson.target[places], reduction="none")
    loss = (weight_B[places] * loss_b).sum()
    if lesson.per == "sample" and prior_B is None:
        return loss / len(weight_B)
    total = weight_B.sum() if lesson.per == "weight" else prior_B.sum()  # type: ignore[union-attr]
    return loss / torch.where(total > 0, total, torch.ones_like(total))


@torch.no_grad()
def observe(logits_BC: torch.Tensor, label_B: torch.Tensor) -> Record:
    """Plain cross-entropy against the given label, margin and predictions.

    margin = z_y − max_{j≠y} z_j (Pleiss et al. 2020, eq. 1). The alternative is the class of that maximum; the
    prediction is the given label where the margin is positive, else the alternative, so that a network which tells no
    classes apart is never counted as right.

    Args:
        logits_BC: float32.
        label_B: int64.
    """
    given_B1 = label_B[:, None]
    other_B, alternative_B = logits_BC.scatter(1, given_B1, -torch.inf).max(dim=1)
    margin_B = logits_BC.gather(1, given_B1)[:, 0] - other_B
    return Record(
        loss_B=functional.cross_entropy(logits_BC, label_B, reduction="none"),
        margin_B=margin_B,
        predicted_B=torch.where(margin_B > 0, label_B, alternative_B),
        alternative_B=alternative_B,
    )
