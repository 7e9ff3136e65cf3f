"""What candidates of a selection are scored by.

Shapes: B batch, C classes.
"""

from __future__ import annotations

import torch
from torch.nn import functional

from labelaudit.selectors.base import ScoreName


def cross_entropy(logits_BC: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
    """−log p_y, float32 [B], in nats."""
    return functional.cross_entropy(logits_BC, label_B, reduction="none")


def entropy(logits_BC: torch.Tensor) -> torch.Tensor:
    """H(p) = −Σ p log p, float32 [B], in nats: 0 for a sure prediction, log C for a uniform one. No label is looked at.

    From the logarithm of the softmax, since p log p of a p that rounds to 0 would not be a number.
    """
    log_p_BC = logits_BC.log_softmax(dim=1)
    return -(log_p_BC.exp() * log_p_BC).sum(dim=1)


def gradient_norm(logits_BC: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
    """‖p − onehot(y)‖₂, float32 [B]: bounds the gradient of the last layer (Katharopoulos & Fleuret 2018)."""
    onehot_BC = functional.one_hot(label_B, logits_BC.shape[1])
    norm_B: torch.Tensor = torch.linalg.vector_norm(logits_BC.softmax(dim=1) - onehot_BC, dim=1)
    return norm_B


@torch.no_grad()
def scores(name: ScoreName, logits_BC: torch.Tensor, label_B: torch.Tensor) -> torch.Tensor:
    """The score of this name, float32 [B].

    Args:
        name: Which.
        logits_BC: float32.
        label_B: int64 given labels.
    """
    if name == "entropy":
        return entropy(logits_BC)
    return cross_entropy(logits_BC, label_B) if name == "loss" else gradient_norm(logits_BC, label_B)
