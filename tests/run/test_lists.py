import shutil
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from labelaudit.detect.curves import STATISTICS
from labelaudit.detect.kinds import Kinds
from labelaudit.errors import DataError, RunError
from labelaudit.names import KINDS
from labelaudit.run import lists
from labelaudit.run.layout import RunFolder
from labelaudit.run.lists import Baseline
from labelaudit.run.tables import verdict_table, write_samples
from tests.detect.helpers import beliefs_of, statistics_of, verdicts_with
from tests.report.helpers import row
from tests.run.helpers import AWKWARD_PATHS, catalogue_of, read_rows

NAN = float("nan")
FOUR = ("cat/0.png", "cat/1.png", "dog/2.png", "dog/3.png")
WEIGHT_4 = np.array([1.0, 0.25, 0.0, 1 / 3])
FOUR_BELIEFS = beliefs_of([0.9, 0.1, 0.5, NAN], [[1, 1, 0, -1]], [[0.05, 0.8, 0.4, NAN]])


def four_statistics():
    """Of four samples, the last without a record; each statistic has values of its own."""
    values = {f"{name}_N": np.array([n, n - 10.0, 5.0, NAN]) for n, name in enumerate(STATISTICS)}
    return statistics_of(values.pop("aul_N"), beliefs=FOUR_BELIEFS, **values)


FOUR_VERDICTS = verdicts_with([0.125, 0.75, 0.5, NAN], [1, 2, 0])
"""The second sample is flagged, the third is next."""


def no_kinds(count=4):
    figures = dict.fromkeys(("p_corrupted_N", "corruption_N", "p_no_class_N"), np.full(count, NAN))
    none_N = np.full(count, -1, dtype=np.int32)
    return Kinds(kind_N=none_N.astype(np.int8), **figures, copies=(), equal_N=none_N)


def four_kinds():
    """The second sample is mislabeled, the third corrupted."""
    return replace(
        no_kinds(),
        kind_N=np.array([-1, KINDS.index("mislabeled"), KINDS.index("corrupted"), -1], dtype=np.int8),
        p_corrupted_N=np.array([0.0, 0.25, 0.75, NAN]),
        corruption_N=np.array([-20.0, -1.5, 1.25, NAN]),
        p_no_class_N=np.array([0.0, 0.125, 0.25, NAN]),
    )


def table_of(kinds=None, catalogue=None, statistics=None):
    catalogue, statistics = catalogue or catalogue_of(FOUR), statistics or four_statistics()
    said_N = np.full(4, -1)
    return verdict_table(catalogue, statistics, FOUR_VERDICTS, kinds or no_kinds(), said_N, said_N >= 0)


def ranked(count=1, catalogue=None, **changes):
    """suspicious.csv of the first of the four samples."""
    catalogue = catalogue or catalogue_of(FOUR)
    table = table_of(catalogue=catalogue, **changes)
    return "".join(lists.ranked_lines(lists.ranked(table, catalogue, FOUR_VERDICTS.order[:count])))


def written(file, content):
    file.write_bytes(content.encode() if isinstance(content, str) else content)
    return file


def test_the_ranked_list_begins_with_the_most_suspicious():
    assert ranked(kinds=four_kinds()) == (
        "rank,path,given_label,suggested_label,p_mislabeled,label_score,aul,aum,kind,sample,sha256\n"
        f"1,cat/1.png,cat,dog,0.750000,0.250000,-10,-9,mislabeled,1,{1:064x}\n"
    )
    statistics = four_statistics()
    nothing = replace(statistics.transition, true_N=np.full(4, -1, dtype=np.int32))
    (row,) = read_rows(ranked(statistics=replace(statistics, transition=nothing)))
    assert row["suggested_label"] == ""
    assert [(row["rank"], row["sample"]) for row in read_rows(ranked(3))] == [("1", "1"), ("2", "2"), ("3", "0")]


def test_the_ranked_list_is_read_back_whatever_the_paths_are():
    count = len(AWKWARD_PATHS)
    beliefs = beliefs_of(np.zeros(count), np.ones((1, count)), np.ones((1, count)))
    verdicts = verdicts_with(np.ones(count), np.arange(count)[::-1])
    statistics = statistics_of(range(count), beliefs=beliefs)
    said_N = np.full(count, -1)
    table = verdict_table(catalogue_of(), statistics, verdicts, no_kinds(count), said_N, said_N >= 0)
    table = lists.ranked(table, catalogue_of(), verdicts.order)
    rows = read_rows("".join(lists.ranked_lines(table)))
    assert [row["path"] for row in rows] == list(AWKWARD_PATHS[::-1])
    assert list(lists.ranked_rows(table)) == rows


