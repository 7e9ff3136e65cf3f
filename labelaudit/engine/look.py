"""Looking at networks between two steps of a training, without changing anything in them.

Shapes: M rows that are looked at, m this process's share of some of them, C classes, D features.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import nn

from labelaudit.engine.inputs import Inputs
from labelaudit.engine.parallel import World

Forward = Callable[[nn.Module, torch.Tensor], torch.Tensor]

_CHUNK = 512


class NetworkLook:
    """What `labelaudit.methods.base.Look` promises.

    Args:
        networks: In training mode, to which they go back.
        inputs: R rows.
        forward: Logits of a batch, in the training's precision.
        world: Each process computes its share and gets the whole.
    """

    def __init__(self, networks: Sequence[nn.Module], inputs: Inputs, forward: Forward, world: World) -> None:
        self.rows = len(inputs)
        self._networks = networks
        self._inputs = inputs
        self._forward = forward
        self._world = world

    def logits(self, row_M: torch.Tensor, *, network: int = 0) -> torch.Tensor:
        """See `labelaudit.methods.base.Look`."""
        return self._see(row_M, self._networks[network], self._forward)

    def features(self, row_M: torch.Tensor, *, network: int = 0) -> torch.Tensor:
        """See `labelaudit.methods.base.Look`."""
        return self._see(row_M, self._networks[network], lambda seen, x: _features(seen, x, self._forward))

    def _see(self, row_M: torch.Tensor, network: nn.Module, what: Forward) -> torch.Tensor:
        parts = []
        with evaluating([network]):
            for row in torch.split(row_M, _CHUNK * self._world.size):
                part_m = row[self._world.share(len(row))]
                parts.append(self._world.gather(what(network, self._inputs.batch(part_m, None)), len(row)))
        return torch.cat(parts)


@contextlib.contextmanager
def evaluating(networks: Sequence[nn.Module]) -> Iterator[None]:
    """In evaluation mode and without gradients; afterwards in the mode of before."""
    training = [network.training for network in networks]
    for network in networks:
        network.eval()
    try:
        with torch.no_grad():
            yield
    finally:
        for network, mode in zip(networks, training, strict=True):
            network.train(mode)


def _features(network: nn.Module, x_m: torch.Tensor, forward: Forward) -> torch.Tensor:
    """What the last linear layer is given; of a timm model, what it calls pre-logits."""
    head, body = getattr(network, "forward_head", None), getattr(network, "forward_features", None)
    if head is not None and body is not None:
        pre_logits = _PreLogits(network)
        return forward(pre_logits, x_m).flatten(1)
    seen: list[torch.Tensor] = []
    last = [module for module in network.modules() if isinstance(module, nn.Linear)][-1]
    handle = last.register_forward_pre_hook(lambda _module, given: seen.append(given[0]))
    try:
        forward(network, x_m)
    finally:
        handle.remove()
    return seen[0].float().flatten(1)


class _PreLogits(nn.Module):
    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        body: torch.Tensor = self.network.forward_features(x)  # type: ignore[operator]
        features: torch.Tensor = self.network.forward_head(body, pre_logits=True)  # type: ignore[operator]
        return features
