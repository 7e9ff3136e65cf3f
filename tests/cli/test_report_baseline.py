"""``labelaudit report --baseline``: only labels that are new since an earlier audit count."""

import csv
import json
import shutil
from pathlib import Path

import pytest

from tests.cli.helpers import read_rows, run, succeed


@pytest.fixture
def rows(finished: Path) -> list[dict[str, str]]:
    found = read_rows((finished / "suspicious.csv").read_text())
    assert len(found) >= 3
    return found


def write(rows: list[dict[str, str]], name: str = "baseline.csv") -> str:
    with open(name, "w", encoding="utf-8", newline="") as handle:
        writer = csv.DictWriter(handle, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return name


def counts(audit: Path, baseline: object) -> dict[str, int]:
    return dict(
        json.loads(succeed("report", audit, "--no-html", "--baseline", baseline, "--format", "json").out)["baseline"]
    )


def test_an_equal_audit_and_a_copy_of_the_list_know_every_label(finished: Path, rows: list[dict[str, str]]) -> None:
    shutil.copytree(finished, "earlier")
    shutil.copy(finished / "suspicious.csv", "earlier.csv")
    for baseline in ("earlier", "earlier.csv"):
        assert counts(finished, baseline) == {"new": 0, "known": len(rows), "gone": 0}
        passed = succeed("report", finished, "--no-html", "--baseline", baseline, "--max-suspicious", "0")
        assert "Passed: 0 suspicious labels are new since the baseline, not more than 0" in passed.out
        assert f"Against the baseline: 0 suspicious labels are new, {len(rows)} known, 0 gone" in passed.out
        assert rows[0]["path"] not in passed.out
    assert run("report", finished, "--no-html", "--max-suspicious", "0").code == 1


def test_a_label_that_the_baseline_lacks_fails_and_is_listed(finished: Path, rows: list[dict[str, str]]) -> None:
    failed = run("report", finished, "--no-html", "--baseline", write(rows[:1] + rows[2:]), "--max-suspicious", "0")
    assert failed.code == 1
    assert "Failed: 1 suspicious label is new since the baseline, more than 0" in failed.out
    assert rows[1]["path"] in failed.out
    assert rows[0]["path"] not in failed.out


def test_moved_files_are_known_and_changed_labels_new(finished: Path, rows: list[dict[str, str]]) -> None:
    moved = [{**row, "path": f"elsewhere/{row['rank']}.png", "rank": "9"} for row in rows]
    assert counts(finished, write(moved))["new"] == 0
    relabelled = [{**rows[0], "given_label": "elk"}, *rows[1:]]
    assert counts(finished, write(relabelled)) == {"new": 1, "known": len(rows) - 1, "gone": 1}


def test_the_other_checks_are_unchanged(finished: Path, rows: list[dict[str, str]]) -> None:
    failed = run(
        "report", finished, "--no-html", "--baseline", write(rows), "--max-noise", "0", "--max-suspicious", "0"
    )
    assert failed.code == 1
    assert "Failed: noise rate " in failed.out
    assert "Passed: 0 suspicious labels are new" in failed.out


def test_known_labels_are_in_sarif_with_their_state(finished: Path, rows: list[dict[str, str]]) -> None:
    out = succeed("report", finished, "--no-html", "--baseline", write(rows[1:]), "--format", "sarif").out
    states = [result["baselineState"] for result in json.loads(out)["runs"][0]["results"]]
    assert states == ["new"] + ["unchanged"] * (len(rows) - 1)


def test_an_audit_is_no_baseline_of_itself(finished: Path, audit: Path) -> None:
    for baseline in (audit, audit / "suspicious.csv", "audit", "./audit/../audit"):
        error = run("report", audit, "--no-html", "--baseline", baseline, "--max-suspicious", "0").only_error
        assert error.startswith(
            f"--baseline {Path(baseline)} is this audit itself: nothing could be new; give an earlier run"
        )
    assert run("report", finished, "--no-html", "--baseline", audit, "--max-suspicious", "0").code == 0


BASELINES = {
    "nowhere": "cannot read nowhere: no such file or directory; give a run folder or the suspicious.csv of an audit",
    "folder": "folder is not a run folder (it has no run.json)",
    "other.csv": "other.csv has no column given_label and sha256; give the suspicious.csv of an audit",
}


@pytest.mark.parametrize(("baseline", "expected"), BASELINES.items(), ids=BASELINES)
def test_a_baseline_that_is_none(finished: Path, baseline: str, expected: str) -> None:
    Path("folder").mkdir()
    Path("other.csv").write_text("path,label\na.png,ant\n")
    assert run("report", finished, "--no-html", "--baseline", baseline).only_error.startswith(expected)


def test_a_list_without_a_probability_is_refused(audit: Path, rows: list[dict[str, str]]) -> None:
    write([{**rows[0], "p_mislabeled": ""}, *rows[1:]], str(audit / "suspicious.csv"))
    assert "run labelaudit fit again" in run("report", audit).only_error
    succeed("fit", audit)
    succeed("report", audit)
