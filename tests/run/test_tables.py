import csv
import io
from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from labelaudit.detect.confident import confident_joint
from labelaudit.detect.curves import STATISTICS, CurveStatistics
from labelaudit.detect.kinds import Kinds
from labelaudit.detect.verdicts import Power, Verdicts
from labelaudit.errors import DataError, RunError, StorageError
from labelaudit.names import KINDS
from labelaudit.run.lists import (
    SUSPICIOUS_COLUMNS,
    read_suspicious,
    read_weights,
    suspicious_csv,
    write_corrupted,
    write_suspicious,
    write_weights,
)
from labelaudit.run.tables import read_samples, read_scores, write_samples, write_scores
from tests.detect.helpers import beliefs_of
from tests.run.helpers import AWKWARD_PATHS, catalogue_of, names_in, room_for

NAN = float("nan")
FOUR = ("cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png")
WEIGHT_4 = np.array([1.0, 0.25, 0.0, 1 / 3])


FOUR_BELIEFS = beliefs_of([0.9, 0.1, 0.5, NAN], [[1, 1, 0, -1]], [[0.05, 0.8, 0.4, NAN]])


def four_statistics():
    """Of four samples, the last without a record."""
    return CurveStatistics(
        aul_N=np.array([1.0, 9.0, 5.0, NAN]),
        aum_N=np.array([4.0, -3.0, 0.5, NAN]),
        mean_probability_N=np.array([0.9, 0.1, 0.5, NAN]),
        misprediction_rate_N=np.array([0.0, 1.0, 0.5, NAN]),
        soft_misprediction_rate_N=np.array([0.0, 1.0, 0.1, NAN]),
        forgetting_count_N=np.array([0.0, 3.0, 1.0, NAN]),
        cell_margin_N=np.array([4.5, -2.5, 1.0, NAN]),
        beliefs=FOUR_BELIEFS,
        joint=confident_joint(np.array([0, 0, 1, 1], dtype=np.int32), FOUR_BELIEFS, 2),
        epochs=3,
    )


def four_verdicts():
    """The second sample is flagged, the third is next."""
    p_N = np.array([0.125, 0.75, 0.5, NAN])
    return Verdicts(
        p_mislabeled_N=p_N,
        raw_posterior_N=p_N,
        weight_N=np.array([0.875, 0.25, 0.5, 0.0]),
        order=np.array([1, 2, 0]),
        flagged=1,
        noise_rate=0.4,
        interval=(0.3, 0.5),
        estimates={},
        power=Power(found=(), reviews=()),
    )


def four_kinds():
    """The second sample is mislabeled, the third corrupted."""
    return Kinds(
        kind_N=np.array([-1, KINDS.index("mislabeled"), KINDS.index("corrupted"), -1], dtype=np.int8),
        p_corrupted_N=np.array([0.0, 0.25, 0.75, NAN]),
        corruption_N=np.array([-20.0, -1.5, 1.25, NAN]),
        ambiguous_below=0.1,
        matrix=(),
    )


def require_equal(one, other):
    assert (one.root, one.classes, one.paths, one.sha256, one.reasons) == (
        other.root,
        other.classes,
        other.paths,
        other.sha256,
        other.reasons,
    )
    for name in ("label_N", "width_N", "height_N", "grey_N", "readable_N"):
        np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
        assert getattr(one, name).dtype == getattr(other, name).dtype
    assert one.fingerprint == other.fingerprint


def rows_of(text):
    return list(csv.DictReader(io.StringIO(text, newline="")))


def weights_csv(folder, text):
    file = folder / "weights.csv"
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    return file


def test_samples_are_read_back_as_they_were(tmp_path):
    reasons = {1: "empty file", 4: 'damaged: a, "b"'}
    catalogue = catalogue_of(reasons=[reasons.get(number, "") for number in range(len(AWKWARD_PATHS))])
    write_samples(tmp_path / "samples.parquet", catalogue)
    require_equal(read_samples(tmp_path / "samples.parquet", root=catalogue.root, classes=catalogue.classes), catalogue)


path_texts = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), min_size=1)
paths = st.lists(
    path_texts.filter(lambda path: not path.startswith("/") and ".." not in path.split("/")),
    min_size=1,
    max_size=6,
    unique=True,
)


