"""A labels file with annotators, from the command line to every output."""

import csv
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import labelaudit
from labelaudit.data.folder import scan
from labelaudit.report import markdown
from labelaudit.report.gate import Limits, make_report
from tests.cli.helpers import CLASSES, read_rows, run, succeed, write_predictions


@pytest.fixture
def photos(image_folder):
    return image_folder(classes=CLASSES, each=12, wrong=0)


@pytest.fixture
def predictions(photos, tmp_path):
    return write_predictions(tmp_path / "predictions.npy", photos)


@pytest.fixture
def votes(photos, tmp_path):
    """Ann is right, Bob calls every second bee an ant and every fourth cat a dog; Cid saw ten images; Dot has a class
    of her own."""
    rows = []
    for number, path in enumerate(scan(photos).paths):
        label = path.split("/")[0]
        other = {"bee": "ant" if number % 2 else "bee", "cat": "dog" if number % 4 == 0 else "cat"}.get(label, label)
        rows += [(path, label, "ann")] if number % 4 else []
        rows += [(path, other, "bob")] + ([(path, "otter" if number == 3 else label, "cid")] if number < 10 else [])
    with open(tmp_path / "votes.csv", "w", newline="") as file:
        csv.writer(file).writerows([("path", "label", "annotator"), *rows])
    return tmp_path / "votes.csv"


def table_of(rows):
    columns = dict(zip(("sample", "annotator", "label"), zip(*rows, strict=True), strict=True))
    types = {"sample": pa.int32(), "annotator": pa.string(), "label": pa.string()}
    return pa.table({name: pa.array(column, types[name]) for name, column in columns.items()})


@pytest.fixture
def audited(photos, predictions, votes):
    return succeed("score", photos, "--labels", votes, "--predictions", predictions, "--run", "run")


def test_each_annotator_has_a_rate_and_the_worst_is_named(audited, photos, predictions, votes, tmp_path):
    assert "94 labels by 3 annotators" in audited.err
    assert "Of 3 annotators, 'bob' is wrong most often" in audited.out + audited.err
    assert "1 annotator has fewer than 30 labels, too few for a rate of their own: 'cid'" in audited.out + audited.err
    found = labelaudit.open_run("run").annotators
    bob, ann, cid = found.annotators
    assert (bob.name, bob.labels, ann.name, ann.labels, cid.name, cid.labels) == ("bob", 48, "ann", 36, "cid", 10)
    assert bob.error_rate == pytest.approx(9 / 48, abs=0.02)
    assert bob.error_rate_interval[0] < 9 / 48 < bob.error_rate_interval[1]
    assert ann.error_rate < 0.02
    assert (cid.error_rate, cid.error_rate_interval, cid.suspicious) == (None, None, 1)
    assert [(row.given, row.suggested, row.count) for row in bob.confusion] == [("ant", "bee", 6), ("dog", "cat", 3)]
    assert [(row.given, row.suggested, row.count) for row in cid.confusion] == [("otter", "ant", 1)]
    (pair,) = found.pairs
    assert (pair.annotators, pair.images, pair.different) == (("ann", "bob"), 36, 6)
    table = pq.read_table("run/annotators.parquet").to_pylist()
    wrong = [(row["annotator"], row["label"], row["suggested_label"]) for row in table if row["p_wrong"] > 0.5]
    assert sorted(wrong) == sorted(
        [("bob", "ant", "bee")] * 6 + [("bob", "dog", "cat")] * 3 + [("cid", "otter", "ant")]
    )
    again = succeed("score", photos, "--labels", votes, "--predictions", predictions, "--run", "run")
    assert "'bob' is wrong most often" in again.out + again.err
    report = make_report(labelaudit.open_run("run"), Limits(), top=3)
    assert "| `bob` | 48 | 9 |" in markdown.render(report)
    shown = succeed("report", "run", "--no-html", "--format", "json")
    assert [row["annotator"] for row in json.loads(shown.out)["annotators"]["annotators"]] == ["bob", "ann", "cid"]
    shown = succeed("report", "run", "--no-html")
    assert "'ann' and 'bob' disagree most: on 6 of 36 images (16.7%)" in shown.out
    assert "ant → bee (6), dog → cat (3)" in shown.out


def test_damaged_files_are_refused_in_one_line(audited, tmp_path):
    for name, command in (("annotators.json", ("report", "run", "--no-html")), ("annotations.parquet", ("fit", "run"))):
        (tmp_path / "run" / name).write_bytes(b"damaged")
        assert f"run/{name} is " in run(*command).error
    for row in ((999, "ann", "ant"), (0, "ann", None)):
        pq.write_table(table_of([row]), tmp_path / "run" / "annotations.parquet")
        assert "annotations.parquet is damaged, or of other data" in run("fit", "run").error
    pq.write_table(table_of([(0, "ann", "ant")]), tmp_path / "run" / "annotations.parquet")
    assert "are of different data" in run("fit", "run").error


def test_a_corrected_labels_file_has_one_row_for_each_image_that_was_corrected(audited, photos, votes, tmp_path):
    corrections = "path,given_label,action,label\nant/001.png,ant,change,bee\nant/002.png,ant,drop,\n"
    (tmp_path / "fix.csv").write_text(corrections)
    assert run("relabel", photos, "fix.csv", "--labels", votes, "--out", "new.csv").code == 0
    before, after = (read_rows(file.read_text()) for file in (votes, tmp_path / "new.csv"))
    changed = [row for row in after if row not in before]
    assert [(row["path"], row["label"]) for row in changed] == [("ant/001.png", "bee")]
    assert not [row for row in after if row["path"] == "ant/002.png"]
    others = [row for row in before if row["path"] not in ("ant/001.png", "ant/002.png")]
    assert [row for row in after if row["path"] != "ant/001.png"] == others
