"""What each format says of every sample, read with nothing but the standard library and Arrow."""

import hashlib
import json
from pathlib import Path
from urllib.parse import unquote, urlsplit
from xml.etree import ElementTree

import pyarrow.parquet as pq
import pytest

from labelaudit.errors import DataError
from labelaudit.report.exports.export import ExportOptions, export
from labelaudit.report.exports.table import FORMATS
from labelaudit.run.layout import RunFolder
from tests.report.exports.helpers import HOSTILE_CLASSES, hostile_folder, made_up_audit

EVERYTHING = ExportOptions(everything=True)


def exported(run: RunFolder, to: str, out: Path, options: ExportOptions | None = None) -> Path:
    return export(run, to, out / to, options).folder


def test_label_studio_tasks_say_what_the_audit_says(hostile: RunFolder, truth: dict, suspicious: list, tmp_path: Path):
    tasks = json.loads((exported(hostile, "label-studio", tmp_path) / "tasks.json").read_text())
    assert [task["data"]["path"] for task in tasks] == suspicious
    assert [task["data"]["rank"] for task in tasks] == list(range(1, len(suspicious) + 1))
    for task in tasks:
        data, row = task["data"], truth[task["data"]["path"]]
        assert data["image"].startswith("/data/local-files/?d=")
        assert unquote(data["image"].removeprefix("/data/local-files/?d=")) == row["path"]
        for name in ("given_label", "suggested_label", "p_mislabeled", "label_score", "sample"):
            assert data[name] == row[name]
        (prediction,) = task["predictions"]
        assert prediction["score"] == row["p_mislabeled"]
        assert prediction["model_version"].startswith("labelaudit-")
        assert prediction["result"] == [
            {
                "from_name": "label",
                "to_name": "image",
                "type": "choices",
                "value": {"choices": [row["suggested_label"]]},
            }
        ]


def test_a_label_that_is_not_suspicious_is_proposed_as_it_is(hostile: RunFolder, truth: dict, tmp_path: Path):
    tasks = json.loads((exported(hostile, "label-studio", tmp_path, EVERYTHING) / "tasks.json").read_text())
    assert len(tasks) == len(truth) == 213
    for task in tasks:
        row, (prediction,) = truth[task["data"]["path"]], task["predictions"]
        kept = not row["is_suspicious"]
        assert prediction["result"][0]["value"]["choices"] == [row["given_label" if kept else "suggested_label"]]
        assert prediction["score"] == row["label_score" if kept else "p_mislabeled"]


def test_the_labeling_configuration_has_every_class(hostile: RunFolder, tmp_path: Path):
    view = ElementTree.parse(exported(hostile, "label-studio", tmp_path) / "config.xml").getroot()
    assert [choice.get("value") for choice in view.iter("Choice")] == sorted(HOSTILE_CLASSES)
    (choices,) = view.iter("Choices")
    (image,) = view.iter("Image")
    assert (choices.get("name"), choices.get("toName")) == ("label", image.get("name"))
    assert image.get("value") == "$image"


@pytest.mark.parametrize(
    ("prefix", "expected"),
    [
        ("https://host/photos", "https://host/photos/"),
        ("https://host/photos/", "https://host/photos/"),
        ("https://host/get?file=", "https://host/get?file="),
    ],
)
def test_an_address_of_the_users(hostile: RunFolder, suspicious: list, tmp_path: Path, prefix: str, expected: str):
    folder = exported(hostile, "label-studio", tmp_path, ExportOptions(url_prefix=prefix))
    images = [task["data"]["image"] for task in json.loads((folder / "tasks.json").read_text())]
    assert all(image.startswith(expected) and image.isascii() for image in images)
    assert [unquote(image.removeprefix(expected)) for image in images] == suspicious
    assert not any(urlsplit(image).fragment for image in images)


def test_local_files_below_the_folder_that_is_served(
    hostile: RunFolder, pictures: Path, suspicious: list, tmp_path: Path
):
    options = ExportOptions(local_files_root=pictures.parent)
    tasks = json.loads((exported(hostile, "label-studio", tmp_path, options) / "tasks.json").read_text())
    assert tasks[0]["data"]["image"].startswith("/data/local-files/?d=pic%20tures/")
    served = [unquote(task["data"]["image"].removeprefix("/data/local-files/?d=")) for task in tasks]
    assert [pictures.parent / path for path in served] == [pictures / path for path in suspicious]


def test_cvat_tags_say_what_the_audit_says(hostile: RunFolder, truth: dict, suspicious: list, tmp_path: Path):
    folder = exported(hostile, "cvat", tmp_path)
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    images = root.findall("image")
    assert root.findtext("version") == "1.1"
    assert [image.get("name") for image in images] == suspicious
    assert [image.get("id") for image in images] == [str(number) for number in range(len(suspicious))]
    for rank, image in enumerate(images, start=1):
        row, (tag,) = truth[str(image.get("name"))], image.findall("tag")
        assert (tag.get("label"), tag.get("source")) == (row["suggested_label"], "auto")
        assert {attribute.get("name"): attribute.text for attribute in tag} == {
            "given_label": row["given_label"],
            "suggested_label": row["suggested_label"],
            "p_mislabeled": f"{row['p_mislabeled']:.6f}",
            "rank": str(rank),
        }


