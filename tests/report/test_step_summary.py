"""What GitHub shows below a step."""

from pathlib import Path

import pytest

from labelaudit.errors import StorageError
from labelaudit.report.markdown import MOST_BYTES, append


def test_text_goes_after_what_is_there(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    append("## Eins ✅\n", file)
    append("## Zwei\n", file)
    assert file.read_text(encoding="utf-8") == "\n## Eins ✅\n\n## Zwei\n"


def test_a_summary_that_github_would_drop_is_not_made(tmp_path: Path) -> None:
    file = tmp_path / "summary"
    file.write_bytes(b"x" * (MOST_BYTES - 5))
    with pytest.raises(StorageError, match="would be larger than 1 MiB"):
        append("12345", file)
    assert file.stat().st_size == MOST_BYTES - 5
    append("1234", file)
    assert file.stat().st_size == MOST_BYTES == 1024 * 1024


def test_a_file_that_cannot_be_written_is_named(tmp_path: Path) -> None:
    with pytest.raises(StorageError, match=r"(?i)cannot write .*: is a directory"):
        append("text", tmp_path)
    with pytest.raises(StorageError, match=r"cannot write .*summary"):
        append("text", tmp_path / "nowhere" / "summary")
