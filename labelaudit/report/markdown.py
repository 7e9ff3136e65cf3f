"""A report as GitHub Flavored Markdown, for a step summary or a comment."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path

from labelaudit.errors import StorageError
from labelaudit.report import sentences
from labelaudit.report.gate import Check, Report
from labelaudit.run.changes import Changes
from labelaudit.run.documents import AnnotatorsNoise
from labelaudit.run.files import storage_errors
from labelaudit.run.lists import Row
from labelaudit.text import printable

VARIABLE = "GITHUB_STEP_SUMMARY"  # the environment variable that names the file of a step's summary
MOST_BYTES = 1 << 20  # GitHub drops the whole summary of a step above this
_MOST_ITEMS, _LONGEST_NAME, _LONGEST_TEXT = 20, 120, 500
_OUTCOMES = {"passed": "✅ passed", "failed": "❌ failed", "skipped": "not checked"}


def render(report: Report) -> str:
    """Return verdict, checks, warnings, and the first suspicious labels, with names of bounded length."""
    noise, listed = report.noise, report.listed
    verdict, checked = "audited", any(check.outcome != "skipped" for check in report.checks)
    if checked:
        verdict = "❌ the gate failed" if report.failures else "✅ the gate passed"
    summary = f"{sentences.headline(noise, lambda figure: f'**{figure}**')}, {_text(sentences.basis(noise))}."
    if listed.new is not None:
        summary += f" Against the baseline **{listed.new:,}** {'is' if listed.new == 1 else 'are'} new."
    notes = [*sentences.review_sentences(noise), *filter(None, [sentences.kept_sentence(noise)])]
    lines = [f"## Labels: {verdict}", "", " ".join([summary, *map(_text, notes)]), ""]
    if checked:
        rows = [(check.title, _OUTCOMES[check.outcome], _said(check)) for check in report.checks]
        lines += table(("check", "outcome", ""), rows)
    if noise.warnings:
        lines += ["### Warnings", "", *_items([_text(warning) for warning in noise.warnings])]
    if sentence := sentences.unreadable_sentence(noise):
        bad = report.unreadable[: report.top]
        named = [f"{_code(row['path'])}: {_text(sentences.broken(row, report.is_new(row)))}" for row in bad]
        lines += ["### Unreadable images", "", _text(sentence), "", *_items(named)]
    if left_out := [_text(line) for line in sentences.left_out_sentences(noise)]:
        lines += ["### Left out", "", left_out[0], "", *_items(left_out[1:])]
    if kinds := [_text(line) for line in sentences.kinds_sentences(noise)]:
        lines += ["### Kinds", "", *_items(kinds)]
    if found := sentences.found_sentence(report.found, report.new_found):
        named = [_finding(row) for row in report.new_others]
        lines += ["### Findings by code", "", _text(found), "", *_items(named)]
    if report.annotators is not None:
        lines += _annotators(report.annotators)
    if report.shown:
        lines += _suspicious(report)
    if report.kept:
        kept = [f"{_code(row['path'])}: {_code(row['given_label'])}" for row in report.kept]
        lines += ["### Kept by a person", "", *_items(kept)]
    return "\n".join(lines).rstrip("\n") + "\n"


def _finding(row: Row) -> str:
    other = f" ({_code(row['other_path'])})" if row["other_path"] else ""
    return f"{_text(row['code'])} {_text(row['kind'])}: {_code(row['path'])}{other}"


def _said(check: Check) -> str:
    named = [f"{_code(name)} {_text(said)}" for name, said in check.subjects if name]
    return "<br>".join([_text(check.text), *_first(named)])


def _suspicious(report: Report) -> list[str]:
    kinds = ["kind"] if any(row["kind"] for row in report.shown) else []
    rows = []
    for row in report.shown:
        cells = [_text(row["rank"]), *(_code(row[name]) for name in ("path", "given_label")), _suggested(row)]
        rows.append([*cells, f"{float(row['p_mislabeled']):.3f}", *(_text(row[name]) for name in kinds)])
    lines = [f"### Most suspicious{' of the new' if report.listed.new is not None else ''}", ""]
    lines += table((">rank", "image", "given", "suggested", ">P(mislabeled)", *kinds), rows)
    left = report.listed.counted - len(rows)
    return [*lines, f"… and {left:,} more."] if left > 0 else lines


def _suggested(row: Row) -> str:
    text = sentences.suggestion(row)
    return _code(text) if row["suggested_label"] else _text(text)


def _annotators(found: AnnotatorsNoise) -> list[str]:
    items = [*sentences.annotators_sentences(found), *(f"Warning: {warning}" for warning in found.warnings)]
    rows = _of_names(sentences.ANNOTATORS_HEADER, sentences.annotators_rows(found))
    return ["### Annotators", "", *_items([*map(_text, items)]), *rows]


def render_changes(changes: Changes) -> str:
    """Return what changed between two audits, with the first suspicious labels of each sort."""
    lines = ["## Labels: what changed", "", *_items([_text(line) for line in sentences.changes_lines(changes)])]
    lines += _of_names(sentences.CHANGES_HEADER, sentences.changed_classes(changes))
    for title, rows in sentences.changed_lists(changes):
        named = ((_code(row["path"]), _code(row["given_label"]), _suggested(row)) for row in rows)
        items = [f"{path}: {given} → {suggested}" for path, given, suggested in named]
        lines += [f"### {title}", "", *_items(items)] if items else []
    return "\n".join(lines).rstrip("\n") + "\n"


def _of_names(titles: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """Return a table of the first rows, which begin with a name of the data, and how many more there are."""
    lines = table(titles, [[_code(row[0]), *map(_text, row[1:])] for row in rows[:_MOST_ITEMS]])
    return [*lines, f"… and {len(rows) - _MOST_ITEMS:,} more.", ""] if len(rows) > _MOST_ITEMS else lines


def table(titles: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    """Return a table; columns whose title begins with ``>`` are aligned to the right."""
    rules = ["---:" if title.startswith(">") else "---" for title in titles]
    return [_line([title.removeprefix(">") for title in titles]), f"|{'|'.join(rules)}|", *map(_line, rows), ""]


def _line(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _items(texts: Sequence[str]) -> list[str]:
    """Return a bulleted list, and the empty line after it."""
    return [*(f"- {text}" for text in _first(texts)), ""]


def _first(texts: Sequence[str]) -> list[str]:
    left = len(texts) - _MOST_ITEMS
    return [*texts[:_MOST_ITEMS], *([f"… and {left:,} more"] if left > 0 else [])]


def _code(name: str) -> str:
    """Return a name of the data as code, so that nothing in it is markup, a link or a mention."""
    name = _shortened(printable(name), _LONGEST_NAME)
    if not name:
        return ""
    if not set(name) & set("`|"):
        return f"`{name}`"
    # In a code span a backtick ends the code; in a table a pipe ends the cell, and a backslash before its escape undoes
    # that. As an entity none of them is markup.
    return f"<code>{_entities(name)}</code>"


def _text(text: str) -> str:
    """Return text in which everything that could be markup is an entity."""
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


def append(text: str, path: Path) -> None:
    """Append Markdown to a step's summary; raise a StorageError where it would be too large, or cannot be written."""
    added = b"\n" + text.encode()
    with storage_errors(path):
        size = path.stat().st_size if path.exists() else 0
        if size + len(added) > MOST_BYTES:
            fix = "take --write markdown=PATH for a file of its own"
            raise StorageError(f"{path} would be larger than 1 MiB", fix=fix)
        with open(path, "ab") as handle:
            handle.write(added)
