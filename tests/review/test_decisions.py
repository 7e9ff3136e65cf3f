import multiprocessing
from pathlib import Path

import pytest

from labelaudit.errors import DataError
from labelaudit.review.corrections import read_review
from labelaudit.review.decisions import COLUMNS, Decision, append_decisions, decisions_from, read_decisions


def decided(action="keep", *, sha="a" * 64, given="cat", label="", path="cat/1.png"):
    return Decision(
        **dict(zip(COLUMNS, ("2026-01-01T00:00:00+00:00", "me", path, given, action, label, sha), strict=True))
    )


def test_what_is_appended_is_read_and_the_last_decision_about_an_image_and_its_label_counts(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    assert read_decisions(file) == {}
    names = {"path": 'cat/=1 "a",\n2.png', "given": "+cat", "label": "@dog"}
    append_decisions(file, [decided(), decided("change", sha="b" * 64, **names)])
    append_decisions(file, [decided("drop"), decided("keep", given="dog")])
    found = read_decisions(file)
    assert [(d.action, d.given_label) for d in found.values()] == [("change", "+cat"), ("drop", "cat"), ("keep", "dog")]
    assert found["b" * 64, "+cat"] == decided("change", sha="b" * 64, **names)
    assert file.read_text().splitlines()[0] == ",".join(COLUMNS)


def test_a_line_that_a_crash_cut_off_harms_no_other(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    ends = []
    for sha in "ab":
        append_decisions(file, [decided(sha=sha * 64, path='cat/"\n,".png')])
        ends.append(file.stat().st_size)
    whole = file.read_bytes()
    for cut in range(len(whole)):
        file.write_bytes(whole[:cut])
        kept = {("ab"[index] * 64, "cat") for index, end in enumerate(ends) if end <= cut + 1}
        assert read_decisions(file).keys() == kept
        append_decisions(file, [decided(sha="c" * 64)])
        assert read_decisions(file).keys() == kept | {("c" * 64, "cat")}


def test_a_file_that_an_editor_saved_without_a_last_line_end_loses_nothing(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    append_decisions(file, [decided(), decided(sha="b" * 64, path='cat/"a,b".png')])
    file.write_text(file.read_text().rstrip("\n"))
    first, end = decisions_from(file)
    assert len(read_decisions(file)) == len(first) == 2
    append_decisions(file, [decided("drop", sha="c" * 64)])
    assert [one.sha256[0] for one in read_decisions(file).values()] == ["a", "b", "c"]
    assert [one.action for one in decisions_from(file, end)[0]] == ["drop"]
    assert "\n\n" not in file.read_text()


def test_a_copy_is_dropped_only_beside_one_that_is_kept_whatever_else_was_decided(tmp_path: Path) -> None:
    file, group, other = tmp_path / "decisions.csv", "a1" * 8, "b2" * 8
    of_copies = [
        ("keep-copy", "cat/1.png", group),
        ("drop-copy", "cat/2.png", group),
        ("drop-copy", "cat/9.png", other),
    ]
    append_decisions(file, [decided("change", label="dog", path="cat/2.png"), decided(path="cat/1.png")])
    append_decisions(file, [decided(action, path=path, label=label) for action, path, label in of_copies])
    assert [(c.path, c.action, c.label) for c in read_review(file).corrections] == [
        ("cat/2.png", "drop", ""),
        ("cat/1.png", "keep", ""),
    ]
    append_decisions(file, [decided("undo", path="cat/2.png", label=group), decided("drop", sha="c" * 64, given="dog")])
    assert [(c.path, c.action) for c in read_review(file).corrections] == [
        ("cat/2.png", "keep"),
        ("cat/1.png", "keep"),
        ("cat/1.png", "drop"),
    ]


def test_the_correction_of_a_dropped_copy_passes_to_those_that_stay_with_its_label(tmp_path: Path) -> None:
    file, group = tmp_path / "decisions.csv", "a1" * 8
    copies = [("drop-copy", "a", "cat/small.png", "cat"), ("keep-copy", "b", "cat/large.png", "cat")]
    copies += [("keep-copy", "c", "dog/large.png", "dog"), ("keep-copy", "d", "cat/kept.png", "cat")]
    append_decisions(file, [decided("change", label="elk", path="cat/small.png")])
    append_decisions(file, [decided("keep", sha="d" * 64, path="cat/kept.png")])
    of_copies = {
        path: decided(what, sha=sha * 64, given=given, path=path, label=group) for what, sha, path, given in copies
    }
    append_decisions(file, of_copies.values())
    passed = ("cat/large.png", "change", "elk")
    expected = [("cat/small.png", "drop", ""), ("cat/kept.png", "keep", ""), passed]
    assert [(c.path, c.action, c.label) for c in read_review(file).corrections] == expected
    assert [(c.path, c.sha256) for c in read_review(file).corrections if c.inherited] == [("cat/large.png", "b" * 64)]
    append_decisions(file, [decided("undo", path="cat/small.png", label=group)])
    assert passed not in [(c.path, c.action, c.label) for c in read_review(file).corrections]


def _append(file: Path, worker: int) -> None:
    for index in range(50):
        append_decisions(file, [decided(sha=f"{worker:032d}{index:032d}")])


def test_processes_that_append_at_once_lose_nothing(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    workers = [multiprocessing.get_context("fork").Process(target=_append, args=(file, each)) for each in range(4)]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert len(read_decisions(file)) == 200


def test_what_is_no_ledger_is_named(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    file.write_text("path,action,label\na,keep,\n")
    with pytest.raises(DataError, match="has no column time and reviewer"):
        read_decisions(file)
    append_decisions(tmp_path / "other.csv", [decided()])
    file.write_text((tmp_path / "other.csv").read_text().replace(",keep,", ",keeep,"))
    with pytest.raises(DataError, match=r"line 2 is no decision: .*keeep"):
        read_decisions(file)


def test_copies_that_were_decided_together_are_all_corrected(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    append_decisions(file, [decided(path="cat/1.png"), decided("change", label="dog", path="cat/copy.png")])
    assert [(c.path, c.action, c.label) for c in read_review(file).corrections] == [
        ("cat/1.png", "change", "dog"),
        ("cat/copy.png", "change", "dog"),
    ]
    append_decisions(file, [decided("undo"), decided("drop", path="cat/1.png")])
    assert [(c.path, c.action) for c in read_review(file).corrections] == [("cat/1.png", "drop")]


def test_lines_are_read_on_from_where_they_ended(tmp_path: Path) -> None:
    file = tmp_path / "decisions.csv"
    assert decisions_from(file) == ([], 0)
    append_decisions(file, [decided(path="a\nb.png")])
    (first,), end = decisions_from(file)
    assert (first.path, end) == ("a\nb.png", file.stat().st_size)
    with open(file, "a") as handle:
        handle.write("2026,me,torn")
    assert decisions_from(file, end) == ([], end)
    append_decisions(file, [decided("drop")])
    (second,), after = decisions_from(file, end)
    assert (second.action, after) == ("drop", file.stat().st_size)
