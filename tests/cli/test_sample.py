import csv
import json
import shutil

import pytest

import labelaudit
from labelaudit.run.layout import RunFolder
from labelaudit.run.tables import read_scores
from tests.cli.helpers import QUICK, file_bytes, read_rows, run, succeed, write_images

WRONG = 2
"""Wrong labels in each class of `photos`: images 000 and 001 show the next class."""


def is_wrong(path):
    return int(path[-7:-4]) < WRONG


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
    drawn = succeed("sample", audit, "-n", 40)
    assert f"40 images to look at: {audit / 'sample.csv'}" in drawn.err
    assert f"labelaudit fit {audit} --reviewed {audit / 'sample.csv'}" in drawn.err
    assert f"Review them in a browser: {audit / 'sample.html'}" in drawn.err
    assert "40 images drawn by chance, in the order of their review" in (audit / "sample.html").read_text()
    rows = read_rows((audit / "sample.csv").read_text())
    assert len(rows) == 40
    assert {row["answer"] for row in rows} == {""}
    assert not {"p_mislabeled", "label_score"} & set(rows[0])  # they would bias the reviewer
    before = noise_of(audit)
    fitted = succeed("fit", audit, "--reviewed", fill(audit / "sample.csv"))
    wrong = sum(is_wrong(row["path"]) for row in rows)
    assert f"Reviewed by a person: {40 - wrong} right, {wrong} wrong, 0 skipped of 40 labels" in fitted.err
    assert "reviewed noise rate" in fitted.err
    after = noise_of(audit)
    assert {name: after[name] for name in ("noise_rate", "noise_rate_interval")} == {
        name: before[name] for name in ("noise_rate", "noise_rate_interval")
    }
    found = after["reviewed"]
    assert (found["right"], found["wrong"], found["skipped"]) == (40 - wrong, wrong, 0)
    low, high = found["noise_rate_interval"]
    assert low <= found["noise_rate"] <= high
    assert low <= 8 / 48 <= high
    assert f"{found['noise_rate']:.1%}" in fitted.err
    scores = read_scores(RunFolder(audit).scores).to_pylist()
    said = {row["path"]: is_wrong(row["path"]) for row in rows}
    assert all(row["p_mislabeled"] == said[row["path"]] for row in scores if row["path"] in said)
    assert all(row["weight"] == 1 - row["p_mislabeled"] for row in scores)
    ranked = read_rows((audit / "suspicious.csv").read_text())
    assert {row["path"] for row in ranked} >= {path for path, wrong in said.items() if wrong}
    assert not {row["path"] for row in ranked} & {path for path, wrong in said.items() if not wrong}


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
    assert noise_of(reviewed)["fit"]["estimator"] == "gmm"
    assert "reviewed noise rate" in succeed("score", reviewed).err
    more = succeed("sample", reviewed, "-n", 48)
    assert "48 images to look at, 40 of them answered" in more.err
    answers = [row["answer"] for row in read_rows((reviewed / "sample.csv").read_text())]
    assert answers[40:] == [""] * 8
    assert "" not in answers[:40]
    succeed("fit", reviewed, "--reviewed", fill(reviewed / "sample.csv"))
    exact = noise_of(reviewed)["reviewed"]
    assert exact["noise_rate"] == pytest.approx(8 / 48)
    assert exact["noise_rate_interval"] == [exact["noise_rate"]] * 2
    assert exact["reviews_left"] == 0
    # Without the file there is no review.
    (reviewed / "reviewed.parquet").unlink()
    succeed("fit", reviewed)
    assert noise_of(reviewed)["reviewed"] is None


def test_an_audit_is_read_back_in_the_order_of_the_review(reviewed):
    fitted = labelaudit.fit(RunFolder(reviewed))
    audit = labelaudit.open_run(reviewed)
    assert audit.order_U.tolist() == fitted.verdicts.order.tolist()
    assert audit.csv(top=48) == fitted.csv(top=48)
    assert audit.noise_rate == audit.summary.reviewed.noise_rate
    assert "reviewed noise rate" in repr(audit)
    assert "Reviewed by a person" in repr(audit)
    assert "Reviewed by a person" in audit._repr_html_()


def test_two_equal_reviews_give_equal_files(audit, finished):
    other = shutil.copytree(finished, audit.parent / "other")
    for folder in (audit, other):
        succeed("sample", folder, "-n", 40)
        succeed("fit", folder, "--reviewed", fill(folder / "sample.csv"))
    for names in ("*.csv", "noise.json", "scores.parquet", "sample.parquet", "reviewed*"):
        assert file_bytes(audit, names) == file_bytes(other, names)
    pages = [(folder / "sample.html").read_text().replace(str(folder), "RUN") for folder in (audit, other)]
    assert pages[0] == pages[1]


def test_clean_labels_have_a_low_end_of_zero(audit):
    succeed("sample", audit, "-n", 40)
    fitted = succeed("fit", audit, "--reviewed", fill(audit / "sample.csv", lambda _: "right"))
    found = noise_of(audit)["reviewed"]
    assert (found["noise_rate"], found["noise_rate_interval"][0]) == (0.0, 0.0)
    assert 0 < found["noise_rate_interval"][1] < 0.1
    assert "reviewed noise rate 0.0% (0.0% to" in fitted.err
    assert succeed("report", audit, "--no-html", "--max-noise", "0").out.count("Passed: reviewed noise rate") == 1


