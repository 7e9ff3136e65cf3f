"""Methods without a memory: rows of Table 1 in "Detecting label noise from loss curves" (the AUL paper).

Shapes: B batch, C classes, R rows of the training data.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch.nn import functional

from labelaudit.errors import UsageError
from labelaudit.methods import base
from labelaudit.methods.base import Batch, Clock, EpochPlan, Ingredients, Lesson, Logits, Look, Method
from labelaudit.methods.parameters import AulParameters, ReedHardParameters, lacking


class Memoryless(Method):
    """A method of one network whose lesson follows from the batch, its logits [B, C] and a generator alone."""

    def __init__(self, lesson: Callable[[Batch, torch.Tensor, torch.Generator], Lesson]) -> None:
        self._lesson = lesson

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach the network's lesson."""
        return [self._lesson(batch, logits[0], generator)]


class Standard(Method):
    """L = (1/B) Σ CE(logits, given label), as `Method` teaches."""

    def __init__(self, ingredients: Ingredients | None = None) -> None:
        """It needs no ingredients."""


def evenly(target: torch.Tensor, logits_BC: torch.Tensor) -> Lesson:
    """Teach this target, all samples with weight 1."""
    return Lesson(target=target, weight_B=torch.ones_like(logits_BC[:, 0]))


def weighted(weight_R: torch.Tensor) -> Memoryless:
    """Build L = Σ w_i ℓ_i / Σ w_i over the batch. A batch of weights that are all zero teaches nothing."""
    weight_R = weight_R.float()
    return Memoryless(lambda batch, _, __: Lesson(target=batch.label_B, weight_B=weight_R[batch.row_B], per="weight"))


def random_weights(ingredients: Ingredients) -> Memoryless:
    """Build L = Σ w_i ℓ_i / Σ w_i over the batch, with w_i = max(0, n_i) and n_i ~ N(0, 1).

    Source: Ren et al. 2018, "Learning to reweight examples for robust deep learning", arXiv:1803.09050, section 4,
    where it is the baseline. Deviation: a batch of zero weights teaches nothing, where the code divides by zero.
    """

    def lesson(batch: Batch, logits_BC: torch.Tensor, generator: torch.Generator) -> Lesson:
        weight_B = torch.randn(len(batch.row_B), generator=generator).clamp_(min=0)
        return Lesson(target=batch.label_B, weight_B=weight_B.to(batch.row_B.device), per="weight")

    return Memoryless(lesson)


def reed_hard(ingredients: Ingredients) -> Memoryless:
    """Build L = (1/B) Σ [−β log p_y − (1 − β) log p_m], y the given label, m = argmax p.

    Source: Reed et al. 2015, "Training deep neural networks on noisy labels with bootstrapping", arXiv:1412.6596,
    section 3. β = .8 as in both papers; the gradient does not flow through the argmax.
    """
    beta = (ingredients.parameters or ReedHardParameters()).beta
    return Memoryless(lambda batch, logits_BC, _: evenly(bootstrapped(batch.label_B, logits_BC, beta), logits_BC))


def bootstrapped(label_B: torch.Tensor, logits_BC: torch.Tensor, beta: float) -> torch.Tensor:
    """Return β · onehot(given label) + (1 − β) · onehot(argmax of the logits): float32 [B, C]."""
    classes = logits_BC.shape[1]
    given_BC = functional.one_hot(label_B, classes).to(logits_BC.dtype)
    own_BC = functional.one_hot(logits_BC.argmax(dim=1), classes).to(logits_BC.dtype)
    return beta * given_BC + (1 - beta) * own_BC


def aul(ingredients: Ingredients) -> Memoryless:
    """Build training with the weights of an audit, w = 1 − P(mislabeled), without the labels that are likelier wrong.

    Source: section 4.2 of the AUL paper. It prints L = (1/c) Σ z_i ℓ_i with c = Σ z_i and z_i the probability that a
    sample is *mislabeled*, but says everywhere that mislabeled samples count less, so w_i = 1 − z_i here.
    Added: the cut. A network that can memorize learns a wrong label of any weight above 0; the paper's posteriors are
    near 0 or 1. Raises UsageError where there are no weights, or none of them reaches the cut.
    """
    weight_R, cut = ingredients.audited_weights("aul"), (ingredients.parameters or AulParameters()).cut
    if not (weight_R >= cut).any():
        raise UsageError(f"no label has a weight of {cut:g}", fix="give -P cut=0")
    return weighted(torch.where(weight_R >= cut, weight_R, 0.0))


class Oracle(Standard):
    """Standard training on the samples whose given label is the true one.

    The others are left out of the training set, as in the AUM code of the AUL paper's authors.
    Raises UsageError where the truth is not known, or fewer than two given labels are true.
    """

    def __init__(self, ingredients: Ingredients) -> None:
        super().__init__()
        if ingredients.truth_R is None:
            raise lacking("oracle", "truth")
        self._right = (ingredients.label_R == ingredients.truth_R).nonzero()[:, 0].cpu()
        self._batch_size = ingredients.batch_size
        if len(self._right) < 2:
            what = f"only {len(self._right)} of {len(ingredients.label_R)} given labels are the true ones"
            raise UsageError(what, fix="give the true labels of this data by --truth")

    def plan_epoch(self, look: Look, clock: Clock, generator: torch.Generator) -> EpochPlan:
        """Plan batches of right samples only."""
        batches = torch.split(base.shuffled(self._right, generator), self._batch_size)
        return EpochPlan(batches=base.without_single(list(batches)))
