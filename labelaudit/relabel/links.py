"""One more name for a file, or a copy where the file system has no hard links from there to here."""

from __future__ import annotations

import errno
import os
import shutil
from pathlib import Path

_NO_LINKS = {errno.EXDEV, errno.EPERM, errno.EOPNOTSUPP, errno.ENOTSUP, errno.ENOSYS, errno.EMLINK}


def link_or_copy(source: Path, place: Path, half: Path) -> bool:
    """Put a file at ``place``, which is free.

    Args:
        source: A regular file.
        place: Where it is to be.
        half: Where a copy grows; it has the time of its source, and the name ``place`` only once it is whole.

    Returns:
        True for a hard link, False for a copy.

    Raises:
        OSError: neither is possible.
    """
    try:
        os.link(source, place, follow_symlinks=False)
        return True
    except OSError as error:
        if error.errno not in _NO_LINKS:
            raise
    shutil.copy2(source, half)
    half.rename(place)
    return False
