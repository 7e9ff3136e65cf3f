"""Seeds and draws: by (seed, purpose, epoch), and the same with torch and without.

Shapes: N places.
"""

from __future__ import annotations

import hashlib

import numpy as np

from labelaudit.detect import Float32Array, NumberArray
from labelaudit.engine.lazy import torch


def derive_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return a 63-bit seed that depends on all three arguments."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Return a CPU generator seeded from (seed, purpose, epoch)."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, epoch))


def split_places(count: int, batch_size: int) -> list[slice]:
    """Cut an epoch into batches; a single left-over row joins the last batch, since batch norm cannot take it alone."""
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]


class Draws:
    """What a generator of torch draws on the processor for this seed, without torch."""

    def __init__(self, seed: int) -> None:
        # torch seeds its Mersenne Twister by the lowest 32 bits, as the first one was, and as numpy's legacy one is.
        self._bits = np.random.MT19937()
        self._bits._legacy_seeding(seed & 0xFFFFFFFF)

    def permutation(self, count: int) -> NumberArray:
        """Return the numbers below ``count``, shuffled: each place changes with itself or a later one."""
        order = list(range(count))
        later_N = self._bits.random_raw(max(count - 1, 0)) % np.arange(count, 1, -1, dtype=np.uint64)
        for place, later in enumerate(later_N.tolist()):
            order[place], order[place + later] = order[place + later], order[place]
        return np.array(order, dtype=np.int64)

    def uniform(self, bound: float, *shape: int) -> Float32Array:
        """Return float32 numbers in [−bound, bound), of 24 random bits each."""
        share = (self._bits.random_raw(shape) & 0xFFFFFF).astype(np.float32) * np.float32(2.0**-24)
        low, high = np.float32(-bound), np.float32(bound)
        drawn: Float32Array = share * (high - low) + low
        return drawn
