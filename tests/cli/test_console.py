"""Lines on a terminal and in a pipe; a reader that goes early, and streams that are lost or full."""

import io
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from rich.cells import cell_len

from labelaudit.cli.console import Screen, Terminal
from tests.cli.helpers import run_process

needs_full = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs Linux's /dev/full")


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Callable[[bool], io.StringIO]:
    """Makes stdout and stderr a narrow terminal, or a pipe, and gives what is written there."""

    def replace(terminal: bool) -> io.StringIO:
        stream = io.StringIO()
        monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
        for name, value in (("COLUMNS", "40"), ("TERM", "xterm")):
            monkeypatch.setenv(name, value)
        for name in ("sys.stdout", "sys.stderr"):
            monkeypatch.setattr(name, stream)
        return stream

    return replace


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (False, False), (True, True)])
def test_a_terminal_shows_that_libraries_are_loaded(shown, terminal: bool, quiet: bool) -> None:
    stream = shown(terminal)
    with Terminal(quiet=quiet).loading():
        assert ("Loading" in stream.getvalue()) == (terminal and not quiet)
    assert stream.getvalue().endswith("\x1b[2K") == (terminal and not quiet)


@pytest.mark.parametrize(("text", "lines"), [("a\n\nb", 3), ("word " * 17, 3), ("猫 " * 20, 2)])
def test_a_terminal_gets_words_and_a_pipe_gets_lines(shown, text: str, lines: int) -> None:
    stream = shown(True)
    Screen().print(text.strip())
    wrapped = stream.getvalue().splitlines()
    assert (len(wrapped), " ".join(wrapped).split()) == (lines, text.split())
    assert max(map(cell_len, wrapped)) <= 40
    stream = shown(False)
    Screen().print(text.strip())
    assert stream.getvalue() == f"{text.strip()}\n"


@pytest.mark.parametrize(
    "whole",
    [
        f"/data/{'x' * 60}/my photos of 2024/last.png",
        "here/a b/c d.png",
        "'one quoted name that is longer than a line of forty'",
        "labelaudit relabel /data/photos corrections.csv --labels 'my labels.csv'",
    ],
)
def test_no_path_and_no_command_is_broken(shown, whole: str) -> None:
    for before in ("", "cannot read ", "there are words and words before it: "):
        stream = shown(True)
        Screen().print(f"{before}{whole}; check that it is there and that you may read it")
        lines = stream.getvalue().splitlines()
        assert any(whole in line for line in lines), lines
        assert len(lines) > 1


def test_the_gate_needs_neither_a_reader_nor_streams(finished: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = run_process("report", finished, "--no-html", "--max-noise", 1, stdout=writer)
    os.close(writer)
    assert (ended.code, ended.err) == (0, "")
    assert run_process("report", finished, "--no-html", "--max-noise", 0, shell="2>&- >&- <&-").code == 1


@needs_full
def test_verdicts_do_not_need_a_stderr_and_a_stdout_without_room_is_one_line(audit: Path) -> None:
    before = (audit / "noise.json").read_bytes()
    ended = run_process("fit", audit, "--rank-by", "aum", shell="2>/dev/full")
    assert (ended.code, ended.out) == (0, "")
    assert (audit / "noise.json").read_bytes() != before
    error = run_process("methods", shell=">/dev/full").only_error
    assert error == "cannot write to the standard output (no space left on device); send it to another file or disk"
