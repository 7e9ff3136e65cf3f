"""What every export format is given: the samples to write, and where."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path


@dataclass(frozen=True, kw_only=True, slots=True)
class Sample:
    """One audited sample.

    Attributes:
        sample: Its number: the row in samples.parquet.
        rank: Its place in the order of suspicion, from 1.
        path: Below the image folder, with ``/`` between the parts.
        given_label: The class it is in.
        suggested_label: The other class that the probe believed most.
        p_mislabeled: In [0, 1], high = suspicious.
        label_score: 1 − ``p_mislabeled``, low = suspicious.
        weight: How much it should count in a loss.
        is_suspicious: Whether the audit flagged it.
        kind: What is wrong with it, where the audit tells kinds apart.
        width: In pixels as displayed.
        height: In pixels as displayed.
        sha256: Of the file's content, hexadecimal.
    """

    sample: int
    rank: int
    path: str
    given_label: str
    suggested_label: str
    p_mislabeled: float
    label_score: float
    weight: float
    is_suspicious: bool
    kind: str | None
    width: int
    height: int
    sha256: str

    @property
    def proposed_label(self) -> str:
        """What the audit would call it: the suggested label where it is suspicious, else the given one."""
        return self.suggested_label if self.is_suspicious else self.given_label

    @property
    def confidence(self) -> float:
        """The probability of the verdict in ``proposed_label``: that the given label is wrong, or that it is right."""
        return self.p_mislabeled if self.is_suspicious else self.label_score


@dataclass(frozen=True, kw_only=True)
class Job:
    """What is to be written where.

    Attributes:
        samples: In the order in which they are written.
        classes: Every class name, sorted.
        root: The image folder, absolute.
        folder: Where the files go; it exists.
        url_prefix: What a path, percent-encoded, is appended to to make the image's address; only Label Studio's.
        created: When the audit was finished, ISO 8601; may be empty.
    """

    samples: Sequence[Sample]
    classes: tuple[str, ...]
    root: Path
    folder: Path
    url_prefix: str
    created: str


Writer = Callable[[Job], None]
