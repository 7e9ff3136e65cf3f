"""``… | head``: a reader of stdout that goes early changes neither exit codes nor what is done."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labelaudit.relabel.corrections import write_corrections
from labelaudit.relabel.review import Correction


def run_without_reader(*arguments: object) -> tuple[int, str]:
    """Exit code and stderr of a command whose stdout is a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = subprocess.run(
            [sys.executable, "-m", "labelaudit", *map(str, arguments)],
            stdout=writer,
            stderr=subprocess.PIPE,
            text=True,
            timeout=120,
            check=False,
            env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
        )
    finally:
        os.close(writer)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("form", ["table", "json"])
@pytest.mark.parametrize(("limit", "code"), [(1, 0), (0, 1)], ids=["passes", "fails"])
def test_the_gate_keeps_its_exit_code(finished: Path, form: str, limit: int, code: int) -> None:
    asked = ("report", finished, "--no-html", "--format", form, "--max-noise", limit)
    assert run_without_reader(*asked) == (code, "")


def test_files_are_moved_all_the_same(photos: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(photos, tmp_path / "photos"))
    write_corrections(tmp_path / "corrections.csv", [Correction(path="ant/000.png", action="change", label="bee")])
    code, told = run_without_reader("relabel", data, tmp_path / "corrections.csv", "--yes")
    assert (code, told) == (0, f"Moved 1 files. To take it back: labelaudit relabel {data} --undo\n")
    assert (data / "bee" / "000-2.png").exists()


def test_a_list_that_nobody_reads_is_no_error() -> None:
    assert run_without_reader("export", "--formats") == (0, "")
