"""Unreadable images and files that are left out: a line in every format."""

import json

import pytest

from labelaudit.report import formats, markdown, sarif
from labelaudit.report.content import Report
from labelaudit.report.gate import Limits
from labelaudit.report.sentences import MOST_KINDS, left_out_sentences, unreadable_sentence
from tests.report.helpers import HOSTILE_NAMES, noise, report, row
from tests.report.test_markdown import require_harmless

LEFT_OUT = [
    {"reason": "no image by its name", "suffix": ".txt", "files": 2, "example": "ant/a.txt"},
    {"reason": "no class folder", "suffix": "", "files": 1200, "example": "loose"},
]


def with_unreadable(name: str = "ant/x.png", limits: Limits | None = None) -> Report:
    bad = {"path": name, "given_label": "ant", "reason": "empty file", "sha256": ""}
    return report([row()], limits, unreadable=(bad,), samples=301, left_out=LEFT_OUT)


def test_sentences() -> None:
    assert unreadable_sentence(noise(samples=300)) == ""
    assert unreadable_sentence(noise(samples=302, unreadable=2)).startswith("2 images of 302 cannot be read; ")
    assert left_out_sentences(noise()) == []
    assert left_out_sentences(noise(left_out=LEFT_OUT)) == [
        "1,202 files in the folder are not in the audit:",
        "1,200 files: no class folder (loose)",
        "2 .txt: no image by its name (ant/a.txt)",
    ]
    many = [{"reason": "why", "suffix": f".{n}", "files": 1, "example": "x"} for n in range(MOST_KINDS + 3)]
    assert left_out_sentences(noise(left_out=many))[-1].startswith("3 more files of 3 other kinds")


def test_every_format_tells_both() -> None:
    content = with_unreadable(limits=Limits(max_unreadable=0))
    value = json.loads(formats.render_json(content))
    assert (value["unreadable"], value["unreadable_top"]) == (1, list(content.unreadable))
    assert value["left_out"] == LEFT_OUT
    text = markdown.render(content)
    assert "1 image of 301 cannot be read" in text
    assert "- `ant/x.png`: empty file" in text
    assert "- 2 .txt: no image by its name (ant/a.txt)" in text
    assert "ant/x.png: empty file, given ant" in formats.render_junit(content)
    assert "no --max-unreadable (1 unreadable image)" in formats.render_junit(with_unreadable())
    run = json.loads(sarif.render(content))["runs"][0]
    assert [result["ruleId"] for result in run["results"]] == ["LA005", "LA001"]
    assert run["results"][0]["message"]["text"] == 'Cannot be read (empty file); labeled "ant".'
    told = [entry["message"]["text"] for entry in run["invocations"][0]["toolExecutionNotifications"]]
    assert any("1,202 files in the folder are not in the audit" in text for text in told)
    assert not any("not listed" in text for text in told)


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_of_unreadable_images_are_only_text(name: str) -> None:
    require_harmless(markdown.render(with_unreadable(name)))
    assert len(markdown.render(with_unreadable(name)).splitlines()) == len(
        markdown.render(with_unreadable()).splitlines()
    )
    formats.render_junit(with_unreadable(name, Limits(max_unreadable=0)))
    json.loads(sarif.render(with_unreadable(name)))
