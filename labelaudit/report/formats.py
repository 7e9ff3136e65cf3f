"""The formats for machines, by name."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping
from types import MappingProxyType
from xml.etree import ElementTree

from labelaudit.report import markdown, sarif
from labelaudit.report.content import Report
from labelaudit.report.gate import Check
from labelaudit.run.documents import as_json
from labelaudit.text import printable


def render_json(report: Report) -> str:
    """One JSON object, ended by a newline."""
    listed = report.listed
    baseline = None
    if listed.new is not None:
        baseline = {"new": listed.new, "known": listed.total - listed.new, "gone": listed.gone}
    value = {
        **as_json(report.noise),
        "top": report.shown,
        "unreadable_top": report.unreadable[: report.top],
        "baseline": baseline,
        "checks": [
            {
                "name": check.name,
                "outcome": check.outcome,
                "text": check.text,
                "subjects": [{"name": name or None, "text": text} for name, text in check.subjects],
            }
            for check in report.checks
        ],
        "failures": report.failures,
        "passed": not report.failures,
    }
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


_MOST_LINES = 1000

_FORBIDDEN = re.compile("[^\t\n\r\u0020-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""What XML 1.0 (section 2.2) has no way to write, not even as a reference."""


def render_junit(report: Report) -> str:
    """The XML document. Checks without a limit are skipped test cases, so that the suite is the same every time."""
    outcomes = [check.outcome for check in report.checks]
    counts = {
        "tests": str(len(outcomes)),
        "failures": str(outcomes.count("failed")),
        "errors": "0",
        "skipped": str(outcomes.count("skipped")),
    }
    suites = ElementTree.Element("testsuites", {"name": "labelaudit", **counts})
    suite = ElementTree.SubElement(suites, "testsuite", {"name": "labelaudit", **counts})
    for check in report.checks:
        case = ElementTree.SubElement(suite, "testcase", {"classname": "labelaudit", "name": check.name, "time": "0"})
        if check.outcome == "failed":
            failure = ElementTree.SubElement(case, "failure", {"message": _legal(check.sentence), "type": "limit"})
            failure.text = _legal("\n".join(_lines(check, report)))
        elif check.outcome == "skipped":
            ElementTree.SubElement(case, "skipped", {"message": _legal(check.text)})
        else:
            ElementTree.SubElement(case, "system-out").text = _legal(check.sentence)
    ElementTree.indent(suites)
    body = ElementTree.tostring(suites, encoding="unicode")
    return f'<?xml version="1.0" encoding="utf-8"?>\n{body}\n'


def _lines(check: Check, report: Report) -> list[str]:
    if check.name == "unreadable_images":
        lines = [
            f"{printable(row['path'])}: {printable(row['reason'])}, given {printable(row['given_label'])}"
            for row in report.unreadable[: report.top]
        ]
        return _bounded([check.text, *lines], report.noise.unreadable)
    if check.name != "suspicious_labels":
        lines = [f"{printable(name)}: {printable(said)}" if name else printable(said) for name, said in check.subjects]
        return _bounded([check.text, *lines], len(lines))
    lines = [
        f"{printable(row['rank'])}. {printable(row['path'])}: given {printable(row['given_label'])}, "
        f"suggested {printable(row['suggested_label'])}, P(mislabeled) {float(row['p_mislabeled']):.3f}"
        + (f", {printable(row['kind'])}" if row.get("kind") else "")
        for row in report.shown
    ]
    return _bounded([check.text, *lines], report.listed.counted)


def _bounded(lines: list[str], items: int) -> list[str]:
    """The first line and those of the items, with a last line for the items that are left out."""
    shown = lines[: _MOST_LINES + 1]
    left = items - (len(shown) - 1)
    return [*shown, f"… and {left:,} more"] if left else shown


def _legal(text: str) -> str:
    return _FORBIDDEN.sub("\ufffd", text)


FORMATS: Mapping[str, Callable[[Report], str]] = MappingProxyType(
    {"json": render_json, "markdown": markdown.render, "sarif": sarif.render, "junit": render_junit}
)


def most_listed(names: set[str]) -> int:
    """How many suspicious labels a report in these formats needs, however many a list for people shows."""
    return sarif.MOST_RESULTS if "sarif" in names else 0
