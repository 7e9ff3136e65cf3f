"""Unreadable images and files that are left out, in words, the same for every format."""

from __future__ import annotations

from typing import Any

from labelaudit.data.catalogue import LeftOut
from labelaudit.data.walk import NO_LOSS

MOST_KINDS = 12
"""How many kinds of left-out files a list for people shows."""


def unreadable(noise: dict[str, Any]) -> int:
    """How many images could not be read.

    Args:
        noise: The content of noise.json.
    """
    readable = int(noise["readable"])
    return int(noise.get("unreadable", int(noise.get("samples", readable)) - readable))


def unreadable_sentence(noise: dict[str, Any]) -> str:
    """How many images could not be read; empty where all could.

    Args:
        noise: The content of noise.json.
    """
    count = unreadable(noise)
    if not count:
        return ""
    return f"{_count(count, 'image')} of {int(noise['samples']):,} cannot be read; unreadable.csv says which and why."


def left_out_sentences(noise: dict[str, Any]) -> list[str]:
    """A headline and a line for each kind of left-out files, the most frequent first; empty where there are none.

    Args:
        noise: The content of noise.json.
    """
    entries = sorted(noise.get("left_out") or [], key=lambda entry: -entry["files"])
    if not entries:
        return []
    total = sum(int(entry["files"]) for entry in entries)
    lines = [f"{_count(total, 'file')} in the folder {'is' if total == 1 else 'are'} not in the audit:"]
    lines += [LeftOut(**entry).text for entry in entries[:MOST_KINDS]]
    if len(entries) > MOST_KINDS:
        rest = sum(int(entry["files"]) for entry in entries[MOST_KINDS:])
        lines.append(f"{_count(rest, 'more file')} of {len(entries) - MOST_KINDS} other kinds; noise.json lists them")
    return lines


def maybe_images(noise: dict[str, Any]) -> int:
    """How many left-out files may be images that are missing in the audit.

    Notes, hidden files and the like are listed too, and do not fail a gate.

    Args:
        noise: The content of noise.json.
    """
    entries = noise.get("left_out") or []
    return sum(int(entry["files"]) for entry in entries if entry["reason"] not in NO_LOSS)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
