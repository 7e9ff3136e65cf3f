"""``labelaudit report``: table, formats and page, the gate's exit codes, and an earlier audit as the baseline."""

import csv
import json
import shutil
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.helpers import edit, modified, read_rows, run, succeed

FORMATS = ("json", "markdown", "sarif", "junit")


@pytest.fixture
def noise(finished: Path) -> dict:
    return dict(json.loads((finished / "noise.json").read_text()))


@pytest.fixture
def rows(finished: Path) -> list[dict[str, str]]:
    found = read_rows((finished / "suspicious.csv").read_text())
    assert len(found) >= 3
    return found


def test_the_table_shows_rate_counts_classes_and_the_most_suspicious(finished: Path, noise: dict, rows: list) -> None:
    outcome = succeed("report", finished, "--no-html", "--top", "1")
    assert f"{noise['suspicious']} of 48 labels are suspicious" in outcome.out
    assert f"estimated noise rate {noise['noise_rate']:.1%}" in outcome.out
    assert all(name in outcome.out for name in ("ant", "bee", "cat", "dog"))
    assert rows[0]["path"] in outcome.out
    assert rows[1]["path"] not in outcome.out
    assert outcome.err == ""


def test_json_is_the_content_of_noise_json_and_the_top(finished: Path, noise: dict, rows: list) -> None:
    words = ("report", finished, "--no-html", "--format", "json", "--top")
    report = json.loads(succeed(*words, "2").out)
    assert {name: report[name] for name in noise} == noise
    assert report["top"] == rows[:2]
    assert (report["failures"], report["passed"], report["baseline"]) == ([], True, None)
    assert json.loads(succeed(*words, "0").out)["top"] == []


def test_each_format_is_the_same_on_stdout_and_in_a_file(finished: Path, rows: list) -> None:
    before = modified(finished)
    targets = [word for name in FORMATS for word in ("--write", f"{name}=labels={name}")]
    words = ("report", finished, "--no-html", "--max-suspicious", "0")
    table = run(*words, *targets)
    assert (table.code, table.err) == (1, "")
    assert "labels are suspicious" in table.out
    out = {}
    for name in FORMATS:
        printed = run(*words, "--format", name)
        assert (printed.code, printed.err) == (1, "")
        assert printed.out == Path(f"labels={name}").read_text(encoding="utf-8")
        assert printed.out.endswith("\n")
        out[name] = printed.out
    assert (len(json.loads(out["json"])["failures"]), json.loads(out["json"])["passed"]) == (1, False)
    results = json.loads(out["sarif"])["runs"][0]["results"]
    uris = [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results]
    assert uris == [row["path"] for row in rows]
    assert "❌ the gate failed" in out["markdown"]
    assert f"`{rows[0]['path']}`" in out["markdown"]
    failure = ElementTree.fromstring(out["junit"].encode()).find(".//failure")
    assert failure is not None
    assert rows[0]["path"] in str(failure.text)
    assert modified(finished) == before


def test_the_report_is_appended_to_a_steps_summary(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("before")
    words = ("report", finished, "--no-html", "--max-suspicious", "0")
    assert (run(*words).code, run(*words).err) == (1, "")
    expected = run(*words, "--format", "markdown").out
    assert Path("summary.md").read_text(encoding="utf-8") == f"before\n{expected}\n{expected}\n{expected}"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "nowhere/summary.md")
    said = succeed("report", finished, "--no-html").err
    assert said.startswith("Warning: no step summary: cannot write nowhere")
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "")
    assert succeed("report", finished, "--no-html").err == ""


