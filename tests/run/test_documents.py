"""run.json and noise.json: read back as they were, and refused in one line where they are damaged."""

import json

import pytest

from labelaudit.errors import RunError
from labelaudit.run import documents
from labelaudit.run.files import write_json
from labelaudit.run.layout import RunFolder
from tests.report.helpers import KINDS, LEFT_OUT, noise, noise_json
from tests.run.helpers import catalogue_of


@pytest.fixture
def run(tmp_path):
    return RunFolder(tmp_path)


def test_noise_json_is_written_and_read_back(run):
    mixture = {"weight": [0.9, 0.1], "mean": [1, 2], "std": [1, 1], "separation": 3.5, "modes": 2}
    fitted = {"rank_by": "aul", "noise_rate": 0.1, "suspicious": 7}
    estimators = {"gmm": {**fitted, "mixture": mixture}, "transition": fitted}
    own = {"class": "bee", "noise_rate": 0.2, "noise_rate_interval": [0.1, 0.4], "reviews": 31}
    counts = {"right": 90, "wrong": 10, "skipped": 2, "others": 3, "half_width": 0.02, "reviews_left": None}
    reviewed = {"noise_rate": 0.1, "noise_rate_interval": [0.05, 0.2], **counts, "classes": [own]}
    whole = noise(
        noise_rate_interval=[0.0, 1], kinds=KINDS, left_out=LEFT_OUT, estimators=estimators, reviewed=reviewed
    )
    write_json(run.noise, documents.as_json(whole))
    assert documents.read_noise(run) == whole
    found = json.loads(run.noise.read_text())
    assert found["estimators"] == estimators
    assert found["reviewed"] == reviewed
    assert (whole.best_rate, whole.best_interval) == (0.1, (0.05, 0.2))
    assert (found["classes"][1]["class"], found["kinds"], found["left_out"]) == ("bee", KINDS, LEFT_OUT)


NOISE = {
    "no rate": {"noise_rate": "0.1"},
    "a rate above 1": {"noise_rate": 1.5},
    "not a number": {"noise_rate": float("nan")},
    "a huge count": {"epochs": 1 << 60},
    "an unknown statistic": {"fit": {"rank_by": "guess", "estimator": "gmm"}},
    "a rate of a class": {"classes": [{"class": "ant", "samples": 3, "noise_rate": float("nan"), "suspicious": 0}]},
    "half a review": {"reviewed": {"noise_rate": 0.1}},
    "a lone surrogate": {"warnings": ["\ud800"]},
}


@pytest.mark.parametrize("changes", NOISE.values(), ids=NOISE)
def test_a_damaged_noise_json_is_refused_in_one_line(run, changes):
    run.noise.write_text(json.dumps(noise_json(**changes)))
    with pytest.raises(RunError, match=r"noise\.json is damaged") as error:
        documents.read_noise(run)
    assert "\n" not in str(error.value)
    assert error.value.fix == f"run labelaudit fit {run.root}"


def test_a_run_json_has_what_is_known_and_is_read_back(run):
    data = documents.RecordedData.of(catalogue_of(root=run.root))
    description = documents.Description(status=documents.TRAINED, data=data, settings={"epochs": 3}, diverged=True)
    run.write_description(documents.as_json(description))
    assert documents.read_description(run) == description
    value = run.read_description()
    assert value["data"] == documents.as_json(data)
    assert value["data"]["rendering"] == {"integers": [0.0, 65535.0], "reals": [0.0, 1.0], "background": 255}
    assert (value["diverged"], value["mirror_test"]) == (True, None)


DATA = {"root": "photos", "fingerprint": "0", "classes": ["ant", "bee"], "samples": 4}
DESCRIPTION = {"status": "trained", "data": DATA, "settings": {}}


@pytest.mark.parametrize(
    "changes",
    [
        {"status": "sleeping"},
        {"settings": None},
        {"data": "photos"},
        {"data": {**DATA, "root": "nul\0"}},
        {"data": {**DATA, "rendering": {"integers": [1, 0], "reals": [0, 1], "background": 255}}},
    ],
)
def test_a_run_json_of_something_else_is_refused_in_one_line(run, changes):
    write_json(run.description, {"schema_version": 1, **DESCRIPTION, **changes})
    with pytest.raises(RunError, match=r"run\.json is damaged, or not of an audit") as error:
        documents.read_description(run)
    assert "\n" not in str(error.value)
