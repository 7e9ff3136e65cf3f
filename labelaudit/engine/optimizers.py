"""The optimisers, and what changes in them from step to step."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import nn

from labelaudit.engine.devices import Precision
from labelaudit.engine.schedule import has_turned, rate_factor
from labelaudit.names import OptimizerName, ScheduleName


@dataclass(frozen=True, kw_only=True)
class LoopSettings:
    """How long, how fast and with which optimiser to train.

    Attributes:
        momentum: Of SGD; β₁ of Adam.
        nesterov: Of SGD.
        weight_decay: Added to the gradient, times the parameter, for both optimisers.
        milestones: See `labelaudit.engine.schedule.rate_factor`.
        optimizer: SGD with momentum, or Adam.
        beta2: Of Adam.
        late_momentum: Takes the place of ``momentum`` from where the schedule ``late-linear`` starts to fall.
    """

    epochs: int
    batch_size: int
    lr: float
    momentum: float
    nesterov: bool
    weight_decay: float
    schedule: ScheduleName
    precision: Precision
    seed: int
    milestones: tuple[tuple[float, float], ...] = ()
    optimizer: OptimizerName = "sgd"
    beta2: float = 0.999
    late_momentum: float | None = None


def build_optimizer(network: nn.Module, settings: LoopSettings) -> torch.optim.Optimizer:
    """SGD or Adam, with one group of all parameters."""
    if settings.optimizer == "adam":
        return torch.optim.Adam(
            network.parameters(),
            lr=settings.lr,
            betas=(settings.momentum, settings.beta2),
            weight_decay=settings.weight_decay,
            fused=True,
        )
    return torch.optim.SGD(
        network.parameters(),
        lr=settings.lr,
        momentum=settings.momentum,
        nesterov=settings.nesterov,
        weight_decay=settings.weight_decay,
        fused=True,
    )


def set_pace(optimizers: Sequence[torch.optim.Optimizer], settings: LoopSettings, done: float) -> None:
    """Rate and momentum of the next step.

    Args:
        optimizers: Those of all networks.
        settings: Base rate, schedule and momenta.
        done: Share of the training's steps that are done, in [0, 1).
    """
    changes: dict[str, Any] = {"lr": settings.lr * rate_factor(settings.schedule, done, settings.milestones)}
    if settings.late_momentum is not None and has_turned(settings.schedule, done):
        late = settings.late_momentum
        changes |= {"betas": (late, settings.beta2)} if settings.optimizer == "adam" else {"momentum": late}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.update(changes)


@torch.no_grad()
def step_with_decay(optimizer: torch.optim.Optimizer, weight_decay: float, factor: torch.Tensor) -> None:
    """A step whose weight decay is multiplied by a number on the device, which is not waited for.

    Args:
        optimizer: With gradients.
        weight_decay: The base.
        factor: float32 without dimensions.
    """
    for group in optimizer.param_groups:
        parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
        decay = torch._foreach_mul(parameters, factor * weight_decay)
        torch._foreach_add_([parameter.grad for parameter in parameters], decay)
        group["weight_decay"] = 0.0
    optimizer.step()
    for group in optimizer.param_groups:
        group["weight_decay"] = weight_decay
