"""The samples that every export format writes, and the helpers for JSON, XML and tables."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
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
        width, height: In pixels as displayed.
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
        """The label that the audit proposes: the suggested one where the sample is suspicious, else the given one."""
        return self.suggested_label if self.is_suspicious else self.given_label

    @property
    def confidence(self) -> float:
        """The probability of ``proposed_label``: that the given label is wrong, or that it is right."""
        return self.p_mislabeled if self.is_suspicious else self.label_score

    def fields(self, names: str) -> dict[str, object]:
        """Return the fields with these names, separated by blanks, and ``kind`` where the sample has one."""
        found = {name: getattr(self, name) for name in names.split()}
        return found if self.kind is None else {**found, "kind": self.kind}


@dataclass(frozen=True, kw_only=True)
class Job:
    """What to write where.

    Attributes:
        samples: In the order in which they are written.
        classes: Every class name, sorted.
        root: The image folder, absolute.
        folder: Where the files go; it exists.
        url_prefix: The address of an image up to its percent-encoded path; only Label Studio's.
        created: When the audit was finished, ISO 8601; may be empty.
    """

    samples: Sequence[Sample]
    classes: tuple[str, ...]
    root: Path
    folder: Path
    url_prefix: str
    created: str


Writer = Callable[[Job], None]


def choose_samples(audit: Audit, *, count: int | None, ranked: bool) -> list[Sample]:
    """Return the ``count`` most suspicious of the audited samples, or all of them.

    Args:
        audit: A finished audit.
        count: How many; None: all.
        ranked: The most suspicious first; else in the order of their numbers.
    """
    table, catalogue = audit.top(len(audit.order_U) if count is None else count), audit.catalogue
    names = ["sample", "rank", "path", "given_label", "suggested_label", "p_mislabeled", "label_score", "weight"]
    has_kind = "kind" in table.column_names
    rows = table.select([*names, "sha256", *(["kind"] if has_kind else [])]).to_pylist()
    return [
        Sample(
            is_suspicious=row["rank"] <= audit.flagged,
            width=int(catalogue.width_N[row["sample"]]),
            height=int(catalogue.height_N[row["sample"]]),
            **{"kind": None, **row},
        )
        for row in (rows if ranked else sorted(rows, key=lambda row: row["sample"]))
    ]


def json_text(value: object) -> str:
    """Return JSON on one line; NaN and infinity raise ValueError."""
    return json.dumps(value, ensure_ascii=False, allow_nan=False)


def json_members(items: Iterable[str], *, opening: str, closing: str) -> Iterator[str]:
    """Yield the text of a JSON list or object with these members, which are JSON already, one a line."""
    yield opening
    between = "\n"
    for item in items:
        yield between + item
        between = ",\n"
    yield f"\n{closing}\n"


_NOT_IN_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def xml_text(text: str, what: str) -> str:
    """Return ``text`` as the content of an XML element.

    Args:
        text: Any.
        what: What it is, for the error.

    Raises:
        DataError: it has a character that XML 1.0 cannot hold.
    """
    if bad := _NOT_IN_XML.search(text):
        raise DataError(
            f"{what} {text!r} has the character U+{ord(bad[0]):04X}, which XML cannot hold",
            fix="rename it and audit again, or export to another format",
        )
    return escape(text, {"\r": "&#13;"})


def xml_attribute(text: str, what: str) -> str:
    """Return the same as an attribute's value, in double quotes."""
    inner = xml_text(text, what).replace('"', "&quot;").replace("\t", "&#9;").replace("\n", "&#10;")
    return f'"{inner}"'


VERDICTS = pa.schema(
    {
        "sample": pa.int32(),
        "path": pa.string(),
        "given_label": pa.string(),
        "suggested_label": pa.string(),
        "p_mislabeled": pa.float64(),
        "label_score": pa.float64(),
        "weight": pa.float64(),
        "is_suspicious": pa.bool_(),
        "rank": pa.int32(),
        "sha256": pa.string(),
    }
)


def verdicts_table(samples: Sequence[Sample]) -> pa.Table:
    """Return a row per sample with the columns of `VERDICTS`, and ``kind`` where the audit tells kinds apart."""
    table = pa.table({name: [getattr(sample, name) for sample in samples] for name in VERDICTS.names}, schema=VERDICTS)
    if any(sample.kind is not None for sample in samples):
        table = table.append_column("kind", pa.array([sample.kind for sample in samples], pa.string()))
    return table
