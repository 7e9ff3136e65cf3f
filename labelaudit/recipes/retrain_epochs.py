"""The epochs of a retraining: trained, measured and kept.

Shapes: R rows of the training data.
"""

from __future__ import annotations

import functools
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch

from labelaudit.engine.loop import Training, run_epochs
from labelaudit.engine.recorder import EpochRecord
from labelaudit.engine.selection import Selection
from labelaudit.methods.base import Method
from labelaudit.progress import Reporter
from labelaudit.recipes.prepare import Prepared
from labelaudit.recipes.retrain_folder import Done, timed, write_epoch
from labelaudit.run.background import BackgroundWriter
from labelaudit.run.layout import RunFolder

Mark = Callable[[Literal["prepared", "begun", "trained", "measured"]], None]
"""Told where a retraining is: pictures are decoded, the first epoch begins, an epoch is trained, its error is known."""


def unmarked(_where: str) -> None:
    """Nobody wants to know."""


@dataclass(frozen=True, kw_only=True)
class Running:
    """A retraining that is under way.

    Attributes:
        training: Networks and optimizers.
        method: What weighs the samples.
        selection: What chooses those that are back-propagated; None for all.
        prepared: The training data.
        prior_R: Weights by which those of the method are multiplied; None for none.
        validation: Held-out pictures, on which errors are measured; None for none.
        measure_every: Only after every so many epochs, and after the last.
    """

    training: Training
    method: Method
    selection: Selection | None
    prepared: Prepared
    prior_R: torch.Tensor | None
    validation: Prepared | None
    measure_every: int

    def measure(self, record: EpochRecord) -> dict[str, Any]:
        """The row of an epoch in metrics.parquet."""
        taken_R = record.predicted_N >= 0
        wrong_R = record.predicted_N != self.prepared.label_R.numpy()
        effort = record.effort
        # With stale scores there are epochs in which no sample has a loss.
        loss, error = (
            float(values_R[taken_R].mean()) if taken_R.any() else None for values_R in (record.loss_N, wrong_R)
        )
        return {
            "epoch": record.epoch,
            "train_loss": loss,
            "train_error": error,
            "validation_error": self._error_after(record.epoch),
            "forwards": None if effort is None else effort.forwards,
            "backpropagated": None if effort is None else effort.backpropagated,
        }

    def done(self, record: EpochRecord, seconds: float, metrics: list[dict[str, Any]]) -> Done:
        """What is kept of an epoch that is over."""
        return Done(
            metrics=list(metrics),
            seconds=seconds,
            sample_R=self.prepared.sample_R,
            times_R=None if self.selection is None or record.effort is None else record.effort.times_N,
            state=self.training.state(self.method, self.selection),
        )

    def error_of_all(self) -> float | None:
        """Held-out error of several networks together; None for one network, or with nothing held out."""
        if self.validation is None or self.method.networks == 1:
            return None
        return _error(self.training.predict(self.validation.inputs), self.validation)

    def _error_after(self, epoch: int) -> float | None:
        """Of the first network; None where there is nothing to measure on, or it is not the time."""
        done = epoch + 1
        if self.validation is None or (done % self.measure_every and done < self.training.settings.epochs):
            return None
        return _error(self.training.predict_each(self.validation.inputs, networks=1)[0], self.validation)


def train(
    out: RunFolder, running: Running, metrics: list[dict[str, Any]], title: str, reporter: Reporter, mark: Mark
) -> None:
    """Train the epochs that are left, and write each down while the next one is trained.

    Args:
        out: Gets metrics, picks and checkpoint.
        running: The retraining.
        metrics: Of the epochs that are finished; those of the others are added.
        title: Of the progress bar.
        reporter: Told about the progress.
        mark: Told when an epoch is trained, and when it is measured.
    """
    training, prepared = running.training, running.prepared
    left = (training.settings.epochs - training.finished_epochs) * len(prepared.inputs)
    with reporter.bar(title, left, "images") as advance, BackgroundWriter() as writer:
        epochs = run_epochs(
            training,
            prepared.inputs,
            prepared.label_R,
            running.method,
            advance,
            prior_N=running.prior_R,
            selection=running.selection,
        )
        for record, seconds in timed(epochs):
            mark("trained")
            metrics.append(running.measure(record))
            if training.world.is_main:
                writer.submit(functools.partial(write_epoch, out, running.done(record, seconds, metrics)))
            mark("measured")


def _error(p_NC: torch.Tensor, validation: Prepared) -> float:
    return float((p_NC.argmax(dim=1) != validation.label_R).double().mean())
