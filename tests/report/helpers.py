"""Reports made by hand, and names that nobody should trust."""

from collections import Counter
from typing import Any

import msgspec

from labelaudit.codes import BY_CODE
from labelaudit.report.gate import Limits, Report, check
from labelaudit.run.documents import Noise
from labelaudit.run.lists import SUSPICIOUS_COLUMNS, Listed

HOSTILE_NAMES = (
    *("one `code` two", "\\|", "<img src=x onerror=alert(1)>", "</code></td><script>alert(1)</script>"),
    *("![x](http://evil.example/x.png)", "@everyone #1 http://evil.example www.evil.example"),
    *("`somebody@evil.example|", "carriage\r\n| return", "\x1b[2J\x07", "\u202egnp.exe", "para\u2029graph"),
    *("no \ufffe character \uffff", "{0} {{1}} }{", "colon:in the first folder/x.png"),
    *("100%41 ?query #fragment", "]]><!-- &lt; &amp; \"quoted\" 'single'", "$(id) ~~gone~~ **bold** _it_"),
    *("# heading", " blanks around ", "猫 ä ö 🐈", "long" * 100),
)

LEFT_OUT = [
    {"reason": "no image by its name", "suffix": ".txt", "files": 2, "example": "ant/a.txt"},
    {"reason": "no class folder", "suffix": "", "files": 1200, "example": "loose"},
]


def kind_counts(*counts: int) -> dict[str, int]:
    return dict(zip(("mislabeled", "corrupted", "ambiguous", "duplicate"), counts, strict=True))


KINDS = {
    "samples": kind_counts(5, 1200, 1, 3),
    "suspicious": kind_counts(5, 1, 1, 0),
    "copies": [{"kind": "shuffled", "count": 1500, "found": 1499}, {"kind": "noise", "count": 1500, "found": 900}],
}


def class_noise(name: str, rate: float = 0.9, samples: int = 100) -> dict[str, object]:
    """The entry of a class in noise.json."""
    return {"class": name, "samples": samples, "noise_rate": rate, "suspicious": round(rate * samples)}


def noise_json(**changes: object) -> dict[str, Any]:
    value: dict[str, Any] = {"noise_rate": 0.1, "noise_rate_interval": None, "suspicious": 7, "epochs": 4}
    value |= {"samples": 300, "readable": 300, "fit": {"rank_by": "aul", "estimator": "gmm"}, "estimators": {}}
    value |= {"confusion": [], "warnings": []}
    return {**value, "classes": [class_noise("ant", 0.05, 200), class_noise("bee", 0.2, 100)], **changes}


def noise(**changes: object) -> Noise:
    return msgspec.convert(noise_json(**changes), Noise)


def row(rank: int = 1, **changes: str) -> dict[str, str]:
    found = (str(rank), f"ant/{rank}.png", "ant", "bee", "0.987654", "0.012346", "12.3", "-4.5", "", str(rank - 1))
    return dict(zip(SUSPICIOUS_COLUMNS, (*found, f"{rank:064x}"), strict=True)) | changes


def finding(code: str, path: str, **changes: str) -> dict[str, str]:
    """A row of findings.csv."""
    found = {"code": code, "kind": BY_CODE[code].name, "sample": "0", "path": path, "given_label": "ant"}
    more = dict.fromkeys(("suggested_label", "other_path", "group", "score"), "")
    return {**found, **more, "sha256": "ff", **changes}


def unreadable(path: str = "ant/x.png") -> dict[str, str]:
    return {"path": path, "given_label": "ant", "reason": "empty file", "sha256": ""}


def report(
    rows: list[dict[str, str]] | None = None,
    limits: Limits | None = None,
    *,
    known_rows: list[dict[str, str]] | None = None,
    top: int = 10,
    bad: tuple[dict[str, str], ...] = (),
    findings: tuple[dict[str, str], ...] = (),
    known: tuple[tuple[str, str], ...] = (),
    **changes: object,
) -> Report:
    """A report on these rows; with ``known_rows``, against a baseline that has these; ``bad`` cannot be read.

    ``known`` are code and path of other findings that it has.
    """
    rows = [row()] if rows is None else rows
    counts = {"suspicious": len(rows) + len(known_rows or []), "unreadable": len(bad)}
    content = noise(**{**counts, **changes})
    new = None if known_rows is None else len(rows)
    listed = Listed(rows=rows, known_rows=known_rows or [], total=content.suspicious, new=new)
    counts = {"found": Counter(row["code"] for row in findings), "known": Counter(code for code, _ in known)}
    checks = check(content, limits or Limits(), listed=listed, **(counts if findings else {}))
    lists = {"unreadable": bad, "findings": findings, "known": frozenset(known)}
    return Report(noise=content, listed=listed, checks=checks, top=top, **lists)
