"""JSON and XML as lines of text, so that a million samples need not be in memory as one."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from xml.sax.saxutils import escape

from labelaudit.errors import DataError


def json_text(value: object) -> str:
    """JSON on one line; NaN and infinity are refused, since JSON has none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def json_members(items: Iterable[str], *, opening: str, closing: str) -> Iterator[str]:
    """The lines of a JSON list or object with these members, which are JSON already, one a line."""
    yield opening
    between = "\n"
    for item in items:
        yield between + item
        between = ",\n"
    yield f"\n{closing}\n"


def xml_text(text: str, what: str) -> str:
    """``text`` as the content of an XML element.

    Args:
        text: Any.
        what: What it is, for the error.

    Raises:
        DataError: it has a character that XML 1.0 has no way to write.
    """
    _require_writable(text, what)
    return escape(text, {"\r": "&#13;"})


def xml_attribute(text: str, what: str) -> str:
    """The same as an attribute's value, with double quotes around it and none inside."""
    _require_writable(text, what)
    inner = escape(text, {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})
    return f'"{inner}"'


def _require_writable(text: str, what: str) -> None:
    bad = next((character for character in text if not _is_writable(ord(character))), None)
    if bad is not None:
        raise DataError(
            f"{what} {text!r} has the character U+{ord(bad):04X}, which XML cannot hold",
            fix="rename it and audit again, or export to another format",
        )


def _is_writable(point: int) -> bool:
    return point in (0x9, 0xA, 0xD) or 0x20 <= point <= 0xD7FF or 0xE000 <= point <= 0xFFFD or point >= 0x10000
