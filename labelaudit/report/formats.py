"""The formats for machines, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType

from labelaudit.report import json_text, junit, markdown, sarif
from labelaudit.report.content import Report

FORMATS: Mapping[str, Callable[[Report], str]] = MappingProxyType(
    {"json": json_text.render, "markdown": markdown.render, "sarif": sarif.render, "junit": junit.render}
)


def most_listed(names: set[str]) -> int:
    """How many suspicious labels a report in these formats needs, however many a list for people shows."""
    return sarif.MOST_RESULTS if "sarif" in names else 0
