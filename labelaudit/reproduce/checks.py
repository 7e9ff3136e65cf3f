"""What every measurement refuses before it looks at a picture."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labelaudit.errors import UsageError


def require_outside(out: Path, data: Path) -> None:
    """Refuse to write into the data.

    Raises:
        UsageError: ``out`` lies in the data folder.
    """
    if out.resolve().is_relative_to(data.resolve()):
        raise UsageError(f"--out {out} lies in the data folder", fix="give a folder elsewhere")


def require_once(option: str, values: Sequence[object]) -> None:
    """Refuse a value that is given twice.

    Raises:
        UsageError: naming it.
    """
    twice = [value for value in values if list(values).count(value) > 1]
    if twice:
        raise UsageError(f"--{option} {twice[0]} is given twice", fix="give it once")


def require_seeds(seeds: Sequence[int]) -> None:
    """Refuse seeds that are no seeds.

    Raises:
        UsageError: one is given twice, or is negative.
    """
    require_once("seed", seeds)
    if any(seed < 0 for seed in seeds):
        raise UsageError(f"--seed {min(seeds)} is negative", fix="give 0 or more")
