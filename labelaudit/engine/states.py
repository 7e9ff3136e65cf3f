"""What goes into a checkpoint."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch


def copied(state: Any) -> Any:
    """A copy of tensors, on the CPU, and of plain values, in mappings and lists: later steps do not change it."""
    if isinstance(state, torch.Tensor):
        return state.detach().to("cpu", copy=True)
    if isinstance(state, Mapping):
        return {key: copied(value) for key, value in state.items()}
    if isinstance(state, list):
        return [copied(value) for value in state]
    return state
