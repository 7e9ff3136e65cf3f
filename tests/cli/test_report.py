import json
import re
import shutil
from pathlib import Path
from typing import get_args

import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

from labelaudit.names import ExportName
from tests.cli.helpers import Outcome, edit, modified, read_rows, run, succeed


@pytest.fixture
def noise(finished: Path) -> dict[str, object]:
    return dict(json.loads((finished / "noise.json").read_text()))


@pytest.fixture
def rows(finished: Path) -> list[dict[str, str]]:
    found = read_rows((finished / "suspicious.csv").read_text())
    assert len(found) >= 3
    return found


def report(audit: Path, *words: object) -> Outcome:
    return run("report", audit, "--no-html", *words)


def test_a_page_is_written_unless_it_is_not_wanted_and_where_it_is_wanted(audit: Path) -> None:
    before = modified(audit)
    succeed("report", audit, "--html", "page.html")
    assert Path("page.html").read_text().startswith("<!doctype html>")
    assert modified(audit) == before
    outcome = run("report", audit, "--max-noise", "0", "--thumbnails", "2")
    assert outcome.code == 1
    assert modified(audit).keys() - before.keys() == {"report.html"}
    assert all(words in outcome.err for words in ("report.html (0.", " suspicious images", "thumbnails of the first 2"))
    assert succeed("report", audit, "--quiet").err == ""
    assert run("report", audit, "--html", "nowhere/page.html").error.startswith("cannot write ")
    (audit / "report.html").unlink()
    (audit / "report.html").mkdir()
    assert re.fullmatch("Warning: no page: cannot write .*\n", succeed("report", audit, "--quiet").err)


def test_what_comes_next_is_told(audit: Path) -> None:
    data = json.loads((audit / "run.json").read_text())["data"]
    edit(audit / "run.json", data={**data, "root": "my photos", "labels_file": "given labels.csv"})
    asked = "labelaudit relabel 'my photos' decisions.csv --labels 'given labels.csv' --out corrected.csv"
    assert succeed("report", audit).err.splitlines()[-1].endswith(asked)
    assert succeed("score", audit).err.splitlines()[-1].endswith(f"labelaudit review {audit}")


def test_the_gate_passes_at_the_limit_and_fails_below(audit: Path, noise: dict) -> None:
    rate, count, (low, _) = noise["noise_rate"], noise["suspicious"], noise["noise_rate_interval"]
    passed = report(audit, "--max-noise", low, "--max-suspicious", count)
    assert (passed.code, passed.out.count("Passed: ")) == (0, 2)
    failed = report(audit, "--judge", "estimate", "--max-noise", rate - 1e-6, "--max-suspicious", count - 1)
    assert (failed.code, failed.err, failed.out.count("Failed: ")) == (1, "", 2)
    ant = {"class": "ant", "noise_rate": 0.5, "samples": 100, "suspicious": 50}
    edit(audit / "noise.json", classes=[ant], warnings=["look closer"])
    assert report(audit, "--max-class-noise", "0.15").code == report(audit, "--fail-on-warning").code == 1
    (audit / "noise.json").write_text(json.dumps({**noise, "noise_rate": None}))
    refused = report(audit, "--max-noise", "0.5", "--write", "json=labels.json")
    assert refused.only_error.startswith("this audit has no noise rate to check; ")
    assert not Path("labels.json").exists()


MISUSE = {
    ("--max-noise", "five"): "Invalid value for '--max-noise': 'five' is no share; give a number from 0 to 1, as 0.05",
    ("--top", "-1"): "Invalid value for '--top': ",
    ("--html", "x.html"): "--html is for the page, and --no-html writes none; leave one of them out",
    ("--write", "labels.json"): "--write labels.json is no FORMAT=PATH; give one of json, markdown, sarif, junit, =",
    ("--write", "json=-"): "--write json=-: - is no file; take --format json for stdout",
    ("--write", "json=a", "--write", "junit=./a"): "--write names ./a twice; give each format a file of its own",
    ("--baseline", "nowhere"): "cannot read nowhere: no such file or directory; check the path",
}


@pytest.mark.parametrize(("options", "expected"), MISUSE.items(), ids=map(" ".join, MISUSE))
def test_options_that_cannot_be_meant(finished: Path, options: tuple[str, ...], expected: str) -> None:
    assert report(finished, *options).only_error.startswith(expected)


def test_the_report_is_appended_to_a_steps_summary(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("before")
    outcome = report(finished, "--max-suspicious", "0")
    assert (outcome.code, outcome.err) == (1, "")
    expected = report(finished, "--max-suspicious", "0", "--format", "markdown").out
    assert Path("summary.md").read_text(encoding="utf-8") == f"before\n{expected}\n{expected}"
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "nowhere/summary.md")
    outcome = report(finished)
    assert outcome.code == 0
    assert outcome.err.startswith("Warning: no step summary: cannot write nowhere")


def test_an_audit_is_no_baseline_of_itself(audit: Path) -> None:
    for baseline in (audit, audit / "suspicious.csv", audit / "samples.parquet", "./audit/../audit"):
        assert report(audit, "--baseline", baseline).only_error.startswith(
            f"--baseline {Path(baseline)} is this audit itself: nothing could be new; give an earlier run"
        )


def test_labels_of_images_that_the_baseline_has_are_not_new(audit: Path, rows: list[dict[str, str]]) -> None:
    shutil.copytree(audit, "earlier")
    header = Path("earlier/suspicious.csv").read_text().splitlines(keepends=True)[0]
    Path("earlier/suspicious.csv").write_text(header)  # it was trained otherwise, and found nothing
    assert report(audit, "--baseline", "earlier", "--max-suspicious", "0").code == 0
    table = pq.read_table(audit / "samples.parquet")
    pq.write_table(table.filter(pc.field("path") != rows[0]["path"]), "labels.parquet")
    Path("labelaudit.toml").write_text('baseline = "labels.parquet"\nmax-suspicious = 0\n')
    failed = report(audit, "--max-noise", "90%", "--write", "sarif=new=/labels.sarif")
    counted = f"1 suspicious label is new since the baseline ({len(rows) - 1} of images that it has are not counted)"
    assert (failed.code, f"Failed: {counted}, more than 0" in failed.out) == (1, True)
    assert "above 90.00%" in failed.out
    assert failed.err == f"Limits: {Path.cwd()}/labelaudit.toml\n"
    results = json.loads(Path("new=/labels.sarif").read_text())["runs"][0]["results"]
    assert [each["baselineState"] for each in results] == ["new", *["unchanged"] * (len(results) - 1)]


def test_an_export_changes_nothing_else_and_finds_the_images(audit: Path, photos: Path, rows: list) -> None:
    before = modified(audit), modified(photos)
    for name in get_args(ExportName):
        prefix = ("--url-prefix", "https://host/x") if name == "label-studio" else ()
        succeed("export", audit, "--to", name, "-o", name, *prefix)
    data = json.loads(Path("label-studio/tasks.json").read_text())[0]["data"]
    assert data["image"] == f"https://host/x/{data['path']}"
    assert (modified(audit), modified(photos)) == before
    for options, count in (((), len(rows)), (("--all",), 48), (("--top", "7"), 7)):
        outcome = succeed("export", audit, "--to", "cvat", *options)
        assert (outcome.out, outcome.err) == ("", f"{count} samples for cvat: {audit}/exports/cvat/annotations.xml\n")
