"""Random generators, each for one purpose: a draw added in one place changes no draw elsewhere."""

from __future__ import annotations

import hashlib

import torch


def derive_seed(seed: int, purpose: str, epoch: int = 0) -> int:
    """A 63-bit seed that depends on all three arguments."""
    digest = hashlib.sha256(f"{seed}/{purpose}/{epoch}".encode()).digest()
    return int.from_bytes(digest[:8], "little") >> 1


def make_generator(seed: int, purpose: str, epoch: int = 0) -> torch.Generator:
    """A CPU generator seeded from (seed, purpose, epoch)."""
    return torch.Generator().manual_seed(derive_seed(seed, purpose, epoch))