@given(paths)
def test_samples_and_weights_of_any_path_survive(tmp_path_factory, names):
    folder, catalogue = tmp_path_factory.getbasetemp(), catalogue_of(names)
    write_samples(folder / "samples.parquet", catalogue)
    require_equal(read_samples(folder / "samples.parquet", root=catalogue.root, classes=catalogue.classes), catalogue)
    weight_N = np.arange(1, len(names) + 1) / 8
    write_weights(folder / "weights.csv", folder / "weights.npy", catalogue, weight_N)
    assert read_weights(folder / "weights.csv", catalogue).tolist() == weight_N.tolist()


def test_samples_have_the_columns_that_others_join_on(tmp_path):
    write_samples(tmp_path / "samples.parquet", catalogue_of(FOUR, reasons=["", "damaged", "", ""]))
    table = pq.read_table(tmp_path / "samples.parquet")
    assert {field.name: str(field.type) for field in table.schema} == {
        "sample": "int32",
        "path": "string",
        "label": "int32",
        "class": "string",
        "width": "int32",
        "height": "int32",
        "grey": "bool",
        "sha256": "string",
        "readable": "bool",
        "reason": "string",
        "control": "string",
        "taught_label": "int32",
    }
    assert table.column("sample").to_pylist() == [0, 1, 2, 3]
    assert table.column("path").to_pylist() == list(FOUR)
    assert table.column("class").to_pylist() == ["cat", "cat", "dog", "dog"]
    assert table.column("readable").to_pylist() == [True, False, True, True]


def test_samples_that_are_missing_damaged_or_incomplete_are_refused(tmp_path):
    file = tmp_path / "samples.parquet"

    def read():
        read_samples(file, root=tmp_path, classes=("cat", "dog"))

    with pytest.raises(RunError, match=r"samples\.parquet is missing"):
        read()
    write_samples(file, catalogue_of(FOUR))
    whole = pq.read_table(file)
    file.write_bytes(file.read_bytes()[:-30])
    with pytest.raises(RunError, match=r"samples\.parquet is damaged \("):
        read()
    pq.write_table(whole.drop_columns(["label"]), file)
    with pytest.raises(RunError, match=r"samples\.parquet is damaged \(no values in label\)"):
        read()
    pq.write_table(whole.set_column(1, "path", pa.array(["a", None, "c", "d"])), file)
    with pytest.raises(RunError, match=r"samples\.parquet is damaged \(no values in path\)"):
        read()


def test_scores_say_for_each_sample_what_was_found(tmp_path):
    write_scores(tmp_path / "scores.parquet", catalogue_of(FOUR), four_statistics(), four_verdicts(), four_kinds())
    table = read_scores(tmp_path / "scores.parquet")
    assert table.to_pylist()[1] == {
        "sample": 1,
        "path": "cat/1.png",
        "given_label": "cat",
        "suggested_label": "dog",
        "suggested_belief": 0.8,
        "aul": 9.0,
        "aum": -3.0,
        "mean_probability": 0.1,
        "misprediction_rate": 1.0,
        "soft_misprediction_rate": 1.0,
        "forgetting_count": 3.0,
        "cell_margin": -2.5,
        "p_mislabeled": 0.75,
        "label_score": 0.25,
        "p_corrupted": 0.25,
        "corruption": -1.5,
        "kind": "mislabeled",
        "weight": 0.25,
    }
    assert table.column("kind").to_pylist() == [None, "mislabeled", "corrupted", None]
    assert table.column("p_mislabeled").to_pylist() == [0.125, 0.75, 0.5, None]
    assert table.column("given_label").to_pylist() == ["cat", "cat", "dog", "dog"]
    assert table.column("suggested_label").to_pylist() == ["dog", "dog", "cat", None]


def test_a_sample_without_a_record_has_nulls_and_no_weight(tmp_path):
    write_scores(tmp_path / "scores.parquet", catalogue_of(FOUR), four_statistics(), four_verdicts(), four_kinds())
    row = read_scores(tmp_path / "scores.parquet").to_pylist()[3]
    empty = {"suggested_label", "suggested_belief", "p_mislabeled", "label_score", *STATISTICS}
    empty |= {"p_corrupted", "corruption", "kind"}
    assert {name for name, value in row.items() if value is None} == empty
    assert row["weight"] == 0.0


def test_the_header_of_the_scores_says_which_end_is_suspicious(tmp_path):
    write_scores(tmp_path / "scores.parquet", catalogue_of(FOUR), four_statistics(), four_verdicts())
    metadata = pq.read_schema(tmp_path / "scores.parquet").metadata
    assert metadata[b"p_mislabeled"] == b"high = suspicious"
    assert b"low = suspicious" in metadata[b"label_score"]


