"""The report as JSON."""

import json

import pytest

from labelaudit.report.formats import render_json as render
from labelaudit.report.gate import Limits
from tests.report.helpers import HOSTILE_NAMES, noise_json, report, row


def test_it_holds_the_noise_the_first_rows_and_every_check() -> None:
    limits = Limits(max_class_noise=0.1, max_suspicious=2, fail_on_warning=True)
    content = report([row(1), row(2)], limits, top=1, warnings=["One."])
    value = json.loads(render(content))
    expected = noise_json(suspicious=2, warnings=["One."])
    assert {name: value[name] for name in expected} == expected
    assert value["top"] == [row(1)]
    assert value["baseline"] is None
    assert value["passed"] is False
    assert value["failures"] == [content.checks[1].sentence, "1 warning"]
    assert [(check["name"], check["outcome"]) for check in value["checks"]] == [
        ("noise_rate", "skipped"),
        ("class_noise_rate", "failed"),
        ("suspicious_labels", "passed"),
        ("unreadable_images", "skipped"),
        ("warnings", "failed"),
    ]
    assert value["checks"][1]["subjects"] == [{"name": "bee", "text": "20.00% of 100 images, at least 13.34%"}]
    assert value["checks"][4]["subjects"] == [{"name": None, "text": "One."}]


def test_a_baseline_is_counted() -> None:
    value = json.loads(render(report([row(3)], known_rows=[row(1), row(2)], gone=4)))
    assert value["baseline"] == {"new": 1, "known": 2, "gone": 4}
    assert [entry["rank"] for entry in value["top"]] == ["3"]
    assert (value["passed"], value["failures"]) == (True, [])


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_as_they_are(name: str) -> None:
    text = render(report([row(1, path=name, given_label=name)]))
    assert text.isascii()
    assert json.loads(text)["top"][0]["path"] == name
