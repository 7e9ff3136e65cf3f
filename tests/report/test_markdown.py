"""The report as Markdown, as a parser that is not ours reads it."""

import pytest
from markdown_it import MarkdownIt
from markdown_it.token import Token

from labelaudit.report.gate import Limits
from labelaudit.report.markdown import render
from labelaudit.text import printable
from tests.report.helpers import HOSTILE_NAMES, report, row

OURS = {"<br>", "<code>", "</code>", "<!-- -->"}
OUR_TOKENS = {"text", "text_special", "code_inline", "html_inline", "strong_open", "strong_close"}


def parse(text: str) -> list[Token]:
    return MarkdownIt("commonmark").enable(["table", "strikethrough"]).parse(text)


def tables(text: str) -> list[list[list[str]]]:
    """The words of each cell, by table and row."""
    found: list[list[list[str]]] = []
    for token in parse(text):
        if token.type == "table_open":
            found.append([])
        elif token.type == "tr_open":
            found[-1].append([])
        elif token.type == "inline" and found and token.level == 4:
            found[-1][-1].append(words(token))
    return found


def words(inline: Token) -> str:
    return "".join(child.content for child in inline.children or [] if child.content not in OURS)


def require_harmless(text: str) -> None:
    """No link, picture or HTML but our own; nothing of the data is a heading, a rule or emphasis."""
    for token in parse(text):
        assert token.type not in {"html_block", "fence", "code_block", "hr", "blockquote_open"}, token
        for child in token.children or []:
            assert child.type in OUR_TOKENS, child
            if child.type == "html_inline":
                assert child.content in OURS


def test_by_hand() -> None:
    limits = Limits(max_noise=0.05, max_suspicious=2)
    text = render(report([row(1), row(2)], limits, warnings=["Look closer."], noise_rate_interval=[0.06, 0.15]))
    assert text == (
        "## Labels: ❌ the gate failed\n"
        "\n"
        "**2** of 300 labels are suspicious; estimated noise rate **10.0%** (6.0% to 15.0%), "
        "by gmm on aul over 4 epochs.\n"
        "\n"
        "| check | outcome | |\n"
        "|---|---|---|\n"
        "| Noise rate | ❌ failed | noise rate 10.00% (6.00% to 15.00%): the lower end 6.00% is above 5.00% |\n"
        "| Noise rate per class | not checked | no --max-class-noise |\n"
        "| Suspicious labels | ✅ passed | 2 suspicious labels are not more than 2 |\n"
        "| Unreadable images | not checked | no --max-unreadable |\n"
        "| Warnings | not checked | no --fail-on-warning |\n"
        "\n"
        "### Warnings\n"
        "\n"
        "- Look closer.\n"
        "\n"
        "### Most suspicious\n"
        "\n"
        "| rank | image | given | suggested | P(mislabeled) |\n"
        "|---:|---|---|---|---:|\n"
        "| 1 | `ant/1.png` | `ant` | `bee` | 0.988 |\n"
        "| 2 | `ant/2.png` | `ant` | `bee` | 0.988 |\n"
    )


def test_without_limits_there_is_no_verdict() -> None:
    text = render(report([], suspicious=0, noise_rate=None))
    assert text.startswith("## Labels: audited\n")
    assert "**0** of 300 labels are suspicious; estimated noise rate **unknown**" in text
    assert "|" not in text
    assert render(report([], Limits(max_suspicious=0))).startswith("## Labels: ✅ the gate passed\n")


def test_a_baseline_is_told_and_the_new_are_listed() -> None:
    text = render(report([row(3)], known_rows=[row(1), row(2)], gone=4))
    assert "**3** of 300 labels" in text
    assert "Against the baseline **1** are new, and 4 are gone." in text
    assert "### Most suspicious of the new" in text
    assert "ant/3.png" in text
    assert "ant/1.png" not in text


def test_kinds_have_a_column_where_the_audit_tells_them() -> None:
    ((header, first, second),) = tables(render(report([row(1, kind="ambiguous"), row(2, kind="")])))
    assert (header[-1], first[-1], second[-1]) == ("kind", "ambiguous", "")
    assert len(header) == len(first) == len(second) == 6


def test_what_is_not_listed_is_counted() -> None:
    rows = [row(rank) for rank in range(1, 6)]
    assert render(report(rows, top=2, suspicious=1234)).endswith("\n\n… and 1,232 more.\n")
    assert "more" not in render(report(rows, top=5))
    assert "Most suspicious" not in render(report(rows, top=0))


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_a_name_stays_in_its_cell_and_is_only_text(name: str) -> None:
    text = render(report([row(1, path=name, given_label=name, suggested_label=name)]))
    require_harmless(text)
    ((_, cells),) = tables(text)
    assert len(cells) == 5
    for cell in cells[1:4]:
        if len(name) <= 120:
            assert cell.strip() == printable(name).strip()
        else:
            assert len(cell) == 120


@pytest.mark.parametrize("name", HOSTILE_NAMES)
def test_names_of_classes_and_words_of_warnings_are_only_text(name: str) -> None:
    failing = [{"class": name, "samples": 100, "noise_rate": 0.9, "suspicious": 90}]
    limits = Limits(max_class_noise=0.1, fail_on_warning=True)
    text = render(report([], limits, classes=failing, warnings=[name, f"before {name} after"]))
    require_harmless(text)
    (checks,) = tables(text)
    assert [len(row) for row in checks] == [3] * 6
    if len(name) <= 120:
        assert printable(name).strip() in checks[2][2]
    items = [words(token) for token in parse(text) if token.type == "inline" and token.level == 3]
    assert len(items) == 2
    assert items[1].strip() == f"before {printable(name)} after"


def test_nothing_grows_without_bound() -> None:
    rows = [row(rank, path="`" * 4000, given_label="|" * 4000) for rank in range(2000)]
    many = [{"class": f"{k}" * 300, "samples": 100, "noise_rate": 0.9, "suspicious": 90} for k in range(3000)]
    limits = Limits(max_class_noise=0.1, fail_on_warning=True)
    text = render(report(rows, limits, top=2000, classes=many, warnings=["<" * 9000] * 900))
    assert len(text.encode()) < 250_000
    assert "… and 2,980 more" in text
    assert "… and 880 more" in text
    listed = text.count("<code>") // 2
    assert 0 < listed < 2000
    assert text.endswith(f"… and {2000 - listed:,} more.\n")
    require_harmless(text)
