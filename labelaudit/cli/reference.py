"""docs/cli.md, made from the commands themselves.

python -m labelaudit.cli.reference > docs/cli.md
"""

from __future__ import annotations

from inspect import cleandoc, signature
from pathlib import Path
from typing import Any, Literal, Union, get_args, get_origin

from typer import Context
from typer.models import ArgumentInfo, CommandInfo, ParameterInfo

from labelaudit.cli.main import app

_HEAD = """# Commands

Made by `python -m labelaudit.cli.reference > docs/cli.md`; a test fails when the two differ.

Data goes to stdout, progress and notes to stderr. Exit codes: **0** fine, **1** the gate of `report` failed, **2**
cannot do it: one line says what is wrong, where, and what to do; `labelaudit --debug …` adds the traceback. 130 after
Ctrl-C and 143 after SIGTERM: the run goes on when the command is given again.
"""


def render() -> str:
    """The whole page as Markdown."""
    groups = [
        _command(command, f"{group.name} ")
        for group in app.registered_groups
        if group.typer_instance is not None
        for command in group.typer_instance.registered_commands
    ]
    return "\n".join([_HEAD, *(_command(command) for command in app.registered_commands), *groups])


def _command(command: CommandInfo, group: str = "") -> str:
    function = command.callback
    if function is None:
        raise TypeError(f"the command {command.name} has no function")
    # Annotated[type, Argument or Option] of each parameter, with the names in annotations resolved.
    annotations = [found.annotation for found in signature(function, eval_str=True).parameters.values()]
    parameters = [get_args(annotation) for annotation in annotations if annotation is not Context]
    arguments = [str(info.metavar) for _, info in parameters if isinstance(info, ArgumentInfo)]
    examples = [line.strip() for line in (command.epilog or "").splitlines() if line.strip().startswith("$")]
    usage = " ".join(["labelaudit", f"{group}{command.name}", *arguments, "[OPTIONS]"])
    lines = [f"## labelaudit {group}{command.name}", "", f"    {usage}"]
    lines += [
        "",
        cleandoc(function.__doc__ or ""),
        "",
        "```console",
        *examples,
        "```",
        "",
        "| option | meaning |",
        "|---|---|",
    ]
    lines += [_row(kind, info) for kind, info in parameters]
    return "\n".join([*lines, ""])


def _row(kind: Any, info: ParameterInfo) -> str:
    if isinstance(info, ArgumentInfo):
        return f"| `{info.metavar}` | {info.help} |"
    # Inside Annotated, typer keeps the first name in ``default``.
    names = ", ".join(name for name in (info.default, *(info.param_decls or ())) if isinstance(name, str))
    value = f" {info.metavar}" if info.metavar else _value(kind)
    return f"| `{names}{value}` | {info.help} |"


def _value(kind: Any) -> str:
    inner = [part for part in get_args(kind) if part is not type(None)] if get_origin(kind) is Union else [kind]
    if get_origin(inner[0]) is Literal:
        return " " + "\\|".join(get_args(inner[0]))
    return {bool: "", int: " N", float: " X", str: " NAME", Path: " PATH"}[inner[0]]


if __name__ == "__main__":
    print(render(), end="")
