"""``--help``: complete, and the same as the page in the docs."""

import runpy
import subprocess
import sys
from pathlib import Path

from labelaudit import __version__
from labelaudit.cli import reproduce
from labelaudit.cli.main import app
from tests.cli.helpers import succeed

DOCS = Path(__file__).parents[2] / "docs"
HEAVY = {"torch", "torchvision", "timm", "sklearn", "pyarrow", "numpy", "PIL", "huggingface_hub"}


def test_nothing_heavy_is_imported_where_nothing_is_computed() -> None:
    code = f"""
import sys, labelaudit
dir(labelaudit)
from labelaudit.cli.main import app
for line in ("--help", "score --help", "methods", "selectors", "--version"):
    app(line.split(), standalone_mode=False)
    assert not {HEAVY!r} & sys.modules.keys(), line
"""
    subprocess.run([sys.executable, "-c", code], stdout=subprocess.DEVNULL, check=True)


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
    assert (DOCS / "cli.md").read_text(encoding="utf-8") == runpy.run_path(str(DOCS / "reference.py"))["render"]()
