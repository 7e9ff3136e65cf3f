"""What a reviewer decided, whatever program the decisions came from."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from labelaudit.names import ActionName


@dataclass(frozen=True, kw_only=True)
class Correction:
    """A decision about one sample.

    Attributes:
        path: Of the image, below the data folder, with ``/`` between the parts; not yet checked in any way.
        action: What to do with it.
        label: The right label, for ``change``; else empty.
        given_label: The label it had when it was reviewed; empty where the review does not say.
        sha256: Of the content that was reviewed, hex; empty where the review does not say.
        where: Its place in the review, such as ``line 3``.
        prefixed: True where ``path`` may begin with folders above the data folder, as in an address.
    """

    path: str
    action: ActionName
    label: str = ""
    given_label: str = ""
    sha256: str = ""
    where: str = ""
    prefixed: bool = False


@dataclass(frozen=True, kw_only=True)
class Refusal:
    """A decision that is not carried out, and why."""

    path: str
    where: str
    reason: str


@dataclass(frozen=True, kw_only=True)
class Review:
    """The content of a file of corrections.

    Attributes:
        file: Where it was read.
        digest: SHA-256 (hex) of the file.
        corrections: The decisions, in the file's order.
        unreviewed: Number of samples that are in the file without a decision.
        unclear: Samples whose decision cannot be told.
    """

    file: Path
    digest: str
    corrections: tuple[Correction, ...]
    unreviewed: int = 0
    unclear: tuple[Refusal, ...] = ()
