import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.errors import RunError
from labelaudit.run.findings import Findings, findings_table, read_findings, write_findings
from labelaudit.run.lists import rows_of
from tests.run.helpers import AWKWARD_PATHS, catalogue_of, read_rows


def int32(*values):
    return np.array(values, dtype=np.int32)


def table_of():
    """A group of three and an unreadable image, given in another order than that of their codes."""
    catalogue = catalogue_of()
    found = [
        Findings(
            name="near-duplicate",
            sample_F=int32(8, 1, 3),
            score_F=np.array([0.75, 1.0, 0.5]),
            group_F=int32(0, 0, 0),
            other_F=int32(-1, 8, 8),
        ),
        Findings(name="unreadable", sample_F=int32(2)),
        Findings(name="mislabeled", sample_F=int32()),
    ]
    suggested = pa.array(["dog" if number == 1 else None for number in range(len(catalogue))], pa.string())
    return findings_table(catalogue, suggested, found)


def test_a_row_for_each_image_and_code_in_the_order_of_the_codes():
    rows = table_of().to_pylist()
    assert [(row["code"], row["kind"], row["sample"]) for row in rows] == [
        ("LA005", "unreadable", 2),
        *[("LA006", "near-duplicate", sample) for sample in (8, 1, 3)],
    ]
    assert [row["path"] for row in rows] == [AWKWARD_PATHS[sample] for sample in (2, 8, 1, 3)]
    assert [row["other_path"] for row in rows] == [None, None, AWKWARD_PATHS[8], AWKWARD_PATHS[8]]
    assert [row["group"] for row in rows] == [None, 0, 0, 0]
    assert [row["score"] for row in rows] == [None, 0.75, 1.0, 0.5]
    assert [row["suggested_label"] for row in rows] == [None, None, "dog", None]
    assert [row["given_label"] for row in rows] == ["cat", "dog", "cat", "cat"]


def test_both_files_have_the_same_rows(tmp_path):
    parquet, file = tmp_path / "findings.parquet", tmp_path / "findings.csv"
    write_findings(parquet, file, table_of())
    assert read_findings(parquet).equals(table_of())
    rows = list(rows_of(table_of()))
    assert read_rows(file.read_bytes().decode()) == rows
    assert rows[1] == {
        **{"code": "LA006", "kind": "near-duplicate", "sample": "8", "path": AWKWARD_PATHS[8], "group": "0"},
        **{"given_label": "dog", "suggested_label": "", "other_path": "", "score": "0.750000", "sha256": f"{8:064x}"},
    }


def test_unknown_codes_and_missing_paths_are_refused(tmp_path):
    path, table = tmp_path / "findings.parquet", table_of()
    for name, value, said in (("code", "LA777", "does not know: LA777"), ("path", None, "no values in code, path")):
        column = pa.array([value] * len(table), pa.string())
        pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
        with pytest.raises(RunError, match=rf"{said}.*labelaudit fit"):
            read_findings(path)