def test_missing_and_damaged_scores_are_refused(tmp_path):
    with pytest.raises(RunError, match=r"scores\.parquet is missing"):
        read_scores(tmp_path / "scores.parquet")
    (tmp_path / "scores.parquet").write_bytes(b"PAR1 and no more")
    with pytest.raises(RunError, match=r"scores\.parquet is damaged"):
        read_scores(tmp_path / "scores.parquet")


def test_the_ranked_list_begins_with_the_most_suspicious(tmp_path):
    text = suspicious_csv(catalogue_of(FOUR), four_statistics(), four_verdicts(), four_kinds())
    assert text.splitlines()[0] == ",".join(SUSPICIOUS_COLUMNS)
    assert rows_of(text) == [
        {
            "rank": "1",
            "path": "cat/1.png",
            "given_label": "cat",
            "suggested_label": "dog",
            "p_mislabeled": "0.750000",
            "label_score": "0.250000",
            "aul": "9",
            "aum": "-3",
            "kind": "mislabeled",
            "sample": "1",
            "sha256": f"{1:064x}",
        }
    ]


def test_the_corrupted_are_listed_suspicious_or_not_and_the_surest_first(tmp_path):
    corrupted = np.array([1, -1, 1, -1], dtype=np.int8)
    assert KINDS[1] == "corrupted"
    kinds = replace(four_kinds(), kind_N=corrupted, p_corrupted_N=np.array([1.0, 0.25, 1.0, NAN]))
    kinds = replace(kinds, corruption_N=np.array([15.0, -1.5, 20.5, NAN]))
    write_corrupted(tmp_path / "corrupted.csv", catalogue_of(FOUR), four_verdicts(), kinds)
    lines = (tmp_path / "corrupted.csv").read_text().splitlines()
    assert lines == [
        "rank,path,given_label,p_corrupted,corruption,p_mislabeled,sample,sha256",
        f"1,dog/2.png,dog,1.000000,20.5,0.500000,2,{2:064x}",
        f"2,cat/0.png,cat,1.000000,15,0.125000,0,{0:064x}",
    ]


@pytest.mark.parametrize(("top", "samples"), [(None, "1"), (0, ""), (2, "12"), (3, "120"), (99, "120")])
def test_the_ranked_list_is_as_long_as_asked_and_ends_with_the_records(top, samples):
    rows = rows_of(suspicious_csv(catalogue_of(FOUR), four_statistics(), four_verdicts(), top=top))
    assert "".join(row["sample"] for row in rows) == samples
    assert [row["rank"] for row in rows] == [str(rank) for rank in range(1, len(samples) + 1)]


def test_a_ranked_sample_without_an_alternative_has_an_empty_cell():
    beliefs = replace(FOUR_BELIEFS, class_MN=np.array([[1, -1, 0, -1]], dtype=np.int32))
    statistics = replace(four_statistics(), beliefs=beliefs)
    (row,) = rows_of(suspicious_csv(catalogue_of(FOUR), statistics, four_verdicts()))
    assert row["suggested_label"] == ""


def test_the_ranked_list_is_read_back_whatever_the_paths_are(tmp_path):
    count = len(AWKWARD_PATHS)
    values = {name: np.arange(count, dtype=np.float64) for name in (f"{name}_N" for name in STATISTICS)}
    beliefs = beliefs_of(np.zeros(count), np.ones((1, count)), np.ones((1, count)))
    joint = confident_joint(np.zeros(count, dtype=np.int32), beliefs, 2)
    statistics = CurveStatistics(**values, beliefs=beliefs, joint=joint, epochs=1)
    verdicts = Verdicts(
        p_mislabeled_N=np.ones(count),
        raw_posterior_N=np.ones(count),
        weight_N=np.zeros(count),
        order=np.arange(count)[::-1],
        flagged=count,
        noise_rate=1.0,
        interval=(1.0, 1.0),
        estimates={},
        power=Power(found=(), reviews=()),
    )
    file = tmp_path / "suspicious.csv"
    write_suspicious(file, catalogue_of(), statistics, verdicts)
    assert file.read_bytes().decode() == suspicious_csv(catalogue_of(), statistics, verdicts)
    assert [row["path"] for row in read_suspicious(file, most=99)] == list(AWKWARD_PATHS[::-1])
    assert [row["sample"] for row in read_suspicious(file, most=2)] == [str(count - 1), str(count - 2)]


