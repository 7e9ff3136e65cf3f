"""The one loss rule, and what is recorded of a step and of an epoch.

Shapes: N rows of the training data, B batch, b this process's part of it, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch.nn import functional

from labelaudit.methods.base import Lesson
from labelaudit.run.losses import require_finite

_HELD_LOGITS = 1 << 18
"""So many logits are held back before they are looked at: a few large operations instead of many small ones."""


def lesson_loss(
    logits_bC: torch.Tensor, lesson: Lesson, places: slice = slice(None), sample_weight_B: torch.Tensor | None = None
) -> torch.Tensor:
    """Σ sample weight · weight · CE(logits, target) / count: the loss that is minimized.

    A batch whose weights are all zero gives 0 with zero gradient. The logits, float32, are of the batch or of the part
    of it at ``places``; lesson and sample weights are of the whole batch, and so is the count.
    """
    weight_B = lesson.weight_B if sample_weight_B is None else sample_weight_B * lesson.weight_B
    target_b, weight_b = lesson.target[places], weight_B[places]
    loss = (weight_b * functional.cross_entropy(logits_bC, target_b, reduction="none")).sum()
    if lesson.per == "sample" and sample_weight_B is None:
        return loss / len(weight_B)
    total = (weight_B if lesson.per == "weight" else sample_weight_B).sum()  # type: ignore[union-attr]
    return loss / torch.where(total > 0, total, torch.ones_like(total))


@torch.no_grad()
def observe(logits_BC: torch.Tensor, label_B: torch.Tensor) -> dict[str, torch.Tensor]:
    """Return what is recorded of each sample: ``loss``, ``margin``, ``predicted`` and ``alternative``, all [B].

    The loss is plain cross-entropy of float32 logits against the given label, int64; margin = z_y − max_{j≠y} z_j
    (Pleiss et al. 2020, eq. 1). The alternative is the class of that maximum. The prediction is the given label where
    the margin is positive, else the alternative: a network that tells no classes apart is never right.
    """
    given_B1 = label_B[:, None]
    other_B, alternative_B = logits_BC.scatter(1, given_B1, -torch.inf).max(dim=1)
    margin_B = logits_BC.gather(1, given_B1)[:, 0] - other_B
    return {
        "loss": functional.cross_entropy(logits_BC, label_B, reduction="none"),
        "margin": margin_B,
        "predicted": torch.where(margin_B > 0, label_B, alternative_B),
        "alternative": alternative_B,
    }


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """What an epoch recorded and cost. Rows that it did not take have NaN as loss and margin, −1 as classes.

    ``forwards`` counts the samples that went through each network, over all processes, ``times_N`` the steps in which
    each row was back-propagated; a sample that appears twice in a step counts once.
    """

    epoch: int
    loss_N: npt.NDArray[np.float32]
    margin_N: npt.NDArray[np.float32]
    predicted_N: npt.NDArray[np.int32]
    alternative_N: npt.NDArray[np.int32]
    forwards: int
    times_N: npt.NDArray[np.int32]


class Recorder:
    """Collects the records of one epoch on the device; never waits for the device before the epoch is over.

    ``order_M``, on the CPU, has the rows in the order in which they are put, unless that is each row once. Of a row
    that comes again, the first record counts.
    """

    def __init__(self, rows: int, device: torch.device, order_M: torch.Tensor | None = None) -> None:
        self._values_N = {name: torch.full((rows,), torch.nan, device=device) for name in ("loss", "margin")}
        for name in ("predicted", "alternative"):
            self._values_N[name] = torch.full((rows,), -1, dtype=torch.int32, device=device)
        self._held: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._held_logits = 0
        self._device = device
        self._first_M = None if order_M is None else _first_times(order_M, rows)
        self._put = 0

    def put(self, row_B: torch.Tensor, logits_BC: torch.Tensor, label_B: torch.Tensor) -> None:
        """Record a batch of these rows, int64; see `observe`. The logits are detached and may not change afterwards."""
        if self._first_M is not None:
            first_B = self._first_M[self._put : self._put + len(row_B)].nonzero()[:, 0].to(self._device)
            self._put += len(row_B)
            row_B, logits_BC, label_B = row_B[first_B], logits_BC[first_B], label_B[first_B]
        self._held.append((row_B, logits_BC, label_B))
        self._held_logits += logits_BC.numel()
        if self._held_logits >= _HELD_LOGITS:
            self._look()

    def _look(self) -> None:
        if not self._held:
            return
        row_B, logits_BC, label_B = (torch.cat(parts) for parts in zip(*self._held, strict=True))
        self._held, self._held_logits = [], 0
        for name, value_B in observe(logits_BC, label_B).items():
            self._values_N[name][row_B] = value_B.to(self._values_N[name].dtype)

    def take(self, epoch: int, forwards: int, times_N: npt.NDArray[np.int32]) -> EpochRecord:
        """Return the whole epoch, on the host; raise a TrainingError where a loss is not finite."""
        self._look()
        values_N = {f"{name}_N": value_N.cpu().numpy().copy() for name, value_N in self._values_N.items()}
        require_finite(values_N["loss_N"][values_N["predicted_N"] >= 0], epoch)
        return EpochRecord(epoch=epoch, forwards=forwards, times_N=times_N, **values_N)


def _first_times(order_M: torch.Tensor, rows: int) -> torch.Tensor:
    """True at each place whose row comes for the first time."""
    place_M = torch.arange(len(order_M))
    first_N = torch.full((rows,), len(order_M)).scatter_reduce(0, order_M, place_M, "amin")
    return first_N[order_M] == place_M
