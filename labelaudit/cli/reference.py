"""Print docs/cli.md, made from the commands themselves: python -m labelaudit.cli.reference > docs/cli.md."""

from __future__ import annotations

from inspect import cleandoc, signature
from pathlib import Path
from types import NoneType, UnionType
from typing import Any, Literal, Union, get_args, get_origin

import typer
from typer.models import ArgumentInfo, CommandInfo, ParameterInfo

from labelaudit.cli.main import app

_HEAD = """# Commands

Made by `python -m labelaudit.cli.reference > docs/cli.md`; a test fails when the two differ.

Data goes to stdout, progress and notes to stderr. Exit codes: **0** fine, **1** the gate of `report` failed, **2**
cannot do it: one line says what is wrong, where, and what to do; `labelaudit --debug …` adds the traceback. 130 after
Ctrl-C and 143 after SIGTERM: the same command continues the run.
"""
_VALUES = {bool: "", int: " N", float: " X", str: " NAME", Path: " PATH"}


def render() -> str:
    """Return the whole page as Markdown."""
    groups = [(f"{group.name} ", group.typer_instance) for group in app.registered_groups if group.typer_instance]
    return "\n".join(
        [
            _HEAD,
            *(_section(command, name) for name, each in [("", app), *groups] for command in each.registered_commands),
        ]
    )


def _section(command: CommandInfo, group: str) -> str:
    if command.callback is None:
        raise TypeError(f"the command {command.name} has no function")
    # Annotated[type, Argument or Option] of each parameter
    found = [get_args(each.annotation) for each in signature(command.callback, eval_str=True).parameters.values()]
    parameters = [each for each in found if each]
    usage = ["labelaudit", f"{group}{command.name}"]
    usage += [str(info.metavar) for _, info in parameters if isinstance(info, ArgumentInfo)]
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("$")]
    lines = [f"## labelaudit {group}{command.name}", "", f"    {' '.join(usage)} [OPTIONS]", ""]
    lines += [cleandoc(command.callback.__doc__ or ""), "", "```console", *examples, "```", ""]
    lines += ["| option | meaning |", "|---|---|", *(_row(kind, info) for kind, info in parameters), ""]
    return "\n".join(lines)


def _row(kind: Any, info: ParameterInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return f"| `{info.metavar}` | {info.help} |"
    # Inside Annotated, typer keeps the first name in ``default``.
    names = ", ".join(name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str))
    return f"| `{names}{f' {info.metavar}' if info.metavar else _value(kind)}` | {info.help} |"


def _value(kind: Any) -> str:
    """Return what stands for the value of an option."""
    if get_origin(kind) in (Union, UnionType):
        (kind,) = (part for part in get_args(kind) if part is not NoneType)
    return " " + "\\|".join(get_args(kind)) if get_origin(kind) is Literal else _VALUES[kind]


if __name__ == "__main__":
    typer.echo(render(), nl=False)
