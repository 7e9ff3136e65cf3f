"""A closed stdout (``… | head``) or a lost stderr changes neither exit codes nor what is done."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from labelaudit.review.corrections import Correction, write_corrections
from tests.cli.helpers import QUICK, file_bytes

needs_full = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs Linux's /dev/full")
gates = pytest.mark.parametrize(("limit", "code"), [(1, 0), (0, 1)], ids=["passes", "fails"])


def run_redirected(
    redirection: str, *arguments: object, stdout: int = subprocess.PIPE
) -> "subprocess.CompletedProcess[str]":
    """Run a command behind a redirection of the shell; what is left of its streams is captured."""
    return subprocess.run(
        ["bash", "-c", f'exec "$@" {redirection}', "bash", sys.executable, "-m", "labelaudit", *map(str, arguments)],
        stdout=stdout,
        stderr=subprocess.PIPE,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "COLUMNS": "200", "NO_COLOR": "1", "OMP_NUM_THREADS": "1"},
    )


def run_without_reader(*arguments: object) -> tuple[int, str]:
    """Return exit code and stderr of a command whose stdout is a pipe that nobody reads any more."""
    reader, writer = os.pipe()
    os.close(reader)
    try:
        ended = run_redirected("", *arguments, stdout=writer)
    finally:
        os.close(writer)
    return ended.returncode, ended.stderr


@pytest.mark.parametrize("form", ["table", "json"])
@gates
def test_the_gate_keeps_its_exit_code(finished: Path, form: str, limit: int, code: int) -> None:
    asked = ("report", finished, "--no-html", "--format", form, "--max-noise", limit)
    assert run_without_reader(*asked) == (code, "")


def test_work_is_done_all_the_same(photos: Path, tmp_path: Path) -> None:
    data = Path(shutil.copytree(photos, tmp_path / "photos"))
    write_corrections(tmp_path / "corrections.csv", [Correction(path="ant/000.png", action="change", label="bee")])
    code, told = run_without_reader("relabel", data, tmp_path / "corrections.csv", "--yes")
    assert (code, told) == (0, f"Moved 1 files. To undo: labelaudit relabel {data} --undo\n")
    assert (data / "bee" / "000-2.png").exists()
    assert run_without_reader("export", "--formats") == (0, "")


@pytest.mark.parametrize("lost", ["2> >(true)", "2>/dev/full", "2>&-"], ids=["no reader", "full", "closed"])
@needs_full
def test_an_audit_does_not_need_its_stderr(photos: Path, finished: Path, lost: str) -> None:
    ended = run_redirected(lost, "score", photos, "--run", "audit", "-o", "-", "--top", 1, *QUICK)
    assert (ended.returncode, len(ended.stdout.splitlines())) == (0, 2)
    assert file_bytes(Path("audit/losses")) == file_bytes(finished / "losses")


@pytest.mark.parametrize("lost", ["2>/dev/full", "2>&- >&- <&-"], ids=["full", "all closed"])
@gates
@needs_full
def test_the_gate_does_not_need_its_stderr(finished: Path, lost: str, limit: int, code: int) -> None:
    assert run_redirected(lost, "report", finished, "--no-html", "--max-noise", limit).returncode == code


@pytest.mark.parametrize("command", [("report", "RUN", "--no-html"), ("methods",), ("--help",)], ids=lambda c: c[0])
@needs_full
def test_a_stdout_without_room_is_one_line(finished: Path, command: tuple[str, ...]) -> None:
    ended = run_redirected(">/dev/full", *(finished if word == "RUN" else word for word in command))
    assert ended.returncode == 2
    assert ended.stderr == (
        "Error: cannot write to the standard output (no space left on device); send it to another file or disk\n"
    )
