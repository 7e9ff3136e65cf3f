"""Training with a fixed weight per sample: AUL's reweighting, and the oracle.

Source: "Detecting label noise from loss curves", section 4.2. The paper prints L = (1/c) Σ z_i ℓ_i with c = Σ z_i,
after it has defined z_i as the probability that a sample is *mislabeled*; read to the letter, that trains on the wrong
labels. Its abstract, introduction and the text around the equation all say that mislabeled samples count less, so the
weight here is w_i = 1 − z_i.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from labelaudit.errors import UsageError
from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson


class Weighted:
    """L = Σ w_i ℓ_i / Σ w_i over the batch. A batch of weights that are all zero teaches nothing.

    Args:
        weight_R: Non-negative weight of each of the R rows of the training data, on the training's device.
    """

    networks = 1

    def __init__(self, weight_R: torch.Tensor) -> None:
        self._weight_R = weight_R.float()

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """The given labels with their weights."""
        return [Lesson(target=batch.label_B, weight_B=self._weight_R[batch.row_B], per="weight")]

    def recorded(self, batch: Batch, logits: Sequence[torch.Tensor]) -> torch.Tensor:
        """Those of the one network."""
        return logits[0]


def aul(ingredients: Ingredients) -> Weighted:
    """Weights of an audit: w = 1 − P(mislabeled).

    Raises:
        UsageError: there are no weights.
    """
    if ingredients.weight_R is None:
        raise UsageError("the method aul needs sample weights", fix="give --weights RUN/weights.csv of an audit")
    return Weighted(ingredients.weight_R)


def oracle(ingredients: Ingredients) -> Weighted:
    """Weight 1 where the given label is the true one, else 0.

    Raises:
        UsageError: the truth is not known.
    """
    if ingredients.truth_R is None:
        raise UsageError(
            "the method oracle needs the true labels", fix="give --truth FILE.csv with the columns path,label"
        )
    return Weighted((ingredients.label_R == ingredients.truth_R).float())
