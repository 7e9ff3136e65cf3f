"""All findings of an audit in one table, findings.parquet and findings.csv: a row for each image and code.

Shapes: N samples, F findings of one kind, P pairs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa

from labelaudit.codes import BY_CODE, BY_NAME
from labelaudit.data.catalogue import Catalogue
from labelaudit.detect import FloatArray, NumberArray
from labelaudit.errors import RunError
from labelaudit.names import FindingName
from labelaudit.run.files import write_lines
from labelaudit.run.lists import lines_of
from labelaudit.run.parquet import columns, read_table, write_table

_FINDINGS = columns(
    "code:str kind:str sample:int32 path:str given_label:str suggested_label:str other_path:str group:int32 score "
    "sha256:str"
)


@dataclass(frozen=True, kw_only=True)
class Findings:
    """The findings of one kind, in the order in which they are listed.

    Attributes:
        sample_F: Sample numbers.
        score_F: How sure or how bad, high is worse; NaN where nothing is to be said.
        group_F: Which of them belong together; −1 for none.
        other_F: The sample that a finding is about besides its own; −1 for none.
    """

    name: FindingName
    sample_F: NumberArray
    score_F: FloatArray | None = None
    group_F: NumberArray | None = None
    other_F: NumberArray | None = None


def findings_table(catalogue: Catalogue, suggested: pa.Array, found: Sequence[Findings]) -> pa.Table:
    """Return the findings in the order of their codes; ``suggested`` are N labels, null for none."""
    paths, given = pa.array(catalogue.paths, pa.string()), [catalogue.classes[label] for label in catalogue.label_N]
    tables = [_FINDINGS.empty_table()]
    for each in sorted(found, key=lambda one: BY_NAME[one.name].code):
        sample_F = pa.array(each.sample_F, pa.int32())
        count, none_F = len(sample_F), np.full(len(sample_F), -1, dtype=np.int32)
        group_F, other_F = (none_F if value is None else value for value in (each.group_F, each.other_F))
        score_F = np.full(count, np.nan) if each.score_F is None else each.score_F
        values = {
            "code": [BY_NAME[each.name].code] * count,
            "kind": [each.name] * count,
            "sample": sample_F,
            "path": paths.take(sample_F),
            "given_label": pa.array(given, pa.string()).take(sample_F),
            "suggested_label": suggested.take(sample_F),
            "other_path": paths.take(pa.array(other_F, pa.int32(), mask=other_F < 0)),
            "group": pa.array(group_F, pa.int32(), mask=group_F < 0),
            "score": pa.array(score_F, pa.float64(), mask=np.isnan(score_F)),
            "sha256": pa.array(catalogue.sha256, pa.string()).take(sample_F),
        }
        tables.append(pa.table(values, schema=_FINDINGS))
    return pa.concat_tables(tables).combine_chunks()


def write_findings(parquet: Path, csv: Path, table: pa.Table) -> None:
    """Write findings.parquet and findings.csv; the CSV has empty cells where the table has nulls."""
    write_table(parquet, table)
    write_lines(csv, lines_of(table))


def read_findings(path: Path) -> pa.Table:
    """Read findings.parquet; raise a RunError where it is missing, damaged or of a later version."""
    fix = f"run labelaudit fit {path.parent}"
    table = read_table(path, _FINDINGS, fix)
    if table.column("code").null_count or table.column("path").null_count or table.column("given_label").null_count:
        raise RunError(f"{path} is damaged (no values in code, path or given_label)", fix=fix)
    if unknown := set(table.column("code").unique().to_pylist()) - BY_CODE.keys():
        raise RunError(f"{path} has codes that this version does not know: {', '.join(sorted(unknown))}", fix=fix)
    return table
