"""Batch norm over the batches of all processes, on any device; torch's own, SyncBatchNorm, needs CUDA.

Shapes: b this process's share of a batch, C channels.
"""

from __future__ import annotations

import functools
from typing import Any

import torch
from torch import distributed, nn


class _SumOverProcesses(torch.autograd.Function):
    @staticmethod
    def forward(_context: Any, value: torch.Tensor) -> torch.Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        total = gradient.clone()
        distributed.all_reduce(total)
        return total


def share_batch_norm(network: nn.Module) -> None:
    """Make every batch norm of a network see the batches of all processes, on any device; torch's own needs CUDA.

    The layers stay what they are, so the network's parameters and statistics keep their names.
    """
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            layer.forward = functools.partial(_normalise, layer)  # type: ignore[method-assign]


def _normalise(layer: nn.BatchNorm1d | nn.BatchNorm2d, x_bC: torch.Tensor) -> torch.Tensor:
    if not layer.training:
        result: torch.Tensor = type(layer).forward(layer, x_bC)
        return result
    dims = [dim for dim in range(x_bC.dim()) if dim != 1]
    by_channel = [1, -1] + [1] * (x_bC.dim() - 2)
    x = x_bC.float()
    places = x.new_tensor(float(x[:, 0].numel()))
    distributed.all_reduce(places)
    mean_C: torch.Tensor = _SumOverProcesses.apply(x.sum(dim=dims)) / places
    centred = x - mean_C.view(by_channel)
    variance_C: torch.Tensor = _SumOverProcesses.apply(centred.square().sum(dim=dims)) / places
    _follow(layer, mean_C.detach(), variance_C.detach() * places / (places - 1))
    y: torch.Tensor = centred * torch.rsqrt(variance_C + layer.eps).view(by_channel)
    if layer.affine:
        y = y * layer.weight.view(by_channel) + layer.bias.view(by_channel)
    y = y.to(x_bC.dtype)
    for name in ("drop", "act"):  # timm's batch norms do these too
        inner = getattr(layer, name, None)
        y = y if inner is None else inner(y)
    return y


@torch.no_grad()
def _follow(layer: nn.BatchNorm1d | nn.BatchNorm2d, mean_C: torch.Tensor, variance_C: torch.Tensor) -> None:
    if layer.running_mean is None or layer.running_var is None or layer.num_batches_tracked is None:
        return
    layer.num_batches_tracked += 1
    rate = 1.0 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
    layer.running_mean.lerp_(mean_C, rate)
    layer.running_var.lerp_(variance_C, rate)