def test_cvat_knows_sizes_and_labels(hostile: RunFolder, pictures: Path, tmp_path: Path):
    folder = exported(hostile, "cvat", tmp_path, EVERYTHING)
    root = ElementTree.parse(folder / "annotations.xml").getroot()
    (one,) = [image for image in root.findall("image") if image.get("name") == "cat/a,b.png"]
    assert (one.get("width"), one.get("height")) == (str(4 + HOSTILE_CLASSES.index("cat")), "4")
    labels = json.loads((folder / "labels.json").read_text())
    assert [label["name"] for label in labels] == sorted(HOSTILE_CLASSES)
    assert [name.text for name in root.findall("meta/task/labels/label/name")] == sorted(HOSTILE_CLASSES)
    (tag, *_) = root.iter("tag")
    specified = {attribute["name"] for attribute in labels[0]["attributes"]}
    assert {attribute.get("name") for attribute in tag} == specified


@pytest.mark.parametrize(("to", "name"), [("cvat", "a\x1b[2J.png"), ("label-studio", "a\x1b[2J.png")])
def test_control_characters_in_a_path(tmp_path: Path, to: str, name: str):
    data = hostile_folder(tmp_path / "data", classes=("a", "b"), files=(name,))
    run = made_up_audit(data, tmp_path / "run")
    if to == "label-studio":  # an address has a way to write them
        tasks = json.loads((exported(run, to, tmp_path, EVERYTHING) / "tasks.json").read_text())
        assert {task["data"]["image"].rpartition("/")[2] for task in tasks} == {"a%1B%5B2J.png"}
        return
    with pytest.raises(
        DataError, match=r"the path 'a/a\\x1b\[2J.png' has the character U\+001B, which XML cannot hold"
    ):
        exported(run, to, tmp_path, EVERYTHING)
    assert not (tmp_path / to / "annotations.xml").exists()


@pytest.mark.parametrize("to", ["cvat", "label-studio"])
def test_control_characters_in_a_class_are_refused(tmp_path: Path, to: str):
    data = hostile_folder(tmp_path / "data", classes=("a\x01", "b"), files=("1.png",))
    with pytest.raises(DataError, match=r"the class 'a\\x01' has the character U\+0001, which XML cannot hold"):
        exported(made_up_audit(data, tmp_path / "run"), to, tmp_path)


def test_fiftyone_has_every_sample_and_where_it_lies(hostile: RunFolder, truth: dict, pictures: Path, tmp_path: Path):
    folder = exported(hostile, "fiftyone", tmp_path)
    places = json.loads((folder / "data.json").read_text())
    labels = json.loads((folder / "labels.json").read_text())
    place_of = {key.rpartition(".")[0]: place for key, place in places.items()}
    assert place_of.keys() == labels["labels"].keys()
    assert len(place_of) == len(truth)
    assert places["cat/a,b.png"] == place_of["cat/a,b"] == str(pictures / "cat/a,b.png")
    assert {"test/same.png", "test/same.jpg"} <= place_of.keys(), "the suffix alone tells them apart"
    for key, label in labels["labels"].items():
        row = truth[str(Path(place_of[key]).relative_to(pictures))]
        assert labels["classes"][label["label"]] == row["given_label"]
        for name in ("p_mislabeled", "label_score", "suggested_label", "weight", "is_suspicious"):
            assert label["attributes"][name] == row[name]


def test_a_path_that_is_anothers_stem_keeps_its_suffix(tmp_path: Path):
    data = hostile_folder(tmp_path / "data", classes=("a", "b"), files=("x.png", "x.png.png"))
    folder = exported(made_up_audit(data, tmp_path / "run"), "fiftyone", tmp_path)
    places = json.loads((folder / "data.json").read_text())
    assert {key: Path(place).name for key, place in places.items()} == {
        "a/x.png": "x.png",
        "a/x.png.png.png": "x.png.png",
        "b/x.png": "x.png",
        "b/x.png.png.png": "x.png.png",
    }


def test_huggingface_metadata_and_links(hostile: RunFolder, truth: dict, pictures: Path, tmp_path: Path):
    folder = exported(hostile, "huggingface", tmp_path)
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().split("\n") if line]
    assert [row["path"] for row in rows] == list(truth)
    for row in rows:
        assert (folder / row["file_name"]).resolve() == pictures / row["path"]
        assert row["label"] == truth[row["path"]]["given_label"]
        for name in ("p_mislabeled", "label_score", "suggested_label", "weight", "is_suspicious", "sample"):
            assert row[name] == truth[row["path"]][name]
    named = {row["path"]: row["file_name"] for row in rows}
    assert named["cat/a,b.png"] == "cat/a,b.png"
    assert named["cat/[glob]*.png"] == f"images/{truth['cat/[glob]*.png']['sample']:07d}.png"
    links = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_symlink()}
    assert links == set(named.values())


