"""The formats of a report: the table for people, and those for machines by name. JSON and JUnit are made here."""

from __future__ import annotations

import json
from collections.abc import Callable
from xml.etree import ElementTree

from rich.console import Console

from labelaudit.report import markdown, sarif, sentences
from labelaudit.report.console import show_annotators, show_summary, show_suspicious, shown
from labelaudit.report.exports.formats import NOT_IN_XML
from labelaudit.report.gate import Check, Report
from labelaudit.report.sentences import suggestion
from labelaudit.run.documents import as_json
from labelaudit.text import printable


def show_table(console: Console, report: Report) -> None:
    """Print the audit, what is new since a baseline, and a line for each check of the gate that has a limit."""
    show_summary(console, report.noise)
    if report.annotators is not None:
        show_annotators(console, report.annotators)
    if report.shown:
        show_suspicious(console, report.shown)
    if report.kept:
        console.print(f"Kept by a person ({len(report.kept):,}):")
        show_suspicious(console, report.kept)
    listed = report.listed
    if listed.new is not None:
        console.print(
            f"Against the baseline: [bold]{listed.new:,}[/bold] suspicious labels are new, "
            f"{listed.total - listed.new:,} known, {listed.gone:,} gone"
        )
    if others := sentences.found_sentence(report.found):
        console.print(shown(others))
    for row in report.findings[: report.top]:
        other = f" ({row['other_path']})" if row["other_path"] else ""
        console.print(f"{row['code']} {shown(row['kind'])}: {shown(row['path'] + other)}", soft_wrap=True)
    for check in report.checks:
        if check.outcome != "skipped":
            color, word = ("bold red", "Failed") if check.outcome == "failed" else ("green", "Passed")
            console.print(f"[{color}]{word}:[/{color}] {shown(check.sentence)}")


def render_json(report: Report) -> str:
    """Return noise.json with the first suspicious labels and the outcome of every check."""
    listed = report.listed
    baseline = None
    if listed.new is not None:
        baseline = {"new": listed.new, "known": listed.total - listed.new, "gone": listed.gone}
    value = {
        **as_json(report.noise),
        "top": report.shown,
        "kept_labels": report.kept,
        "unreadable_top": report.unreadable[: report.top],
        "findings_top": report.findings[: report.top],
        "found": report.found,
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
    if report.annotators is not None:
        value["annotators"] = as_json(report.annotators)
    return json.dumps(value, indent=2, allow_nan=False) + "\n"


_MOST_LINES = 1000


def render_junit(report: Report) -> str:
    """Return the XML document. Checks without a limit are skipped test cases, so every report has the same cases."""
    outcomes = [check.outcome for check in report.checks]
    counts = {"tests": str(len(outcomes)), "failures": str(outcomes.count("failed")), "errors": "0"}
    counts["skipped"] = str(outcomes.count("skipped"))
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
    return f'<?xml version="1.0" encoding="utf-8"?>\n{ElementTree.tostring(suites, encoding="unicode")}\n'


def _lines(check: Check, report: Report) -> list[str]:
    """Return the text of a check, a line for each item that fails it, and how many items are left out."""
    items = [f"{name}: {said}" if name else said for name, said in check.subjects]
    count = len(items)
    if check.name == "unreadable_images":
        count, bad = report.noise.unreadable, report.unreadable[: report.top]
        items = [f"{row['path']}: {row['reason']}, given {row['given_label']}" for row in bad]
    elif check.name == "suspicious_labels":
        count = report.listed.counted
        items = [
            f"{row['rank']}. {row['path']}: given {row['given_label']}, suggested {suggestion(row)}, "
            f"P(mislabeled) {float(row['p_mislabeled']):.3f}{', ' + row['kind'] if row['kind'] else ''}"
            for row in report.shown
        ]
    elif check.name in report.found:
        count = report.found[check.name]
        rows = [row for row in report.findings if row["code"] == check.name][: report.top]
        items = [row["path"] + (f" (see {row['other_path']})" if row["other_path"] else "") for row in rows]
    shown = [printable(item) for item in items[:_MOST_LINES]]
    left = count - len(shown)
    return [check.text, *shown, *([f"… and {left:,} more"] if left else [])]


def _legal(text: str) -> str:
    return NOT_IN_XML.sub("\ufffd", text)


FORMATS: dict[str, Callable[[Report], str]] = {
    "json": render_json,
    "markdown": markdown.render,
    "sarif": sarif.render,
    "junit": render_junit,
}
