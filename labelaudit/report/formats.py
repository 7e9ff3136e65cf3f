"""The formats of a report: the table for people, and those for machines by name; Markdown has a module of its own."""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Callable, Mapping
from urllib.parse import quote
from xml.etree import ElementTree

from rich.console import Console

from labelaudit import __version__
from labelaudit.codes import BY_CODE, CODES, Code
from labelaudit.report import markdown, sentences
from labelaudit.report.console import show_annotators, show_summary, show_suspicious, shown
from labelaudit.report.exports.formats import NOT_IN_XML
from labelaudit.report.gate import Check, Report
from labelaudit.run.documents import as_json
from labelaudit.run.lists import Row, code_of
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
        are = "suspicious label is" if listed.new == 1 else "suspicious labels are"
        known = listed.total - listed.new
        console.print(f"Against the baseline: [bold]{listed.new:,}[/bold] {are} new, {known:,} known")
    if others := sentences.found_sentence(report.found, report.new_found):
        console.print(shown(others))
    for row in report.unreadable[: report.top]:
        said = f"{row['path']}: {sentences.broken(row, report.is_new(row))}"
        console.print(f"LA005 unreadable: {shown(said)}", soft_wrap=True)
    for row in report.new_others:
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
        known, new_found = listed.total - listed.new, report.new_found
        baseline = {"new": listed.new, "known": known, "new_found": new_found}
    value = {
        **as_json(report.noise),
        "top": report.shown,
        "kept_labels": report.kept,
        "unreadable_top": report.unreadable[: report.top],
        "findings_top": report.new_others,
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
            f"{row['rank']}. {row['path']}: given {row['given_label']}, suggested {sentences.suggestion(row)}, "
            f"P(mislabeled) {float(row['p_mislabeled']):.3f}{', ' + row['kind'] if row['kind'] else ''}"
            for row in report.shown
        ]
    elif check.name in report.found:
        count = report.new_found[check.name]
        rows = [row for row in report.findings if row["code"] == check.name and report.is_new(row)][: report.top]
        reasons = {row["path"]: f": {row['reason']}" for row in report.unreadable} if check.name == "LA005" else {}
        twins = [f" (see {row['other_path']})" if row["other_path"] else "" for row in rows]
        items = [row["path"] + twin + reasons.get(row["path"], "") for row, twin in zip(rows, twins, strict=True)]
    shown = [printable(item) for item in items[:_MOST_LINES]]
    left = count - len(shown)
    return [check.text, *shown, *([f"… and {left:,} more"] if left else [])]


def _legal(text: str) -> str:
    return NOT_IN_XML.sub("\ufffd", text)


SARIF_SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST_SARIF_RESULTS = 5000  # GitHub shows no more results of a run, and refuses a file with more than 25,000
_DATA = "DATA"  # what paths are relative to: the audited folder, wherever it is on the reader's machine


def _sarif_rule(code: Code) -> dict[str, object]:
    return {
        "id": code.code,
        "name": "".join(word.capitalize() for word in f"{code.name}-image".split("-")),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.why},
        "help": {"text": code.remedy, "markdown": code.remedy},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["data quality", "labels"], "problem.severity": "warning"},
    }


def render_sarif(report: Report) -> str:
    """Return the log in SARIF 2.1.0, for code scanning: a result for each suspicious label and each unreadable image.

    With a baseline it has the known labels too, after the new ones, each with its state. Section numbers below are
    those of the OASIS standard with errata 01. GitHub also requires things that it leaves free.
    """
    listed, copies, others = report.listed, Counter[str](), report.others
    # The unreadable are certain, and few.
    found = [(row, report.is_new(row)) for row in report.unreadable]
    found += [(row, True) for row in listed.rows] + [(row, False) for row in listed.known_rows]
    found += [(row, report.is_new(row)) for row in others]
    found.sort(key=lambda each: not each[1])
    states = [""] * len(found) if listed.new is None else ["new" if new else "unchanged" for _, new in found]
    twins = {row["path"]: row["other_path"] for row in report.findings if row["code"] == "LA004"}
    results = [
        _sarif_result(row, state, copies, twins)
        for (row, _), state in zip(found[:MOST_SARIF_RESULTS], states, strict=False)
    ]
    rules = [_sarif_rule(code) for code in CODES]
    driver = {"name": "labelaudit", "version": __version__, "semanticVersion": __version__, "rules": rules}
    count = listed.total + len(report.unreadable) + len(others)
    invocation = {
        "executionSuccessful": True,
        "exitCode": 1 if report.failures else 0,
        "toolExecutionNotifications": _notifications(report, count - len(results)),
    }
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {_DATA: {"description": {"text": "The audited folder of images."}}},
        "invocations": [invocation],
        "results": results,
    }
    return json.dumps({"$schema": SARIF_SCHEMA, "version": "2.1.0", "runs": [run]}, allow_nan=False) + "\n"


