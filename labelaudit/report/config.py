"""Which findings a report takes, and which limits the gate has: from the command line, or else from a file.

The file is labelaudit.toml, or pyproject.toml with a table ``[tool.labelaudit]``: the nearest one, from the current
folder upwards. An option of the command line replaces what the file says of it.
"""

from __future__ import annotations

import tomllib
from collections.abc import Mapping, Sequence
from pathlib import Path

import msgspec

from labelaudit.codes import find_code
from labelaudit.errors import UsageError, brief, reason
from labelaudit.report.gate import ChosenCodes, Limits

_FILE, _PROJECT = "labelaudit.toml", "pyproject.toml"


class Config(Limits, frozen=True, kw_only=True, forbid_unknown_fields=True, rename="kebab"):
    """The content of a file; None where it says nothing."""

    select: tuple[str, ...] | None = None
    ignore: tuple[str, ...] | None = None
    per_path_ignores: dict[str, tuple[str, ...]] = msgspec.field(default_factory=dict)
    where: str = ""


def read_config(folder: Path | None = None) -> Config:
    """Read the nearest file from a folder upwards, by default the current one; a UsageError where it is wrong."""
    start = (folder or Path.cwd()).absolute()
    for place in (start, *start.parents):
        for name in (_FILE, _PROJECT):
            file = place / name
            if file.is_file() and (table := _table(file)) is not None:
                try:
                    return msgspec.structs.replace(msgspec.convert(table, Config), where=str(file))
                except msgspec.ValidationError as error:
                    keys = ", ".join(sorted(each.encode_name for each in msgspec.structs.fields(Config)[:-1]))
                    raise UsageError(f"{file}: {brief(error)}", fix=f"the keys are {keys}") from error
    return Config()


def _table(file: Path) -> Mapping[str, object] | None:
    """Return what a file says of labelaudit; None where it says nothing."""
    try:
        content = tomllib.loads(file.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"cannot read {file}: {reason(error)}", fix="check the file") from error
    except ValueError as error:
        if file.name == _PROJECT and "labelaudit" not in file.read_bytes().decode("utf-8", "replace"):
            return None
        raise UsageError(f"{file} is not TOML ({brief(error)})", fix="correct it") from error
    if file.name == _FILE:
        return content
    tool = content.get("tool")
    table = tool.get("labelaudit") if isinstance(tool, dict) else None
    return table if isinstance(table, dict) else None


def selection_of(config: Config, select: Sequence[str] = (), ignore: Sequence[str] = ()) -> ChosenCodes:
    """Return the selection of a command line, each option codes with commas between them, and of a file otherwise."""
    chosen = _codes(",".join(select).split(","), "--select") if select else _codes(config.select or (), config.where)
    spared = _codes(",".join(ignore).split(","), "--ignore") if ignore else _codes(config.ignore or (), config.where)
    ignored = {glob: _codes(codes, f"{config.where} {glob}") for glob, codes in config.per_path_ignores.items()}
    all_codes = ChosenCodes().codes
    return ChosenCodes(codes=(chosen or all_codes) - spared, ignored=ignored)


def limits_of(config: Config, codes: Sequence[str], **given: float | bool | str | None) -> Limits:
    """Return the limits of a command line by name, None where it sets none, and of a file otherwise."""
    own = {name: value for name, value in given.items() if value is not None}
    return msgspec.structs.replace(config, max=limits_of_codes(config, codes), **own)


def limits_of_codes(config: Config, given: Sequence[str] = ()) -> dict[str, int]:
    """Return the most findings by code: those of the file, and in their place ``CODE=NUMBER`` of the command line."""
    limits = {find_code(code, config.where).code: most for code, most in config.max.items()}
    for text in given:
        code, _, number = text.partition("=")
        if not number.isdecimal():
            raise UsageError(f"--max {text} is no CODE=NUMBER", fix="give for example --max LA006=0")
        limits[find_code(code, "--max").code] = int(number)
    if negative := [f"{code} = {most}" for code, most in limits.items() if most < 0]:
        raise UsageError(f"{config.where}: the limit {negative[0]} is negative", fix="give a number from 0")
    return limits


def _codes(texts: Sequence[str], where: str) -> frozenset[str]:
    return frozenset(find_code(text, where).code for text in texts)
