"""What every export format is given: the samples to write, and where."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape

import pyarrow as pa

from labelaudit.audit.model import Audit
from labelaudit.errors import DataError


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


def json_text(value: object) -> str:
    """JSON on one line; NaN and infinity are refused, since JSON has none."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def json_members(items: Iterable[str], *, opening: str, closing: str) -> Iterator[str]:
    """The lines of a JSON list or object with these members, which are JSON already, one a line."""
    yield opening
    between = "\n"
    for item in items:
        yield between + item
        between = ",\n"
    yield f"\n{closing}\n"


def xml_text(text: str, what: str) -> str:
    """``text`` as the content of an XML element.

    Args:
        text: Any.
        what: What it is, for the error.

    Raises:
        DataError: it has a character that XML 1.0 has no way to write.
    """
    _require_writable(text, what)
    return escape(text, {"\r": "&#13;"})


def xml_attribute(text: str, what: str) -> str:
    """The same as an attribute's value, with double quotes around it and none inside."""
    _require_writable(text, what)
    inner = escape(text, {'"': "&quot;", "\t": "&#9;", "\n": "&#10;", "\r": "&#13;"})
    return f'"{inner}"'


def _require_writable(text: str, what: str) -> None:
    bad = next((character for character in text if not _is_writable(ord(character))), None)
    if bad is not None:
        raise DataError(
            f"{what} {text!r} has the character U+{ord(bad):04X}, which XML cannot hold",
            fix="rename it and audit again, or export to another format",
        )


def _is_writable(point: int) -> bool:
    return point in (0x9, 0xA, 0xD) or 0x20 <= point <= 0xD7FF or 0xE000 <= point <= 0xFFFD or point >= 0x10000


VERDICTS = pa.schema(
    [
        ("sample", pa.int32()),
        ("path", pa.string()),
        ("given_label", pa.string()),
        ("suggested_label", pa.string()),
        ("p_mislabeled", pa.float64()),
        ("label_score", pa.float64()),
        ("weight", pa.float64()),
        ("is_suspicious", pa.bool_()),
        ("rank", pa.int32()),
        ("sha256", pa.string()),
    ]
)


def verdicts_table(samples: Sequence[Sample]) -> pa.Table:
    """A row per sample with the columns of `VERDICTS`, and ``kind`` where the audit tells kinds apart."""
    table = pa.table({name: [getattr(sample, name) for sample in samples] for name in VERDICTS.names}, schema=VERDICTS)
    if any(sample.kind is not None for sample in samples):
        table = table.append_column("kind", pa.array([sample.kind for sample in samples], pa.string()))
    return table


def choose_samples(audit: Audit, *, count: int | None, ranked: bool) -> list[Sample]:
    """The ``count`` most suspicious of the audited samples, or all of them.

    Args:
        audit: A finished audit.
        count: How many; None: all.
        ranked: The most suspicious first; else in the order of their numbers.
    """
    order = audit.order_U.tolist()[:count]
    rank_of = {number: rank for rank, number in enumerate(order, start=1)}
    chosen = order if ranked else sorted(order)
    rows = audit.scores.take(pa.array(chosen, pa.int64()))
    has_kind = "kind" in rows.column_names
    columns: dict[str, list[Any]] = {
        name: rows.column(name).to_pylist()
        for name in ("path", "given_label", "suggested_label", "p_mislabeled", "label_score", "weight")
    }
    columns["kind"] = rows.column("kind").to_pylist() if has_kind else [None] * len(chosen)
    catalogue = audit.catalogue
    return [
        Sample(
            sample=number,
            rank=rank_of[number],
            is_suspicious=rank_of[number] <= audit.flagged,
            width=int(catalogue.width_N[number]),
            height=int(catalogue.height_N[number]),
            sha256=catalogue.sha256[number],
            **dict(zip(columns, values, strict=True)),
        )
        for number, values in zip(chosen, zip(*columns.values(), strict=True), strict=True)
    ]
