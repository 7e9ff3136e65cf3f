"""Where things lie that are kept across audits: embeddings and decoded pixels."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

import platformdirs

from labelaudit.errors import StorageError, UsageError

CACHE_VARIABLE = "LABELAUDIT_CACHE"
LIMIT_VARIABLE = "LABELAUDIT_CACHE_GB"


def cache_root() -> Path:
    """The folder named by LABELAUDIT_CACHE, else the user's cache folder.

    Raises:
        StorageError: the user has no home folder.
    """
    if named := os.environ.get(CACHE_VARIABLE):
        return Path(named)
    try:
        return platformdirs.user_cache_path("labelaudit")
    except RuntimeError as error:
        raise StorageError("there is no home folder for the cache") from error


def not_kept(error: OSError | StorageError) -> str:
    """The warning that an audit goes on without a cache."""
    reason = error.what if isinstance(error, StorageError) else str(error)
    return (
        f"nothing is kept for the next audit of these images: {reason}; "
        f"name a folder that may be written by {CACHE_VARIABLE}"
    )


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
