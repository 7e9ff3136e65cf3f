"""Kinds in words."""

import io

from rich.console import Console

from labelaudit.names import CONTROL_KINDS, COPY_KINDS
from labelaudit.report.console import show_summary, show_suspicious
from labelaudit.report.markdown import render
from labelaudit.report.sentences import kinds_sentences, matrix_note, matrix_rows
from tests.report.helpers import noise, report, row
from tests.report.test_markdown import require_harmless, tables

KINDS = {
    "samples": {"mislabeled": 5, "corrupted": 1200, "ambiguous": 1, "duplicate": 3},
    "suspicious": {"mislabeled": 5, "corrupted": 1, "ambiguous": 1, "duplicate": 0},
    "corrupted_rate": 0.1,
    "ambiguous_below": 0.2,
    "planted": [
        {
            "planted": "random",
            "expected": "mislabeled",
            "count": 50,
            "called": {"mislabeled": 40, "corrupted": 1, "ambiguous": 2, "duplicate": 0},
        },
        {
            "planted": "shuffled",
            "expected": "corrupted",
            "count": 500,
            "called": {"mislabeled": 0, "corrupted": 499, "ambiguous": 0, "duplicate": 0},
        },
    ],
}


def console_text(*, width=200, **changes):
    console = Console(file=io.StringIO(), width=width, highlight=False)
    show_summary(console, noise(**changes))
    return console.file.getvalue()


def test_sentences_by_hand():
    assert kinds_sentences(noise(kinds=KINDS, readable=12000)) == [
        "Kinds of the suspicious: 5 mislabeled, 1 corrupted, 1 ambiguous.",
        "Corrupted images, suspicious or not: 1,200 of 12,000; corrupted.csv lists them.",
        "Equal images with different labels: 3; see the column kind of scores.parquet.",
    ]


def test_the_matrix_by_hand():
    rows = matrix_rows(noise(kinds=KINDS))
    assert rows == [
        ["labels, random", "50", "40", "1", "2", "0", "7"],
        ["images, shuffled", "500", "0", "499", "0", "0", "1"],
    ]
    assert "--controls" not in matrix_note(noise(kinds=KINDS))
    only_images = {**KINDS, "planted": KINDS["planted"][1:]}
    assert "--controls" in matrix_note(noise(kinds=only_images))


def test_audits_of_earlier_versions_say_nothing():
    for nothing in (noise(), noise(kinds=None)):
        assert kinds_sentences(nothing) == matrix_rows(nothing) == []
        assert "Kinds" not in render(report())
    assert "Kinds" not in console_text()


def test_the_terminal_shows_kinds_and_matrix():
    text = console_text(kinds=KINDS)
    for part in ("5 mislabeled, 1 corrupted", "images, shuffled", "499", "missed"):
        assert part in text
    assert "kind" in _shown([row(kind="corrupted")])
    assert "kind" not in _shown([row()])


def test_the_matrix_fits_a_narrow_terminal():
    planted = [{**KINDS["planted"][1], "planted": name} for name in (*CONTROL_KINDS, *COPY_KINDS)]
    lines = console_text(width=80, kinds={**KINDS, "planted": planted}).splitlines()
    header = next(line for line in lines if line.lstrip().startswith("made on purpose"))
    assert "missed" in header
    assert "…" not in "".join(lines)


def _shown(rows):
    console = Console(file=io.StringIO(), width=200)
    show_suspicious(console, rows)
    return console.file.getvalue()


def test_markdown_has_them_as_a_table_and_no_name_in_them_is_markup():
    hostile = {**KINDS, "planted": [{**KINDS["planted"][0], "planted": "<b>|x</b>"}]}
    text = render(report(kinds=hostile, readable=12000))
    require_harmless(text)
    matrix = next(table for table in tables(text) if table[0][0] == "made on purpose")
    assert matrix[0][-1] == "missed"
    assert matrix[1][1:] == ["50", "40", "1", "2", "0", "7"]