def test_a_page_is_written_unless_it_is_not_wanted(audit: Path, tmp_path: Path) -> None:
    before = modified(audit)
    assert succeed("report", audit, "--no-html").err == ""
    succeed("report", audit, "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert modified(audit) == before
    assert run("report", audit, "--max-noise", "0").code == 1  # a failed gate has a page too
    outcome = succeed("report", audit)
    assert modified(audit).keys() - before.keys() == {"report.html"}
    assert "report.html (0." in outcome.err
    assert " suspicious images" in outcome.err
    assert "report.html" not in outcome.out
    assert succeed("report", audit, "--quiet").err == ""
    assert run("report", audit, "--html", tmp_path / "nowhere" / "page.html").error.startswith("cannot write ")
    for number in ("2", "0"):
        assert f"thumbnails of the first {number}" in succeed("report", audit, "--thumbnails", number).err


def test_what_comes_next_is_told(photos: Path, audit: Path, tmp_path: Path) -> None:
    assert succeed("report", audit).err.splitlines()[-1].endswith(f"labelaudit relabel {photos} corrections.csv")
    data = json.loads((audit / "run.json").read_text())["data"]
    labels = tmp_path / "given labels.csv"
    edit(audit / "run.json", data={**data, "root": "my photos", "labels_file": str(labels)})
    asked = f"labelaudit relabel 'my photos' corrections.csv --labels '{labels}' --out corrected.csv"
    assert succeed("report", audit).err.splitlines()[-1].endswith(asked)
    assert succeed("score", audit).err.splitlines()[-1].endswith(f"labelaudit report {audit}")


def test_a_run_folder_that_cannot_be_written_to_is_still_reported(audit: Path) -> None:
    (audit / "report.html").mkdir()
    outcome = succeed("report", audit, "--quiet")
    assert "labels are suspicious" in outcome.out
    assert outcome.err.startswith("Warning: no page: cannot write ")
    assert len(outcome.err.splitlines()) == 1


def test_the_gate_passes_at_the_limit_and_fails_below(audit: Path) -> None:
    edit(audit / "noise.json", noise_rate=0.1, noise_rate_interval=[0.04, 0.2], warnings=["look closer"])
    count = json.loads((audit / "noise.json").read_text())["suspicious"]
    for options, code, text in (
        (("--max-noise", 0.05), 0, "Passed: noise rate 10.00% (4.00% to 20.00%): the lower end 4.00% is not above 5"),
        (("--max-noise", 0.04), 0, "Passed: noise rate "),
        (("--max-noise", 0.039), 1, "Failed: noise rate "),
        (("--max-noise", 0.1, "--strict"), 0, "Passed: noise rate "),
        (("--max-noise", 0.05, "--strict"), 1, "Failed: noise rate 10.00% is above 5.00% (the estimate itself: --st"),
        (("--max-suspicious", count), 0, "Passed: "),
        (("--max-suspicious", count - 1), 1, f"Failed: {count} suspicious labels are more than {count - 1}"),
        (("--fail-on-warning",), 1, "Failed: "),
        ((), 0, "look closer"),
    ):
        outcome = run("report", audit, "--no-html", *options)
        assert (outcome.code, outcome.err) == (code, ""), options
        assert text in outcome.out
    edit(audit / "noise.json", warnings=[])
    assert run("report", audit, "--no-html", "--fail-on-warning").code == 0


def test_the_class_that_fails_is_named(audit: Path) -> None:
    classes = [
        {"class": "ant", "samples": 100, "noise_rate": 0.5, "suspicious": 50},
        {"class": "bee", "samples": 100, "noise_rate": 0.1, "suspicious": 10},
    ]
    edit(audit / "noise.json", classes=classes)
    failed = run("report", audit, "--max-class-noise", "0.15")
    assert failed.code == 1
    assert "Failed: 1 of 2 classes is above a noise rate of 15.00%" in failed.out
    assert "'ant' 50.00% of 100 images" in failed.out
    assert "'bee'" not in failed.out


def test_a_gate_without_a_noise_rate_does_not_pass(audit: Path) -> None:
    noise = json.loads((audit / "noise.json").read_text())
    (audit / "noise.json").write_text(json.dumps({**noise, "noise_rate": None}))
    assert "unknown" in succeed("report", audit).out
    refused = run("report", audit, "--max-noise", "0.5", "--write", "json=labels.json")
    assert refused.only_error.startswith("this audit has no noise rate to check; ")
    assert not Path("labels.json").exists()


REFUSED = {
    "--max-noise 1.5": "--max-noise 1.5 is no share; give a number from 0 to 1",
    "--max-noise nan": "--max-noise nan is no share; give a number from 0 to 1",
    "--max-class-noise 2": "--max-class-noise 2 is no share; give a number from 0 to 1",
    "--max-suspicious -1": "--max-suspicious -1 is negative; give a number from 0",
    "--max-unreadable -1": "--max-unreadable -1 is negative; give a number from 0",
    "--top -1": "--top -1 is negative; give a number from 0",
    "--thumbnails -1": "--thumbnails -1 is negative; give a number from 0",
    "--html x.html --no-html": "--html and --no-html contradict each other; leave one of them out",
    "--write labels.json": "--write labels.json is no FORMAT=PATH; give one of json, markdown, sarif, junit, = and a ",
    "--write table=labels.txt": "--write table=labels.txt is no FORMAT=PATH; ",
    "--write sarif=": "--write sarif= is no FORMAT=PATH; ",
    "--write json=-": "--write json=-: - is no file; take --format json for stdout",
    "--write json=nowhere/labels.json": "cannot write nowhere/labels.json: ",
    "--write json=a --write junit=./a": "--write names ./a twice; give each format a file of its own",
    "--baseline nowhere": "cannot read nowhere: no such file or directory; give a run folder or the suspicious.csv of",
    "--baseline folder": "folder is not a run folder (it has no run.json)",
    "--baseline other.csv": "other.csv has no column given_label and sha256; give the suspicious.csv of an audit",
}


@pytest.mark.parametrize(("options", "expected"), REFUSED.items(), ids=REFUSED)
def test_what_cannot_be_meant(finished: Path, options: str, expected: str) -> None:
    Path("folder").mkdir()
    Path("other.csv").write_text("path,label\na.png,ant\n")
    words = options.split() if "--no-html" in options else [*options.split(), "--no-html"]
    assert run("report", finished, *words).only_error.startswith(expected)
    assert not Path("a").exists()


def write(rows: list[dict[str, str]], name: object = "baseline.csv") -> object:
    with open(str(name), "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


def counts(audit: Path, baseline: object) -> dict[str, int]:
    report = succeed("report", audit, "--no-html", "--baseline", baseline, "--format", "json").out
    return dict(json.loads(report)["baseline"])


def test_an_equal_audit_and_a_copy_of_the_list_know_every_label(finished: Path, rows: list) -> None:
    shutil.copytree(finished, "earlier")
    shutil.copy(finished / "suspicious.csv", "earlier.csv")
    for baseline in ("earlier", "earlier.csv"):
        assert counts(finished, baseline) == {"new": 0, "known": len(rows), "gone": 0}
        words = ("--no-html", "--baseline", baseline, "--max-suspicious", "0")
        passed = succeed("report", finished, *words).out
        assert "Passed: 0 suspicious labels are new since the baseline, not more than 0" in passed
        assert f"Against the baseline: 0 suspicious labels are new, {len(rows)} known, 0 gone" in passed
        assert rows[0]["path"] not in passed
        assert run("report", finished, *words, "--max-noise", "0").code == 1  # the other checks are unchanged


def test_a_label_that_the_baseline_lacks_fails_and_is_listed(finished: Path, rows: list) -> None:
    words = ("report", finished, "--no-html", "--baseline", write(rows[:1] + rows[2:]))
    failed = run(*words, "--max-suspicious", "0")
    assert failed.code == 1
    assert "Failed: 1 suspicious label is new since the baseline, more than 0" in failed.out
    assert rows[1]["path"] in failed.out
    assert rows[0]["path"] not in failed.out
    sarif = json.loads(succeed(*words, "--format", "sarif").out)
    states = [result["baselineState"] for result in sarif["runs"][0]["results"]]
    assert sorted(states) == ["new"] + ["unchanged"] * (len(rows) - 1)


def test_moved_files_are_known_and_changed_labels_new(finished: Path, rows: list) -> None:
    moved = [{**row, "path": f"elsewhere/{row['rank']}.png", "rank": "9"} for row in rows]
    assert counts(finished, write(moved))["new"] == 0
    relabelled = [{**rows[0], "given_label": "elk"}, *rows[1:]]
    assert counts(finished, write(relabelled)) == {"new": 1, "known": len(rows) - 1, "gone": 1}


def test_an_audit_is_no_baseline_of_itself(finished: Path, audit: Path, rows: list) -> None:
    for baseline in (audit, audit / "suspicious.csv", "audit", "./audit/../audit"):
        error = run("report", audit, "--no-html", "--baseline", baseline, "--max-suspicious", "0").only_error
        start = f"--baseline {Path(baseline)} is this audit itself: nothing could be new; give an earlier run"
        assert error.startswith(start)
    assert run("report", finished, "--no-html", "--baseline", audit, "--max-suspicious", "0").code == 0
    write([{**rows[0], "p_mislabeled": ""}, *rows[1:]], audit / "suspicious.csv")
    assert "run labelaudit fit again" in run("report", audit).only_error
