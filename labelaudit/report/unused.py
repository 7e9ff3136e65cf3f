"""Unreadable images and files that are left out, in words, the same for every format."""

from __future__ import annotations

from typing import Any

MOST_KINDS = 12
"""How many kinds of left-out files a list for people shows."""

_NO_IMAGES = frozenset(
    f".{suffix}"
    for group in (
        ("txt", "md", "rst", "html", "pdf", "csv", "tsv", "json", "jsonl", "xml", "yaml", "yml", "toml", "ini", "cfg"),
        ("log", "db", "py", "ipynb", "npy", "npz", "pkl", "pt", "h5", "parquet", "zip", "tar", "gz", "7z"),
        ("mp4", "avi", "mov", "mkv", "wav", "mp3"),
    )
    for suffix in group
)
"""Suffixes of what often lies beside images and is none."""


def unreadable(noise: dict[str, Any]) -> int:
    """How many images could not be read.

    Args:
        noise: The content of noise.json.
    """
    return max(0, int(noise.get("samples", noise["readable"])) - int(noise["readable"]))


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
    lines += [
        f"{int(entry['files']):,} {entry['suffix'] or 'without suffix'}: {entry['reason']}, such as {entry['example']}"
        for entry in entries[:MOST_KINDS]
    ]
    if len(entries) > MOST_KINDS:
        rest = sum(int(entry["files"]) for entry in entries[MOST_KINDS:])
        lines.append(f"{_count(rest, 'more file')} of {len(entries) - MOST_KINDS} other kinds; noise.json lists them")
    return lines


def maybe_images(noise: dict[str, Any]) -> int:
    """How many left-out files may be images: all but those whose suffix is known to be of something else.

    Text, tables and annotations beside the images are common and lose no image; they are listed and do not fail a gate.

    Args:
        noise: The content of noise.json.
    """
    return sum(int(entry["files"]) for entry in noise.get("left_out") or [] if entry["suffix"] not in _NO_IMAGES)


def _count(count: int, noun: str) -> str:
    return f"{count:,} {noun}{'' if count == 1 else 's'}"
