from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.detect.curves import STATISTICS
from labelaudit.detect.images import IMAGE_STATISTICS, ImageTable
from labelaudit.detect.sample import Design
from labelaudit.errors import RunError, StorageError
from labelaudit.names import COPY_KINDS, KINDS
from labelaudit.run import tables
from labelaudit.run.files import write_lines
from labelaudit.run.lists import lines_of, read_weights, rows_of, write_weights
from labelaudit.run.parquet import write_table
from tests.run.helpers import AWKWARD_PATHS, catalogue_of, names_in, read_rows, room_for
from tests.run.test_lists import FOUR, FOUR_VERDICTS, four_kinds, four_statistics, table_of


def require_equal(one, other):
    for name in ("root", "classes", "paths", "sha256", "reasons", "fingerprint"):
        assert getattr(one, name) == getattr(other, name)
    for name in ("label_N", "width_N", "height_N", "grey_N", "used_N"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype


def test_samples_and_weights_of_any_path_survive(tmp_path):
    catalogue = catalogue_of(reasons=["", 'damaged: a, "b"', *[""] * (len(AWKWARD_PATHS) - 2)])
    file = tmp_path / "samples.parquet"
    tables.write_samples(file, catalogue)
    require_equal(tables.read_samples(file, root=catalogue.root, classes=catalogue.classes), catalogue)
    weight_N = np.arange(1, len(AWKWARD_PATHS) + 1) / 8
    write_weights(tmp_path / "weights.csv", tmp_path / "weights.npy", catalogue, weight_N)
    assert read_weights(tmp_path / "weights.csv", catalogue).tolist() == weight_N.tolist()


def test_samples_have_the_columns_that_others_join_on(tmp_path):
    tables.write_samples(tmp_path / "samples.parquet", catalogue_of(FOUR, reasons=["", "damaged", "", ""]))
    columns = pq.read_table(tmp_path / "samples.parquet").to_pydict()
    assert columns["sample"] == [0, 1, 2, 3]
    assert (columns["path"], columns["class"]) == (list(FOUR), ["cat", "cat", "dog", "dog"])
    assert columns["readable"] == [True, False, True, True]


def test_samples_that_are_missing_damaged_or_incomplete_are_refused(tmp_path):
    file = tmp_path / "samples.parquet"
    tables.write_samples(file, catalogue_of(FOUR))
    table = pq.read_table(file)
    for damaged, message in (
        (table.drop_columns(["label"]), r"is damaged \(no values in label\)"),
        (table.set_column(1, "path", pa.array(["a", None, "c", "d"])), r"is damaged \(no values in path\)"),
        (table.set_column(2, "label", pa.array([0, 0, 1, 2], pa.int32())), "has labels of unknown classes"),
        (table.slice(1), "sample numbers that are not its row"),
        (None, "is missing"),
    ):
        file.unlink() if damaged is None else pq.write_table(damaged, file)
        with pytest.raises(RunError, match=rf"samples\.parquet .*{message}"):
            tables.read_samples(file, root=tmp_path, classes=("cat", "dog"))


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.png", "cat/../../secret.png", "cat/..", "nul\0.png"])
def test_a_path_that_leads_out_of_the_image_folder_is_refused(tmp_path, path):
    catalogue = catalogue_of([path, "dog/1.png"])
    tables.write_samples(tmp_path / "samples.parquet", catalogue)
    with pytest.raises(RunError, match="lead out of the image folder"):
        tables.read_samples(tmp_path / "samples.parquet", root=catalogue.root, classes=catalogue.classes)


def test_scores_say_for_each_sample_what_was_found(tmp_path):
    write_table(tmp_path / "scores.parquet", table_of(four_kinds()))
    table = tables.read_scores(tmp_path / "scores.parquet")
    assert table.to_pylist()[1] == {
        "sample": 1,
        "path": "cat/1.png",
        "given_label": "cat",
        "suggested_label": "dog",
        "suggested_belief": 0.8,
        **{name: number - 10.0 for number, name in enumerate(STATISTICS)},
        "p_mislabeled": 0.75,
        "label_score": 0.25,
        "p_corrupted": 0.25,
        "p_no_class": 0.125,
        "kind": "mislabeled",
        "weight": 0.25,
        "kept": False,
    }
    assert table.column("kind").to_pylist() == [None, "mislabeled", "corrupted", None]
    row = table.to_pylist()[3]  # without a record
    empty = {"suggested_label", "suggested_belief", "p_mislabeled", "label_score", *STATISTICS}
    empty |= {"p_corrupted", "p_no_class", "kind"}
    assert {name for name, value in row.items() if value is None} == empty
    assert row["weight"] == 0.0
    metadata = pq.read_schema(tmp_path / "scores.parquet").metadata
    assert metadata[b"p_mislabeled"] == b"high = suspicious"
    assert b"low = suspicious" in metadata[b"label_score"]


def test_nothing_is_suggested_for_an_image_of_no_class_unless_a_reviewer_names_a_class():
    kinds = replace(four_kinds(), kind_N=np.array([-1, KINDS.index("no-class"), -1, -1], dtype=np.int8))
    row = table_of(kinds).to_pylist()[1]
    assert (row["kind"], row["suggested_label"], row["suggested_belief"]) == ("no-class", None, None)
    said_N = np.array([-1, 0, -1, -1], dtype=np.int32)
    named = tables.verdict_table(catalogue_of(FOUR), four_statistics(), FOUR_VERDICTS, kinds, said_N, said_N >= 0)
    assert named.to_pylist()[1]["suggested_label"] == "cat"


def test_scores_of_other_columns_are_refused(tmp_path):
    write_table(tmp_path / "scores.parquet", table_of().drop_columns(["aul", "weight"]))
    with pytest.raises(RunError, match=r"scores\.parquet lacks aul, weight, or has another type"):
        tables.read_scores(tmp_path / "scores.parquet")


S, M = len(IMAGE_STATISTICS), len(COPY_KINDS)


def images(samples=(0, 2, 3, 7), spoiled=(1, 3)):
    generator = np.random.default_rng(0)
    return ImageTable(
        sample_U=np.array(samples, dtype=np.int32),
        value_US=generator.normal(size=(len(samples), S)).astype(np.float32),
        copied_P=np.array(spoiled, dtype=np.int32),
        copy_PMS=generator.normal(size=(len(spoiled), M, S)).astype(np.float32),
        digest_U=np.array([f"{sample:016x}" for sample in samples], dtype=np.str_),
    )


@pytest.mark.parametrize("given", [images(), images(spoiled=()), images(samples=(5,), spoiled=(0,))])
def test_image_statistics_are_read_back_as_they_were(tmp_path, given):
    file = tmp_path / "pictures.parquet"
    assert tables.read_image_table(file, 8) is None
    tables.write_image_table(file, given)
    found = tables.read_image_table(file, 8)
    for name, array in vars(given).items():
        np.testing.assert_array_equal(getattr(found, name), array)
    distance_U2 = np.random.default_rng(1).random((len(given.sample_U), 2)).astype(np.float32)
    tables.write_image_table(file, replace(given, distance_U2=distance_U2))
    np.testing.assert_array_equal(tables.read_image_table(file, 8).distance_U2, distance_U2)


@pytest.mark.parametrize(
    ("name", "values"),
    [
        ("sample", lambda column: [0, 0, *column[2:]]),
        ("sample", lambda column: [*column[:3], 8, *column[4:]]),
        ("sample", lambda column: [-1, *column[1:]]),
        ("sample", lambda column: [*column[:-1], 6]),
        ("spoiled", lambda column: [*column[:-1], "torn"]),
        (IMAGE_STATISTICS[1], lambda column: [None, *column[1:]]),
        (IMAGE_STATISTICS[0], None),
    ],
    ids=["twice", "too high", "negative", "copy of none", "unknown kind", "no figure", "no column"],
)
def test_damaged_statistics_are_an_error(tmp_path, name, values):
    file = tmp_path / "pictures.parquet"
    tables.write_image_table(file, images())
    table = pq.read_table(file)
    if values is None:
        pq.write_table(table.drop_columns([name]), file)
    else:
        at, old = table.column_names.index(name), table.column(name)
        pq.write_table(table.set_column(at, name, pa.array(values(old.to_pylist()), old.type)), file)
    with pytest.raises(RunError, match=r"pictures\.parquet is damaged"):
        tables.read_image_table(file, 8)


def test_a_design_is_read_back_and_other_ones_are_refused(tmp_path):
    file, used_N = tmp_path / "sample.parquet", np.array([True, True, False, True])
    with pytest.raises(RunError, match="has no sample to review; run labelaudit review"):
        tables.read_design(file, used_N)
    stratum_N, place_N = (np.array(values, np.int32) for values in ([0, 1, -1, 0], [2, 0, -1, 1]))
    tables.write_design(file, Design(stratum_N=stratum_N, place_N=place_N))
    found = tables.read_design(file, used_N)
    np.testing.assert_array_equal(found.stratum_N, stratum_N)
    np.testing.assert_array_equal(found.place_N, place_N)
    assert pq.read_table(file).column("sample").to_pylist() == [1, 3, 0]
    for other_N in (np.array([True, True, True, True]), np.array([True, True]), np.array([False] * 4)):
        with pytest.raises(RunError, match="is damaged, or a sample of other data; delete it and run"):
            tables.read_design(file, other_N)
    table = pq.read_table(file)
    for name, values in (("place", [0, 1, 3]), ("stratum", [0, 2, 0]), ("stratum", [-1, 0, 1]), ("sample", [1, 3, 1])):
        changed = table.set_column(table.column_names.index(name), name, pa.array(values, pa.int32()))
        write_table(file, changed)
        with pytest.raises(RunError, match="is damaged"):
            tables.read_design(file, used_N)


def test_a_full_disk_is_a_storage_error_and_leaves_no_piece(tmp_path):
    with room_for(300), pytest.raises(StorageError, match=r"no space left for .*out"):
        tables.write_samples(tmp_path / "out", catalogue_of([f"cat/{n:05d}.png" for n in range(300)]))
    assert names_in(tmp_path) == []


def int32(*values):
    return np.array(values, dtype=np.int32)


def findings_of():
    """A group of three and an unreadable image, given in another order than that of their codes."""
    catalogue = catalogue_of()
    found = [
        tables.Findings(
            name="near-duplicate",
            sample_F=int32(8, 1, 3),
            score_F=np.array([0.75, 1.0, 0.5]),
            group_F=int32(0, 0, 0),
            other_F=int32(-1, 8, 8),
        ),
        tables.Findings(name="unreadable", sample_F=int32(2)),
        tables.Findings(name="mislabeled", sample_F=int32()),
    ]
    suggested = pa.array(["dog" if number == 1 else None for number in range(len(catalogue))], pa.string())
    return tables.findings_table(catalogue, suggested, found)


def test_a_row_for_each_image_and_code_in_the_order_of_the_codes():
    rows = findings_of().to_pylist()
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
    write_table(parquet, findings_of())
    write_lines(file, lines_of(findings_of()))
    assert tables.read_findings(parquet).equals(findings_of())
    rows = list(rows_of(findings_of()))
    assert read_rows(file.read_bytes().decode()) == rows
    assert rows[1] == {
        **{"code": "LA006", "kind": "near-duplicate", "sample": "8", "path": AWKWARD_PATHS[8], "group": "0"},
        **{"given_label": "dog", "suggested_label": "", "other_path": "", "score": "0.750000", "sha256": f"{8:064x}"},
    }


def test_unknown_codes_and_missing_paths_are_refused(tmp_path):
    path, table = tmp_path / "findings.parquet", findings_of()
    for name, value, said in (("code", "LA777", "does not know: LA777"), ("path", None, "no values in code, path")):
        column = pa.array([value] * len(table), pa.string())
        pq.write_table(table.set_column(table.column_names.index(name), name, column), path)
        with pytest.raises(RunError, match=rf"{said}.*labelaudit fit"):
            tables.read_findings(path)