def test_a_backslash_in_a_name(tmp_path: Path):
    data = hostile_folder(tmp_path / "data", classes=("a", "b"), files=("back\\slash.png",))
    run = made_up_audit(data, tmp_path / "run")
    (link,) = (exported(run, "huggingface", tmp_path, ExportOptions(top=1)) / "images").iterdir()
    assert link.resolve() == data / "a/back\\slash.png", "datasets would make a slash of it"
    tasks = json.loads((exported(run, "label-studio", tmp_path) / "tasks.json").read_text())
    assert tasks[0]["data"]["image"].endswith("=a/back%5Cslash.png")
    root = ElementTree.parse(exported(run, "cvat", tmp_path) / "annotations.xml").getroot()
    assert [image.get("name") for image in root.iter("image")] == ["a/back\\slash.png"]
    with pytest.raises(DataError, match=r"FiftyOne would make a slash of the backslash in 'a/back"):
        exported(run, "fiftyone", tmp_path)
    assert not (tmp_path / "fiftyone/data.json").exists()


@pytest.mark.parametrize("date", ["2024-01-01", "2024-01-01 10:00", "2024-01-01T10:00:00Z"])
def test_huggingface_refuses_classes_that_would_become_dates(tmp_path: Path, date: str):
    run = made_up_audit(hostile_folder(tmp_path / "data", classes=("a", date), files=("1.png",)), tmp_path / "run")
    with pytest.raises(DataError, match=f"datasets would take the class '{date}' for a date; rename it"):
        exported(run, "huggingface", tmp_path)
    assert not (tmp_path / "huggingface/metadata.jsonl").exists()


def test_links_of_an_earlier_export_are_taken_away(hostile: RunFolder, suspicious: list, tmp_path: Path):
    folder = exported(hostile, "huggingface", tmp_path)
    (folder / "cat/notes.txt").write_text("mine")
    exported(hostile, "huggingface", tmp_path, ExportOptions(top=2))
    assert len([path for path in folder.rglob("*") if path.is_symlink()]) == 2
    assert (folder / "cat/notes.txt").read_text() == "mine"
    rows = [json.loads(line) for line in (folder / "metadata.jsonl").read_text().split("\n") if line]
    assert {row["path"] for row in rows} == set(suspicious[:2])


def test_cleanlab_has_datalabs_columns_first(hostile: RunFolder, truth: dict, tmp_path: Path):
    table = pq.read_table(exported(hostile, "cleanlab", tmp_path) / "label_issues.parquet")
    assert table.column_names[:4] == ["is_label_issue", "label_score", "given_label", "predicted_label"]
    rows = table.to_pylist()
    assert [row["path"] for row in rows] == list(truth)
    for row in rows:
        known = truth[row["path"]]
        assert row["is_label_issue"] is known["is_suspicious"]
        assert (row["label_score"], row["given_label"]) == (known["label_score"], known["given_label"])
        assert row["predicted_label"] == known["suggested_label" if known["is_suspicious"] else "given_label"]
        assert row["suggested_label"] == known["suggested_label"]


def test_croissant_describes_its_table(hostile: RunFolder, truth: dict, tmp_path: Path):
    folder = exported(hostile, "croissant", tmp_path)
    description = json.loads((folder / "croissant.json").read_text())
    assert description["conformsTo"] == "http://mlcommons.org/croissant/1.1"
    assert description["datePublished"] == "2024-05-06T07:08:09+00:00"
    (file,) = description["distribution"]
    content = (folder / file["contentUrl"]).read_bytes()
    assert file["sha256"] == hashlib.sha256(content).hexdigest()
    assert file["contentSize"] == f"{len(content)} B"
    table = pq.read_table(folder / file["contentUrl"])
    (records,) = description["recordSet"]
    assert [field["source"]["extract"]["column"] for field in records["field"]] == table.column_names
    assert {field["name"]: field["dataType"] for field in records["field"]} == {
        **dict.fromkeys(("path", "given_label", "suggested_label", "sha256"), "sc:Text"),
        **dict.fromkeys(("p_mislabeled", "label_score", "weight"), "sc:Float"),
        **dict.fromkeys(("sample", "rank"), "sc:Integer"),
        "is_suspicious": "sc:Boolean",
    }
    for row in table.to_pylist():
        for name in ("given_label", "suggested_label", "p_mislabeled", "weight", "is_suspicious", "sample"):
            assert row[name] == truth[row["path"]][name]


def test_the_table_of_formats_names_the_files_that_are_written(hostile: RunFolder, tmp_path: Path):
    for entry in FORMATS:
        written = export(hostile, entry.name, tmp_path / entry.name)
        names = {path.name for path in written.folder.iterdir() if path.is_file() and not path.name.startswith(".")}
        assert names == set(entry.files)
        assert written.main_file.name == entry.files[-1]
