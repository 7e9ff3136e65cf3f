"""Keeping an epoch's records on the device, at the row of their sample, until the epoch is over.

Shapes: N rows of the training data, B batch, C classes.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch

from labelaudit.engine.step import observe
from labelaudit.errors import TrainingError

_HELD_LOGITS = 1 << 18
"""So many logits are held back before they are looked at: a few large operations instead of many small ones."""


@dataclass(frozen=True, kw_only=True)
class EpochRecord:
    """Everything recorded in an epoch. Shapes: N rows of the training data, all arrays [N]."""

    epoch: int
    loss_N: npt.NDArray[np.float32]
    margin_N: npt.NDArray[np.float32]
    predicted_N: npt.NDArray[np.int32]
    alternative_N: npt.NDArray[np.int32]


class Recorder:
    """Collects the records of one epoch; never waits for the device before the epoch is over."""

    def __init__(self, rows: int, device: torch.device) -> None:
        self._loss_N = torch.full((rows,), torch.nan, device=device)
        self._margin_N = torch.full((rows,), torch.nan, device=device)
        self._predicted_N = torch.full((rows,), -1, dtype=torch.int32, device=device)
        self._alternative_N = torch.full((rows,), -1, dtype=torch.int32, device=device)
        self._held: list[tuple[torch.Tensor, torch.Tensor, torch.Tensor]] = []
        self._held_logits = 0

    def put(self, row_B: torch.Tensor, logits_BC: torch.Tensor, label_B: torch.Tensor) -> None:
        """Record a batch; see `labelaudit.engine.step.observe`.

        Args:
            row_B: int64 row of each sample.
            logits_BC: float32, detached; not to be changed afterwards.
            label_B: int64 given labels.
        """
        self._held.append((row_B, logits_BC, label_B))
        self._held_logits += logits_BC.numel()
        if self._held_logits >= _HELD_LOGITS:
            self._look()

    def _look(self) -> None:
        if not self._held:
            return
        row_B, logits_BC, label_B = (torch.cat(parts) for parts in zip(*self._held, strict=True))
        self._held, self._held_logits = [], 0
        record = observe(logits_BC, label_B)
        self._loss_N[row_B] = record.loss_B
        self._margin_N[row_B] = record.margin_B
        self._predicted_N[row_B] = record.predicted_B.to(torch.int32)
        self._alternative_N[row_B] = record.alternative_B.to(torch.int32)

    def take(self, epoch: int) -> EpochRecord:
        """The whole epoch, on the host.

        Raises:
            TrainingError: a loss is not finite: the training diverged.
        """
        self._look()
        loss_N = self._loss_N.cpu().numpy().copy()
        bad = int((~np.isfinite(loss_N)).sum())
        if bad:
            raise TrainingError(
                f"the training diverged in epoch {epoch}: {bad} of {len(loss_N)} losses are not finite",
                fix="try a lower --lr, or --precision float32",
            )
        return EpochRecord(
            epoch=epoch,
            loss_N=loss_N,
            margin_N=self._margin_N.cpu().numpy().copy(),
            predicted_N=self._predicted_N.cpu().numpy().copy(),
            alternative_N=self._alternative_N.cpu().numpy().copy(),
        )
