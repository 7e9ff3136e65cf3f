"""Print docs/cli.md, made from the commands themselves: python docs/reference.py > docs/cli.md."""

from __future__ import annotations

from collections import Counter
from inspect import cleandoc, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from typer.models import ArgumentInfo, CommandInfo, ParameterInfo

from labelaudit.cli.main import app

_HEAD = """# Commands

Made by `python docs/reference.py > docs/cli.md`; a test fails when the two differ.

Data goes to stdout, progress and notes to stderr. Exit codes: **0** fine, **1** the gate of `report` failed, **2**
cannot do it: one line says what is wrong, where, and what to do; `labelaudit --debug …` adds the traceback. 130 after
Ctrl-C and 143 after SIGTERM: the same command continues the run.
"""
_TABLE = ("| option | meaning |", "|---|---|")
_SHARED_FROM = 3
"""An option that stands in so many commands is explained once, at the end of the page."""

_VALUES = {bool: "", int: "N", float: "X", str: "NAME", Path: "PATH"}


def render() -> str:
    """Return the whole page as Markdown."""
    groups = [(f"{group.name} ", group.typer_instance) for group in app.registered_groups if group.typer_instance]
    commands = [(command, name) for name, each in [("", app), *groups] for command in each.registered_commands]
    count = Counter(row for command, _ in commands for row in _rows(command))
    shared = [row for row in count if count[row] >= _SHARED_FROM and row.startswith("| `-")]
    sections = [_section(command, f"labelaudit {group}{command.name}", shared) for command, group in commands]
    return "\n".join([_HEAD, *sections, "## Shared options", "", *_TABLE, *shared, ""])


def _section(command: CommandInfo, name: str, shared: list[str]) -> str:
    rows = _rows(command)
    arguments = [row.split("`")[1] for row in rows if not row.startswith("| `-")]
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("$")]
    lines = [f"## {name}", "", f"    {' '.join([name, *arguments])} [OPTIONS]", ""]
    lines += [cleandoc(command.callback.__doc__ or ""), "", "```console", *examples, "```", ""]
    if own := [row for row in rows if row not in shared]:
        lines += [*_TABLE, *own, ""]
    if also := [row.split("`")[1].split()[0].rstrip(",") for row in rows if row in shared]:
        lines += [f"[Shared options](#shared-options): {', '.join(f'`{name}`' for name in also)}.", ""]
    return "\n".join(lines)


def _rows(command: CommandInfo) -> list[str]:
    """Return the table's row of each parameter: its annotation has its type and Typer's Argument or Option."""
    found = signature(command.callback, eval_str=True).parameters.values() if command.callback else ()
    return [_row(each.name, *get_args(each.annotation)) for each in found]


def _row(name: str, kind: Any, info: ParameterInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return f"| `{info.metavar}` | {info.help} |"
    # Inside Annotated, typer keeps the first name in ``default``.
    flags = [flag for flag in (info.default, *(info.param_decls or ())) if isinstance(flag, str)]
    names = ", ".join(flags or [f"--{name.replace('_', '-')}"])
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    value = info.metavar or ("|".join(get_args(kind)) if get_origin(kind) is Literal else _VALUES[kind])
    shown = f"{names} {value}".rstrip().replace("|", "\\|")
    return f"| `{shown}` | {info.help} |"


if __name__ == "__main__":
    typer.echo(render(), nl=False)
