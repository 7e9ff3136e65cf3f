"""What a command does before its work starts."""

from __future__ import annotations

from labelaudit.errors import UsageError


def set_threads(threads: int | None) -> None:
    """Use this many processor threads for arithmetic.

    Raises:
        UsageError: fewer than one.
    """
    if threads is None:
        return
    if threads < 1:
        raise UsageError(f"--threads {threads} is too few", fix="give at least 1")
    import torch

    torch.set_num_threads(threads)
