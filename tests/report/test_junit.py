"""The report as JUnit XML."""

from xml.etree import ElementTree

import pytest

from labelaudit.report.content import Report
from labelaudit.report.formats import render_junit as render
from labelaudit.report.gate import Limits
from labelaudit.text import printable
from tests.report.helpers import HOSTILE_NAMES, report, row


def cases(content: Report) -> dict[str, ElementTree.Element]:
    """The test cases by name; all three levels and their counts are as they have to be."""
    suites = ElementTree.fromstring(render(content).encode())
    assert suites.tag == "testsuites"
    (suite,) = suites
    assert (suite.tag, suite.get("name")) == ("testsuite", "labelaudit")
    assert all(case.tag == "testcase" and case.get("classname") == "labelaudit" for case in suite)
    for level in (suites, suite):
        assert level.get("tests") == str(len(suite))
        assert level.get("failures") == str(len(suite.findall("testcase/failure")))
        assert level.get("skipped") == str(len(suite.findall("testcase/skipped")))
        assert level.get("errors") == "0"
    return {str(case.get("name")): case for case in suite}


def failure(content: Report, name: str) -> list[str]:
    """The lines of a failure."""
    found = cases(content)[name].find("failure")
    assert found is not None
    assert found.text is not None
    return found.text.split("\n")


def test_each_check_is_a_case_whatever_is_checked() -> None:
    found = cases(report([row(1), row(2)], Limits(max_noise=0.05, max_suspicious=2)))
    assert list(found) == ["noise_rate", "class_noise_rate", "suspicious_labels", "unreadable_images", "warnings"]
    failed = found["noise_rate"].find("failure")
    assert failed is not None
    assert failed.get("message", "").startswith("noise rate 10.00% is above 5.00%")
    assert found["class_noise_rate"].find("skipped").attrib == {"message": "no --max-class-noise"}  # type: ignore[union-attr]
    assert found["suspicious_labels"].findtext("system-out") == "2 suspicious labels are not more than 2"
    assert found["warnings"].find("failure") is None
    assert list(cases(report())) == list(found)


def test_suspicious_labels_are_in_the_text_of_the_failure() -> None:
    content = report([row(1), row(2)], Limits(max_suspicious=0), known_rows=[row(3)])
    assert failure(content, "suspicious_labels") == [
        "2 suspicious labels are new since the baseline, more than 0",
        "1. ant/1.png: given ant, suggested bee, P(mislabeled) 0.988",
        "2. ant/2.png: given ant, suggested bee, P(mislabeled) 0.988",
    ]


def test_a_kind_is_told_where_there_is_one() -> None:
    content = report([row(1, kind="ambiguous")], Limits(max_suspicious=0))
    assert failure(content, "suspicious_labels")[1].endswith("P(mislabeled) 0.988, ambiguous")


def test_the_text_is_bounded() -> None:
    content = report([row(rank) for rank in range(1, 1501)], Limits(max_suspicious=0), top=1500, suspicious=9999)
    lines = failure(content, "suspicious_labels")
    assert len(lines) == 1002
    assert lines[-1] == "… and 8,999 more"
    assert failure(report([row()], Limits(max_suspicious=0), top=0), "suspicious_labels")[1:] == ["… and 1 more"]


def test_classes_and_warnings_have_a_line_each() -> None:
    limits = Limits(max_class_noise=0.1, fail_on_warning=True)
    content = report(limits=limits, warnings=["One.", "Two."])
    assert failure(content, "class_noise_rate")[1:] == ["bee: 20.00% of 100 images, at least 13.34%"]
    assert failure(content, "warnings") == ["2 warnings", "One.", "Two."]


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_are_escaped_and_cannot_make_lines_of_their_own(name: str) -> None:
    failing = [{"class": name, "samples": 100, "noise_rate": 0.9, "suspicious": 90}]
    limits = Limits(max_class_noise=0.1, max_suspicious=0, fail_on_warning=True)
    content = report([row(1, path=name, given_label=name)], limits, classes=failing, warnings=[name])
    shown = printable(name)
    assert failure(content, "suspicious_labels")[1:] == [
        f"1. {shown}: given {shown}, suggested bee, P(mislabeled) 0.988"
    ]
    assert failure(content, "class_noise_rate")[1].startswith(f"{shown}: 90.00% of 100 images")
    assert failure(content, "warnings")[1:] == [shown]


def test_what_xml_cannot_hold_is_replaced() -> None:
    from labelaudit.report.formats import _legal

    bad = "".join(map(chr, [0, 8, 11, 12, 14, 31, 0xD800, 0xDFFF, 0xFFFE, 0xFFFF]))
    good = "\t\n\r <&\x7f\x85\ud7ff\ue000\ufffd\U00010000\U0010ffff"
    assert _legal(bad) == "\ufffd" * len(bad)
    assert _legal(good) == good
