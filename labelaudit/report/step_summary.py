"""The Markdown that GitHub shows below a step of a workflow."""

from __future__ import annotations

from pathlib import Path

from labelaudit.errors import StorageError
from labelaudit.run.files import storage_errors

VARIABLE = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file."""

MOST_BYTES = 1 << 20
"""GitHub drops the whole summary of a step above this."""


def append(text: str, path: Path) -> None:
    """Add Markdown to a step's summary, after what is in it.

    Raises:
        StorageError: it would be too large with this text, or cannot be written.
    """
    added = b"\n" + text.encode()
    with storage_errors(path):
        size = path.stat().st_size if path.exists() else 0
        if size + len(added) > MOST_BYTES:
            raise StorageError(f"{path} would grow above 1 MiB", fix="take --write markdown=PATH for a file of its own")
        with open(path, "ab") as handle:
            handle.write(added)
