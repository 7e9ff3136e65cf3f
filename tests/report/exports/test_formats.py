"""What is exported, and what each format says of every sample, read with the standard library and Arrow only."""

import hashlib
import json
from pathlib import Path
from urllib.parse import unquote
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from labelaudit.errors import DataError, RunError, StorageError, UsageError
from labelaudit.report.exports.export import ExportOptions, export
from labelaudit.report.exports.formats import FORMATS
from tests.helpers import Listener
from tests.report.exports.helpers import HOSTILE_CLASSES, hostile_folder, made_up_audit

EVERYTHING = ExportOptions(everything=True)
LOCAL = "/data/local-files/?d="
LABELED = ("p_mislabeled", "label_score", "suggested_label", "kind")
FIGURES = (*LABELED, "weight", "is_suspicious", "sample")


def exported(run, to, out, options=None):
    return export(run, to, out / to, options).folder


def tasks_in(folder):
    return json.loads((folder / "tasks.json").read_text())


def made_up(place, **folder):
    return made_up_audit(hostile_folder(place / "data", **folder), place / "run")


def require_same(found, known, *names):
    assert {name: found.get(name) for name in names} == {name: known[name] for name in names}


@pytest.mark.parametrize("everything", [False, True])
def test_label_studio_tasks_propose_a_label_for_every_sample(hostile, truth, suspicious, tmp_path, everything):
    folder = exported(hostile, "label-studio", tmp_path, ExportOptions(everything=everything))
    tasks = tasks_in(folder)
    assert len(tasks) == (len(truth) if everything else len(suspicious))
    assert [task["data"]["path"] for task in tasks][: len(suspicious)] == suspicious
    assert [task["data"]["rank"] for task in tasks] == list(range(1, len(tasks) + 1))
    for task in tasks:
        row, (prediction,) = truth[task["data"]["path"]], task["predictions"]
        require_same(
            task["data"], row, "given_label", "suggested_label", "p_mislabeled", "label_score", "kind", "sample"
        )
        assert unquote(task["data"]["image"]) == LOCAL + row["path"]
        label, score = ("suggested_label", "p_mislabeled") if row["is_suspicious"] else ("given_label", "label_score")
        assert prediction["score"] == row[score]
        assert prediction["model_version"].startswith("labelaudit-")
        value = {"choices": [row[label]]}
        assert prediction["result"] == [{"from_name": "label", "to_name": "image", "type": "choices", "value": value}]
    view = ElementTree.parse(folder / "config.xml").getroot()
    assert [choice.get("value") for choice in view.iter("Choice")] == sorted(HOSTILE_CLASSES)
    (choices,), (image,) = view.iter("Choices"), view.iter("Image")
    assert (choices.get("name"), choices.get("toName")) == ("label", image.get("name"))
    assert image.get("value") == "$image"


def test_cvat_tags_say_what_the_audit_says(hostile, truth, suspicious, tmp_path):
    folder = exported(hostile, "cvat", tmp_path)
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    labels = json.loads((folder / "labels.json").read_text())
    assert root.findtext("version") == "1.1"
    assert [image.get("name") for image in root.iter("image")] == suspicious
    for number, image in enumerate(root.iter("image")):
        row, (tag,) = truth[str(image.get("name"))], image.findall("tag")
        assert (tag.get("label"), tag.get("source")) == (row["suggested_label"], "auto")
        expected = {"p_mislabeled": f"{row['p_mislabeled']:.6f}", "rank": str(number + 1)}
        expected |= {name: row[name] for name in ("given_label", "suggested_label")}
        assert {attribute.get("name"): attribute.text for attribute in tag} == expected
        assert expected.keys() == {each["name"] for each in labels[0]["attributes"]}
    assert [label["name"] for label in labels] == sorted(HOSTILE_CLASSES)
    assert [name.text for name in root.findall("meta/task/labels/label/name")] == sorted(HOSTILE_CLASSES)
    everything = exported(hostile, "cvat", tmp_path / "all", EVERYTHING) / "annotations.xml"
    one = ElementTree.parse(everything).getroot().find("image[@name='cat/a,b.png']")
    assert (one.get("width"), one.get("height")) == (str(4 + HOSTILE_CLASSES.index("cat")), "4")


def test_control_characters_that_a_format_cannot_hold_are_refused(tmp_path):
    run = made_up(tmp_path, classes=("a", "b"), files=("a\x1b[2J.png",))
    tasks = tasks_in(exported(run, "label-studio", tmp_path, EVERYTHING))
    assert {task["data"]["image"].rpartition("/")[2] for task in tasks} == {"a%1B%5B2J.png"}
    with pytest.raises(DataError, match=r"the path 'a/a\\x1b\[2J.png' has the character U\+001B, which XML cannot"):
        exported(run, "cvat", tmp_path, EVERYTHING)
    assert not (tmp_path / "cvat/annotations.xml").exists()
    run = made_up(tmp_path / "classes", classes=("a", "b\x07"), files=("1.png",))
    for to in ("cvat", "label-studio"):
        with pytest.raises(DataError, match=r"the class 'b\\x07' has the character U\+0007"):
            exported(run, to, tmp_path / "classes")


