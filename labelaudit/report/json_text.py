"""A report as JSON: noise.json, the first suspicious labels, and what the gate makes of them."""

from __future__ import annotations

import json

from labelaudit.report.content import Report
from labelaudit.report.unused import unreadable


def render(report: Report) -> str:
    """One JSON object, ended by a newline."""
    findings = report.findings
    baseline = None
    if findings.new is not None:
        baseline = {"new": findings.new, "known": findings.total - findings.new, "gone": findings.gone}
    value = {
        **report.noise,
        "top": report.shown,
        "unreadable": unreadable(report.noise),
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
