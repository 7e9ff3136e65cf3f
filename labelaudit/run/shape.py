"""Whether a JSON document is of the form that labelaudit writes: its files lie where anybody can change them.

A shape is a function that tells whether a value fits it; `list_of`, `record` and `either` make shapes of shapes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Collection

Shape = Callable[[object], bool]

_MOST = 1 << 53
"""Beyond this, JSON's numbers are no whole ones any more, and no count of labelaudit's either."""


def text(value: object) -> bool:
    """A text that UTF-8 can hold."""
    try:
        return isinstance(value, str) and value.encode("utf-8") is not None
    except UnicodeEncodeError:
        return False


def count(value: object) -> bool:
    """A whole number from 0."""
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value <= _MOST


def number(value: object) -> bool:
    """A finite number."""
    return isinstance(value, int | float) and not isinstance(value, bool) and -_MOST <= value <= _MOST


def share(value: object) -> bool:
    """A number in [0, 1]; NaN is none."""
    return number(value) and isinstance(value, int | float) and not math.isnan(value) and 0 <= value <= 1


def nothing(value: object) -> bool:
    """JSON's null."""
    return value is None


def one_of(words: Collection[str]) -> Shape:
    """One of these words."""
    return lambda value: isinstance(value, str) and value in words


def either(*shapes: Shape) -> Shape:
    """Any of these shapes."""
    return lambda value: any(shape(value) for shape in shapes)


def list_of(shape: Shape, *, length: int | None = None) -> Shape:
    """A list of values of one shape, of a length if that is said."""
    return lambda value: (
        isinstance(value, list) and length in (None, len(value)) and all(shape(entry) for entry in value)
    )


def values_of(shape: Shape) -> Shape:
    """An object with any names, all values of one shape."""
    return lambda value: isinstance(value, dict) and all(text(key) and shape(entry) for key, entry in value.items())


def record(**shapes: Shape) -> Shape:
    """An object with these entries, and maybe others; one may be missing where its name here begins with ``maybe_``."""
    return lambda value: isinstance(value, dict) and not misfits(value, shapes)


def misfits(value: dict[str, object], shapes: dict[str, Shape]) -> list[str]:
    """The entries of an object that are missing or of another shape; see `record`."""
    found = []
    for key, shape in shapes.items():
        name = key.removeprefix("maybe_")
        if (name in value or name == key) and not (name in value and shape(value[name])):
            found.append(name)
    return found
