"""``python -m labelaudit.reproduce.speed NAME …``: runs a benchmark, prints its table, writes JSON."""

from __future__ import annotations

import argparse
import importlib
import sys
from collections.abc import Sequence
from pathlib import Path
from types import ModuleType

import torch

from labelaudit.errors import LabelauditError
from labelaudit.reproduce.speed.arguments import positive
from labelaudit.reproduce.speed.output import as_json, as_markdown
from labelaudit.run.files import storage_errors, write_json

BENCHMARKS = ("loop", "epochs", "recording", "decode", "audit", "scale", "device")
_PACKAGE = "labelaudit.reproduce.speed"


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line of this package.

    Returns:
        The exit code: 0, or 2 with one line on stderr that says what to do.
    """
    modules = {name: importlib.import_module(f"{_PACKAGE}.{name}") for name in BENCHMARKS}
    asked = _parser(modules).parse_args(arguments)
    try:
        if asked.threads is not None:
            torch.set_num_threads(asked.threads)
        if asked.json is not None:
            with storage_errors(asked.json):  # before the work, not after it
                asked.json.parent.mkdir(parents=True, exist_ok=True)
        rows = modules[asked.benchmark].measure(asked)
        print(as_markdown(rows))
        if asked.json is not None:
            write_json(asked.json, as_json(asked.benchmark, asked, rows))
    except LabelauditError as error:
        print(f"Error: {error}", file=sys.stderr)
        return error.exit_code
    return 0


def _parser(modules: dict[str, ModuleType]) -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog=f"python -m {_PACKAGE}", description="How fast the parts are, against what one would write by hand"
    )
    commands = parser.add_subparsers(dest="benchmark", required=True, metavar="NAME")
    for name, module in modules.items():
        what = (module.__doc__ or "").strip()
        command = commands.add_parser(
            name,
            help=what.splitlines()[0] if what else None,
            description=what,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(command)
        command.add_argument(
            "--threads", type=positive, default=None, help="of the processor (default: torch's choice)"
        )
        command.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures there too")
    return parser


if __name__ == "__main__":
    sys.exit(main())
