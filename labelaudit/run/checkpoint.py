"""Write and read training checkpoints and networks, in files that load without running code."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save

from labelaudit.errors import RunError
from labelaudit.run.files import require_regular, write_bytes


def write_checkpoint(path: Path, state: Mapping[str, object]) -> None:
    """Write tensors and plain values atomically."""
    content = io.BytesIO()
    torch.save(state, content)
    write_bytes(path, content.getvalue())  # a memoryview of the buffer crashes Python 3.12.1


def read_checkpoint(path: Path) -> dict[str, Any]:
    """Read a checkpoint to the CPU.

    Raises:
        RunError: the file is damaged, or holds anything but tensors and plain values.
    """
    fix = "delete it to train from the start"
    try:
        state = torch.load(require_regular(path), map_location="cpu", weights_only=True)
    except Exception as error:  # torch and pickle raise many types
        raise RunError(f"the checkpoint {path} is damaged", fix=fix) from error
    if not isinstance(state, dict):
        raise RunError(f"the checkpoint {path} is not one of labelaudit", fix=fix)
    return state


def write_network(path: Path, network: torch.nn.Module, about: dict[str, str]) -> None:
    """Write a network's parameters and buffers as safetensors, with this metadata."""
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in network.state_dict().items()}
    write_bytes(path, _with_sorted_header(save(tensors, metadata=about)))


def _with_sorted_header(content: bytes) -> bytes:
    """Return the file with sorted names in its header: safetensors writes them in random order."""
    end = 8 + int.from_bytes(content[:8], "little")
    header = json.dumps(json.loads(content[8:end]), sort_keys=True, separators=(",", ":")).encode()
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + content[end:]
