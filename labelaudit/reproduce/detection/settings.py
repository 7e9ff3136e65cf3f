"""Which labels are audited: planted errors of a kind and a rate, or given ones."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import cast, get_args

from labelaudit.data.noise import NoiseName
from labelaudit.errors import UsageError

_CLASSES = {"uniform": 0, "pair-flip": 0, "random-labels": 0, "asymmetric": 2, "one-class": 1}
_FIX = (
    "give KIND:RATE, such as uniform:0.2 or pair-flip:0.1; asymmetric:RATE:CLASS,CLASS and one-class:RATE:CLASS "
    "name classes too"
)

PAPER_NOISE = (*(f"uniform:0.{tenth}" for tenth in range(1, 10)), *(f"pair-flip:0.{tenth}" for tenth in range(1, 5)))
"""That of the AUL paper's Figures 7 and 9."""


def file_name(text: str) -> str:
    """The text, with - for what some file system does not take."""
    return re.sub(r"[^\w.,+-]+", "-", text)


@dataclass(frozen=True, kw_only=True)
class Planted:
    """Errors that are planted in right labels; see `labelaudit.data.noise.flip_labels`."""

    kind: NoiseName
    rate: float
    among: tuple[int, int] = (0, 1)


@dataclass(frozen=True, kw_only=True)
class Setting:
    """Labels to audit.

    Attributes:
        name: What they are called in the tables.
        planted: Errors that are planted in the truth; None for labels that are there.
        labels_file: Where these are; None with both is the class folders' own labels.
    """

    name: str
    planted: Planted | None = None
    labels_file: Path | None = None

    @property
    def folder_name(self) -> str:
        """The name, as far as any file system takes it."""
        return file_name(self.name)


def parse_noise(text: str, classes: Sequence[str]) -> Setting:
    """A setting from ``KIND:RATE`` or ``KIND:RATE:CLASS[,CLASS]``.

    Args:
        text: As the user gave it.
        classes: The names that a class may have.

    Raises:
        UsageError: it is no such thing, or names classes that are not there.
    """
    kind, _, rest = text.partition(":")
    number, _, names = rest.partition(":")
    if kind not in get_args(NoiseName):
        raise UsageError(f"--noise {text}: there is no noise {kind!r}", fix=_FIX)
    rate = _rate(text, number)
    among = _among(text, names, classes) if names or _CLASSES[kind] else ()
    if len(among) != _CLASSES[kind]:
        wanted = ("no class", "one class", "two classes")[_CLASSES[kind]]
        raise UsageError(f"--noise {text}: {kind} takes {wanted}", fix=_FIX)
    # flip_labels wants two different classes in any case, and looks only at those that the kind concerns.
    pair = (*among, *(number for number in range(2) if number not in among))[:2]
    return Setting(
        name=f"{kind}:{rate:g}" + (f":{names}" if names else ""),
        planted=Planted(kind=cast("NoiseName", kind), rate=rate, among=(pair[0], pair[1])),
    )


def label_settings(files: Sequence[Path]) -> list[Setting]:
    """A setting for each labels file, named after it."""
    return [Setting(name=file.stem, labels_file=file) for file in files]


def require_different(settings: Sequence[Setting]) -> None:
    """Refuse settings that would share a folder.

    Raises:
        UsageError: naming them.
    """
    seen: dict[str, str] = {}
    for setting in settings:
        folder = setting.folder_name.lower()
        if folder in seen:
            raise UsageError(
                f"{seen[folder]} and {setting.name} would have the same name in the tables",
                fix="give each noise once, and each labels file a name of its own",
            )
        seen[folder] = setting.name


def _rate(text: str, number: str) -> float:
    try:
        rate = float(number)
    except ValueError:
        rate = math.nan
    if not 0 <= rate < 1:
        raise UsageError(f"--noise {text}: the rate {number!r} is not a number from 0 to below 1", fix=_FIX)
    return rate


def _among(text: str, names: str, classes: Sequence[str]) -> tuple[int, ...]:
    """The numbers of one class, or of two with a comma between them; names may hold commas themselves."""
    if names in classes:
        return (classes.index(names),)
    for comma in re.finditer(",", names):
        pair = names[: comma.start()].strip(), names[comma.end() :].strip()
        if pair[0] in classes and pair[1] in classes and pair[0] != pair[1]:
            return classes.index(pair[0]), classes.index(pair[1])
    known = ", ".join(classes[:10]) + ("…" if len(classes) > 10 else "")
    raise UsageError(f"--noise {text}: {names!r} does not name different classes of the data", fix=f"they are {known}")
