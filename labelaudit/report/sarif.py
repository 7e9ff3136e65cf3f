"""A report as SARIF 2.1.0, for code scanning: a result for each suspicious label and each unreadable image.

Section numbers are those of the OASIS standard with errata 01. GitHub also requires things that it leaves free.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from urllib.parse import quote

from labelaudit import __version__
from labelaudit.codes import BY_CODE, BY_NAME, CODES, Code
from labelaudit.report.gate import Report, kind_of
from labelaudit.report.sentences import left_out_sentences
from labelaudit.run.lists import Row
from labelaudit.text import printable

SCHEMA = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json"

MOST_RESULTS = 5000  # GitHub shows no more results of a run, and refuses a file with more than 25,000
_DATA = "DATA"  # what paths are relative to: the audited folder, wherever it is on the reader's machine

Object = dict[str, object]


def _rule(code: Code) -> Object:
    return {
        "id": code.code,
        "name": "".join(word.capitalize() for word in f"{code.name}-image".split("-")),
        "shortDescription": {"text": code.title},
        "fullDescription": {"text": code.why},
        "help": {"text": code.remedy, "markdown": code.remedy},
        "defaultConfiguration": {"level": "warning"},
        "properties": {"tags": ["data quality", "labels"], "problem.severity": "warning"},
    }


def render(report: Report) -> str:
    """Return the SARIF log. With a baseline it has the known labels too, after the new ones, each with its state."""
    listed, copies = report.listed, Counter[str]()
    state = None if listed.new is None else "new"
    stated = [(row, state) for row in (*report.unreadable, *listed.rows)]  # the unreadable are certain, and few
    stated += [(row, "unchanged") for row in listed.known_rows]
    stated += [(row, state) for row in report.findings]
    results = [_result(row, state, copies) for row, state in stated[:MOST_RESULTS]]
    rules = [_rule(code) for code in CODES]
    driver = {"name": "labelaudit", "version": __version__, "semanticVersion": __version__, "rules": rules}
    count = listed.total + len(report.unreadable) + len(report.findings)
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
    return json.dumps({"$schema": SCHEMA, "version": "2.1.0", "runs": [run]}, allow_nan=False) + "\n"


def _result(row: Row, state: str | None, copies: Counter[str]) -> Object:
    """Return the result for a suspicious label, an unreadable image, whose row has a reason, or another finding."""
    labeled = f'"{_plain(row["given_label"])}"'
    code = BY_CODE[row["code"]] if "code" in row else BY_NAME[kind_of(row)]
    more: Object = {} if state is None else {"baselineState": state}
    if "reason" in row:
        message = f"Cannot be read ({_plain(row['reason'])}); labeled {labeled}."
    elif "code" in row:
        other = f' See also "{_plain(row["other_path"])}".' if row["other_path"] else ""
        group = f" Group {row['group']}." if row["group"] else ""
        message = f"{code.title} Labeled {labeled}.{other}{group}"
    else:
        probability, other = float(row["p_mislabeled"]), row["suggested_label"]
        looks = f', looks like "{_plain(other)}"' if other else ""
        message = f"Labeled {labeled}{looks}: P(mislabeled) {probability:.3f}."
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


def _notifications(report: Report, left_out: int) -> list[Object]:
    """Return failed checks and warnings. They are not results: GitHub insists that a result has a file."""
    found = [("error", f"{check.title}: {check.sentence}") for check in report.checks if check.outcome == "failed"]
    found += [("warning", warning) for warning in report.noise.warnings if warning]
    if kinds := left_out_sentences(report.noise):
        found.append(("note", " ".join(kinds)))
    if left_out > 0:
        found.append(("note", f"{left_out} findings are not listed."))
    return [{"level": level, "message": {"text": _plain(text)}} for level, text in found]


def _plain(text: str) -> str:
    """Return text without a link or a placeholder: braces are doubled (3.11.5), ``](`` is parted (3.11.6)."""
    return printable(text).replace("{", "{{").replace("}", "}}").replace("](", "] (")
