"""Labels that two networks refine or guess, and mixtures of pictures: the arithmetic of DivideMix.

Source: Li et al. 2020, "DivideMix: learning with noisy labels as semi-supervised learning" (ICLR), and the
authors' code.

Shapes: B batch, C classes, V views.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch

RAMP_EPOCHS = 16
"""Over so many epochs of 300 the loss on guessed labels grows to its full weight."""


def sharpen(p_BC: torch.Tensor, temperature: float) -> torch.Tensor:
    """p_c^(1/T) / Σ p^(1/T): 1 leaves p as it is, towards 0 it becomes one-hot."""
    # The largest first divided out: a small temperature takes every other number to zero.
    power_BC = (p_BC / p_BC.amax(dim=1, keepdim=True)) ** (1 / temperature)
    return power_BC / power_BC.sum(dim=1, keepdim=True)


def refine(label_B: torch.Tensor, clean_B: torch.Tensor, p_BC: torch.Tensor, temperature: float) -> torch.Tensor:
    """sharpen(w · onehot(given label) + (1 − w) · p): co-refinement.

    Args:
        label_B: Given labels.
        clean_B: w, the probability that the label is right.
        p_BC: What the network itself believes, a mean over views.
        temperature: T.
    """
    given_BC = torch.nn.functional.one_hot(label_B, p_BC.shape[1]).to(p_BC.dtype)
    w_B1 = clean_B[:, None].to(p_BC.dtype)
    return sharpen(w_B1 * given_BC + (1 - w_B1) * p_BC, temperature)


def guess(beliefs: Sequence[torch.Tensor], temperature: float) -> torch.Tensor:
    """sharpen(mean of the beliefs [B, C] of all networks and views): co-guessing. No given label enters."""
    return sharpen(torch.stack(list(beliefs)).mean(dim=0), temperature)


def mixing_share(alpha: float, generator: torch.Generator) -> float:
    """max(λ, 1 − λ) with λ ~ Beta(α, α): in [.5, 1], so that a mixture is mostly its first picture.

    Args:
        alpha: α; 0 mixes nothing.
        generator: On the CPU.
    """
    if alpha <= 0:
        return 1.0
    # torch's own draws of a beta distribution take no generator.
    seed = int(torch.randint(1 << 62, (), generator=generator))
    share = float(np.random.default_rng(seed).beta(alpha, alpha))
    return max(share, 1 - share)


def balance(logits_BC: torch.Tensor) -> torch.Tensor:
    """KL(uniform ‖ mean belief of the batch), Σ_c (1/C) log((1/C) / p̄_c): no network may name one class only."""
    mean_C = logits_BC.softmax(dim=1).mean(dim=0)
    prior = 1 / logits_BC.shape[1]
    return (prior * (prior / mean_C.clamp(min=1e-12)).log()).sum()


def guess_loss(logits_BC: torch.Tensor, target_BC: torch.Tensor) -> torch.Tensor:
    """Mean over the classes of (p − target)²: [B]. It is milder than cross-entropy where a guess is wrong."""
    return ((logits_BC.softmax(dim=1) - target_BC) ** 2).mean(dim=1)


def guess_weight(noise: float) -> float:
    """λ_u of the authors' CIFAR-10 settings by the noise rate: 0 at .2, 25 at .5 and .8, 50 at .9."""
    if noise < 0.35:
        return 0.0
    return 25.0 if noise < 0.85 else 50.0


def ramp(done_epochs: float, ramp_epochs: float) -> float:
    """Rises linearly from 0 to 1 over the epochs of the ramp."""
    return 1.0 if ramp_epochs <= 0 else min(1.0, max(0.0, done_epochs / ramp_epochs))