def test_no_spreadsheet_runs_a_name_and_numbers_stay_numbers(tmp_path):
    names = ("=cat", "+dog")
    catalogue = replace(catalogue_of(["=cat/0.png", "=cat/1.png", "+dog/2.png", "+dog/3.png"]), classes=names)
    write_suspicious(tmp_path / "suspicious.csv", catalogue, four_statistics(), four_verdicts())
    (line,) = (tmp_path / "suspicious.csv").read_text().splitlines()[1:]
    assert line == f"1,'=cat/1.png,'=cat,'+dog,0.750000,0.250000,9,-3,,1,{1:064x}"
    (row,) = read_suspicious(tmp_path / "suspicious.csv", most=9)
    assert (row["path"], row["given_label"], row["suggested_label"], row["aum"]) == ("=cat/1.png", *names, "-3")
    write_weights(tmp_path / "weights.csv", tmp_path / "weights.npy", catalogue, WEIGHT_4)
    assert (tmp_path / "weights.csv").read_text().splitlines()[3].startswith("'+dog/2.png,0,")
    np.testing.assert_allclose(read_weights(tmp_path / "weights.csv", catalogue), WEIGHT_4, rtol=1e-8, atol=0)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"suspicious\.csv is missing or damaged"),
        (b"", "has other columns than labelaudit writes"),
        (b"rank,path\n1,a.png\n", "has other columns than labelaudit writes"),
        (",".join(SUSPICIOUS_COLUMNS).encode() + b"\n1,\xff.png,,,,,,,,\n", "is missing or damaged"),
        (",".join(SUSPICIOUS_COLUMNS).encode() + b'\n1,"cut', "is missing or damaged"),
    ],
)
def test_a_ranked_list_that_is_not_ours_is_refused(tmp_path, content, message):
    if content is not None:
        (tmp_path / "suspicious.csv").write_bytes(content)
    with pytest.raises(RunError, match=message):
        read_suspicious(tmp_path / "suspicious.csv", most=10)


def test_weights_are_written_for_people_and_for_numpy(tmp_path):
    catalogue = catalogue_of(FOUR)
    write_weights(tmp_path / "weights.csv", tmp_path / "weights.npy", catalogue, WEIGHT_4)
    lines = (tmp_path / "weights.csv").read_text().splitlines()
    assert lines[0] == "path,weight,sha256"
    assert lines[2] == f"cat/1.png,0.25,{1:064x}"
    assert lines[4].startswith("dog/3.png,0.333333333,")
    array = np.load(tmp_path / "weights.npy")
    assert array.dtype == np.float64
    np.testing.assert_array_equal(array, WEIGHT_4)
    np.testing.assert_allclose(read_weights(tmp_path / "weights.csv", catalogue), WEIGHT_4, rtol=1e-8, atol=0)
    assert names_in(tmp_path) == ["weights.csv", "weights.npy"]


def test_weights_belong_to_paths_and_not_to_places_in_the_list(tmp_path):
    text = "sha256,path,weight,note\n,dog/3.png,4,x\n,cat/1.png,2,\n,elsewhere.png,9,\n,dog/2.png,3,\n,cat/0.png,1,\n"
    assert read_weights(weights_csv(tmp_path, text), catalogue_of(FOUR)).tolist() == [1, 2, 3, 4]


def test_weights_that_a_spreadsheet_saved_are_read(tmp_path):
    text = "\ufeff" + "path,weight\r\n" + "".join(f"{path},0.5\r\n" for path in FOUR)
    assert read_weights(weights_csv(tmp_path, text), catalogue_of(FOUR)).tolist() == [0.5] * 4


def test_a_sample_that_was_set_aside_needs_no_weight(tmp_path):
    file = weights_csv(tmp_path, "path,weight\n" + "".join(f"{path},1\n" for path in FOUR[:3]))
    catalogue = catalogue_of(FOUR, reasons=["", "", "", "empty file"])
    assert read_weights(file, catalogue).tolist() == [1, 1, 1, 0]


def test_weights_without_some_of_the_samples_are_of_other_data(tmp_path):
    file = weights_csv(tmp_path, "path,weight\ncat/0.png,1\ndog/3.png,1\n")
    with pytest.raises(
        DataError, match=r"belongs to other data: it has no weight for 'cat/1\.png' and 1 more files\W .*/data"
    ):
        read_weights(file, catalogue_of(FOUR))
    file = weights_csv(tmp_path, "path,weight\n" + "".join(f"{path},1\n" for path in FOUR[1:]))
    with pytest.raises(DataError, match=r"it has no weight for 'cat/0\.png'\W "):
        read_weights(file, catalogue_of(FOUR))


