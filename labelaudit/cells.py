"""CSV cells that a spreadsheet shows and never runs, and that read back as they were.

Spreadsheets take a cell that begins with one of ``= + - @``, a tab or a line end for a formula, and names of files and
classes come from anywhere. Text gets an apostrophe in front of such a beginning, and one more where apostrophes stand
there already; readers take one away again:

    =1+1        '=1+1
    '=1+1       ''=1+1
    'tis        'tis          (no formula behind the apostrophe: unchanged)

The rule holds for what follows a semicolon or a line end inside a text too: where the comma is the decimal sign,
spreadsheets split a CSV at semicolons, and then our quotes no longer hold a cell together. The wide forms ＝ ＋ － ＠,
which some spreadsheets take for the plain ones, count as these. An apostrophe comes off exactly where one was put, so
every text survives.
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
    """``text`` so that no spreadsheet runs it; `unguarded` gives it back."""
    return _TO_GUARD.sub("'", text)


def unguarded(cell: str) -> str:
    """The text that `guarded` made ``cell`` of; cells of other programs are unchanged unless they look guarded."""
    return _GUARDED.sub("", cell)


def csv_lines(
    header: Sequence[str], rows: Iterable[Sequence[object]], *, numbers: Collection[str] = (), separator: str = ","
) -> Iterator[str]:
    """The lines of a CSV, each with its line end, texts guarded.

    Args:
        header: Column names.
        rows: A cell per column; None is an empty one.
        numbers: Columns whose texts are numbers, written as they are: a spreadsheet shall see −3 as a number.
        separator: What stands between the cells.
    """
    # Some versions of Python quote a carriage return only where it is part of the line end.
    writer = csv.writer(_UnixLines(), lineterminator="\r\n", delimiter=separator)
    as_they_are = {number for number, name in enumerate(header) if name in numbers}
    yield writer.writerow(header)
    for row in rows:
        yield writer.writerow(
            [
                guarded(cell) if isinstance(cell, str) and number not in as_they_are else cell
                for number, cell in enumerate(row)
            ]
        )


class _UnixLines:
    """What csv writes to; it hands each line back, ended as on Unix."""

    def write(self, line: str) -> str:
        return line.removesuffix("\r\n") + "\n"
