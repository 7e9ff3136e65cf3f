"""The commands and configurations in docs/ci.md: each of them parses."""

import json
import re
from pathlib import Path

import pytest
import typer
import yaml

from labelaudit.cli.main import app

PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
CONFIGURATIONS = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
SHELL = "\n".join(text for language, text in BLOCKS if language == "sh") + json.dumps(CONFIGURATIONS)
COMMANDS = [command.split() for command in re.findall(r"\blabelaudit [a-z-]+ [^\"'&|;#\n\\]*", SHELL)]


@pytest.mark.parametrize("command", COMMANDS, ids=" ".join)
def test_documented_commands_parse(command: list[str]) -> None:
    group = typer.main.get_command(app)
    _, name, *words = command
    context = group.make_context("labelaudit", [name, *words])
    group.commands[name].make_context(name, words, parent=context)  # type: ignore[attr-defined]


def test_configurations_have_what_their_readers_ask_for() -> None:
    assert len(COMMANDS) >= 10
    workflow, hooks, pipeline = CONFIGURATIONS
    # YAML 1.1 reads the key ``on`` as true.
    assert {"name", True, "permissions", "jobs"} <= workflow.keys()
    assert all(("uses" in step) != ("run" in step) for step in workflow["jobs"]["audit"]["steps"])
    (hook,) = hooks["repos"][0]["hooks"]
    assert {"id", "name", "language", "entry"} <= hook.keys()
    assert pipeline["stages"]["audit"]["outs"][0] in pipeline["stages"]["gate"]["deps"]
