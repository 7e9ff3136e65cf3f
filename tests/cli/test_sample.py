"""A sample of the labels, drawn by chance: its answers, their noise rate, and what else they are good for."""

import csv
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

import labelaudit
from labelaudit.auditing.sample import draw_sample
from labelaudit.review.decisions import Ledger, LedgerAction, read_decisions
from labelaudit.run.layout import RunFolder
from labelaudit.run.tables import read_scores
from tests.cli.helpers import HOME, NEXT, QUICK, edit, file_bytes, read_rows, run, succeed

Answer = tuple[LedgerAction, str]


def is_wrong(path: str) -> bool:
    return int(path[-7:-4]) < 2


def plain(path: str) -> Answer:
    return ("wrong", "") if is_wrong(path) else ("keep", "")


def named(path: str) -> Answer:
    return ("change", NEXT[path[:3]]) if is_wrong(path) else ("keep", "")


def answer(folder: Path, count: int = 40, said: Callable[[str], Answer] = plain) -> list[str]:
    """Answer the first images of a sample; return their paths."""
    found = RunFolder(folder)
    catalogue, samples = labelaudit.open_run(folder).catalogue, draw_sample(found, count)
    paths = [catalogue.paths[sample] for sample in samples]
    step = [(sample, *said(path)) for sample, path in zip(samples, paths, strict=True)]
    Ledger(file=found.answers, catalogue=catalogue, reviewer="ann").add([step])
    return paths


def fill(file: Path, said: Callable[[str], str] = lambda path: "wrong" if is_wrong(path) else "keep") -> Path:
    """Write answers into a sample.csv."""
    lines = read_rows(file.read_text())
    with file.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, lines[0])
        writer.writeheader()
        writer.writerows({**row, "action": said(row["path"])} for row in lines)
    return file


def noise_of(folder: Path) -> dict[str, Any]:
    return dict(json.loads(RunFolder(folder).noise.read_text()))


@pytest.fixture
def reviewed(audit: Path) -> Path:
    """An audit with forty of its 48 labels reviewed."""
    answer(audit)
    succeed("fit", audit)
    return audit


def test_a_sample_is_drawn_reviewed_and_decides(audit: Path) -> None:
    before = noise_of(audit)
    other = {"ant": "dog", "bee": "ant", "cat": "ant", "dog": "bee"}  # the label that is not suggested
    paths = answer(audit, 40, lambda path: ("change", other[path[:3]]) if is_wrong(path) else ("keep", ""))
    said = {path: is_wrong(path) for path in paths}
    wrong = sum(said.values())
    fitted = succeed("fit", audit).err
    assert f"Reviewed by a person: {40 - wrong} right, {wrong} wrong, 0 skipped of 40 labels" in fitted
    after = noise_of(audit)
    assert all(after[name] == before[name] for name in ("noise_rate", "noise_rate_interval"))
    found = after["reviewed"]
    assert (found["right"], found["wrong"], found["skipped"]) == (40 - wrong, wrong, 0)
    low, high = found["noise_rate_interval"]
    assert low <= min(found["noise_rate"], 8 / 48) <= max(found["noise_rate"], 8 / 48) <= high
    assert f"reviewed noise rate {found['noise_rate']:.1%}" in fitted
    scores = read_scores(RunFolder(audit).scores).to_pylist()
    assert all(row["p_mislabeled"] == said.get(row["path"], row["p_mislabeled"]) for row in scores)
    assert all(row["weight"] == 1 - row["p_mislabeled"] for row in scores)
    ranked = {row["path"]: row for row in read_rows((audit / "suspicious.csv").read_text())}
    assert ranked.keys() & said.keys() == {path for path in said if said[path]}
    assert all(ranked[path]["suggested_label"] == other[path[:3]] for path in said if said[path])
    assert labelaudit.open_run(audit).csv(top=len(ranked)) == (audit / "suspicious.csv").read_text()


def test_a_sample_is_answered_in_a_csv_too(audit: Path) -> None:
    file = audit / "sample.csv"
    drawn = succeed("sample", audit, "-n", 40).err
    for text in (
        f"40 images to look at: {file}",
        f"labelaudit fit {audit} --reviewed {file}",
        f"Or in a browser: labelaudit review {audit} --sample 40",
    ):
        assert text in drawn
    rows = read_rows(file.read_text())
    catalogue = labelaudit.open_run(audit).catalogue
    assert [row["path"] for row in rows] == [catalogue.paths[one] for one in draw_sample(RunFolder(audit), 40)]
    assert [row["action"] for row in rows] == [""] * 40
    assert not {"p_mislabeled", "label_score"} & set(rows[0])  # they would bias the reviewer
    succeed("fit", audit, "--reviewed", fill(file))
    wrong = sum(is_wrong(row["path"]) for row in rows)
    found = noise_of(audit)["reviewed"]
    assert (found["right"], found["wrong"], found["skipped"]) == (40 - wrong, wrong, 0)
    assert "48 images to look at, 40 of them answered" in succeed("sample", audit, "-n", 48).err
    assert [bool(row["action"]) for row in read_rows(file.read_text())] == [True] * 40 + [False] * 8
    # The page and the file write the same answers; those of a file replace the others.
    answer(audit, 48, lambda _: ("keep", ""))
    succeed("fit", audit, "--reviewed", file)
    assert noise_of(audit)["reviewed"] == found