def test_skipped_labels_are_said(audit):
    succeed("sample", audit, "-n", 40)
    said = {"4": "skip", "5": ""}
    skipped = fill(audit / "sample.csv", lambda row: said.get(row["place"][-1], "right"))
    fitted = succeed("fit", audit, "--reviewed", skipped)
    found = noise_of(audit)["reviewed"]
    assert (found["right"], found["skipped"]) == (32, 8)
    assert found["noise_rate_interval"][0] == 0
    assert found["noise_rate_interval"][1] > 0.2
    assert "Skipped labels count as right in the low end of the interval and as wrong in its high end." in fitted.err
    assert "With so many skipped no number of reviews brings ±2.0%." in fitted.err


def test_the_gate_uses_the_reviewed_interval_in_every_format(reviewed):
    limits = ("--no-html", "--max-noise", "0.05")
    low = noise_of(reviewed)["reviewed"]["noise_rate_interval"][0]
    assert low > 0.05
    sentence = f"the lower end {low:.2%} is above 5.00%"
    failed = run("report", reviewed, *limits)
    assert failed.code == 1
    assert "Failed: reviewed noise rate" in failed.out
    assert sentence in failed.out
    for name in ("json", "markdown", "sarif", "junit"):
        failed = run("report", reviewed, *limits, "--format", name)
        assert failed.code == 1
        assert "reviewed noise rate" in failed.out, name
    assert json.loads(run("report", reviewed, *limits, "--format", "json").out)["reviewed"]["right"] > 0
    assert "reviewed noise rate" in run("report", reviewed, *limits, "--strict").out
    succeed("report", reviewed)
    assert "Reviewed noise rate" in (reviewed / "report.html").read_text()


def test_corrections_of_the_page_are_answers(audit):
    rows = read_rows(succeed("sample", audit, "-n", 40, "-o", "-").out)
    lines = ["path,given_label,action,label,sha256,sample"]
    for row in rows:
        action = "drop," if is_wrong(row["path"]) else f"keep,{row['given_label']}"
        lines.append(f"{row['path']},{row['given_label']},{action},{row['sha256']},{row['sample']}")
    (audit.parent / "corrections.csv").write_text("\n".join(lines))
    succeed("fit", audit, "--reviewed", "corrections.csv")
    found = noise_of(audit)["reviewed"]
    assert found["wrong"] == sum(is_wrong(row["path"]) for row in rows)
    assert found["right"] == 40 - found["wrong"]


def test_the_named_label_is_suggested(audit):
    succeed("sample", audit, "-n", 40)
    other = {"ant": "dog", "bee": "ant", "cat": "ant", "dog": "bee"}
    said = fill(audit / "sample.csv", lambda row: other[row["given_label"]] if is_wrong(row["path"]) else "right")
    succeed("fit", audit, "--reviewed", said)
    ranked = [row for row in read_rows((audit / "suspicious.csv").read_text()) if row["p_mislabeled"] == "1.000000"]
    assert len(ranked) >= 4
    answered = {row["path"] for row in read_rows(said.read_text())}
    assert all(row["suggested_label"] == other[row["given_label"]] for row in ranked if row["path"] in answered)


def test_answers_are_not_overwritten(audit):
    succeed("sample", audit, "-n", 40)
    fill(audit / "sample.csv", rows=3)
    before = (audit / "sample.csv").read_text()
    refused = run("sample", audit, "-n", 48)
    assert f"{audit / 'sample.csv'} has 3 answers that the audit does not have; run labelaudit fit" in refused.error
    assert (audit / "sample.csv").read_text() == before
    succeed("sample", audit, "-n", 48, "-o", "other.csv")


def test_what_is_wrong_is_said_in_one_line(audit, half_trained, tmp_path):
    assert "has no sample to review; run labelaudit sample" in run("fit", audit, "--reviewed", "x.csv").error
    assert "has no verdicts yet" in run("sample", half_trained).error
    assert "-n 0 is too few; give at least 1" in run("sample", audit, "-n", 0).error
    assert "is not a run folder" in run("sample", tmp_path).error
    succeed("sample", audit, "-n", 40)
    untouched = file_bytes(audit, "noise.json")
    assert "cannot read x.csv" in run("fit", audit, "--reviewed", "x.csv").error
    few = fill(audit / "sample.csv", rows=7)
    assert "7 images at the beginning of the sample are reviewed, and an estimate needs" in (
        run("fit", audit, "--reviewed", few).error
    )
    assert "'perhaps' is no answer and no class" in (
        run("fit", audit, "--reviewed", fill(audit / "sample.csv", lambda _: "perhaps")).error
    )
    assert file_bytes(audit, "noise.json") == untouched
    assert not (audit / "reviewed.parquet").exists()
    (audit / "sample.parquet").write_bytes(b"PAR1")
    assert "sample.parquet is damaged" in run("sample", audit).error


def test_a_sample_of_another_audit_is_refused(audit, tmp_path):
    write_images(tmp_path / "others", wrong=1, seed=5)
    succeed("score", tmp_path / "others", "--run", "second", *QUICK)
    succeed("sample", "second", "-n", 40, "-o", "second.csv")
    succeed("sample", audit)
    refused = run("fit", audit, "--reviewed", fill(tmp_path / "second.csv"))
    assert "is another image than the one that was audited; give a review of this audit" in refused.error
