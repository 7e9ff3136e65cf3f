"""Lines on a terminal and in a pipe."""

import io

import pytest

from labelaudit.cli.console import Screen

LONG = "/data/" + "x" * 60 + "/my photos of 2024/last.png"


class Tty(io.StringIO):
    """A stream that says it is a terminal."""

    def isatty(self) -> bool:
        return True


def lines(monkeypatch: pytest.MonkeyPatch, text: str, *, terminal: bool = True, width: int = 40) -> list[str]:
    monkeypatch.setenv("COLUMNS", str(width))
    stream = Tty() if terminal else io.StringIO()
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


def test_wide_characters_count_twice_and_line_ends_stay(monkeypatch: pytest.MonkeyPatch) -> None:
    assert lines(monkeypatch, "猫 " * 20) == [("猫 " * 13).strip(), ("猫 " * 7).strip()]
    assert lines(monkeypatch, "a\n\nb") == ["a", "", "b"]
