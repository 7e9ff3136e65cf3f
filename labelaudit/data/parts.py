"""Cutting long lists into parts, so that threads hand over work in more than single files."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import joblib

Item = TypeVar("Item")

READERS = min(8, joblib.cpu_count() + 1)
"""Threads that read and decode: decoding leaves the interpreter lock, and one more hides the waiting for the disk."""


def in_parts(items: Sequence[Item], size: int = 64) -> Iterator[Sequence[Item]]:
    """``items`` in order, in slices of ``size``; the last may be shorter."""
    for start in range(0, len(items), size):
        yield items[start : start + size]


@contextlib.contextmanager
def readers() -> Iterator[ThreadPoolExecutor]:
    """`READERS` threads; whoever leaves early, by an error or a signal, does not wait for what is not begun."""
    pool = ThreadPoolExecutor(READERS)
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)