def test_answers_in_a_csv_are_not_overwritten(audit: Path) -> None:
    succeed("sample", audit, "-n", 3)
    before = fill(audit / "sample.csv").read_text()
    refused = run("sample", audit, "-n", 48)
    assert f"{audit / 'sample.csv'} has 3 answers that the audit does not have; run labelaudit fit" in refused.error
    assert (audit / "sample.csv").read_text() == before
    succeed("sample", audit, "-n", 48, "-o", "other.csv")


def test_a_file_of_answers_that_cannot_be_used_is_refused_in_one_line(audit: Path) -> None:
    file, untouched = audit / "sample.csv", file_bytes(audit, "noise.json")
    words = ("fit", audit, "--reviewed", file)
    assert "has no sample to review; run labelaudit review" in run(*words).error
    succeed("sample", audit, "-n", 7)
    assert "cannot read x.csv" in run(*words[:-1], "x.csv").error
    assert "7 images at the beginning of the sample are reviewed, and an estimate" in run(*words[:-1], fill(file)).error
    assert "'perhaps' is no action" in run(*words[:-1], fill(file, lambda _: "perhaps")).error
    assert file_bytes(audit, "noise.json") == untouched
    assert not (audit / "answers.csv").exists()


def test_a_few_answers_are_told_and_count_once_they_are_enough(reviewed: Path) -> None:
    ledger = reviewed / "answers.csv"
    lines = ledger.read_text().splitlines(keepends=True)
    ledger.write_text("".join(lines[:8]))
    told = succeed("report", reviewed, "--no-html")
    assert "no reviewed noise rate: 7 images at the beginning of the sample are reviewed, and an estimate" in told.err
    assert "estimated noise rate" in told.out
    ledger.write_text("".join(lines))
    assert "reviewed noise rate" in succeed("report", reviewed, "--no-html").out


def test_relabel_applies_the_answers_and_the_next_audit_keeps_what_they_kept(data: Path, first: Path) -> None:
    paths = answer(first, 48, lambda path: ("skip", "") if path == "ant/005.png" else named(path))
    known = labelaudit.open_run(first).catalogue
    later = Ledger(file=first / "decisions.csv", catalogue=known, reviewer="ann")
    later.add([[(known.paths.index("dog/001.png"), "keep", "")]])  # of two decisions the later counts
    succeed("fit", HOME)
    said = succeed("relabel", HOME, "--yes")
    assert "7 labels are changed, 0 images dropped, 40 kept" in said.out
    assert "Moved 7 files" in said.err
    assert (data / "bee/000-2.png").exists()
    assert (data / "dog/001.png").exists()
    kept = {path for path in paths if not is_wrong(path) and path != "ant/005.png"} | {"dog/001.png"}
    said = succeed("score", data, *QUICK).err
    assert "40 kept labels hidden; of its 48 answers the kept labels carry over, the rate does not" in said
    assert noise_of(HOME / "2")["reviewed"] is None
    found = read_decisions(HOME / "2/decisions.csv").values()
    assert {one.path for one in found if one.action == "keep"} == kept
    assert {row["path"] for row in labelaudit.open_run(HOME / "2").kept.to_pylist()} == kept


def test_who_has_reviewed_a_sample_is_not_told_to_review_one(reviewed: Path) -> None:
    noise = noise_of(reviewed)
    more = f"To review more of the sample: labelaudit review {reviewed} --sample 80"
    for reviews_left, told in ((37, more), (0, "")):
        edit(
            reviewed / "noise.json",
            suspicious=0,
            flag_above=1.0,
            reviewed={**noise["reviewed"], "reviews_left": reviews_left},
        )
        said = succeed("score", reviewed).err
        assert "no proof" not in said
        assert said.endswith(f"Run folder: {reviewed}\n{told}\n" if told else f"Run folder: {reviewed}\n")
        assert said.count("more reviews") == bool(told)


def test_what_is_wrong_is_said_in_one_line(audit: Path, half_trained: Path, tmp_path: Path) -> None:
    review = ("review", audit, "--no-browser", "--sample")
    assert "has no verdicts yet" in run("review", half_trained, "--sample", 40).error
    assert "0 images are too few for a sample; give at least 1" in run(*review, 0).error
    answer(audit, 40)
    untouched = file_bytes(audit, "noise.json")
    (audit / "sample.parquet").rename(tmp_path / "kept")
    assert f"has no sample to review; run labelaudit review {audit} --sample 200" in run("fit", audit).error
    (audit / "sample.parquet").write_bytes(b"PAR1")
    assert "sample.parquet is damaged" in run(*review, 40).error
    assert file_bytes(audit, "noise.json") == untouched
