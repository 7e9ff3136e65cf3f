"""The tools that read the exports, on the same audit: counts and labels are ours. ``pip install -e '.[consumers]'``."""

import json

import numpy as np
import pytest

from labelaudit.report.exports.export import ExportOptions, export
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
