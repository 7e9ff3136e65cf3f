"""``labelaudit report``: the table, the JSON, and the gate's exit codes."""

import csv
import json
from pathlib import Path

import pytest

from tests.cli.helpers import modified, read_rows, run, succeed


@pytest.fixture
def noise(finished: Path) -> dict[str, object]:
    return dict(json.loads((finished / "noise.json").read_text()))


def test_the_table_shows_rate_counts_classes_and_the_most_suspicious(finished: Path, noise: dict) -> None:
    outcome = succeed("report", finished, "--no-html", "--top", "1")
    assert f"{noise['suspicious']} of 48 labels are suspicious" in outcome.out
    assert f"estimated noise rate {noise['noise_rate']:.1%}" in outcome.out
    assert all(name in outcome.out for name in ("ant", "bee", "cat", "dog"))
    rows = read_rows((finished / "suspicious.csv").read_text())
    assert rows[0]["path"] in outcome.out
    assert rows[1]["path"] not in outcome.out
    assert outcome.err == ""


def test_json_is_the_content_of_noise_json_and_the_top(finished: Path, noise: dict) -> None:
    report = json.loads(succeed("report", finished, "--no-html", "--format", "json", "--top", "2").out)
    assert {name: report[name] for name in noise} == noise
    with open(finished / "suspicious.csv", newline="") as handle:
        assert report["top"] == list(csv.DictReader(handle))[:2]
    assert (report["failures"], report["passed"], report["baseline"]) == ([], True, None)


def test_top_zero_lists_nothing_and_less_is_refused(finished: Path) -> None:
    assert json.loads(succeed("report", finished, "--no-html", "--format", "json", "--top", "0").out)["top"] == []
    assert (
        run("report", finished, "--no-html", "--top", "-1").only_error == "--top -1 is negative; give a number from 0"
    )


def test_a_page_is_written_unless_nobody_wants_it(audit: Path) -> None:
    before = modified(audit)
    assert succeed("report", audit, "--no-html").err == ""
    assert modified(audit) == before
    outcome = succeed("report", audit)
    assert modified(audit).keys() - before.keys() == {"report.html"}
    assert "report.html (0." in outcome.err
    assert " suspicious images" in outcome.err
    assert "report.html" not in outcome.out
    assert succeed("report", audit, "--quiet").err == ""


def test_the_page_goes_where_it_is_wanted(audit: Path, tmp_path: Path) -> None:
    succeed("report", audit, "--html", tmp_path / "page.html")
    assert (tmp_path / "page.html").read_text().startswith("<!doctype html>")
    assert not (audit / "report.html").exists()
    told = run("report", audit, "--html", tmp_path / "nowhere" / "page.html").error
    assert told.startswith("cannot write ")
    assert run("report", audit, "--html", "x.html", "--no-html").only_error == (
        "--html and --no-html contradict each other; leave one of them out"
    )


def test_what_comes_next_is_told(photos: Path, audit: Path, tmp_path: Path) -> None:
    assert succeed("report", audit).err.splitlines()[-1].endswith(f"labelaudit relabel {photos} corrections.csv")
    description = json.loads((audit / "run.json").read_text())
    labels = tmp_path / "given labels.csv"
    description["data"].update(root="my photos", labels_file=str(labels))
    (audit / "run.json").write_text(json.dumps(description))
    asked = f"labelaudit relabel 'my photos' corrections.csv --labels '{labels}' --out corrected.csv"
    assert succeed("report", audit).err.splitlines()[-1].endswith(asked)
    assert succeed("score", audit).err.splitlines()[-1].endswith(f"labelaudit report {audit}")


def test_fewer_thumbnails_are_read_where_that_is_wanted(audit: Path) -> None:
    assert "thumbnails of the first 2" in succeed("report", audit, "--thumbnails", "2").err
    assert "thumbnails of the first 0" in succeed("report", audit, "--thumbnails", "0").err
    assert run("report", audit, "--thumbnails", "-1").only_error == (
        "--thumbnails -1 is negative; give a number from 0"
    )


def test_a_failed_gate_has_a_page_too(audit: Path) -> None:
    assert run("report", audit, "--max-noise", "0").code == 1
    assert (audit / "report.html").exists()


def test_a_run_folder_that_cannot_be_written_to_is_still_reported(audit: Path) -> None:
    (audit / "report.html").mkdir()
    outcome = succeed("report", audit, "--quiet")
    assert "labels are suspicious" in outcome.out
    assert outcome.err.startswith("Warning: no page: cannot write ")
    assert len(outcome.err.splitlines()) == 1


