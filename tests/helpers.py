"""A reporter that records, and functions that fail, shared by the tests of all packages."""

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import NoReturn

from labelaudit.progress import Advance, Reporter


class Listener(Reporter):
    """A reporter that records its lines and the totals of its bars."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.totals: list[int] = []

    def say(self, text: str) -> None:
        self.lines.append(text)

    warn = say

    def bar(self, title: str, total: int, unit: str) -> AbstractContextManager[Advance]:
        self.totals.append(total)
        return super().bar(title, total, unit)


def failing(code: int) -> Callable[..., NoReturn]:
    """Return a function that fails with an operating system error."""

    def fail(*_: object, **__: object) -> NoReturn:
        raise OSError(code, os.strerror(code))

    return fail
