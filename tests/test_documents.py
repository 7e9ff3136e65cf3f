"""The documents name files, links and public names that exist."""

import re
from pathlib import Path

import pytest

import labelaudit

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", ROOT / "SECURITY.md", ROOT / "CHANGELOG.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_links_and_named_files_exist(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    links = re.findall(r"\]\(([^)#\s]+)(?:#[^)\s]*)?\)", text)
    assert not [link for link in links if "://" not in link and not (page.parent / link).exists()]
    # Such as `auditing/score.py` or `labelaudit/names.py`; without placeholders and wildcards.
    named = re.findall(r"`((?:\.\w+|\w+)/[\w./-]+\.(?:py|js|yml))`", text)
    named += re.findall(r"python (tests/[\w./-]+\.py)", text)
    named += [f"{name.replace('.', '/')}.py" for name in re.findall(r"python -m ((?:tests|labelaudit)[\w.]*)", text)]
    assert not [name for name in named if not any((place / name).exists() for place in (ROOT, ROOT / "labelaudit"))]


def test_the_api_page_has_every_public_name() -> None:
    text = (ROOT / "docs" / "api.md").read_text(encoding="utf-8")
    shown = set(re.findall(r"^::: labelaudit\.[\w.]+\.(\w+)$", text, flags=re.MULTILINE))
    assert set(labelaudit.__all__) - {"__version__", "LabelauditError"} <= shown
    assert "::: labelaudit.errors\n" in text


def test_a_citation_names_this_version() -> None:
    assert f"\nversion: {labelaudit.__version__}\n" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
