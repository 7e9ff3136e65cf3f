"""The tools that read the exports, on the same audit: counts and labels are ours. ``pip install -e '.[consumers]'``."""

import itertools
import json
from pathlib import Path

import numpy as np
import pytest

from labelaudit.errors import DataError
from labelaudit.report.exports.export import ExportOptions, export
from labelaudit.review.corrections import read_review
from tests.report.exports.helpers import HOSTILE_CLASSES, consumer

pytestmark = pytest.mark.filterwarnings("ignore")
"""What other packages warn of is theirs."""

EVERYTHING = ExportOptions(everything=True)


@pytest.fixture(autouse=True)
def offline(tmp_path, monkeypatch):
    for name in ("HF_HUB_OFFLINE", "HF_DATASETS_OFFLINE"):
        monkeypatch.setenv(name, "1")
    monkeypatch.setenv("HF_HOME", str(tmp_path / "hf"))


def same(row, known, *names):
    return all(row[name] == known[name] for name in names)


def loaded(run, place):
    datasets, folder = consumer("datasets"), export(run, "huggingface", place / "out").folder
    splits = datasets.load_dataset(str(folder), cache_dir=str(place / "cache"))
    assert list(splits) == ["train"]
    return splits["train"]


def test_datasets_reads_the_imagefolder(hostile, truth, images, tmp_path):
    from PIL import Image

    rows = loaded(hostile, tmp_path)
    assert len(rows) == len(truth)
    assert {row["path"] for row in rows} == set(truth)
    for row in rows:
        known = truth[row["path"]]
        assert row["label"] == known["given_label"]
        assert same(row, known, "suggested_label", "p_mislabeled", "label_score", "weight", "is_suspicious", "sample")
        with Image.open(images / row["path"]) as shown:
            np.testing.assert_array_equal(np.asarray(row["image"].convert("RGB")), np.asarray(shown.convert("RGB")))


def test_label_studio_takes_the_configuration_and_the_tasks(hostile, truth, tmp_path):
    label_interface = consumer("label_studio_sdk.label_interface")
    folder = export(hostile, "label-studio", tmp_path / "out", EVERYTHING).folder
    interface = label_interface.LabelInterface((folder / "config.xml").read_text())
    interface.validate()
    assert sorted(interface.get_control("label").labels) == sorted(HOSTILE_CLASSES)
    tasks = json.loads((folder / "tasks.json").read_text())
    assert len(tasks) == len(truth)
    for task in tasks:
        assert interface.validate_task({"data": task["data"]})
        assert interface.validate_prediction(task["predictions"][0])
    wrong = {**tasks[0]["predictions"][0]}
    wrong["result"] = [{**wrong["result"][0], "value": {"choices": ["no such class"]}}]
    assert not interface.validate_prediction(wrong), "the check above can fail"


HOW = ("accept", "other", "skip", "leave")
"""What the annotator does with the first, second, third … image, over and over."""


def other_label(given, proposed):
    return next(name for name in HOSTILE_CLASSES if name not in (given, proposed))


def check(file, suspicious, truth):
    """The review has the label that the annotator gave each image."""
    wanted = {}
    for path, how in zip(suspicious, itertools.cycle(HOW)):
        proposed = str(truth[path]["suggested_label"])
        if how == "accept":
            wanted[path] = proposed
        elif how == "other":
            wanted[path] = other_label(str(truth[path]["given_label"]), proposed)
    review = read_review(file)
    assert {one.path: one.label for one in review.corrections} == wanted
    assert review.unreviewed == len(suspicious) - len(wanted) > 10
    assert not review.unclear


def annotate(tasks, interface):
    """What Label Studio's server hands to its exporter: the tasks with numbers and annotations."""
    for number, task in enumerate(tasks):
        proposed = task["predictions"][0]["result"][0]["value"]["choices"][0]
        how = HOW[number % len(HOW)]
        label = other_label(task["data"]["given_label"], proposed) if how == "other" else proposed
        regions = [] if how == "skip" else [region._dict() for region in interface.create_regions({"label": label})]
        annotation = {"id": 1000 + number, "completed_by": 1, "was_cancelled": how == "skip", "ground_truth": False}
        annotation |= {"created_at": "2026-01-02T03:04:05.678901Z", "lead_time": 1.5}
        annotation["result"] = [{**region, "origin": "manual"} for region in regions]
        assert how == "skip" or interface.validate_annotation(annotation)
        task.update(id=number + 1, annotations=[] if how == "leave" else [annotation], drafts=[], project=1)
    return tasks


@pytest.fixture
def label_studio(hostile, tmp_path):
    """Exports annotated tasks in one of Label Studio's formats; gives the file."""
    converter = consumer("label_studio_sdk.converter")
    label_interface = consumer("label_studio_sdk.label_interface")
    folder = export(hostile, "label-studio", tmp_path / "out").folder
    configuration = (folder / "config.xml").read_text()
    tasks = annotate(json.loads((folder / "tasks.json").read_text()), label_interface.LabelInterface(configuration))
    (tmp_path / "annotated.json").write_text(json.dumps(tasks))

    def convert(form):
        made = converter.Converter(configuration, project_dir=None, download_resources=False)
        made.convert(str(tmp_path / "annotated.json"), str(tmp_path / form), form, is_dir=False)
        (file,) = (tmp_path / form).iterdir()
        return Path(file)

    return convert


def test_label_studios_json_comes_back_and_its_other_formats_are_refused(label_studio, suspicious, truth):
    check(label_studio("JSON"), suspicious, truth)
    with pytest.raises(DataError, match=r"export the annotations as JSON \(not JSON-MIN\) from Label Studio"):
        read_review(label_studio("JSON_MIN"))
    with pytest.raises(DataError, match=r"has no column action; give .* Label Studio's JSON export"):
        read_review(label_studio("CSV"))
