"""Handle text from outside: make it printable, compare names, tell addresses from paths, write CSV cells.

A CSV cell that begins with one of ``= + - @``, a tab or a line end is run as a formula by spreadsheets, and names of
files and classes come from anywhere. Writers put an apostrophe before such a beginning, also where it has apostrophes
already; readers remove one:

    =1+1        '=1+1
    '=1+1       ''=1+1
    'tis        'tis          (no formula behind the apostrophe: unchanged)

The rule also holds after a semicolon or a line end inside a text, at which spreadsheets split a CSV where the comma is
the decimal sign, and for the wide forms ＝ ＋ － ＠. Every text is read back unchanged.
"""

from __future__ import annotations

import csv
import re
import unicodedata
from collections.abc import Collection, Iterable, Iterator, Sequence
from pathlib import Path

from labelaudit.errors import UsageError

_ADDRESS = re.compile(r"([A-Za-z][A-Za-z0-9+.-]+):/+(.+)", re.DOTALL)
"""The scheme has two letters or more, unlike a drive letter; a Path has lost the second slash of an address."""

_NAMED = re.compile(r"(-*[a-z-]+)=(.*)", re.DOTALL)

_BEGINNING = r"(?<![^;\r\n])"
_FORMULA = r"'*[=+\-@\t\r\n＝＋－＠]"
_TO_GUARD = re.compile(f"{_BEGINNING}(?={_FORMULA})")
_GUARDED = re.compile(f"{_BEGINNING}'(?={_FORMULA})")


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


def alike(names: Iterable[str]) -> Iterator[tuple[str, str]]:
    """Yield pairs of names that differ only in case, spaces, Unicode form, or as ``1`` and ``1.0`` do."""
    seen: dict[str, str] = {}
    for name in sorted(names):
        plain = " ".join(unicodedata.normalize("NFKC", name).casefold().split())
        if (other := seen.setdefault(re.sub(r"(?<=\d)\.0*\Z", "", plain), name)) != name:
            yield other, name


def address_of(place: Path | str) -> str | None:
    """Return the address, such as ``https://…`` or ``s3://…``, that a text or Path is; None for a file or folder."""
    found = _ADDRESS.fullmatch(str(place))
    return "://".join(found.groups()) if found and not Path(place).exists() else None


def require_local(place: Path | str) -> None:
    """Raise UsageError for an address where a file or folder is meant."""
    if address := address_of(place):
        fix = "download or mount it and give its path; labelaudit score takes one as its first word and after --test"
        raise UsageError(f"{address} is an address, where a path of this machine is meant", fix=fix)


def require_local_words(words: Iterable[str], *, but: Collection[str]) -> None:
    """Raise UsageError for an address in a command line: a word, or its part after ``--option=`` or ``format=``.

    ``but`` are the words after which one may stand.
    """
    before = ""
    for word in words:
        named = _NAMED.fullmatch(word)
        option, value = named.groups() if named else (before, word)
        if option not in but:
            require_local(value)
        before = word


def guarded(text: str) -> str:
    """Return ``text`` in a form that no spreadsheet runs; `unguarded` reverses it."""
    return _TO_GUARD.sub("'", text)


def unguarded(cell: str) -> str:
    """Reverse `guarded`; cells of other programs are unchanged unless they look guarded."""
    return _GUARDED.sub("", cell)


def csv_lines(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Collection[str] = (), separator: str = ","
) -> Iterator[str]:
    """Yield the lines of a CSV, each with its line end, texts guarded.

    The columns in ``numbers`` are not guarded, so that a spreadsheet reads −3 as a number; None is an empty cell.
    """
    # Some versions of Python quote a carriage return only where it is part of the line end.
    writer = csv.writer(_UnixLines(), lineterminator="\r\n", delimiter=separator)
    yield writer.writerow(header)
    plain = {column for column, name in enumerate(header) if name in numbers}
    for row in rows:
        cells = enumerate(row)
        yield writer.writerow([guarded(v) if isinstance(v, str) and column not in plain else v for column, v in cells])


class _UnixLines:
    """A file for csv that returns each line, with the line end of Unix."""

    def write(self, line: str) -> str:
        return line.removesuffix("\r\n") + "\n"
