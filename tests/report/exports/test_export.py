import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from labelaudit.errors import RunError, StorageError, UsageError
from labelaudit.report.exports.base import FORMATS
from labelaudit.report.exports.export import ExportOptions, export
from labelaudit.run.tables import read_scores
from tests.helpers import Listener
from tests.report.exports.helpers import hostile_folder, made_up_audit

every_format = pytest.mark.parametrize("to", [entry.name for entry in FORMATS])


def paths(exported):
    return [task["data"]["path"] for task in json.loads(exported.main_file.read_text())]


@pytest.fixture
def small(tmp_path):
    data = hostile_folder(tmp_path / "data", classes=("a", "b"), files=("1.png", "2.png"))
    return made_up_audit(data, tmp_path / "run")


def test_top_is_the_head_of_the_ranking(hostile, truth, suspicious, tmp_path):
    head = sorted(truth, key=lambda path: -truth[path]["aul"])[: len(suspicious) + 3]
    assert head[: len(suspicious)] == suspicious
    options = ExportOptions(top=len(head))
    assert paths(export(hostile, "label-studio", tmp_path / "ranked", options)) == head
    table = pq.read_table(export(hostile, "cleanlab", tmp_path / "table", options).main_file)
    assert table.column("path").to_pylist() == sorted(head, key=list(truth).index)
    assert export(hostile, "cvat", tmp_path / "all", ExportOptions(top=10_000)).samples == len(truth)


def test_unreadable_images_are_left_out_and_counted(hostile, tmp_path):
    listener = Listener()
    assert export(hostile, "cleanlab", tmp_path / "out", reporter=listener).samples == 213
    assert listener.lines == ["3 images that could not be read are left out"]


def test_nothing_suspicious_is_an_empty_list(small):
    small.suspicious.write_text(small.suspicious.read_text().split("\n")[0] + "\n")
    assert paths(export(small, "label-studio")) == []
    assert export(small, "cvat").samples == 0


@every_format
def test_two_exports_of_one_audit_are_equal(hostile, tmp_path, to):
    first, second = (export(hostile, to, tmp_path / name) for name in ("first", "second"))
    export(hostile, to, second.folder)
    files = next(entry.files for entry in FORMATS if entry.name == to)
    assert {path.name for path in first.folder.glob("[!.]*") if path.is_file() and not path.is_symlink()} == {*files}
    assert first.main_file.name == files[-1]
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (first.folder, second.folder)
    ]
    assert contents[0] == contents[1]


@every_format
def test_kinds_are_passed_on_where_the_audit_has_them(small, to):
    kinds = pa.array([None, "ambiguous", None, "duplicate"], pa.string())
    pq.write_table(read_scores(small.scores).drop_columns(["kind"]).append_column("kind", kinds), small.scores)
    folder = export(small, to, options=ExportOptions(everything=True)).folder
    if tables := list(folder.glob("*.parquet")):
        assert pq.read_table(tables[0]).column("kind").to_pylist() == kinds.to_pylist()
    elif to == "huggingface":
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().splitlines()]
        assert [row["kind"] for row in rows] == ["", "ambiguous", "", "duplicate"]
    elif to != "cvat":
        assert "".join(path.read_text() for path in folder.glob("*.json")).count('"kind": ') == 2


def test_a_folder_with_something_else_is_left_alone(hostile, images, tmp_path):
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/labels.json").write_text("mine")
    (tmp_path / "file").write_text("mine")
    export(hostile, "cvat", tmp_path / "earlier")
    before = sorted([*images.rglob("*"), *tmp_path.rglob("*")])
    for out, message in (
        (tmp_path / "mine", r"mine is not empty and is not an earlier export to fiftyone; give a new folder"),
        (tmp_path / "earlier", "is not an earlier export to fiftyone"),
        (tmp_path / "file", "file is not a folder; give another --out"),
        (images, "is the image folder"),
    ):
        with pytest.raises((UsageError, StorageError), match=message):
            export(hostile, "fiftyone", out)
    assert sorted([*images.rglob("*"), *tmp_path.rglob("*")]) == before
    assert (tmp_path / "mine/labels.json").read_text() == (tmp_path / "file").read_text() == "mine"


def test_a_file_in_the_place_of_a_link_is_left_alone(hostile, tmp_path):
    folder = export(hostile, "huggingface", tmp_path / "links").folder
    (folder / "cat/a,b.png").unlink()
    (folder / "cat/a,b.png").write_text("mine")
    with pytest.raises(StorageError, match=r"cat/a,b.png is in the way; delete it, or give another --out"):
        export(hostile, "huggingface", folder)
    assert (folder / "cat/a,b.png").read_text() == "mine"


@pytest.mark.parametrize("to", ["fiftyone", "huggingface"])
def test_images_that_have_moved(small, tmp_path, to):
    (tmp_path / "data").rename(tmp_path / "moved")
    with pytest.raises(RunError, match=r"'a/1.png' and 3 more are not in .*data; give the image folder with"):
        export(small, to)
    assert not (small.root / "exports").exists()
    written = export(small, to, options=ExportOptions(data=tmp_path / "moved"))
    places = json.loads((written.folder / "data.json").read_text()) if to == "fiftyone" else {}
    place = places.get("a/1.png") or (written.folder / "a/1.png").resolve()
    assert (written.samples, str(place)) == (4, str(tmp_path / "moved/a/1.png"))
    export(small, "cvat")  # names only


@pytest.mark.parametrize(
    ("to", "options", "message"),
    [
        ("cvat", {"top": 0}, "--top 0 is too few; give at least 1"),
        ("cvat", {"top": 1, "everything": True}, "--top and --all contradict each other; give one of them"),
        ("cvat", {"url_prefix": "https://host"}, "cvat takes no --url-prefix or --local-files-root; they are"),
        ("label-studio", {"url_prefix": "x", "local_files_root": Path("/")}, "--url-prefix and --local-files-root"),
        ("label-studio", {"url_prefix": "x/\n"}, "--url-prefix 'x/\\n' has characters that no address has"),
        ("label-studio", {"local_files_root": Path("/nowhere")}, "the images are in "),
        ("coco", {}, "unknown format 'coco'; there are label-studio, cvat, fiftyone, huggingface, cleanlab"),
    ],
)
def test_contradictions_are_refused(hostile, to, options, message):
    with pytest.raises(UsageError) as refused:
        export(hostile, to, options=ExportOptions(**options))
    assert str(refused.value).startswith(message)
    assert not (hostile.root / "exports").exists()


def test_a_list_of_other_samples_is_refused(small, tmp_path):
    header = small.suspicious.read_text().split("\n")[0]
    for samples in (["4"], ["3", "3"]):
        small.suspicious.write_text("\n".join([header, *(f"1,a,b,c,1,0,1,1,,{sample},x" for sample in samples), ""]))
        with pytest.raises(RunError, match=r"suspicious\.csv has other samples than .*; run labelaudit fit"):
            export(small, "cvat", tmp_path / "out")
    assert not (tmp_path / "out").exists()
