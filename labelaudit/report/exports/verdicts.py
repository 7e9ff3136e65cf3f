"""Verdicts as one Arrow table, for the formats that are a table."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from labelaudit.report.exports.base import Sample

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
