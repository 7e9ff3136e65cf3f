"""A report as SARIF 2.1.0, for code scanning: a result for each suspicious label.

Section numbers are those of the OASIS standard with errata 01. GitHub reads a part of it, and asks for some things that
the standard leaves free.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import quote

from labelaudit import __version__
from labelaudit.report.content import Report
from labelaudit.report.gate import TITLES
from labelaudit.report.sentences import left_out_sentences
from labelaudit.run.lists import Row
from labelaudit.text import printable

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST_RESULTS = 5000
"""GitHub shows no more results of a run, and refuses a file with more than 25,000."""

_DATA = "DATA"
"""What paths are relative to: the audited folder, wherever it lies on the machine of whoever reads the file."""


@dataclass(frozen=True, kw_only=True)
class Rule:
    """A kind of finding. Its id stays what it is for ever: alerts are matched by it."""

    id: str
    name: str
    kind: str
    short: str
    full: str
    help: str


_REVIEW = (
    "Look at the image. If the label is wrong, correct it. If it is right, keep it; with this audit as the baseline, "
    "the next report does not count it again."
)

RULES = (
    Rule(
        id="LA001",
        name="MislabeledImage",
        kind="mislabeled",
        short="The label of this image is probably wrong.",
        full="While a network was trained on the whole folder, the loss of this image stayed high: the other images of "
        "its class did not help to learn its label.",
        help=_REVIEW,
    ),
    Rule(
        id="LA002",
        name="CorruptedImage",
        kind="corrupted",
        short="This image is probably damaged.",
        full="The loss of this image stayed high, and its content is unlike that of the images of any class.",
        help="Look at the image. If it shows nothing of use, take it out of the data.",
    ),
    Rule(
        id="LA003",
        name="AmbiguousImage",
        kind="ambiguous",
        short="The label of this image is in doubt.",
        full="The network is torn between the given label and another one.",
        help=_REVIEW + " If the image shows both classes, take it out of the data or give it a class of its own.",
    ),
    Rule(
        id="LA004",
        name="DuplicateImage",
        kind="duplicate",
        short="This image is in the data more than once.",
        full="Another file shows the same picture. Copies with different labels contradict each other; copies with the "
        "same label make the audit trust that label too much.",
        help="Compare the copies, keep one, and give it the right label.",
    ),
    Rule(
        id="LA005",
        name="UnreadableImage",
        kind="unreadable",
        short="This image cannot be read.",
        full="The file is damaged, empty, of another format than its name says, or may not be read. It has no verdict.",
        help="Open the file. Replace it by a sound copy, or take it out of the data.",
    ),
)
"""The first is that of a label of an unknown kind, and of an audit that tells no kinds."""


def render(report: Report) -> str:
    """The SARIF log. With a baseline it has the known labels too, after the new ones, each with its state."""
    listed = report.listed
    copies: Counter[str] = Counter()
    # Before the suspicious: they are certain, and few where the data are of any use.
    results = [_unreadable(row, listed.new is not None, copies) for row in report.unreadable[:MOST_RESULTS]]
    stated: list[tuple[Row, str | None]] = [(row, None if listed.new is None else "new") for row in listed.rows]
    stated += [(row, "unchanged") for row in listed.known_rows]
    results += [_result(row, state, copies) for row, state in stated[: MOST_RESULTS - len(results)]]
    run = {
        "tool": {"driver": _driver()},
        "originalUriBaseIds": {_DATA: {"description": _message("The audited folder of images.")}},
        "invocations": [
            {
                "executionSuccessful": True,
                "exitCode": 1 if report.failures else 0,
                "toolExecutionNotifications": _notifications(
                    report, listed.total + report.noise.unreadable - len(results)
                ),
            }
        ],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, allow_nan=False) + "\n"


def _driver() -> dict[str, Any]:
    return {
        "name": "labelaudit",
        "version": __version__,
        "semanticVersion": __version__,
        "rules": [
            {
                "id": rule.id,
                "name": rule.name,
                "shortDescription": _message(rule.short),
                "fullDescription": _message(rule.full),
                "help": {**_message(rule.help), "markdown": rule.help},
                "defaultConfiguration": {"level": "warning"},
                "properties": {"tags": ["data quality", "labels"], "problem.severity": "warning"},
            }
            for rule in RULES
        ],
    }


def _result(row: Row, state: str | None, copies: Counter[str]) -> dict[str, Any]:
    number = next((number for number, rule in enumerate(RULES) if rule.kind == row.get("kind")), 0)
    probability = float(row["p_mislabeled"])
    suggestion = f", looks like {_quoted(row['suggested_label'])}" if row["suggested_label"] else ""
    message = f"Labeled {_quoted(row['given_label'])}{suggestion}: P(mislabeled) {probability:.3f}."
    result = _located(RULES[number], row, message, copies) | {"rank": round(100 * probability, 4)}
    if state is not None:
        result["baselineState"] = state
    return result


def _unreadable(row: Row, against_baseline: bool, copies: Counter[str]) -> dict[str, Any]:
    message = f"Cannot be read ({_plain(row['reason'])}); labeled {_quoted(row['given_label'])}."
    result = _located(RULES[-1], row, message, copies)
    # A baseline knows suspicious labels only.
    return result | {"baselineState": "new"} if against_baseline else result


def _located(rule: Rule, row: Row, message: str, copies: Counter[str]) -> dict[str, Any]:
    """A result for the image of a row; the path stands in for the content of a file that nobody could read."""
    fingerprint = hashlib.sha256(f"{row['sha256'] or row['path']}\0{row['given_label']}".encode()).hexdigest()
    copies[fingerprint] += 1
    return {
        "ruleId": rule.id,
        "ruleIndex": RULES.index(rule),
        "level": "warning",
        "message": _message(message),
        "locations": [
            {
                "physicalLocation": {
                    # All but unreserved characters and the slash is encoded, a colon above all: in the first folder's
                    # name it would end a scheme.
                    "artifactLocation": {"uri": quote(row["path"], safe="/"), "uriBaseId": _DATA},
                    "region": {"startLine": 1},  # an image has no lines, but GitHub shows no result without one
                }
            }
        ],
        "partialFingerprints": {
            "imageAndLabel/v1": fingerprint,
            # The one that GitHub matches alerts by: hash and number of the occurrence.
            "primaryLocationLineHash": f"{fingerprint[:16]}:{copies[fingerprint]}",
        },
        "properties": {
            name: row[name]
            for name in ("rank", "given_label", "suggested_label", "sha256", "kind", "reason")
            if row.get(name)
        },
    }


def _notifications(report: Report, left_out: int) -> list[dict[str, Any]]:
    """Failed checks and warnings. They are no results: those have a file, which GitHub insists on."""
    found = [
        {"level": "error", "message": _message(_plain(f"{TITLES[check.name]}: {check.sentence}"))}
        for check in report.checks
        if check.outcome == "failed"
    ]
    found += [
        {"level": "warning", "message": _message(_plain(warning))} for warning in report.noise.warnings if warning
    ]
    if kinds := left_out_sentences(report.noise):
        found.append({"level": "note", "message": _message(_plain(" ".join(kinds)))})
    if left_out > 0:
        found.append({"level": "note", "message": _message(f"{left_out} findings are not listed.")})
    return found


def _message(text: str) -> dict[str, Any]:
    return {"text": text}


def _quoted(name: str) -> str:
    return f'"{_plain(name)}"'


def _plain(text: str) -> str:
    """Text of others without a link or a placeholder in it: braces are doubled (3.11.5), ``](`` is parted (3.11.6)."""
    return printable(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")
