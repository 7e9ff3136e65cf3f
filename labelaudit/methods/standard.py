"""Methods without a memory: Standard, Random, Reed-Hard, and the fixed weights of AUL and Oracle.

Sources: the rows of Table 1 in "Detecting label noise from loss curves" (the AUL paper), and

- Random: Ren et al. 2018, "Learning to reweight examples for robust deep learning", arXiv:1803.09050, section 4, where
  it is the baseline: how far any reweighting gets by chance alone. A batch whose weights are all zero teaches nothing;
  the reference code would divide by zero. Weights are drawn anew in every batch; since each sample comes once an epoch,
  that is the paper's "re-drawn every epoch".
- Reed-Hard: Reed et al. 2015, "Training deep neural networks on noisy labels with bootstrapping", arXiv:1412.6596,
  section 3. β = .8 as in both papers; the gradient does not flow through the argmax.
- AUL: section 4.2 of the AUL paper. It prints L = (1/c) Σ z_i ℓ_i with c = Σ z_i, after it has defined z_i as the
  probability that a sample is *mislabeled*; read to the letter, that trains on the wrong labels. Its abstract,
  introduction and the text around the equation all say that mislabeled samples count less, so w_i = 1 − z_i here.

Shapes: B batch, C classes, R rows of the training data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from labelaudit.errors import UsageError
from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson
from labelaudit.methods.parameters import ReedHardParameters


class Standard:
    """L = (1/B) Σ CE(logits, given label)."""

    networks = 1

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """Teach the given labels, all with weight 1."""
        return [Lesson(target=batch.label_B, weight_B=torch.ones_like(logits[0][:, 0]))]


class RandomWeights:
    """L = Σ w_i ℓ_i / Σ w_i over the batch, with w_i = max(0, n_i) and n_i ~ N(0, 1)."""

    networks = 1

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """Teach the given labels with weights drawn for this batch."""
        weight_B = draw_weights(len(batch.row_B), generator).to(batch.row_B.device)
        return [Lesson(target=batch.label_B, weight_B=weight_B, per="weight")]


class ReedHard:
    """L = (1/B) Σ [−β log p_y − (1 − β) log p_m], y the given label and m = argmax p; β = 1 is standard training."""

    networks = 1

    def __init__(self, beta: float) -> None:
        self._beta = beta

    def teach(
        self, batch: Batch, logits: Sequence[torch.Tensor], clock: Clock, generator: torch.Generator
    ) -> Sequence[Lesson]:
        """Teach a mixture of the given label and the prediction."""
        target_BC = bootstrapped(batch.label_B, logits[0], self._beta)
        return [Lesson(target=target_BC, weight_B=torch.ones_like(target_BC[:, 0]))]


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
        """Teach the given labels with their weights."""
        return [Lesson(target=batch.label_B, weight_B=self._weight_R[batch.row_B], per="weight")]


def draw_weights(count: int, generator: torch.Generator) -> torch.Tensor:
    """Return rectified standard normal weights, half of them 0 on average: float32 [B] on the CPU."""
    return torch.randn(count, generator=generator).clamp_(min=0)


def bootstrapped(label_B: torch.Tensor, logits_BC: torch.Tensor, beta: float) -> torch.Tensor:
    """Return β · onehot(given label) + (1 − β) · onehot(argmax of the logits): float32 [B, C]."""
    classes = logits_BC.shape[1]
    given_BC = functional.one_hot(label_B, classes).to(logits_BC.dtype)
    own_BC = functional.one_hot(logits_BC.argmax(dim=1), classes).to(logits_BC.dtype)
    return beta * given_BC + (1 - beta) * own_BC


def standard(ingredients: Ingredients) -> Standard:
    """Build standard training."""
    return Standard()


def random_weights(ingredients: Ingredients) -> RandomWeights:
    """Build training with random weights."""
    return RandomWeights()


def reed_hard(ingredients: Ingredients) -> ReedHard:
    """Build hard bootstrapping with the β of the settings."""
    return ReedHard(ingredients.settings(ReedHardParameters).beta)


def aul(ingredients: Ingredients) -> Weighted:
    """Build training with the weights of an audit: w = 1 − P(mislabeled).

    Raises:
        UsageError: there are no weights.
    """
    return Weighted(ingredients.audited_weights("aul"))


def oracle(ingredients: Ingredients) -> Weighted:
    """Build training with weight 1 where the given label is the true one, else 0.

    Raises:
        UsageError: the truth is not known.
    """
    if ingredients.truth_R is None:
        raise UsageError(
            "the method oracle needs the true labels", fix="give --truth FILE.csv with the columns path,label"
        )
    return Weighted((ingredients.label_R == ingredients.truth_R).float())
