"""The commands in README and docs, by what the comment before each block says.

``run``: they are run here, page by page, on a small folder. ``parse``: they are expensive, or need what is not here,
and have to parse. Or it names the test that runs them.
"""

import re
import shlex
import shutil
import subprocess
from collections.abc import Iterator
from itertools import groupby
from pathlib import Path
from typing import Any

import pytest
import typer

from labelaudit.cli.main import app
from tests.cli.helpers import HOME, QUICK, decide, run, suspicious, write_images

ROOT = Path(__file__).parents[2]
PAGES = {path.name: path.read_text("utf-8") for path in (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))}
BLOCK = re.compile(r"(?:^<!-- ([^\n]+) -->\n)?^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
GROUP: Any = typer.main.get_command(app)
QUICKLY = {"score": QUICK, "train-probe": QUICK, "retrain": (*QUICK[2:-2], "--epochs", "1"), "relabel": ("--yes",)}
"""Options that make a command short, or spare it a question."""


def lines(language: str, text: str) -> list[str]:
    """The commands of a block. Of YAML, those that begin with labelaudit, to the end of the line."""
    if language == "yaml":
        return re.findall(r"\blabelaudit (?:score|report) .*", text)
    whole = text.replace("\\\n", " ").splitlines()
    return [line[2:] for line in whole if line.startswith("$ ")] if language == "console" else whole


def commands(line: str) -> Iterator[list[str]]:
    """The arguments of every labelaudit command in a line of shell, without what is said in brackets behind it."""
    lexer = shlex.shlex(re.sub(r"\s{2,}\(.*", "", line), posix=True, punctuation_chars=True)
    lexer.whitespace_split = True
    for separates, group in groupby(lexer, key=lambda word: set(word) <= set("();<>|&")):
        words = list(group)
        names = [Path(word).name for word in words]
        if not separates and "labelaudit" in names and not {"install", "build"} & set(names):
            yield [word for word in words[names.index("labelaudit") + 1 :] if word != "…"]


def command_of(words: list[str]) -> tuple[Any, list[str]]:
    """A command, and the words that are its own."""
    command = GROUP
    while words and hasattr(command, "commands"):
        command, words = command.commands[words[0]], words[1:]
    return command, words


@pytest.mark.parametrize("page", PAGES)
def test_every_block_says_who_runs_it_and_its_commands_parse(page: str) -> None:
    for mark, language, text in BLOCK.findall(PAGES[page]):
        assert language in ("sh", "console", "python", "text", "yaml", "toml", "xml"), f"name the language of\n{text}"
        if language == "python":
            compile(text, page, "exec")
        if language in ("sh", "console", "python") and page != "cli.md":  # which is made of the commands' help
            test = ROOT / mark.removeprefix("run by ")
            known = mark in ("run", "parse", "test command") or (test.is_file() and page in test.read_text("utf-8"))
            assert known, f"put <!-- run --> or <!-- parse --> before\n{text}"
        if language in ("sh", "console", "yaml"):
            for words in (words for line in lines(language, text) for words in commands(line)):
                command, own = command_of(words)
                command.make_context(command.name, own)
    indented = re.search(r"^ {4}(labelaudit|python|pip|torchrun) ", BLOCK.sub("", PAGES[page]), re.MULTILINE)
    assert indented is None or page == "cli.md", "put commands into a fenced block"
    for words in (text.split() for text in re.findall(r"`labelaudit (\w[^`]*)`", PAGES[page])):
        command, own = command_of([word for word in words if not word.isupper()])
        known = {name for option in command.params for name in (*option.opts, *option.secondary_opts)}
        assert {word for word in own if word.startswith("--")} <= known, words


@pytest.fixture
def world(data: Path, first: Path) -> None:
    """What the pages speak of: data of several kinds, audits with a decision, decisions in a CSV."""
    for name in ("photos-test", "flat"):
        shutil.copytree(data, name)
    for part in ("train", "val", "test"):
        write_images(Path("birds", part), seed=len(part))
    shutil.make_archive("photos", "zip", "photos")
    rows = [f"{path.relative_to(data)},{path.parent.name}" for path in sorted(data.rglob("*.png"))]
    Path("labels.csv").write_text("\n".join(["path,label", *rows]))
    Path("decisions.csv").write_text("path,action,label\nant/011.png,change,bee\ndog/011.png,drop,\n")
    decide(HOME / "1", "change", suspicious(HOME / "1")[0])
    for name in ("audit", "audit-of-today"):
        shutil.copytree(HOME / "1", name)


@pytest.mark.parametrize("page", [page for page, text in PAGES.items() if "<!-- run -->\n" in text])
def test_documented_commands_run(page: str, world: None) -> None:
    names: dict[str, object] = {}
    for mark, language, text in BLOCK.findall(PAGES[page]):
        if mark == "run" and language == "python":
            exec(compile(text, page, "exec"), names)
        for line in lines(language, text) if mark == "run" and language != "python" else ():
            if not (found := list(commands(line))):
                subprocess.run(["bash", "-ec", line], check=True)
            for words in found:
                if words[0] != "review" and "FILE" not in words:  # a server runs on, and FILE is the reader's own
                    outcome = run(*words, *QUICKLY.get(words[0], ()))
                    # A gate may say no: every fifth label of this folder is wrong.
                    assert outcome.code == 0 or (words[0], outcome.code) == ("report", 1), f"{line}\n{outcome.err}"
