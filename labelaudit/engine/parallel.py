"""Train one network in several processes, as torchrun starts them, or in several threads of one process.

Every process holds all of the network and takes its share of each batch. What depends on the whole batch (batch norm,
the loss's count, the lesson, the record) is computed over all processes: their number changes the rounding only.

Each thread takes a part of the batch forward and back. They wait for each other twice in a step; torch's own threads do
in every layer, so a core that another process takes holds all of them up (docs/benchmarks.md). Batch norm normalizes
each part by itself and keeps the running statistics of the first, so results depend on the number of parts.

Shapes: B batch of all processes, b this process's share, C channels or classes.
"""

from __future__ import annotations

import copy
import functools
import warnings
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import torch
from torch import distributed, nn
from torch.nn.parallel import DistributedDataParallel

from labelaudit.engine.devices import Device


class _SumOverProcesses(torch.autograd.Function):
    """Sum over all processes, values and gradients; torch's own all_reduce with gradients is deprecated."""

    @staticmethod
    def forward(_context: Any, value: torch.Tensor) -> torch.Tensor:
        total = value.clone()
        distributed.all_reduce(total)
        return total

    @staticmethod
    def backward(_context: Any, gradient: torch.Tensor) -> torch.Tensor:
        return _SumOverProcesses.forward(None, gradient)


def _normalize(layer: nn.BatchNorm1d | nn.BatchNorm2d, x_bC: torch.Tensor) -> torch.Tensor:
    """Normalize by the batches of all processes, on any device; torch's own needs CUDA."""
    if not layer.training:
        result: torch.Tensor = type(layer).forward(layer, x_bC)
        return result
    dims = [dim for dim in range(x_bC.dim()) if dim != 1]
    by_channel = [1, -1] + [1] * (x_bC.dim() - 2)
    x = x_bC.float()
    places = x.new_tensor(float(x[:, 0].numel()))
    distributed.all_reduce(places)
    mean_C: torch.Tensor = _SumOverProcesses.apply(x.sum(dim=dims)) / places
    centered = x - mean_C.view(by_channel)
    variance_C: torch.Tensor = _SumOverProcesses.apply(centered.square().sum(dim=dims)) / places
    if layer.running_mean is not None and layer.running_var is not None and layer.num_batches_tracked is not None:
        layer.num_batches_tracked += 1
        rate = 1.0 / float(layer.num_batches_tracked) if layer.momentum is None else layer.momentum
        with torch.no_grad():
            layer.running_mean.lerp_(mean_C, rate)
            layer.running_var.lerp_(variance_C * places / (places - 1), rate)
    y: torch.Tensor = centered * torch.rsqrt(variance_C + layer.eps).view(by_channel)
    if layer.affine:
        y = y * layer.weight.view(by_channel) + layer.bias.view(by_channel)
    y = y.to(x_bC.dtype)
    for name in ("drop", "act"):  # timm's batch norms do these too
        inner = getattr(layer, name, None)
        y = y if inner is None else inner(y)
    return y


def in_processes(network: nn.Module, device: Device) -> nn.Module:
    """Return the network as a module that shares gradients and the statistics of batch norm with other processes."""
    for layer in network.modules():
        if isinstance(layer, nn.BatchNorm1d | nn.BatchNorm2d):
            # The layers stay what they are, so the network's parameters and statistics keep their names.
            layer.forward = functools.partial(_normalize, layer)  # type: ignore[method-assign]
    with warnings.catch_warnings():
        # Older versions of torch lack the name that replaces it.
        warnings.filterwarnings("ignore", message=".*broadcast_buffers.*", category=FutureWarning)
        return DistributedDataParallel(
            network, device_ids=[str(device)] if device.type == "cuda" else None, broadcast_buffers=False
        )


_LEAST_PART = 128
"""Images in a part, at least. Parts of 32, which batch norm normalizes by themselves, cost .003 of average precision
(docs/log.md)."""


def in_threads(network: nn.Module, device: Device, batch_size: int) -> nn.Module:
    """Return the network as a module that trains it in threads, as many as torch has; itself where that does not pay.

    It does not on a GPU or without convolutions. Random numbers would be drawn in any order.
    """
    parts = min(torch.get_num_threads(), batch_size // _LEAST_PART)
    draws = any(getattr(module, "p", getattr(module, "drop_prob", 0)) for module in network.modules())
    convolves = any(isinstance(module, nn.Conv2d) for module in network.modules())
    return network if parts < 2 or device.type != "cpu" or draws or not convolves else Threaded(network, parts)


class Threaded(nn.Module):
    """The network and replicas that share its parameters, one for each part of a batch."""

    def __init__(self, network: nn.Module, parts: int) -> None:
        super().__init__()
        self.replicas = nn.ModuleList([network, *(copy.deepcopy(network) for _ in range(parts - 1))])
        for replica in self.replicas[1:]:
            for own, shared in zip(replica.parameters(), network.parameters(), strict=True):
                own.data = shared.data
        within = torch.get_num_threads() // parts  # a batch too small for all threads leaves several to each part
        self._pool = ThreadPoolExecutor(parts, initializer=torch.set_num_threads, initargs=(within,))
        self._anchor = torch.zeros((), requires_grad=True)

    def forward(self, x_BCHW: torch.Tensor) -> torch.Tensor:
        """Return the logits [B, C]; their gradient becomes that of the network's parameters."""
        logits_BC: torch.Tensor = _InParts.apply(self._anchor, self, x_BCHW)
        return logits_BC

    def each(self, work: Callable[..., Any], *values: Iterable[Any]) -> list[Any]:
        """Call a function in the threads, with the autocast of this one."""
        enabled, dtype = torch.is_autocast_enabled("cpu"), torch.get_autocast_dtype("cpu")

        def call(*given: Any) -> Any:
            with torch.autocast("cpu", dtype=dtype, enabled=enabled):
                return work(*given)

        return list(self._pool.map(call, *values))

    def gather_gradients(self) -> None:
        """Add the replicas' gradients to those of the network."""
        for replica in self.replicas[1:]:
            for total, own in zip(self.replicas[0].parameters(), replica.parameters(), strict=True):
                if own.grad is not None and total.grad is not None:
                    total.grad += own.grad
                own.grad = None


class _InParts(torch.autograd.Function):
    """Each part of a batch goes through a replica of its own, forward and back."""

    @staticmethod
    def forward(context: Any, _anchor: torch.Tensor, threaded: Threaded, x_BCHW: torch.Tensor) -> torch.Tensor:
        split = x_BCHW.chunk(max(1, min(len(threaded.replicas), len(x_BCHW) // _LEAST_PART)))
        parts = threaded.each(lambda replica, x: replica(x), threaded.replicas, split)
        context.threaded, context.parts = threaded, parts
        return torch.cat([part.detach() for part in parts])

    @staticmethod
    def backward(context: Any, *gradients: torch.Tensor) -> tuple[None, None, None]:
        parts = context.parts
        gradient = torch.split(gradients[0], [len(part) for part in parts])
        context.threaded.each(lambda part, own: part.backward(own), parts, gradient)
        context.threaded.gather_gradients()
        return None, None, None
