"""Handle text from outside: make it printable on a terminal, compare names, tell addresses from paths."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterable
from pathlib import Path

from labelaudit.errors import UsageError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.+)", re.DOTALL)
"""The scheme has two letters or more, unlike a drive letter; a Path has lost the second slash of an address."""

_NAMED = re.compile(r"(-*[a-z-]+)=(.*)", re.DOTALL)


def printable(text: str) -> str:
    """Return ``text`` on one line, with control characters written as escapes."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)


def plural(count: int, noun: str, nouns: str = "") -> str:
    """Return the number with its noun: ``1 image``, ``2,000 images``."""
    return f"{count:,} {noun if count == 1 else nouns or noun + 's'}"


def listed(names: Iterable[str], most: int) -> str:
    """Return names with commas between them, and how many there are beyond ``most``: ``a, b and 3 more``."""
    first = list(names)
    more = f" and {len(first) - most} more" if len(first) > most else ""
    return ", ".join(first[:most]) + more


def folded(name: str) -> str:
    """Return a form that is equal for names that differ in case or Unicode form only: one name on some file systems."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def require_local(place: Path | str) -> None:
    """Raise UsageError for an address, such as ``https://…`` or ``s3://…``, where a file or folder is meant."""
    found = _ADDRESS.fullmatch(str(place))
    if found and not Path(place).exists():
        what = f"{'://'.join(found.groups())} is an address, and labelaudit takes paths of this machine only"
        raise UsageError(what, fix="download or mount it and give its path")


def require_local_words(words: Iterable[str], *, but: str) -> None:
    """Raise UsageError for an address in a command line: a word, or its part after ``--option=`` or ``format=``.

    ``but`` is the only option that takes an address.
    """
    before = ""
    for word in words:
        named = _NAMED.fullmatch(word)
        option, value = named.groups() if named else (before, word)
        if option != but:
            require_local(value)
        before = word
