"""Text that came from outside, made fit for a terminal."""

from __future__ import annotations


def printable(text: str) -> str:
    """``text`` on one line, with everything that could steer a terminal written as an escape."""
    return "".join(character if character.isprintable() else f"\\x{ord(character):02x}" for character in text)
