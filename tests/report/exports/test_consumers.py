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


def test_the_label_issues_have_datalabs_columns_and_types(hostile, tmp_path):
    datalab = consumer("cleanlab.datalab.datalab")
    consumer("datasets")
    pandas = consumer("pandas")
    generator = np.random.default_rng(0)
    label_N = np.arange(40) % 2
    features_ND = label_N[:, None] + 0.1 * generator.normal(size=(40, 2))
    label_N[:3] = 1 - label_N[:3]
    lab = datalab.Datalab({"y": [("cat", "dog")[label] for label in label_N]}, label_name="y", verbosity=0)
    p_N2 = np.clip(np.stack([1 - features_ND[:, 0], features_ND[:, 0]], axis=1), 0.02, 0.98)
    lab.find_issues(pred_probs=p_N2 / p_N2.sum(axis=1, keepdims=True), issue_types={"label": {}})
    theirs = lab.get_issues("label")
    ours = pandas.read_parquet(export(hostile, "cleanlab", tmp_path / "out").main_file)
    assert list(ours.columns[: len(theirs.columns)]) == list(theirs.columns)
    for name in ("is_label_issue", "label_score"):
        assert ours[name].dtype == theirs[name].dtype
    assert {type(value) for value in ours["given_label"]} == {str}


def test_mlcroissant_validates_the_description_and_reads_the_table(hostile, truth, tmp_path, caplog):
    mlcroissant = consumer("mlcroissant")
    written = export(hostile, "croissant", tmp_path / "out")
    dataset = mlcroissant.Dataset(jsonld=str(written.main_file))
    assert not dataset.metadata.ctx.issues.errors
    assert not [record for record in caplog.records if "not standard" in record.getMessage()]
    rows = [
        {name.removeprefix("verdicts/"): value for name, value in record.items()}
        for record in dataset.records(record_set="verdicts")
    ]
    assert len(rows) == len(truth)
    for row in rows:
        known = truth[row["path"].decode()]
        assert row["given_label"].decode() == known["given_label"]
        assert row["suggested_label"].decode() == known["suggested_label"]
        assert same(row, known, "p_mislabeled", "label_score", "weight", "is_suspicious", "sample")


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