def _sarif_result(row: Row, state: str, copies: Counter[str], twins: Mapping[str, str]) -> dict[str, object]:
    """Return the result for a suspicious label, an unreadable image, whose row has a reason, or another finding.

    ``twins`` are by path the files with the same image and another label.
    """
    labeled, code = f'"{_plain(row["given_label"])}"', BY_CODE[code_of(row)]
    more: dict[str, object] = {"baselineState": state} if state else {}
    twin = row.get("other_path") or (twins.get(row["path"]) if code.name == "duplicate" else "")
    see = f' See also "{_plain(twin)}".' if twin else ""
    if "reason" in row:
        message = f"Cannot be read ({_plain(row['reason'])}); labeled {labeled}."
    elif "code" in row:
        group = f" Group {row['group']}." if row["group"] else ""
        message = f"{code.title} Labeled {labeled}.{see}{group}"
    else:
        probability, other = float(row["p_mislabeled"]), row["suggested_label"]
        looks = f', looks like "{_plain(other)}"' if other else ""
        message = f"Labeled {labeled}{looks}: P(mislabeled) {probability:.3f}.{see}"
        more = {"rank": round(100 * probability, 4), **more}
    image = f"{code.code} {row['path']}" if "code" in row else row["sha256"] or row["path"]
    fingerprint = hashlib.sha256(f"{image}\0{row['given_label']}".encode()).hexdigest()
    copies[fingerprint] += 1
    # All but unreserved characters and the slash is encoded: a colon in the first folder's name would end a scheme.
    location = {
        "artifactLocation": {"uri": quote(row["path"], safe="/"), "uriBaseId": _DATA},
        "region": {"startLine": 1},  # an image has no lines, but GitHub shows no result without one
    }
    names = ("rank", "given_label", "suggested_label", "sha256", "kind", "reason", "other_path", "group", "score")
    return {
        "ruleId": code.code,
        "ruleIndex": CODES.index(code),
        "level": "warning",
        "message": {"text": message},
        "locations": [{"physicalLocation": location}],
        "partialFingerprints": {
            "imageAndLabel/v1": fingerprint,
            # GitHub matches alerts by this one: hash and number of the occurrence.
            "primaryLocationLineHash": f"{fingerprint[:16]}:{copies[fingerprint]}",
        },
        "properties": {name: row[name] for name in names if row.get(name)},
        **more,
    }


def _notifications(report: Report, left_out: int) -> list[dict[str, object]]:
    """Return failed checks and warnings. They are not results: GitHub insists that a result has a file."""
    found = [("error", f"{check.title}: {check.sentence}") for check in report.checks if check.outcome == "failed"]
    found += [("warning", warning) for warning in report.noise.warnings if warning]
    if kinds := sentences.left_out_sentences(report.noise):
        found.append(("note", " ".join(kinds)))
    if left_out > 0:
        found.append(("note", f"{left_out} findings are not listed."))
    return [{"level": level, "message": {"text": _plain(text)}} for level, text in found]


def _plain(text: str) -> str:
    """Return text without a link or a placeholder: braces are doubled (3.11.5), ``](`` is parted (3.11.6)."""
    return printable(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")


FORMATS: dict[str, Callable[[Report], str]] = {
    "json": render_json,
    "markdown": markdown.render,
    "sarif": render_sarif,
    "junit": render_junit,
}
