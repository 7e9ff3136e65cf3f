"""The optimizers, and what changes in them from step to step."""

from __future__ import annotations

import inspect
import math
from collections.abc import Sequence
from typing import Any

from labelaudit.engine.lazy import torch
from labelaudit.hyperparameters import Hyperparameters
from labelaudit.names import ScheduleName

_LATE = 0.4
"""Where ``late-linear`` starts to fall: epoch 80 of 200, Co-Teaching's for CIFAR-10."""

_STEP = ((0.5, 0.1), (0.75, 0.1**2))

_RESTARTS, _RESTART_STEPS, _RESTART_LEAST = 15, 10, 0.05
"""``cosine-restarts``: 15 cycles of 10 epochs, from .02 towards .001: those of ELR's code, for symmetric noise."""


def rate_factor(name: ScheduleName, done: float, milestones: Sequence[tuple[float, float]] = ()) -> float:
    """Return the factor on the base learning rate where this share of the steps, in [0, 1), is done.

    ``constant`` 1 (the AUL paper's probe); ``step`` ×0.1 at 1/2 and again at 3/4 (He et al. 2016); ``linear`` 1 → 0;
    ``cosine`` half a cosine 1 → 0; ``cosine-restarts`` 15 times half a cosine 1 → .05 in ten steps, the last of which
    is .07; ``one-cycle`` 0.1 → 1 over the first fifth, then linearly to 0; ``late-linear`` 1 up to .4, then linearly to
    0; ``milestones`` 1, then the factor of each (share done, factor) from there on.
    """
    match name:
        case "linear":
            return 1.0 - done
        case "cosine":
            return 0.5 * (1.0 + math.cos(math.pi * done))
        case "cosine-restarts":
            step = math.floor(_RESTARTS * _RESTART_STEPS * done + 1e-9) % _RESTART_STEPS
            return _RESTART_LEAST + (1 - _RESTART_LEAST) * 0.5 * (1.0 + math.cos(math.pi * step / _RESTART_STEPS))
        case "one-cycle":
            return 0.1 + 4.5 * done if done < 0.2 else 1.25 * (1.0 - done)
        case "late-linear":
            return min(1.0, (1.0 - done) / (1.0 - _LATE))
    if name == "step":
        milestones = _STEP
    return next((factor for start, factor in reversed(milestones) if done >= start), 1.0)


def _uncompiled(kind: type[torch.optim.Optimizer]) -> Any:
    """Return an optimizer whose methods do not import torch's compiler, which takes more than a second."""
    names = ("add_param_group", "zero_grad", "state_dict", "load_state_dict", "step")
    methods = {name: torch.no_grad()(inspect.unwrap(getattr(kind, name))) for name in names}
    return type(kind.__name__, (kind,), methods)


def build_optimizer(network: torch.nn.Module, settings: Hyperparameters) -> torch.optim.Optimizer:
    """Build SGD or Adam, with one group of all parameters."""
    common: Any = {"lr": settings.lr, "weight_decay": settings.weight_decay, "fused": True}
    optimizer: torch.optim.Optimizer
    if settings.optimizer == "adam":
        common |= {"betas": (settings.momentum, settings.beta2)}
        optimizer = _uncompiled(torch.optim.Adam)(network.parameters(), **common)
    else:
        common |= {"momentum": settings.momentum, "nesterov": settings.nesterov}
        optimizer = _uncompiled(torch.optim.SGD)(network.parameters(), **common)
    return optimizer


def rate(settings: Hyperparameters, done: float, steps: int) -> float:
    """Return the learning rate of the next step, when so many ``steps``, this share of the training's, are done."""
    return settings.lr * rate_factor(settings.schedule, done, settings.milestones) / (1.0 + settings.step_decay * steps)


def set_pace(
    optimizers: Sequence[torch.optim.Optimizer], settings: Hyperparameters, done: float, steps: int = 0
) -> None:
    """Set rate and momentum of the next step; see `rate`."""
    changes: Any = {"lr": rate(settings, done, steps)}
    late = settings.late_momentum
    if late is not None and settings.schedule == "late-linear" and done >= _LATE:
        changes |= {"betas": (late, settings.beta2)} if settings.optimizer == "adam" else {"momentum": late}
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group.update(changes)


def step_with_decay(optimizer: torch.optim.Optimizer, weight_decay: float, factor: torch.Tensor) -> None:
    """Take a step whose weight decay is multiplied by a number on the device, which is not waited for."""
    with torch.no_grad():
        for group in optimizer.param_groups:
            parameters = [parameter for parameter in group["params"] if parameter.grad is not None]
            decay = torch._foreach_mul(parameters, factor * weight_decay)
            torch._foreach_add_([parameter.grad for parameter in parameters], decay)
            group["weight_decay"] = 0.0
        optimizer.step()
        for group in optimizer.param_groups:
            group["weight_decay"] = weight_decay
