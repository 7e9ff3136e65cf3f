from pathlib import Path
from typing import get_args

from labelaudit.codes import BY_CODE, BY_NAME, CODES
from labelaudit.names import KINDS, FindingName


def test_codes_that_were_published_keep_their_meaning() -> None:
    names = ("mislabeled", "corrupted", "ambiguous", "duplicate", "unreadable")
    assert [BY_CODE[f"LA00{number}"].name for number in range(1, 6)] == list(names)
    assert [each.code for each in CODES] == [f"LA{number:03}" for number in range(1, len(CODES) + 1)]
    assert set(BY_NAME) == set(get_args(FindingName))
    assert set(KINDS) <= BY_NAME.keys()
    assert all(text.endswith(".") for each in CODES for text in (each.title, each.why, each.remedy))


def test_the_table_in_the_documents_is_that_of_the_codes() -> None:
    text = (Path(__file__).parents[1] / "docs" / "kinds.md").read_text(encoding="utf-8")
    assert [line for line in text.splitlines() if line.startswith("| LA")] == [
        f"| {each.code} | {each.name} | {each.title} |" for each in CODES
    ]