def test_the_page_says_when_the_images_are_gone(audit: Path) -> None:
    description = json.loads((audit / "run.json").read_text())
    description["data"]["root"] = str(audit / "gone")
    (audit / "run.json").write_text(json.dumps(description))
    assert "image files are gone or have changed" in succeed("report", audit).err


def test_the_gate_passes_at_the_limit_and_fails_below(finished: Path, noise: dict) -> None:
    rate, count = noise["noise_rate"], noise["suspicious"]
    low, _ = noise["noise_rate_interval"]
    passed = run("report", finished, "--no-html", "--max-noise", low, "--max-suspicious", count)
    assert passed.code == 0
    assert passed.out.count("Passed: ") == 2
    assert "Passed: noise rate " in passed.out
    assert run("report", finished, "--no-html", "--strict", "--max-noise", rate).code == 0
    assert run("report", finished, "--no-html", "--max-noise", low - 1e-6).code == 1
    failed = run("report", finished, "--no-html", "--strict", "--max-noise", rate - 1e-6)
    assert failed.code == 1
    assert "Failed: noise rate " in failed.out
    failed = run("report", finished, "--no-html", "--max-suspicious", count - 1)
    assert failed.code == 1
    assert f"Failed: {count} suspicious labels are more than {count - 1}" in failed.out
    assert failed.err == ""


def test_the_gate_fails_in_json_too(finished: Path) -> None:
    outcome = run("report", finished, "--no-html", "--max-noise", "0", "--max-suspicious", "0", "--format", "json")
    assert outcome.code == 1
    report = json.loads(outcome.out)
    assert len(report["failures"]) == 2
    assert report["passed"] is False


@pytest.mark.parametrize(("warnings", "code"), [([], 0), (["look closer"], 1)])
def test_the_gate_on_warnings(audit: Path, warnings: list[str], code: int) -> None:
    noise = json.loads((audit / "noise.json").read_text())
    (audit / "noise.json").write_text(json.dumps({**noise, "warnings": warnings}))
    assert run("report", audit, "--fail-on-warning").code == code
    assert run("report", audit).code == 0


def test_the_lower_end_of_the_interval_counts_and_strict_takes_the_estimate(audit: Path) -> None:
    noise = json.loads((audit / "noise.json").read_text())
    interval = {"noise_rate": 0.1, "noise_rate_interval": [0.04, 0.2]}
    (audit / "noise.json").write_text(json.dumps({**noise, **interval}))
    passed = succeed("report", audit, "--max-noise", "0.05")
    assert "Passed: noise rate 10.00% (4.00% to 20.00%): the lower end 4.00% is not above 5.00%" in passed.out
    assert run("report", audit, "--max-noise", "0.03").code == 1
    failed = run("report", audit, "--max-noise", "0.05", "--strict")
    assert failed.code == 1
    assert "Failed: noise rate 10.00% is above 5.00% (the estimate itself: --strict)" in failed.out


def test_the_class_that_fails_is_named(audit: Path) -> None:
    noise = json.loads((audit / "noise.json").read_text())
    noise["classes"] = [
        {"class": "ant", "samples": 100, "noise_rate": 0.5, "suspicious": 50},
        {"class": "bee", "samples": 100, "noise_rate": 0.1, "suspicious": 10},
    ]
    (audit / "noise.json").write_text(json.dumps(noise))
    failed = run("report", audit, "--max-class-noise", "0.15")
    assert failed.code == 1
    assert "Failed: 1 of 2 classes is above a noise rate of 15.00%" in failed.out
    assert "'ant' 50.00% of 100 images" in failed.out
    assert "'bee'" not in failed.out


LIMITS = {
    ("--max-noise", "1.5"): "--max-noise 1.5 is no share; give a number from 0 to 1",
    ("--max-noise", "-0.1"): "--max-noise -0.1 is no share; give a number from 0 to 1",
    ("--max-noise", "nan"): "--max-noise nan is no share; give a number from 0 to 1",
    ("--max-class-noise", "2"): "--max-class-noise 2 is no share; give a number from 0 to 1",
    ("--max-suspicious", "-1"): "--max-suspicious -1 is negative; give a number from 0",
}


@pytest.mark.parametrize(("options", "expected"), LIMITS.items(), ids=map(" ".join, LIMITS))
def test_limits_that_cannot_be_meant(finished: Path, options: tuple[str, str], expected: str) -> None:
    assert run("report", finished, "--no-html", *options).only_error == expected


def test_a_gate_without_a_noise_rate_does_not_pass(audit: Path) -> None:
    noise = json.loads((audit / "noise.json").read_text())
    (audit / "noise.json").write_text(json.dumps({**noise, "noise_rate": None}))
    assert "unknown" in succeed("report", audit).out
    assert run("report", audit, "--max-noise", "0.5").only_error.startswith("this audit has no noise rate to check; ")
