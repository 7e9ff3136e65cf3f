import csv
import json
import shutil

import pytest

import labelaudit
from labelaudit.run.layout import RunFolder
from labelaudit.run.tables import read_scores
from tests.cli.helpers import file_bytes, read_rows, run, succeed

"""Wrong labels in each class of `photos`: images 000 and 001 show the next class."""


def is_wrong(path):
    """Return whether the image shows another class: the first two of each class of ``photos`` do."""
    return int(path[-7:-4]) < 2


def fill(file, said=lambda row: "wrong" if is_wrong(row["path"]) else "right", *, rows=None):
    """Write answers into a sample, from the top."""
    lines = read_rows(file.read_text())
    for row in lines[:rows]:
        row["answer"] = said(row)
    with file.open("w", newline="") as handle:
        writer = csv.DictWriter(handle, lines[0])
        writer.writeheader()
        writer.writerows(lines)
    return file


def noise_of(folder):
    return json.loads(RunFolder(folder).noise.read_text())


@pytest.fixture
def reviewed(audit):
    """An audit with forty of its 48 labels reviewed."""
    succeed("sample", audit, "-n", 40)
    succeed("fit", audit, "--reviewed", fill(audit / "sample.csv"))
    return audit


def test_a_sample_is_drawn_reviewed_and_decides(audit):
    file, before = audit / "sample.csv", noise_of(audit)
    drawn = succeed("sample", audit, "-n", 40).err
    for text in (
        f"40 images to look at: {file}",
        f"labelaudit fit {audit} --reviewed {file}",
        f"Review them in a browser: {audit / 'sample.html'}",
    ):
        assert text in drawn
    assert "40 images drawn by chance, in the order of their review" in (audit / "sample.html").read_text()
    rows = read_rows(file.read_text())
    assert [row["answer"] for row in rows] == [""] * 40
    assert not {"p_mislabeled", "label_score"} & set(rows[0])  # they would bias the reviewer
    said = {row["path"]: is_wrong(row["path"]) for row in rows}
    wrong = sum(said.values())
    other = {"ant": "dog", "bee": "ant", "cat": "ant", "dog": "bee"}  # the label that is not suggested
    answers = fill(file, lambda row: other[row["given_label"]] if said[row["path"]] else "right")
    fitted = succeed("fit", audit, "--reviewed", answers).err
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


def test_the_sample_is_the_same_again_and_a_larger_one_begins_with_it(audit, finished):
    first = succeed("sample", audit, "-n", 20, "-o", "-").out
    assert succeed("sample", audit, "-n", 20, "-o", "-").out == first
    assert succeed("sample", audit, "-n", 30, "-o", "-").out.startswith(first)
    other = shutil.copytree(finished, audit.parent / "other")
    assert succeed("sample", other, "-n", 20, "-o", "-").out == first
    # All there are, and no more.
    assert len(read_rows(succeed("sample", audit, "-n", 1000, "-o", "-").out)) == 48


def test_answers_stay_for_later_fits_and_samples(reviewed):
    found = noise_of(reviewed)["reviewed"]
    succeed("fit", reviewed, "--estimator", "gmm")
    assert noise_of(reviewed)["reviewed"] == found
    assert "reviewed noise rate" in succeed("score", reviewed).err
    assert "48 images to look at, 40 of them answered" in succeed("sample", reviewed, "-n", 48).err
    answers = [row["answer"] for row in read_rows((reviewed / "sample.csv").read_text())]
    assert [bool(answer) for answer in answers] == [True] * 40 + [False] * 8
    succeed("fit", reviewed, "--reviewed", fill(reviewed / "sample.csv"))
    exact = noise_of(reviewed)["reviewed"]
    assert exact["noise_rate"] == pytest.approx(8 / 48)
    assert exact["noise_rate_interval"] == [exact["noise_rate"]] * 2
    # Without the file there is no review.
    (reviewed / "reviewed.parquet").unlink()
    succeed("fit", reviewed)
    assert noise_of(reviewed)["reviewed"] is None


def test_the_gate_uses_the_reviewed_interval_in_every_format(reviewed):
    limits = ("--max-noise", "0.05")
    low = noise_of(reviewed)["reviewed"]["noise_rate_interval"][0]
    failed = run("report", reviewed, *limits)
    assert failed.code == 1
    assert "Failed: reviewed noise rate" in failed.out
    assert f"the lower end {low:.2%} is above 5.00%" in failed.out
    assert "Reviewed noise rate" in (reviewed / "report.html").read_text()
    for name in ("json", "markdown", "sarif", "junit"):
        failed = run("report", reviewed, "--no-html", *limits, "--format", name)
        assert (failed.code, "reviewed noise rate" in failed.out) == (1, True), name


def test_answers_are_not_overwritten(audit):
    succeed("sample", audit, "-n", 40)
    fill(audit / "sample.csv", rows=3)
    before = (audit / "sample.csv").read_text()
    refused = run("sample", audit, "-n", 48)
    assert f"{audit / 'sample.csv'} has 3 answers that the audit does not have; run labelaudit fit" in refused.error
    assert (audit / "sample.csv").read_text() == before
    succeed("sample", audit, "-n", 48, "-o", "other.csv")


def test_what_is_wrong_is_said_in_one_line(audit, half_trained, tmp_path):
    fit = ("fit", audit, "--reviewed", audit / "sample.csv")
    assert "has no sample to review; run labelaudit sample" in run(*fit).error
    assert "has no verdicts yet" in run("sample", half_trained).error
    assert "-n 0 is too few; give at least 1" in run("sample", audit, "-n", 0).error
    assert "is not a run folder" in run("sample", tmp_path).error
    succeed("sample", audit, "-n", 40)
    untouched = file_bytes(audit, "noise.json")
    assert "cannot read x.csv" in run(*fit[:-1], "x.csv").error
    fill(audit / "sample.csv", rows=7)
    assert "7 images at the beginning of the sample are reviewed, and an estimate needs" in run(*fit).error
    fill(audit / "sample.csv", lambda _: "perhaps")
    assert "'perhaps' is no answer and no class" in run(*fit).error
    assert file_bytes(audit, "noise.json") == untouched
    assert not (audit / "reviewed.parquet").exists()
    (audit / "sample.parquet").write_bytes(b"PAR1")
    assert "sample.parquet is damaged" in run("sample", audit).error
