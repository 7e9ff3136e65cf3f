"""Write CSV cells that no spreadsheet runs as a formula, and read them back unchanged.

Spreadsheets run a cell that begins with one of ``= + - @``, a tab or a line end as a formula, and names of files and
classes come from anywhere. Writers put an apostrophe before such a beginning, also where it has apostrophes already;
readers remove one:

    =1+1        '=1+1
    '=1+1       ''=1+1
    'tis        'tis          (no formula behind the apostrophe: unchanged)

The rule also holds after a semicolon or a line end inside a text: where the comma is the decimal sign, spreadsheets
split a CSV at semicolons, and quotes do not protect the cell. Some spreadsheets read the wide forms ＝ ＋ － ＠ as the
plain ones. An apostrophe is removed exactly where one was put, so every text is read back unchanged.
"""

from __future__ import annotations

import csv
import re
from collections.abc import Collection, Iterable, Iterator, Sequence

_BEGINNING = r"(?<![^;\r\n])"
_FORMULA = r"'*[=+\-@\t\r\n＝＋－＠]"
_TO_GUARD = re.compile(f"{_BEGINNING}(?={_FORMULA})")
_GUARDED = re.compile(f"{_BEGINNING}'(?={_FORMULA})")


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
