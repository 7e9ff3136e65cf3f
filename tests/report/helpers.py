"""Reports made by hand, and names that nobody should trust."""

from typing import Any

import msgspec

from labelaudit.report.content import Report
from labelaudit.report.gate import Limits, check
from labelaudit.run.documents import Noise
from labelaudit.run.lists import Listed

HOSTILE_NAMES = (
    "plain.png",
    "a|b",
    "one `code` two",
    "`",
    "\\|",
    "\\",
    "ends in \\",
    "|",
    "<img src=x onerror=alert(1)>",
    "</code></td><script>alert(1)</script>",
    "[x](http://evil.example)",
    "![x](http://evil.example/x.png)",
    "[x](0)",
    "]](",
    "@everyone #1 http://evil.example www.evil.example",
    "somebody@evil.example",
    "`somebody@evil.example|",
    "two\nlines",
    "carriage\r\n| return",
    "\x1b[2J\x07",
    "\x00 nothing",
    "\u202egnp.exe",
    "para\u2029graph",
    "no \ufffe character \uffff",
    "{0} {{1}} }{",
    "colon:in the first folder/x.png",
    "100%41 ?query #fragment",
    "]]><!-- &lt; &amp; \"quoted\" 'single'",
    "=cmd|' /C calc'!A0",
    "$(id) ~~gone~~ **bold** _it_",
    "# heading",
    " blanks around ",
    "猫 ä ö 🐈",
    "long" * 100,
)


def noise_json(**changes: object) -> dict[str, Any]:
    """A noise.json of two classes."""
    return {
        "noise_rate": 0.1,
        "noise_rate_interval": None,
        "suspicious": 7,
        "samples": 300,
        "readable": 300,
        "epochs": 4,
        "fit": {"rank_by": "aul", "estimator": "gmm"},
        "classes": [
            {"class": "ant", "samples": 200, "noise_rate": 0.05, "suspicious": 3},
            {"class": "bee", "samples": 100, "noise_rate": 0.2, "suspicious": 4},
        ],
        "estimators": {},
        "confusion": [],
        "power": {"kinds": [], "review": []},
        "warnings": [],
        **changes,
    }


def noise(**changes: object) -> Noise:
    """The same, read."""
    return msgspec.convert(noise_json(**changes), Noise)


def row(rank: int = 1, **changes: str) -> dict[str, str]:
    """A row of suspicious.csv."""
    return {
        "rank": str(rank),
        "path": f"ant/{rank}.png",
        "given_label": "ant",
        "suggested_label": "bee",
        "p_mislabeled": "0.987654",
        "label_score": "0.012346",
        "aul": "12.3",
        "aum": "-4.5",
        "sample": str(rank - 1),
        "sha256": f"{rank:064x}",
        **changes,
    }


def report(
    rows: list[dict[str, str]] | None = None,
    limits: Limits | None = None,
    *,
    known_rows: list[dict[str, str]] | None = None,
    top: int = 10,
    gone: int = 0,
    unreadable: tuple[dict[str, str], ...] = (),
    **changes: object,
) -> Report:
    """A report on these rows; with ``known_rows``, against a baseline that has these."""
    rows = [row()] if rows is None else rows
    content = noise(**{"suspicious": len(rows) + len(known_rows or []), "unreadable": len(unreadable), **changes})
    listed = Listed(
        rows=rows,
        known_rows=known_rows or [],
        total=content.suspicious,
        new=None if known_rows is None else len(rows),
        gone=gone,
    )
    return Report(
        noise=content,
        listed=listed,
        checks=check(content, limits or Limits(), new=listed.new),
        top=top,
        unreadable=unreadable,
    )
