"""A report as GitHub Flavored Markdown, for a step summary or a comment."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from labelaudit.errors import StorageError
from labelaudit.report.content import Report
from labelaudit.report.gate import TITLES, Check
from labelaudit.report.sentences import (
    MATRIX_HEADER,
    basis,
    headline,
    kinds_sentences,
    left_out_sentences,
    matrix_note,
    matrix_rows,
    unreadable_sentence,
)
from labelaudit.run.files import storage_errors
from labelaudit.text import printable

_MOST_BYTES = 60_000
"""Of the list of suspicious labels, which is most of the text: a step summary takes 1 MiB."""

_MOST_ITEMS = 20
_LONGEST_NAME = 120
_LONGEST_TEXT = 500

_OUTCOMES = {"passed": "✅ passed", "failed": "❌ failed", "skipped": "not checked"}


def render(report: Report) -> str:
    """Verdict, checks, warnings, and the first suspicious labels; bounded, whatever the names are."""
    lines = [f"## Labels: {_verdict(report)}", "", _summary(report), ""]
    if report.checked:
        lines += ["| check | outcome | |", "|---|---|---|"]
        lines += [f"| {TITLES[check.name]} | {_OUTCOMES[check.outcome]} | {_said(check)} |" for check in report.checks]
        lines.append("")
    if report.noise.warnings:
        lines += ["### Warnings", "", *_items([_text(warning) for warning in report.noise.warnings], "- "), ""]
    lines += _unused(report)
    lines += _kinds(report)
    lines += _suspicious(report)
    return "\n".join(lines).rstrip("\n") + "\n"


def _verdict(report: Report) -> str:
    if report.failures:
        return "❌ the gate failed"
    return "✅ the gate passed" if report.checked else "audited"


def _summary(report: Report) -> str:
    listed = report.listed
    text = f"{headline(report.noise, lambda figure: f'**{figure}**')}, {_text(basis(report.noise))}."
    if listed.new is not None:
        text += f" Against the baseline **{listed.new:,}** are new, and {listed.gone:,} are gone."
    return text


def _said(check: Check) -> str:
    named = [f"{_code(name)} {_text(said)}" for name, said in check.subjects if name]
    return "<br>".join([_text(check.text), *_items(named, "")])


def _suspicious(report: Report) -> list[str]:
    listed = report.listed
    if not report.shown:
        return []
    kinds = any(row.get("kind") for row in report.shown)
    lines = [
        f"### Most suspicious{' of the new' if listed.new is not None else ''}",
        "",
        f"| rank | image | given | suggested | P(mislabeled) |{' kind |' if kinds else ''}",
        f"|---:|---|---|---|---:|{'---|' if kinds else ''}",
    ]
    rows = size = 0
    for row in report.shown:
        cells = [_text(row["rank"]), *(_code(row[name]) for name in ("path", "given_label", "suggested_label"))]
        cells += [f"{float(row['p_mislabeled']):.3f}", *([_text(row.get("kind", ""))] if kinds else [])]
        line = f"| {' | '.join(cells)} |"
        size += len(line.encode()) + 1
        if size > _MOST_BYTES:
            break
        lines.append(line)
        rows += 1
    if listed.counted > rows:
        lines += ["", f"… and {listed.counted - rows:,} more."]
    return lines


def _kinds(report: Report) -> list[str]:
    sentences, rows = kinds_sentences(report.noise), matrix_rows(report.noise)
    if not (sentences or rows):
        return []
    lines = ["### Kinds", "", *_items([_text(sentence) for sentence in sentences], "- "), ""]
    if rows:
        lines += [_text(matrix_note(report.noise)), "", f"| {' | '.join(MATRIX_HEADER)} |"]
        lines.append("|---|" + "---:|" * (len(MATRIX_HEADER) - 1))
        lines += [f"| {' | '.join(_text(cell) for cell in row)} |" for row in rows]
        lines.append("")
    return lines


def _unused(report: Report) -> list[str]:
    """The images that cannot be read and the files that are left out."""
    sentence, left_out = unreadable_sentence(report.noise), left_out_sentences(report.noise)
    rows = report.unreadable[: report.top]
    lines = []
    if sentence:
        lines += ["### Unreadable images", "", _text(sentence), ""]
        lines += _items([f"{_code(row['path'])}: {_text(row['reason'])}" for row in rows], "- ")
        lines.append("")
    if left_out:
        lines += ["### Left out", "", _text(left_out[0]), "", *_items([_text(line) for line in left_out[1:]], "- "), ""]
    return lines


def _items(texts: Sequence[str], bullet: str) -> list[str]:
    shown = [f"{bullet}{text}" for text in texts[:_MOST_ITEMS]]
    left = len(texts) - len(shown)
    return [*shown, f"{bullet}… and {left:,} more"] if left else shown


def _code(name: str) -> str:
    """A name of the data as code, so that nothing in it is markup, a link or a mention."""
    name = _shortened(printable(name), _LONGEST_NAME)
    if not name:
        return ""
    if not set(name) & set("`|"):
        return f"`{name}`"
    # In a code span a backtick ends the code; in a table a pipe ends the cell, and a backslash before its escape undoes
    # that. As an entity none of them is markup.
    return f"<code>{_entities(name)}</code>"


def _text(text: str) -> str:
    """Words that may hold a name of the data, with everything that could be markup as an entity."""
    text = _entities(_shortened(printable(text), _LONGEST_TEXT), keep=" .,:;%()+-/='\"…")
    return text.replace("://", "&#58;//").replace("www.", "www&#46;").replace("WWW.", "WWW&#46;")


def _entities(text: str, keep: str = " ") -> str:
    encoded = "".join(
        character if character.isalnum() or character in keep or not character.isascii() else f"&#{ord(character)};"
        for character in text
    )
    # Addresses and mentions are looked for after entities are read; a comment parts them.
    return encoded.replace("&#64;", "&#64;<!-- -->")


def _shortened(text: str, longest: int) -> str:
    half = longest // 2
    return text if len(text) <= longest else f"{text[:half]}…{text[-half + 1 :]}"


VARIABLE = "GITHUB_STEP_SUMMARY"
"""The environment variable that names the file."""

MOST_BYTES = 1 << 20
"""GitHub drops the whole summary of a step above this."""


def append(text: str, path: Path) -> None:
    """Add Markdown to a step's summary, after what is in it.

    Raises:
        StorageError: it would be too large with this text, or cannot be written.
    """
    added = b"\n" + text.encode()
    with storage_errors(path):
        size = path.stat().st_size if path.exists() else 0
        if size + len(added) > MOST_BYTES:
            raise StorageError(f"{path} would grow above 1 MiB", fix="take --write markdown=PATH for a file of its own")
        with open(path, "ab") as handle:
            handle.write(added)
