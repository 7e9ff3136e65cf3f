"""Text that came from outside: made fit for a terminal, and addresses told from paths."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from labelaudit.errors import UsageError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.+)", re.DOTALL)
"""A scheme has two letters or more here, so that a drive letter is none."""

_NAMED = re.compile(r"(-*[a-z-]+)=(.*)", re.DOTALL)


def printable(text: str) -> str:
    """``text`` on one line, with everything that could steer a terminal written as an escape."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def require_local(place: Path | str) -> None:
    """Refuse an address, such as ``https://…`` or ``s3://…``, where a file or folder is meant.

    Args:
        place: What was given; a Path has lost the second slash of an address already.

    Raises:
        UsageError: it is an address.
    """
    found = _ADDRESS.fullmatch(str(place))
    if found and not Path(place).exists():
        scheme, rest = found.groups()
        raise UsageError(
            f"{scheme}://{rest} is an address, and labelaudit takes paths of this machine only",
            fix="download or mount what is there, and give its path",
        )


def require_local_words(words: Iterable[str], *, but: str) -> None:
    """The same for the words of a command line.

    Args:
        words: Arguments, and options with their values.
        but: The option that takes an address.

    Raises:
        UsageError: one of the words, or what follows ``--option=`` or ``format=`` in it, is an address.
    """
    before = ""
    for word in words:
        named = _NAMED.fullmatch(word)
        option, value = named.groups() if named else (before, word)
        if option != but:
            require_local(value)
        before = word
