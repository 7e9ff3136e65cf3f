"""``labelaudit report``: formats for machines, on stdout and in files."""

import json
from pathlib import Path
from xml.etree import ElementTree

import pytest

from tests.cli.helpers import modified, read_rows, run, succeed

FORMATS = ("json", "markdown", "sarif", "junit")


def test_each_format_is_the_same_on_stdout_and_in_a_file(finished: Path) -> None:
    targets = [word for name in FORMATS for word in ("--write", f"{name}=labels={name}")]
    table = succeed("report", finished, "--no-html", *targets)
    assert "labels are suspicious" in table.out
    assert table.err == ""
    for name in FORMATS:
        printed = succeed("report", finished, "--no-html", "--format", name)
        assert printed.out == Path(f"labels={name}").read_text(encoding="utf-8")
        assert printed.out.endswith("\n")
        assert printed.err == ""


def test_what_the_formats_say(finished: Path) -> None:
    rows = read_rows((finished / "suspicious.csv").read_text())
    words = ("report", finished, "--no-html", "--max-suspicious", "0", "--format")
    outcomes = {name: run(*words, name) for name in FORMATS}
    assert {outcome.code for outcome in outcomes.values()} == {1}
    assert len(json.loads(outcomes["json"].out)["failures"]) == 1
    results = json.loads(outcomes["sarif"].out)["runs"][0]["results"]
    assert [result["locations"][0]["physicalLocation"]["artifactLocation"]["uri"] for result in results] == [
        row["path"] for row in rows
    ]
    assert "❌ the gate failed" in outcomes["markdown"].out
    assert f"`{rows[0]['path']}`" in outcomes["markdown"].out
    failure = ElementTree.fromstring(outcomes["junit"].out.encode()).find(".//failure")
    assert failure is not None
    assert rows[0]["path"] in str(failure.text)


def test_files_are_written_when_the_gate_fails(finished: Path) -> None:
    outcome = run(
        "report",
        finished,
        "--no-html",
        "--max-noise",
        "0",
        "--write",
        "junit=labels.xml",
        "--write",
        "json=labels.json",
    )
    assert outcome.code == 1
    assert json.loads(Path("labels.json").read_text())["passed"] is False
    assert 'failures="1"' in Path("labels.xml").read_text()


def test_nothing_is_written_when_the_gate_cannot_say(audit: Path) -> None:
    noise = json.loads((audit / "noise.json").read_text())
    (audit / "noise.json").write_text(json.dumps({**noise, "noise_rate": None}))
    assert run("report", audit, "--max-noise", "0.1", "--write", "json=labels.json").code == 2
    assert not Path("labels.json").exists()


BAD_TARGETS = {
    "labels.json": "--write labels.json is no FORMAT=PATH; give one of json, markdown, sarif, junit, = and a path",
    "table=labels.txt": "--write table=labels.txt is no FORMAT=PATH; ",
    "sarif": "--write sarif is no FORMAT=PATH; ",
    "sarif=": "--write sarif= is no FORMAT=PATH; ",
    "json=-": "--write json=-: - is no file; take --format json for stdout",
    "json=nowhere/labels.json": "cannot write nowhere/labels.json: ",
}


@pytest.mark.parametrize(("target", "expected"), BAD_TARGETS.items(), ids=BAD_TARGETS)
def test_targets_that_cannot_be_meant(finished: Path, target: str, expected: str) -> None:
    assert run("report", finished, "--no-html", "--write", target).only_error.startswith(expected)


def test_one_file_for_two_formats_is_refused(finished: Path) -> None:
    error = run("report", finished, "--no-html", "--write", "json=a", "--write", "junit=./a").only_error
    assert error == "--write names ./a twice; give each format a file of its own"
    assert not Path("a").exists()


def test_the_report_is_appended_to_a_steps_summary(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", "summary.md")
    Path("summary.md").write_text("before")
    outcome = run("report", finished, "--no-html", "--max-suspicious", "0")
    assert outcome.code == 1
    assert outcome.err == ""
    expected = run("report", finished, "--no-html", "--max-suspicious", "0", "--format", "markdown").out
    assert Path("summary.md").read_text(encoding="utf-8") == f"before\n{expected}\n{expected}"


@pytest.mark.parametrize(("variable", "code"), [("", 0), ("nowhere/summary.md", 0)])
def test_a_summary_that_cannot_be_written_is_a_warning(
    finished: Path, monkeypatch: pytest.MonkeyPatch, variable: str, code: int
) -> None:
    monkeypatch.setenv("GITHUB_STEP_SUMMARY", variable)
    outcome = run("report", finished, "--no-html")
    assert outcome.code == code
    assert outcome.err.startswith("Warning: no step summary: cannot write nowhere" if variable else "")
    assert bool(outcome.err) == bool(variable)


def test_report_writes_nothing_to_the_run_folder(finished: Path) -> None:
    before = modified(finished)
    for name in FORMATS:
        succeed("report", finished, "--no-html", "--format", name)
    assert modified(finished) == before
