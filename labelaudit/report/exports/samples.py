"""The samples of an audit that an export is to hold."""

from __future__ import annotations

from typing import Any

import pyarrow as pa

from labelaudit.recipes.results import Audit
from labelaudit.report.exports.base import Sample


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
