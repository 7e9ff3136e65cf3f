"""Importance sampling that reduces the variance of the gradient: samples are drawn in proportion to their score.

Source: Katharopoulos & Fleuret 2018, "Not all samples are created equal", arXiv:1803.00942, Algorithm 1. Of B
candidates with scores s, b are drawn with replacement, P(i) = g_i = s_i / Σ s. Weights 1 / (B g_i) keep the mean
gradient what it is. Drawing pays while τ = √(B Σ g²), of which a moving average is kept, exceeds (B + 3b) / (3b): a
step then costs B + 3b forward passes (a backward pass counts as two) and is worth τ steps of b. Else samples are taken
as they come.

The default is the variant of "When does loss-based prioritization fail?", section 2: scores are losses, nothing is
weighted, and, as in the code that it goes back to, a sample that is drawn twice counts once; samples wait until b are
together. The paper says that drawing was mostly off, so the switch is looked at in every step.

Shapes: B candidates, b drawn ones.
"""

from __future__ import annotations

import torch

from labelaudit.selectors.base import Choice, Selector
from labelaudit.selectors.table import VarianceReductionParameters


def distribution(score_B: torch.Tensor) -> torch.Tensor:
    """Return g = s / Σ s, float64 [B], s being the finite scores (else 0); uniform where all are 0."""
    finite_B = torch.where(score_B.isfinite(), score_B.double(), 0.0)
    total = finite_B.sum()
    return finite_B / total if total > 0 else torch.full_like(finite_B, 1 / max(1, len(finite_B)))


def variance_gain(g_B: torch.Tensor) -> float:
    """Return τ = √(B Σ g²) = √(1 + CV²): 1 for a uniform distribution, √B for a single sample.

    The paper writes it (1 − Σ(g − 1/B)² / Σ g²)^(−1/2).
    """
    return float((len(g_B) * g_B.square().sum()).sqrt())


class VarianceReduction(Selector):
    """Draws with replacement in proportion to the scores while that pays."""

    memory = ("gain",)

    def __init__(self, settings: VarianceReductionParameters) -> None:
        self.score = settings.score
        self.pool = settings.pool
        self.warm_up_epochs = settings.warm_up_epochs
        self._settings = settings
        self.gain = 0.0
        pays = (settings.pool + 3) / 3  # (B + 3b) / (3b) for B = pool · b
        self._threshold = pays if settings.threshold is None else settings.threshold

    @property
    def is_on(self) -> bool:
        """True when the moving average of τ is above its threshold, or there is no switch."""
        return self._settings.switch == "none" or self.gain > self._threshold

    def choose(self, score_B: torch.Tensor, size: int, generator: torch.Generator) -> Choice:
        """Choose as `Selector` says, by ``size`` draws."""
        g_B = distribution(score_B)
        self._follow(g_B)
        index_b = torch.multinomial(g_B, min(size, len(g_B)), replacement=True, generator=generator)
        if self._settings.weights == "none":
            index_b = torch.unique(index_b)
            return Choice(index_b=index_b, weight_b=torch.ones(len(index_b)))
        return Choice(index_b=index_b, weight_b=(1 / (len(g_B) * g_B[index_b])).float())

    def observe(self, score_B: torch.Tensor) -> None:
        """Update τ on a batch that is taken as it comes."""
        self._follow(distribution(score_B))

    def _follow(self, g_B: torch.Tensor) -> None:
        momentum = self._settings.momentum
        self.gain = momentum * self.gain + (1 - momentum) * variance_gain(g_B)
