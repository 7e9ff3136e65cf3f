"""``--help``: quick, complete, and the same as the page in the docs."""

import os
import subprocess
import sys
from dataclasses import fields
from pathlib import Path

import pytest

from labelaudit import __version__
from labelaudit.audit.options import TrainingOptions
from labelaudit.cli.main import app
from labelaudit.cli.reference import render
from tests.cli.helpers import run_process, succeed

COMMANDS = sorted(str(command.name) for command in app.registered_commands)
CLI_PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = ("torch", "torchvision", "timm", "sklearn", "pyarrow", "numpy", "PIL", "huggingface_hub", "msgspec")


def test_help_is_quick() -> None:
    # The processor's time: on a busy machine the clock would measure the others.
    seconds = []
    for _ in range(3):
        before = os.times()
        outcome = run_process("--help")
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert outcome.code == 0
    print(f"labelaudit --help: {min(seconds):.2f} s, the best of {len(seconds)}")
    assert min(seconds) < 1.0


@pytest.mark.parametrize(
    "words",
    [["--help"], ["score", "--help"], ["methods"], ["selectors"], ["export", "--formats"], ["--version"], None],
    ids=str,
)
def test_nothing_heavy_is_imported_where_nothing_is_computed(words: list[str] | None) -> None:
    command = f"sys.argv = ['labelaudit', *{words!r}]; from labelaudit.cli.main import main; main()"
    code = f"""
import sys
try:
    {"import labelaudit; dir(labelaudit)" if words is None else command}
except SystemExit as ended:
    assert not ended.code
print("LOADED", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_has_help_with_examples(command: str) -> None:
    text = succeed(command, "--help").out
    assert f"Usage: labelaudit {command}" in text
    assert "Examples:" in text
    assert f"$ labelaudit {command}" in text
    assert succeed(command, "-h").out == text


def test_the_first_screen_has_examples_and_every_command() -> None:
    text = succeed("--help").out
    assert "Examples:" in text
    assert all(f" {command} " in text for command in COMMANDS)
    assert succeed().out == text
    assert succeed("--version").out == f"labelaudit {__version__}\n"


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert CLI_PAGE.read_text(encoding="utf-8") == render()


@pytest.mark.parametrize("command", ["score", "train-probe", "retrain"])
def test_every_training_option_is_offered_and_most_are_advanced(command: str) -> None:
    basic, _, advanced = succeed(command, "--help").out.partition(" Advanced ")
    names = {f"--{field.name.replace('_', '-')}" for field in fields(TrainingOptions)} - {"--selector-parameters"}
    names -= {"--controls", "--members", "--folds"} if command == "retrain" else set()
    shown = {word for word in (basic + advanced).split() if word.startswith("--")}
    assert names <= shown
    if command == "score":
        assert sum(word.startswith("--") for word in basic.split()) <= 14
        assert "--weight-decay" in advanced