def test_no_spreadsheet_runs_a_name_and_numbers_stay_numbers(tmp_path):
    names = ("=cat", "+dog")
    catalogue = replace(catalogue_of(["=cat/0.png", "=cat/1.png", "+dog/2.png", "+dog/3.png"]), classes=names)
    (line,) = written(tmp_path / "suspicious.csv", ranked(catalogue=catalogue)).read_text().splitlines()[1:]
    assert line == f"1,'=cat/1.png,'=cat,'+dog,0.750000,0.250000,-10,-9,,1,{1:064x}"
    (row,) = read_rows((tmp_path / "suspicious.csv").read_text())
    assert (row["path"], row["given_label"], row["suggested_label"], row["aum"]) == ("=cat/1.png", *names, "-9")
    lists.write_weights(tmp_path / "weights.csv", tmp_path / "weights.npy", catalogue, WEIGHT_4)
    assert (tmp_path / "weights.csv").read_text().splitlines()[3].startswith("'+dog/2.png,0,")


def test_weights_are_written_for_people_and_for_numpy(tmp_path):
    catalogue = catalogue_of(FOUR)
    lists.write_weights(tmp_path / "weights.csv", tmp_path / "weights.npy", catalogue, WEIGHT_4)
    lines = (tmp_path / "weights.csv").read_text().splitlines()
    assert (lines[0], lines[2]) == ("path,weight,sha256", f"cat/1.png,0.25,{1:064x}")
    assert lines[4].startswith("dog/3.png,0.333333333,")
    assert np.load(tmp_path / "weights.npy").tolist() == WEIGHT_4.tolist()
    np.testing.assert_allclose(lists.read_weights(tmp_path / "weights.csv", catalogue), WEIGHT_4, rtol=1e-8, atol=0)


def test_weights_belong_to_paths_and_are_0_for_a_sample_that_is_set_aside(tmp_path):
    rows = ("sha256,path,weight,note", ",dog/3.png,4,x", ",cat/1.png,2,", ",elsewhere.png,9,", ",dog/2.png,3,", "")
    file = written(tmp_path / "weights.csv", "\ufeff" + "\r\n".join(rows))  # as a spreadsheet saves it
    assert lists.read_weights(file, catalogue_of(FOUR, reasons=["empty file", "", "", ""])).tolist() == [0, 2, 3, 4]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "cannot read .*: no such file or directory"),
        ("path,p_mislabeled\na,1\n", "has no column weight"),
        ("path,weight\ncat/0.png,-0.1\n", r"line 2: '-0\.1' is no weight\W use numbers from 0"),
        ("path,weight\ncat/0.png,1\ncat/1.png,inf\n", "line 3: 'inf' is no weight"),
        ("path,weight\ncat/0.png\n", "line 2: None is no weight"),
        ("path,weight\ncat/0.png,1\ncat/0.png,1\n", "line 3: 'cat/0.png' appears twice"),
        (b"path,weight\n\xff,1\n", "is not UTF-8 text"),
    ],
)
def test_weights_that_are_none_are_refused_with_the_place(tmp_path, text, message):
    file = tmp_path / "weights.csv" if text is None else written(tmp_path / "weights.csv", text)
    with pytest.raises(DataError, match=message) as caught:
        lists.read_weights(file, catalogue_of(FOUR))
    assert str(file) in caught.value.what
    assert caught.value.fix


def ranks(rows):
    return [found["rank"] for found in rows]


def test_without_a_baseline_the_first_rows_are_listed():
    listed = lists.list_suspicious([row(1), row(2), row(3)], most=2)
    assert (ranks(listed.rows), listed.total, listed.counted, listed.new) == (["1", "2"], 3, 3, None)


def test_a_baseline_tells_new_labels_from_known_ones():
    finding_of = {number: (row(number)["sha256"], "ant") for number in (2, 5, 9)}
    files = {f"{number}.png": (*finding, "") for number, finding in finding_of.items()}
    rows = [row(1), row(2, path="moved.png"), row(3), row(4), row(5, given_label="bee")]
    listed = lists.list_suspicious(rows, most=3, baseline=Baseline(files=files))
    assert (ranks(listed.rows), ranks(listed.known_rows)) == (["1", "3", "4"], ["2"])
    assert (listed.total, listed.new, listed.counted) == (5, 4, 4)


