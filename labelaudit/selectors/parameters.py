"""The settings that selectors have of their own, readable without torch; see `labelaudit.methods.parameters`."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from labelaudit.methods.parameters import parameter


@dataclass(frozen=True, kw_only=True)
class SelectiveBackpropParameters:
    """Of `labelaudit.selectors.selective_backprop`."""

    beta: float = parameter(1.0, "back-propagates 1 / (beta + 1) of the samples: 0 all, 1 half, 2 a third", least=0)
    history: int = parameter(1024, "so many of the last scores are compared with", least=1)
    warm_up_epochs: int = parameter(1, "first epochs in which every sample is back-propagated", least=0)
    stale_epochs: int = parameter(1, "epochs in which a score is used before it is computed again", least=1)
    mid_rank: bool = parameter(False, "equal scores share the middle of their ranks instead of the lowest")
    patience: int = parameter(8, "after so many batches of which nothing is chosen, the next is taken whole", least=1)


@dataclass(frozen=True, kw_only=True)
class VarianceReductionParameters:
    """Of `labelaudit.selectors.variance_reduction`."""

    pool: int = parameter(3, "batches of candidates that a batch is drawn from: 3 for at least 33%, 2 for 50%", least=2)
    weights: Literal["none", "unbiased"] = parameter(
        "none", "none: each drawn sample counts once; unbiased: by 1 / (B g), and as often as it is drawn"
    )
    switch: Literal["step", "none"] = parameter(
        "step", "step: draw only while tau is above its threshold, checked in every step; none: always"
    )
    threshold: float | None = parameter(None, "that of tau; default: (B + 3 b) / (3 b)", least=0)
    momentum: float = parameter(0.9, "of the moving average of tau", least=0, below=1)
    smoothing: float = parameter(0.0, "added to every score", least=0)
    score: Literal["loss", "gradient"] = parameter(
        "loss", "loss: cross-entropy; gradient: the bound |p - onehot(y)| of the last layer's gradient"
    )
    warm_up_epochs: int = parameter(0, "first epochs in which every sample is back-propagated", least=0)
