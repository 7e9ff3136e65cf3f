"""Where things lie that are kept across audits: embeddings and decoded pixels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs

from labelaudit.errors import UsageError

CACHE_VARIABLE = "LABELAUDIT_CACHE"
LIMIT_VARIABLE = "LABELAUDIT_CACHE_GB"


def cache_root() -> Path:
    """The folder named by LABELAUDIT_CACHE, else the user's cache folder."""
    named = os.environ.get(CACHE_VARIABLE)
    return Path(named) if named else platformdirs.user_cache_path("labelaudit")


def cache_limit_bytes(used: int) -> int:
    """How large the pixel cache may grow: LABELAUDIT_CACHE_GB, else half of the space that it could have at all.

    Args:
        used: Bytes that it takes now.

    Raises:
        UsageError: the variable is not a number that is at least 0.
    """
    asked = os.environ.get(LIMIT_VARIABLE)
    if asked is None:
        return (_free_bytes(cache_root()) + used) // 2
    try:
        limit = float(asked)
    except ValueError:
        limit = -1.0
    if not 0 <= limit < float("inf"):
        raise UsageError(f"{LIMIT_VARIABLE}={asked} is not a size", fix="give a number of gigabytes; 0 keeps no pixels")
    return int(limit * 1e9)


def _free_bytes(folder: Path) -> int:
    existing = next(path for path in (folder.absolute(), *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(existing).free
