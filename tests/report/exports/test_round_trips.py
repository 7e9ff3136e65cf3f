"""Out to a labeling tool, annotated there, exported by the tool's own code, and back as a review."""

import io
import itertools
import json
import zipfile
from pathlib import Path
from xml.etree import ElementTree

import pytest

from labelaudit.errors import DataError
from labelaudit.report.exports.export import export
from labelaudit.review.corrections import read_review
from tests.report.exports.helpers import HOSTILE_CLASSES, consumer

pytestmark = pytest.mark.filterwarnings("ignore")
"""What other packages warn of is theirs."""

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
        annotation = {
            "id": 1000 + number,
            "completed_by": 1,
            "was_cancelled": how == "skip",
            "ground_truth": False,
            "created_at": "2026-01-02T03:04:05.678901Z",
            "lead_time": 1.5,
            "result": [{**region, "origin": "manual"} for region in regions],
        }
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


def cvats_export(annotations, subset=""):
    """An export of CVAT's server after the upload of our annotations and the work of an annotator.

    The server is no package, so this follows its exporter for images: an archive with annotations.xml; images that
    nobody annotated are in it without a tag; a tag that was uploaded keeps its source, one that was changed becomes
    ``semi-auto``, and a new one is ``manual`` and has the attributes' defaults.
    """
    tree = ElementTree.parse(annotations)
    for number, image in enumerate(tree.getroot().iter("image")):
        image.attrib.update({"subset": subset, "task_id": "7"} if subset else {})
        (tag,) = image.iter("tag")
        how = HOW[number % len(HOW)]
        if how == "skip":
            image.remove(tag)
        elif how == "accept":
            tag.set("source", "semi-auto")
        elif how == "other":
            given = next(str(entry.text) for entry in tag if entry.get("name") == "given_label")
            tag.attrib.update(label=other_label(given, tag.attrib["label"]), source="manual")
            for entry in tag:
                entry.text = ""
        tag.set("group_id", "3")
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        archive.writestr("annotations.xml", ElementTree.tostring(tree.getroot(), "utf-8", xml_declaration=True))
    return packed.getvalue()


@pytest.mark.parametrize("subset", ["", "train"], ids=["task", "project"])
def test_cvats_export_comes_back(hostile, tmp_path, suspicious, truth, subset):
    written = export(hostile, "cvat", tmp_path / "out")
    (tmp_path / "task.zip").write_bytes(cvats_export(written.main_file, subset))
    check(tmp_path / "task.zip", suspicious, truth)
