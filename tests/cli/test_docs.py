"""The commands and configurations in docs/ci.md: each of them parses."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from labelaudit.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
CONFIGURATIONS = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]


def strings(value: Any) -> list[str]:
    """Return every string in a configuration."""
    if isinstance(value, str):
        return [value]
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else []
    return [text for entry in inner for text in strings(entry)]


def commands(shell: str) -> list[list[str]]:
    """Return the labelaudit commands in lines of shell, also those inside ``sh -c``."""
    found: list[list[str]] = []
    for line in shell.splitlines():
        lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
        lexer.whitespace_split = True
        words: list[str] = []
        for word in [*lexer, "&&"]:
            if word.strip("&|;"):
                words.append(word)
                continue
            if words[:1] == ["labelaudit"]:
                found.append(words)
            elif words[:2] == ["sh", "-c"]:
                found += commands(" ".join(words[2].split()))
            words = []
    return found


SCRIPTS = [text for language, text in BLOCKS if language == "sh"]
COMMANDS = [command for text in [*SCRIPTS, *strings(CONFIGURATIONS)] for command in commands(text)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_documented_commands_parse(command: list[str]) -> None:
    group = typer.main.get_command(app)
    _, name, *words = command
    context = group.make_context("labelaudit", [name, *words])
    group.commands[name].make_context(name, words, parent=context)  # type: ignore[attr-defined]


def test_a_command_that_does_not_exist_does_not_parse() -> None:
    with pytest.raises(Exception, match="No such option"):
        test_documented_commands_parse(["labelaudit", "report", "audit", "--max-nois", "0.1"])


def test_configurations_have_what_their_readers_ask_for() -> None:
    assert len(COMMANDS) >= 10
    workflow, hooks, pipeline = CONFIGURATIONS
    # YAML 1.1 reads the key ``on`` as true.
    assert {"name", True, "permissions", "jobs"} <= workflow.keys()
    assert all(("uses" in step) != ("run" in step) for step in workflow["jobs"]["audit"]["steps"])
    (hook,) = hooks["repos"][0]["hooks"]
    assert {"id", "name", "language", "entry"} <= hook.keys()
    assert pipeline["stages"]["audit"]["outs"][0] in pipeline["stages"]["gate"]["deps"]
