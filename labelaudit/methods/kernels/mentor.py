"""The weights of MentorNet-PD as a rule in closed form, and what surrounds them in its training.

Source: Jiang et al. 2018, "MentorNet: learning data-driven curriculum for very deep neural networks on corrupted
labels" (ICML), and the authors' code. The rule is the target v* on which their network is trained; that network is in
`labelaudit.methods.kernels.mentor_network`.

Shapes: B batch.
"""

from __future__ import annotations

import torch

PERCENTS = 100
"""The rule's clock: the training is cut into so many parts."""

_EASY_UNTIL, _PACED_UNTIL = 18, 90
"""All samples count up to the first; from the second on, hard ones count a little."""


def predefined_weights(difference_B: torch.Tensor, percent: int, gamma: float = 1.0) -> torch.Tensor:
    """v*: 1 up to percent 18, then 1[d ≤ 0] (self-paced), and from 90 on clip(1 − d/γ, 0, 1).

    Args:
        difference_B: d = loss − moving percentile of the losses.
        percent: How much of the training is done, 0 to 99.
        gamma: γ > 0.

    Returns:
        float32 [B] in [0, 1].
    """
    if percent <= _EASY_UNTIL:
        return torch.ones_like(difference_B, dtype=torch.float32)
    if percent < _PACED_UNTIL:
        return (difference_B <= 0).float()
    return (1 - difference_B / gamma).clamp(0, 1).float()


def percent_done(done: float) -> int:
    """The rule's clock for a share of the training, in [0, 1]."""
    return min(PERCENTS - 1, int(PERCENTS * done))


def percentile(loss_B: torch.Tensor, share: float) -> torch.Tensor:
    """The loss that a ``share`` of the batch does not exceed, without interpolation: a scalar on the same device."""
    place = round(share * (len(loss_B) - 1))
    return loss_B.sort().values[place]


def moved(average: torch.Tensor, found: torch.Tensor, decay: float) -> torch.Tensor:
    """Moving average: m ← decay · m + (1 − decay) · found."""
    return decay * average + (1 - decay) * found


def drop_examples(weight_B: torch.Tensor, rate: float, generator: torch.Generator) -> torch.Tensor:
    """Keep int(B · (1 − rate)) samples of the batch, drawn uniformly, and give the others the weight 0.

    Args:
        weight_B: Weights.
        rate: In [0, 1).
        generator: On the CPU.
    """
    count = len(weight_B)
    kept = torch.zeros(count)
    # A little above the product: .9 · 10 must not become 8.
    kept[torch.randperm(count, generator=generator)[: int(count * (1 - rate) + 1e-9)]] = 1.0
    return weight_B * kept.to(weight_B.device)