def test_a_list_is_a_baseline_of_the_files_in_it(tmp_path):
    text = '\ufeffgiven_label,path,sha256\n"a,""b""\r\nc","new\nline.png",ff\n猫,\'=x,ee\n'
    found = lists.read_baseline(written(tmp_path / "a.csv", text))
    assert found.files == {"new\nline.png": ("ff", 'a,"b"\r\nc', ""), "=x": ("ee", "猫", "")}
    rows = ("LA001,ant,ff,a", "LA006,ant,ff,a", "LA005,bee,,c")
    text = "\n".join(("code,given_label,sha256,path", *rows))
    found = lists.read_baseline(written(tmp_path / "findings.csv", text))
    assert found == Baseline(files={"a": ("ff", "ant", ""), "c": ("c", "bee", "")})


def audited(*files, **changes):
    """The catalogue of files of ants and bees, each a path and a content hash."""
    paths, sha256 = zip(*files, strict=True)
    label_N = np.array([path.startswith("bee/") for path in paths], dtype=np.int32)
    return replace(catalogue_of(paths), classes=("ant", "bee"), label_N=label_N, sha256=sha256, **changes)


def test_a_run_folder_and_a_copy_of_its_samples_stand_for_all_its_files(tmp_path):
    with pytest.raises(RunError, match="is not a run folder"):
        lists.read_baseline(tmp_path)
    folder = RunFolder(tmp_path)
    folder.write_description({"status": "trained"})
    write_samples(folder.samples, audited(("ant/a.png", "ff"), ("ant/b.png", "")))
    files = {"ant/a.png": ("ff", "ant", ""), "ant/b.png": ("ant/b.png", "ant", "")}
    assert lists.read_baseline(tmp_path) == Baseline(files=files)
    copy = shutil.copy(folder.samples, tmp_path / "labels.parquet")
    assert lists.read_baseline(Path(copy)) == Baseline(files=files)


BEFORE = (("ant/a.png", "aa"), ("bee/b.png", "bb"), ("bee/c.png", ""), ("bee/d.png", "dd"))


@pytest.mark.parametrize(
    ("now", "code", "new"),
    [
        ("ant/a.png=aa bee/b.png=bb", "LA001", ""),  # whatever was found in them
        ("ant/moved.png=aa ant/copy.png=aa bee/a.png=aa ant/new.png=ee", "LA001", "bee/a.png ant/new.png"),
        ("bee/c.png= ant/c.png= bee/b.png= bee/d.png=cut", "LA005", "ant/c.png bee/b.png bee/d.png"),
        # About copies the added file is new, and not the one beside it.
        ("ant/a.png=aa ant/copy.png=aa", "LA006", "ant/copy.png"),
        ("ant/A.png=aa ant/a.png=aa", "LA006", "ant/A.png"),
        ("ant/moved.png=aa bee/a.png=aa", "LA004", "bee/a.png"),
        ("ant/moved.png=aa bee/b.png=bb", "LA006", ""),
        ("ant/a.png=aa bee/b.png=bb", "LA009", ""),
    ],
)
def test_of_files_that_were_there_nothing_is_new(now, code, new):
    files = [tuple(word.split("=")) for word in now.split()]
    given = {path: (sha256 or path, path.split("/")[0], "") for path, sha256 in BEFORE}
    known = Baseline(files=given).against(audited(*files))
    rows = [{"code": code, "path": path, "given_label": path.split("/")[0], "sha256": sha256} for path, sha256 in files]
    assert [row["path"] for row in rows if not known.knows(row)] == new.split()


@pytest.mark.parametrize(("before", "new"), [("train", ["ant/b.png"]), ("", [])])
def test_an_image_that_was_put_into_another_split_is_a_new_leak(before, new):
    files = {"ant/a.png": ("aa", "ant", before), "ant/b.png": ("aa", "ant", before)}
    later = audited(("ant/a.png", "aa"), ("ant/b.png", "aa"), split_N=("train", "test"))
    known = Baseline(files=files).against(later)
    rows = [{"code": "LA007", "path": path, "given_label": "ant", "sha256": "aa"} for path in files]
    assert [row["path"] for row in rows if not known.knows(row)] == new


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (None, r"cannot read .*a\.csv: no such file or directory; check the path"),
        (
            "action,path,given_label,sha256\nkeep,a,ant,ff\n",
            "has decisions, .*; copy it to decisions.csv in the run folder",
        ),
        ("", r"a\.csv has no column path and given_label and sha256"),
        ('path,given_label,sha256\n"cut,ff', "is not a readable CSV"),
    ],
)
def test_what_is_no_baseline_is_refused(tmp_path, content, message):
    file = tmp_path / "a.csv" if content is None else written(tmp_path / "a.csv", content)
    with pytest.raises(DataError, match=message):
        lists.read_baseline(file)
