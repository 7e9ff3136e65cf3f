"""``--help``: quick, complete, and the same as the page in the docs."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from labelaudit import __version__
from labelaudit.cli.main import app
from labelaudit.cli.reference import render
from tests.cli.helpers import run, run_process, succeed

COMMANDS = sorted(str(command.name) for command in app.registered_commands)
CLI_PAGE = Path(__file__).parents[2] / "docs" / "cli.md"
HEAVY = ("torch", "torchvision", "timm", "sklearn", "pyarrow", "numpy", "PIL", "huggingface_hub")


def test_the_main_commands_are_there() -> None:
    assert set(COMMANDS) >= {
        "score",
        "train-probe",
        "fit",
        "report",
        "retrain",
        "relabel",
        "demo",
        "methods",
        "corrupt",
    }


def test_help_is_quick() -> None:
    # The processor's time: on a busy machine the clock would measure the others.
    seconds = []
    for _ in range(3):
        before = os.times()
        outcome = run_process("--help")
        after = os.times()
        seconds.append(after.children_user + after.children_system - before.children_user - before.children_system)
        assert outcome.code == 0
        assert all(f" {command} " in outcome.out for command in COMMANDS)
    print(f"labelaudit --help: {min(seconds):.2f} s, the best of {len(seconds)}")
    assert min(seconds) < 1.0


@pytest.mark.parametrize(
    "words",
    [["--help"], ["score", "--help"], ["methods"], ["selectors"], ["export", "--formats"], ["--version"]],
    ids=" ".join,
)
def test_nothing_heavy_is_imported_where_nothing_is_computed(words: list[str]) -> None:
    code = f"""
import sys
from labelaudit.cli.main import main
sys.argv = ["labelaudit", *{words!r}]
try:
    main()
except SystemExit as ended:
    assert not ended.code
print("LOADED", *(name for name in {HEAVY!r} if name in sys.modules))
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1].split() == ["LOADED"]


def test_importing_the_package_is_light() -> None:
    code = f"import sys, labelaudit; dir(labelaudit); print([name for name in {HEAVY!r} if name in sys.modules])"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout == "[]\n"


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


def test_version() -> None:
    assert succeed("--version").out == f"labelaudit {__version__}\n"


@pytest.mark.parametrize("command", COMMANDS)
def test_every_command_is_in_the_docs(command: str) -> None:
    assert f"## labelaudit {command}\n" in CLI_PAGE.read_text(encoding="utf-8")


def test_the_page_in_the_docs_is_up_to_date() -> None:
    assert CLI_PAGE.read_text(encoding="utf-8") == render()


def test_methods_are_listed() -> None:
    text = succeed("methods").out
    assert all(name in text for name in ("standard", "aul", "oracle"))
    only = succeed("methods", "oracle").out
    assert "oracle" in only
    assert "standard" not in only


def test_quiet_and_progress_options_are_everywhere_where_work_is_done() -> None:
    for command in ("score", "train-probe", "fit", "retrain", "relabel", "demo", "corrupt"):
        text = run(command, "--help").out
        assert "--quiet" in text
        assert "--no-progress" in text
