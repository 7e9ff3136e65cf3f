"""Seeds and generators by (seed, purpose, epoch), with torch and without."""

from __future__ import annotations

import hashlib

import numpy as np

from labelaudit.engine.lazy import torch


def derive_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """Return a 63-bit seed that depends on all three arguments."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_draws(seed: int, purpose: str, epoch: int = 0) -> np.random.Generator:
    """Return a generator of numpy seeded from (seed, purpose, epoch)."""
    return np.random.default_rng(derive_seed(seed, purpose, epoch))


def make_generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """Return a CPU generator seeded from (seed, purpose, epoch)."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, epoch))


def split_places(count: int, batch_size: int) -> list[slice]:
    """Cut an epoch into batches; a single left-over row joins the last batch, since batch norm cannot take it alone."""
    starts = list(range(0, count, batch_size))
    if len(starts) > 1 and count - starts[-1] == 1:
        starts.pop()
    return [slice(start, stop) for start, stop in zip(starts, [*starts[1:], count], strict=True)]
