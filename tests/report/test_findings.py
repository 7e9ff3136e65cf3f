"""Which suspicious labels are listed, and which of them a baseline knows."""

import itertools

from labelaudit.run.lists import list_suspicious as gather
from tests.report.helpers import row


def ranks(rows: list[dict[str, str]]) -> list[str]:
    return [found["rank"] for found in rows]


def test_without_a_baseline_the_first_rows_are_listed_and_the_others_not_read() -> None:
    rows = itertools.chain([row(1), row(2)], (row(1 // 0) for _ in range(1)))
    findings = gather(rows, 5, most=2)
    assert (ranks(findings.rows), findings.total, findings.counted, findings.new) == (["1", "2"], 5, 5, None)
    assert gather([], 0, most=3).rows == []
    assert gather([row(1)], 1, most=0).rows == []


def test_with_a_baseline_new_and_known_labels_are_told_apart() -> None:
    rows = [row(1), row(2), row(3), row(4)]
    baseline = frozenset({(row(2)["sha256"], "ant"), (row(9)["sha256"], "ant")})
    findings = gather(rows, 99, most=2, baseline=baseline)
    assert (ranks(findings.rows), ranks(findings.known_rows)) == (["1", "3"], ["2"])
    assert (findings.total, findings.new, findings.counted, findings.gone) == (4, 3, 3, 1)


def test_a_moved_file_is_known() -> None:
    baseline = frozenset({(row(1)["sha256"], "ant")})
    assert gather([row(1, path="elsewhere/new name.png")], 1, most=9, baseline=baseline).new == 0


def test_the_same_picture_with_another_label_is_new() -> None:
    baseline = frozenset({(row(1)["sha256"], "ant")})
    findings = gather([row(1, given_label="bee")], 1, most=9, baseline=baseline)
    assert (findings.new, findings.gone) == (1, 1)


def test_a_changed_file_at_the_same_path_is_new() -> None:
    baseline = frozenset({(row(1)["sha256"], "ant")})
    assert gather([row(1, sha256="f" * 64)], 1, most=9, baseline=baseline).new == 1


def test_each_copy_of_a_known_picture_is_known_and_of_a_new_one_new() -> None:
    first, copy = row(1), row(2, sha256=row(1)["sha256"])
    baseline = frozenset({(first["sha256"], "ant")})
    known = gather([first, copy], 2, most=9, baseline=baseline)
    assert (known.new, known.gone, ranks(known.known_rows)) == (0, 0, ["1", "2"])
    new = gather([first, copy], 2, most=9, baseline=frozenset({(row(3)["sha256"], "ant")}))
    assert (new.new, new.gone) == (2, 1)
    apart = gather([first, {**copy, "given_label": "bee"}], 2, most=9, baseline=baseline)
    assert (apart.new, ranks(apart.rows)) == (1, ["2"])


def test_an_empty_baseline_knows_nothing() -> None:
    assert gather([row(1)], 1, most=9, baseline=frozenset()).new == 1