def test_fiftyone_has_every_sample_and_where_it_lies(hostile, truth, images, tmp_path):
    folder = exported(hostile, "fiftyone", tmp_path)
    places, labels = (json.loads((folder / name).read_text()) for name in ("data.json", "labels.json"))
    place_of = {key.rpartition(".")[0]: place for key, place in places.items()}
    assert place_of.keys() == labels["labels"].keys()
    assert len(place_of) == len(truth)
    assert places["cat/a,b.png"] == place_of["cat/a,b"] == str(images / "cat/a,b.png")
    assert {"test/same.png", "test/same.jpg"} <= place_of.keys(), "the suffix alone tells them apart"
    for key, label in labels["labels"].items():
        row = truth[str(Path(place_of[key]).relative_to(images))]
        assert labels["classes"][label["label"]] == row["given_label"]
        require_same(label["attributes"], row, *FIGURES[:-1])


def test_huggingface_metadata_and_links(hostile, truth, images, suspicious, tmp_path):
    def rows_and_links(options=None):
        folder = exported(hostile, "huggingface", tmp_path, options)
        rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().split("\n") if line]
        return folder, rows, {str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_symlink()}

    folder, rows, links = rows_and_links()
    assert [row["path"] for row in rows] == list(truth)
    for row in rows:
        assert (folder / row["file_name"]).resolve() == images / row["path"]
        assert row["label"] == truth[row["path"]]["given_label"]
        require_same({**row, "kind": row["kind"] or None}, truth[row["path"]], *FIGURES)
    named = {row["path"]: row["file_name"] for row in rows}
    assert named["cat/a,b.png"] == "cat/a,b.png"
    assert named["cat/[glob]*.png"] == f"images/{truth['cat/[glob]*.png']['sample']:07d}.png"
    assert links == set(named.values())
    (folder / "cat/notes.txt").write_text("mine")
    _, rows, links = rows_and_links(ExportOptions(top=2))
    assert {row["path"] for row in rows} == set(suspicious[:2])
    assert len(links) == 2, "those of the earlier export are deleted"
    assert (folder / "cat/notes.txt").read_text() == "mine"


def test_a_backslash_in_a_name(tmp_path):
    run = made_up(tmp_path, classes=("a", "b"), files=("back\\slash.png", *(f"x{k}.png" for k in range(4))))
    first = ExportOptions(top=1)
    (link,) = (exported(run, "huggingface", tmp_path, first) / "images").iterdir()
    assert link.resolve() == tmp_path / "data/b/back\\slash.png", "datasets would make a slash of it"
    with pytest.raises(DataError, match=r"FiftyOne would make a slash of the backslash in '[ab]/back"):
        exported(run, "fiftyone", tmp_path)
    assert not (tmp_path / "fiftyone/data.json").exists()


def test_huggingface_refuses_classes_that_would_become_dates(tmp_path):
    for date in ("2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:00Z"):
        with pytest.raises(DataError, match=f"datasets would take the class '{date}' for a date; rename it"):
            exported(made_up(tmp_path / date, classes=("a", date), files=("1.png",)), "huggingface", tmp_path)
    assert not (tmp_path / "huggingface/metadata.jsonl").exists()


def test_cleanlab_has_datalabs_columns_first(hostile, truth, tmp_path):
    table = pq.read_table(exported(hostile, "cleanlab", tmp_path) / "label_issues.parquet")
    assert table.column_names[:4] == ["is_label_issue", "label_score", "given_label", "predicted_label"]
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == list(truth)
    for row in rows:
        known = truth[row["path"]]
        assert row["is_label_issue"] is known["is_suspicious"]
        require_same(row, known, "label_score", "given_label", "suggested_label", "kind")
        assert row["predicted_label"] == known["suggested_label" if known["is_suspicious"] else "given_label"]


def test_croissant_describes_its_table(hostile, truth, tmp_path):
    folder = exported(hostile, "croissant", tmp_path)
    description = json.loads((folder / "croissant.json").read_text())
    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert description["datePublished"] == "2026-03-04T05:06:07+00:00"
    (file,), (records,) = description["distribution"], description["recordSet"]
    content = (folder / file["contentUrl"]).read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["contentSize"] == f"{len(content)} B"
    table = pq.read_table(folder / file["contentUrl"])
    assert [field["source"]["extract"]["column"] for field in records["field"]] == table.column_names
    assert {field["name"]: field["dataType"] for field in records["field"]} == {
        **dict.fromkeys(("path", "given_label", "suggested_label", "kind", "sha256"), "sc:Text"),
        **dict.fromkeys(("p_mislabeled", "label_score", "weight"), "sc:Float"),
        **dict.fromkeys(("sample", "rank"), "sc:Integer"),
        "is_suspicious": "sc:Boolean",
    }
    for row in table.to_pylist():
        require_same(row, truth[row["path"]], "given_label", *FIGURES)


every_format = pytest.mark.parametrize("to", FORMATS)


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


@every_format
def test_two_exports_of_one_audit_are_equal(hostile, tmp_path, to):
    first, second = (export(hostile, to, tmp_path / name) for name in ("first", "second"))
    export(hostile, to, second.folder)
    assert first.main_file.is_file()
    contents = [
        {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
        for folder in (first.folder, second.folder)
    ]
    assert contents[0] == contents[1]


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
        ("cvat", {"url_prefix": "https://host"}, "cvat takes no --url-prefix; it is for label-studio"),
        ("coco", {}, "unknown format 'coco'; there are label-studio, cvat, fiftyone, huggingface, cleanlab"),
    ],
)
def test_contradictions_are_refused(hostile, to, options, message):
    with pytest.raises(UsageError) as refused:
        export(hostile, to, options=ExportOptions(**options))
    assert str(refused.value).startswith(message)
    assert not (hostile.root / "exports").exists()
