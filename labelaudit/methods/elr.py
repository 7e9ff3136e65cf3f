"""Early-learning regularization: what the network believed early keeps it from memorizing.

Source: Liu et al. 2020, "Early-learning regularization prevents memorization of noisy labels", arXiv:2007.00151,
section 4, and the authors' code.
As in the code, probabilities are clamped to [1e-4, 1 − 1e-4], no gradient flows through a clamped one, and beliefs
begin at 0.
Published for CIFAR-10 with symmetric noise: β = .7, λ = 3. With asymmetric noise: ``--preset paper -P beta=0.9
-P strength=1 --epochs 120 --schedule milestones``. For CIFAR-100 β = .9 and λ = 7.

Shapes: B batch, C classes, R rows of the training data.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch.nn import functional

from labelaudit.methods.base import Batch, Clock, Ingredients, Lesson, Logits, Method, steer
from labelaudit.methods.parameters import ElrParameters

_CLAMP = 1e-4


class Elr(Method):
    """L = (1/B) Σ [CE(z, y) + λ log(1 − ⟨p, t⟩)], with beliefs t ← β t + (1 − β) p, which p pulls itself towards."""

    memory = ("belief_RC",)

    def __init__(self, ingredients: Ingredients) -> None:
        label_R = ingredients.label_R
        self.belief_RC = torch.zeros(len(label_R), ingredients.classes, device=label_R.device)
        self._settings: ElrParameters = ingredients.parameters or ElrParameters()

    def teach(self, batch: Batch, logits: Logits, clock: Clock, generator: torch.Generator) -> Sequence[Lesson]:
        """Teach the target whose cross-entropy has the gradient of the whole loss, and update the beliefs."""
        logits_BC = logits[0]
        p_BC = logits_BC.softmax(dim=1).clamp(_CLAMP, 1 - _CLAMP)
        belief_BC = torch.lerp(p_BC / p_BC.sum(dim=1, keepdim=True), self.belief_RC[batch.row_B], self._settings.beta)
        self.belief_RC[batch.row_B] = belief_BC
        given_BC = functional.one_hot(batch.label_B, logits_BC.shape[1]).to(logits_BC.dtype)
        penalty_BC = self._settings.strength * regularizer_gradient(logits_BC, belief_BC)
        whole_BC = logits_BC.softmax(dim=1) - given_BC + penalty_BC
        return [Lesson(target=steer(logits_BC, whole_BC), weight_B=torch.ones_like(logits_BC[:, 0]))]


def regularizer_gradient(logits_BC: torch.Tensor, belief_BC: torch.Tensor) -> torch.Tensor:
    """Return the gradient of log(1 − ⟨p, t⟩) by the logits: p ∘ (g − ⟨p, g⟩), g = −t / (1 − ⟨p, t⟩), float32 [B, C].

    p is the softmax of the logits, t the belief. In ⟨p, t⟩ probabilities are clamped, and g is 0 where they were.
    """
    p_BC = logits_BC.softmax(dim=1)
    clamped_BC = p_BC.clamp(_CLAMP, 1 - _CLAMP)
    agreement_B1 = (clamped_BC * belief_BC).sum(dim=1, keepdim=True)
    by_p_BC = torch.where(p_BC == clamped_BC, -belief_BC / (1 - agreement_B1), 0.0)
    return p_BC * (by_p_BC - (p_BC * by_p_BC).sum(dim=1, keepdim=True))
