"""A report as SARIF 2.1.0, for code scanning: a result for each suspicious label and each unreadable image.

Section numbers are those of the OASIS standard with errata 01. GitHub also requires things that it leaves free.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from urllib.parse import quote

from labelaudit import __version__
from labelaudit.report.gate import TITLES, Report
from labelaudit.report.sentences import left_out_sentences
from labelaudit.run.lists import Row
from labelaudit.text import printable

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST_RESULTS = 5000  # GitHub shows no more results of a run, and refuses a file with more than 25,000
_DATA = "DATA"  # what paths are relative to: the audited folder, wherever it is on the reader's machine

Object = dict[str, object]

_REVIEW = (
    "Look at the image. If the label is wrong, correct it. If it is right, keep it; with this audit as the baseline, "
    "the next report does not count it again."
)

RULES = {
    "mislabeled": (
        "The label of this image is probably wrong.",
        "While a network was trained on the whole folder, the loss of this image stayed high: the other images of "
        "its class did not help to learn its label.",
        _REVIEW,
    ),
    "corrupted": (
        "This image is probably damaged.",
        "The loss of this image stayed high, and its content is unlike that of the images of any class.",
        "Look at the image. If it shows nothing of use, take it out of the data.",
    ),
    "ambiguous": (
        "The label of this image is in doubt.",
        "The network is torn between the given label and another one.",
        f"{_REVIEW} If the image shows both classes, take it out of the data or give it a class of its own.",
    ),
    "duplicate": (
        "This image is in the data more than once.",
        "Another file shows the same image. Copies with different labels contradict each other; copies with the "
        "same label make the audit trust that label too much.",
        "Compare the copies, keep one, and give it the right label.",
    ),
    "unreadable": (
        "This image cannot be read.",
        "The file is damaged, empty, of another format than its name says, or may not be read. It has no verdict.",
        "Open the file. Replace it by a sound copy, or take it out of the data.",
    ),
}
"""By kind: what is found, why, and the remedy; the first is that of other kinds. The order, that of the ids, stays."""


def _rule(number: int, kind: str, short: str, full: str, remedy: str) -> Object:
    return {
        "id": f"LA{number:03}",
        "name": f"{kind.capitalize()}Image",
        "shortDescription": {"text": short},
        "fullDescription": {"text": full},
        "help": {"text": remedy, "markdown": remedy},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["data quality", "labels"], "problem.severity": "warning"},
    }


def render(report: Report) -> str:
    """Return the SARIF log. With a baseline it has the known labels too, after the new ones, each with its state."""
    listed, copies = report.listed, Counter[str]()
    state = None if listed.new is None else "new"
    stated = [(row, state) for row in (*report.unreadable, *listed.rows)]  # the unreadable are certain, and few
    stated += [(row, "unchanged") for row in listed.known_rows]
    results = [_result(row, state, copies) for row, state in stated[:MOST_RESULTS]]
    rules = [_rule(number, kind, *texts) for number, (kind, texts) in enumerate(RULES.items(), start=1)]
    driver = {"name": "labelaudit", "version": __version__, "semanticVersion": __version__, "rules": rules}
    invocation = {
        "executionSuccessful": True,
        "exitCode": 1 if report.failures else 0,
        "toolExecutionNotifications": _notifications(report, listed.total + report.noise.unreadable - len(results)),
    }
    run = {
        "tool": {"driver": driver},
        "originalUriBaseIds": {_DATA: {"description": {"text": "The audited folder of images."}}},
        "invocations": [invocation],
        "results": results,
    }
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, allow_nan=False) + "\n"


def _result(row: Row, state: str | None, copies: Counter[str]) -> Object:
    """Return the result for a suspicious label, or for an unreadable image, whose row has a reason."""
    labeled, kind = f'"{_plain(row["given_label"])}"', "unreadable" if "reason" in row else row.get("kind")
    rule = [*RULES].index(kind) if kind in RULES else 0
    more: Object = {} if state is None else {"baselineState": state}
    if "reason" in row:
        message = f"Cannot be read ({_plain(row['reason'])}); labeled {labeled}."
    else:
        probability, other = float(row["p_mislabeled"]), row["suggested_label"]
        looks = f', looks like "{_plain(other)}"' if other else ""
        message = f"Labeled {labeled}{looks}: P(mislabeled) {probability:.3f}."
        more = {"rank": round(100 * probability, 4), **more}
    fingerprint = hashlib.sha256(f"{row['sha256'] or row['path']}\0{row['given_label']}".encode()).hexdigest()
    copies[fingerprint] += 1
    # All but unreserved characters and the slash is encoded: a colon in the first folder's name would end a scheme.
    location = {
        "artifactLocation": {"uri": quote(row["path"], safe="/"), "uriBaseId": _DATA},
        "region": {"startLine": 1},  # an image has no lines, but GitHub shows no result without one
    }
    names = ("rank", "given_label", "suggested_label", "sha256", "kind", "reason")
    return {
        "ruleId": f"LA{rule + 1:03}",
        "ruleIndex": rule,
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


def _notifications(report: Report, left_out: int) -> list[Object]:
    """Return failed checks and warnings. They are not results: GitHub insists that a result has a file."""
    found = [
        ("error", f"{TITLES[check.name]}: {check.sentence}") for check in report.checks if check.outcome == "failed"
    ]
    found += [("warning", warning) for warning in report.noise.warnings if warning]
    if kinds := left_out_sentences(report.noise):
        found.append(("note", " ".join(kinds)))
    if left_out > 0:
        found.append(("note", f"{left_out} findings are not listed."))
    return [{"level": level, "message": {"text": _plain(text)}} for level, text in found]


def _plain(text: str) -> str:
    """Return text without a link or a placeholder: braces are doubled (3.11.5), ``](`` is parted (3.11.6)."""
    return printable(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")
