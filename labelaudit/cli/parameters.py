"""A method's own parameters on the command line: ``-P name=value`` and ``--params FILE.toml``."""

from __future__ import annotations

import tomllib
from collections.abc import Sequence
from pathlib import Path

from labelaudit.errors import DataError, UsageError


def given_parameters(pairs: Sequence[str], file: Path | None) -> dict[str, object]:
    """Values by name; what is given by ``-P`` takes the place of what the file says.

    Args:
        pairs: ``name=value`` each.
        file: TOML with ``name = value`` on its lines.

    Raises:
        UsageError: a pair without ``=``, or a name that is given twice.
        DataError: the file cannot be read.
    """
    return {**(_read(file) if file is not None else {}), **given_pairs(pairs, "-P")}


def given_pairs(pairs: Sequence[str], option: str) -> dict[str, object]:
    """Values by name from ``name=value``.

    Args:
        pairs: As they were given.
        option: By which, for errors.

    Raises:
        UsageError: a pair without ``=``, or a name that is given twice.
    """
    values: dict[str, object] = {}
    for pair in pairs:
        name, equals, value = pair.partition("=")
        name = name.strip()
        if not equals or not name:
            raise UsageError(f"{option} {pair} is no parameter", fix=f"give {option} name=value")
        if name in values:
            raise UsageError(f"{option} gives {name} twice", fix="give it once")
        values[name] = value.strip()
    return values


def _read(file: Path) -> dict[str, object]:
    try:
        return tomllib.loads(file.read_text(encoding="utf-8-sig"))
    except OSError as error:
        raise DataError(f"cannot read {file}: {(error.strerror or '').lower()}", fix="check the path") from error
    except (UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
        raise DataError(f"{file} is not TOML ({error})", fix="write name = value, one a line") from error
