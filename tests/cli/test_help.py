"""``--help``: complete, and the same as the page in the docs; the commands in docs/ci.md parse."""

import json
import re
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest
import typer
import yaml

from labelaudit import __version__
from labelaudit.auditing.options import TrainingOptions
from labelaudit.cli import reproduce
from labelaudit.cli.main import app
from labelaudit.cli.reference import render
from tests.cli.helpers import succeed

CLI_PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
PAGE = (Path(__file__).parents[2] / "docs" / "ci.md").read_text(encoding="utf-8")
BLOCKS = re.findall(r"^```(\w+)\n(.*?)^```$", PAGE, flags=re.MULTILINE | re.DOTALL)
CONFIGURATIONS = [yaml.safe_load(text) for language, text in BLOCKS if language == "yaml"]
SHELL = "\n".join(text for language, text in BLOCKS if language == "sh") + json.dumps(CONFIGURATIONS)
COMMANDS = [command.split() for command in re.findall(r"\blabelaudit [a-z-]+ [^\"'&|;#\n\\]*", SHELL)]
HEAVY = ("torch", "torchvision", "timm", "sklearn", "pyarrow", "numpy", "PIL", "huggingface_hub", "msgspec")


def test_nothing_heavy_is_imported_where_nothing_is_computed() -> None:
    code = f"""
import sys, labelaudit
dir(labelaudit)
from labelaudit.cli.main import main
for line in ("--help", "score --help", "methods", "selectors", "export --formats", "--version"):
    sys.argv = ["labelaudit", *line.split()]
    try:
        main()
    except SystemExit as ended:
        assert not ended.code
    print("LOADED", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert [line for line in done.stdout.splitlines() if line.startswith("LOADED")] == ["LOADED"] * 6


def test_every_command_has_help_with_examples_and_is_on_the_first_screen() -> None:
    first = succeed("--help").out
    assert "Examples:" in first
    assert succeed().out == first
    group = succeed("reproduce", "--help").out
    assert succeed("reproduce").out == group
    for prefix, commands, shown in (("", app, first), ("reproduce ", reproduce.app, group)):
        for name in sorted(str(command.name) for command in commands.registered_commands):
            text, command = succeed(*prefix.split(), name, "-h").out, f"labelaudit {prefix}{name}"
            assert all(part in text for part in (f"Usage: {command}", "Examples:", f"$ {command}"))
            assert f" {name} " in shown
    assert succeed("--version").out == f"labelaudit {__version__}\n"


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert CLI_PAGE.read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("command", ["score", "train-probe", "retrain"])
def test_every_training_option_is_offered_and_most_are_advanced(command: str) -> None:
    basic, _, advanced = succeed(command, "--help").out.partition(" Advanced ")
    names = {f"--{field.name.replace('_', '-')}" for field in fields(TrainingOptions)} - {"--selector-parameters"}
    of_audits = {"--members", "--folds", "--embeddings", "--predictions"}
    names -= of_audits if command == "retrain" else set()
    shown = {word for word in (basic + advanced).split() if word.startswith("--")}
    assert names <= shown
    if command == "score":
        assert sum(word.startswith("--") for word in basic.split()) <= 17
        assert "--weight-decay" in advanced


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
