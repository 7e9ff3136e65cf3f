"""The errors that labelaudit raises, and the exit codes of its commands.

A LabelauditError is one line: what is wrong, where, and what to do. Any other error is a bug: the command line shows it
in one line too and asks for a report; ``--debug`` shows the traceback.
"""

from __future__ import annotations

from functools import partial

EXIT_GATE_FAILED = 1
EXIT_CANNOT = 2


class LabelauditError(Exception):
    """A failure the user can act on.

    ``what`` says what is wrong and where, ``fix`` what to do, both without a full stop. ``told`` is True where another
    process of the same training shows the error.
    """

    exit_code = EXIT_CANNOT

    def __init__(self, what: str, *, fix: str = "") -> None:
        super().__init__(what)
        self.what = what
        self.fix = fix
        self.told = False

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle with the fix, which the other processes show too."""
        return partial(type(self), self.what, fix=self.fix), ()

    def __str__(self) -> str:
        return f"{self.what}; {self.fix}" if self.fix else self.what


def brief(error: BaseException, most: int = 100) -> str:
    """Return the text of a library's error on one line, cut to ``most`` characters; its type where it has none."""
    return " ".join(str(error).split())[:most] or type(error).__name__


class UsageError(LabelauditError):
    """Options that contradict each other or the data."""


class DataError(LabelauditError):
    """Something is wrong with the image folder, a labels file or a weights file."""


class RunError(LabelauditError):
    """A run folder of other data or settings, or one that is locked, damaged or unfinished."""


class ModelError(LabelauditError):
    """A model that is unknown, or weights that are missing or do not fit."""


class DeviceError(LabelauditError):
    """A device that is not there, or has too little memory."""


class StorageError(LabelauditError):
    """A disk that is full, read-only or out of reach."""


class TrainingError(LabelauditError):
    """A training that diverged."""


def reason(error: OSError) -> str:
    """Return the operating system's description of an error, in lower case."""
    return (error.strerror or str(error)).lower()


class NoLocksWarning(UserWarning):
    """A file system does not lock files, so nothing keeps two commands apart on it."""
