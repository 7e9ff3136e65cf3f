"""Selective Backprop: the larger a sample's score among the last ones, the likelier it is back-propagated.

Source: Jiang et al. 2019, "Accelerating deep learning by focusing on the biggest losers", arXiv:1910.00762; as used in
"When does loss-based prioritization fail?", section 2, which also scores by entropy instead of the loss (section 4).

    P(choose i) = CDF(score_i)^β,   CDF(s) = #{h in history: h < s} / |history|

The history holds the last H scores, those of the pool itself included. β = 0 chooses every sample, 1 half of them, 2 a
third. What the papers leave open is as in the first one's code: H = 1024, and a first epoch in which every sample is
back-propagated and none enters the history. Added: `patience`, since with a strict percentile equal scores would starve
the training. With stale scores, the code's choice is made among other samples than the scores'.

Shapes: B candidates, b chosen ones, H scores in the history.
"""

from __future__ import annotations

import torch

from labelaudit.selectors.base import Choice, Selector
from labelaudit.selectors.table import SelectiveBackpropParameters


def percentile(score_B: torch.Tensor, history_H: torch.Tensor) -> torch.Tensor:
    """Return the share of the history below each score, float32 [B] in [0, 1]; 0 for NaN and for an empty history."""
    if not len(history_H):
        return torch.zeros_like(score_B)
    below_B = torch.searchsorted(history_H.sort().values, score_B).float()
    return torch.where(score_B.isnan(), 0.0, below_B / len(history_H))


def chances(score_B: torch.Tensor, history_H: torch.Tensor, beta: float) -> torch.Tensor:
    """Return P(choose) of each sample: percentile^β with 0⁰ = 1; 0 where the score is NaN."""
    return torch.where(score_B.isnan(), 0.0, percentile(score_B, history_H) ** beta)


class ByLoss(Selector):
    """Chooses each sample independently, by the loss as published."""

    memory = ("history", "starved")

    def __init__(self, settings: SelectiveBackpropParameters) -> None:
        self.warm_up_epochs = settings.warm_up_epochs
        self.stale_epochs = settings.stale_epochs
        self._settings = settings
        self.history = torch.empty(0)
        self.starved = 0

    def choose(self, score_B: torch.Tensor, size: int, generator: torch.Generator) -> Choice:
        """Choose as `Selector` says; how many are chosen does not depend on ``size``."""
        settings = self._settings
        self.history = torch.cat([self.history, score_B[~score_B.isnan()]])[-settings.history :]
        chance_B = chances(score_B, self.history, settings.beta)
        chosen_B = torch.rand(len(score_B), generator=generator) < chance_B
        if chosen_B.any():
            self.starved = 0
        elif self.starved >= settings.patience:
            chosen_B, self.starved = ~score_B.isnan(), 0
        else:
            self.starved += 1
        index_b = chosen_B.nonzero()[:, 0]
        return Choice(index_b=index_b, weight_b=torch.ones(len(index_b)))


class ByEntropy(ByLoss):
    """Chooses by the entropy of the prediction instead."""

    score = "entropy"
