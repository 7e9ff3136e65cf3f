"""Numbers that an option may have; argparse says it in one line when they do not fit."""

from __future__ import annotations

import argparse


def positive(text: str) -> int:
    """A whole number that is at least 1.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    if not text.isdecimal() or int(text) < 1:
        raise argparse.ArgumentTypeError(f"{text} is not a whole number above 0")
    return int(text)


def natural(text: str) -> int:
    """A whole number, 0 for none.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    return 0 if text == "0" else positive(text)


def share(text: str) -> float:
    """A number between 0 and 1, both excluded.

    Raises:
        argparse.ArgumentTypeError: it is something else.
    """
    try:
        value = float(text)
    except ValueError:
        value = -1.0
    if not 0 < value < 1:
        raise argparse.ArgumentTypeError(f"{text} is not between 0 and 1")
    return value