def test_weights_of_changed_pictures_are_refused(tmp_path):
    before, after = catalogue_of(FOUR), catalogue_of((*FOUR[:2], "dog/x.png", FOUR[2]))
    write_weights(tmp_path / "weights.csv", tmp_path / "weights.npy", before, WEIGHT_4)
    with pytest.raises(DataError, match=r"no weight for 'dog/x\.png'"):
        read_weights(tmp_path / "weights.csv", after)
    renamed = catalogue_of((FOUR[1], FOUR[0], *FOUR[2:]))
    with pytest.raises(DataError, match=r"the content of 'cat/1\.png' and 1 more files has changed since"):
        read_weights(tmp_path / "weights.csv", renamed)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "has no column path and weight"),
        ("path,p_mislabeled\na,1\n", "has no column weight"),
        ("path,weight\ncat/0.png,-0.1\n", r"line 2: '-0\.1' is no weight\W use numbers from 0"),
        ("path,weight\ncat/0.png,1\ncat/1.png,inf\n", "line 3: 'inf' is no weight"),
        ("path,weight\ncat/0.png,nan\n", "line 2: 'nan' is no weight"),
        ("path,weight\ncat/0.png,\n", "line 2: '' is no weight"),
        ("path,weight\ncat/0.png\n", "line 2: None is no weight"),
        ("path,weight\ncat/0.png,much\n", "line 2: 'much' is no weight"),
        ('path,weight\n"cat/0.png,1\n', "is not a weights file"),
        (b"path,weight\n\xff,1\n", "is not a weights file"),
    ],
)
def test_weights_that_are_none_are_refused_with_the_place(tmp_path, text, message):
    file = weights_csv(tmp_path, text)
    with pytest.raises(DataError, match=message) as caught:
        read_weights(file, catalogue_of(FOUR))
    assert str(file) in caught.value.what
    assert caught.value.fix


def test_a_missing_weights_file_is_named(tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*weights\.csv: no such file or directory"):
        read_weights(tmp_path / "weights.csv", catalogue_of(FOUR))


MANY = catalogue_of([f"cat/{number:05d}.png" for number in range(300)])
WRITERS = {
    "samples": lambda folder: write_samples(folder / "out", MANY),
    "scores": lambda folder: write_scores(folder / "out", catalogue_of(FOUR), four_statistics(), four_verdicts()),
    "weights": lambda folder: write_weights(folder / "out", folder / "weights.npy", MANY, np.ones(300)),
    "ranked list": lambda folder: write_suspicious(
        folder / "out", catalogue_of(FOUR), four_statistics(), replace(four_verdicts(), flagged=3)
    ),
}


@pytest.mark.parametrize("write", WRITERS.values(), ids=WRITERS)
def test_a_full_disk_is_a_storage_error_and_leaves_no_piece(tmp_path, write):
    with room_for(300), pytest.raises(StorageError, match=r"no space left for .*out"):
        write(tmp_path)
    assert names_in(tmp_path) == []


def test_a_full_disk_is_noticed_for_the_array_of_weights_too(tmp_path):
    few = replace(catalogue_of(list("abcdefghij" * 2)), sha256=("",) * 20)
    with room_for(250), pytest.raises(StorageError, match=r"no space left for .*weights\.npy"):
        write_weights(tmp_path / "weights.csv", tmp_path / "weights.npy", few, np.ones(20))
    assert names_in(tmp_path) == ["weights.csv"]


@pytest.mark.parametrize("path", ["/etc/passwd", "../secret.png", "cat/../../secret.png", "cat/..", "nul\0.png"])
def test_a_path_that_leads_out_of_the_image_folder_is_refused(tmp_path, path):
    catalogue = catalogue_of([path, "dog/..1.png"])
    write_samples(tmp_path / "samples.parquet", catalogue)
    with pytest.raises(RunError, match="lead out of the image folder"):
        read_samples(tmp_path / "samples.parquet", root=catalogue.root, classes=catalogue.classes)
    fine = catalogue_of(["cat/..1.png", "dog/two..dots.png"])
    write_samples(tmp_path / "samples.parquet", fine)
    assert read_samples(tmp_path / "samples.parquet", root=fine.root, classes=fine.classes).paths == fine.paths
