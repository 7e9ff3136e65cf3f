"""Lines on a terminal and in a pipe; a reader that goes early, and streams that are lost or full."""

import io
import os
from pathlib import Path

import pytest

from labelaudit.cli.console import Screen, Terminal
from tests.cli.helpers import run_process

LONG = "/data/" + "x" * 60 + "/my photos of 2024/last.png"
needs_full = pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs Linux's /dev/full")


def lines(monkeypatch: pytest.MonkeyPatch, text: str, *, terminal: bool = True) -> list[str]:
    monkeypatch.setenv("COLUMNS", "40")
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("sys.stdout", stream)
    Screen().print(text)
    return stream.getvalue().splitlines()


def test_a_terminal_gets_words_and_a_pipe_gets_lines(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "One sentence that has a number of words, more than fit into a line of forty columns."
    wrapped = lines(monkeypatch, text)
    assert " ".join(wrapped) == text
    assert len(wrapped) == 3
    assert max(map(len, wrapped)) <= 40
    assert lines(monkeypatch, text, terminal=False) == [text]
    # Wide characters count twice, and line ends stay.
    assert lines(monkeypatch, "猫 " * 20) == [("猫 " * 13).strip(), ("猫 " * 7).strip()]
    assert lines(monkeypatch, "a\n\nb") == ["a", "", "b"]


@pytest.mark.parametrize(("terminal", "quiet"), [(True, False), (False, False), (True, True)])
def test_a_terminal_shows_that_libraries_are_loaded(
    monkeypatch: pytest.MonkeyPatch, terminal: bool, quiet: bool
) -> None:
    stream = io.StringIO()
    monkeypatch.setattr(stream, "isatty", lambda: terminal, raising=False)
    monkeypatch.setattr("sys.stderr", stream)
    monkeypatch.setenv("TERM", "xterm")
    with Terminal(quiet=quiet).loading():
        shown = stream.getvalue()
    assert ("Loading" in shown) == (terminal and not quiet)
    assert stream.getvalue().endswith("\x1b[2K") == (terminal and not quiet)


@pytest.mark.parametrize(
    "whole",
    [
        LONG,
        "here/a b/c d.png",
        "'one quoted name that is longer than a line of forty'",
        "labelaudit relabel /data/photos corrections.csv --labels 'my labels.csv'",
    ],
)
def test_no_path_and_no_command_is_broken(monkeypatch: pytest.MonkeyPatch, whole: str) -> None:
    for before in ("", "cannot read ", "there are words and words before it: "):
        shown = lines(monkeypatch, f"{before}{whole}; check that it is there and that you may read it")
        assert any(whole in line for line in shown), shown
        assert len(shown) > 1


def test_the_gate_needs_neither_a_reader_nor_streams(finished: Path) -> None:
    reader, writer = os.pipe()
    os.close(reader)
    ended = run_process("report", finished, "--no-html", "--max-noise", 1, stdout=writer)
    os.close(writer)
    assert (ended.code, ended.err) == (0, "")
    assert run_process("report", finished, "--no-html", "--max-noise", 0, shell="2>&- >&- <&-").code == 1


@needs_full
def test_verdicts_do_not_need_a_stderr(audit: Path, finished: Path) -> None:
    ended = run_process("fit", audit, "--rank-by", "aum", shell="2>/dev/full")
    assert (ended.code, ended.out) == (0, "")
    assert (audit / "noise.json").read_bytes() != (finished / "noise.json").read_bytes()


@needs_full
def test_a_stdout_without_room_is_one_line() -> None:
    for command in ("methods", "--help"):
        error = run_process(command, shell=">/dev/full").only_error
        assert error == "cannot write to the standard output (no space left on device); send it to another file or disk"
