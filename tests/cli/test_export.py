"""``labelaudit export``."""

import json
from pathlib import Path
from typing import get_args

import pytest

from labelaudit.names import ExportName
from tests.cli.helpers import modified, read_rows, run, succeed


def test_the_suspicious_samples_of_an_audit(audit: Path) -> None:
    outcome = succeed("export", audit, "--to", "label-studio")
    file = audit / "exports/label-studio/tasks.json"
    tasks = json.loads(file.read_text())
    rows = read_rows((audit / "suspicious.csv").read_text())
    assert [task["data"]["path"] for task in tasks] == [row["path"] for row in rows]
    assert outcome.out == ""
    assert outcome.err == f"{len(rows)} samples for label-studio: {file}\n"
    assert succeed("export", audit, "--to", "label-studio", "--quiet").err == ""


def test_everything_and_the_top(audit: Path) -> None:
    for options, count in ((("--all",), 48), (("--top", "7"), 7)):
        err = succeed("export", audit, "--to", "cvat", *options, "--out", "out").err
        assert err == f"{count} samples for cvat: out/annotations.xml\n"
    assert succeed("export", audit, "--to", "cleanlab", "-o", "all").err.startswith("48 samples for cleanlab: ")


def test_where_label_studio_finds_the_images(audit: Path, photos: Path) -> None:
    succeed("export", audit, "--to", "label-studio", "-o", "a", "--url-prefix", "https://host/x")
    succeed("export", audit, "--to", "label-studio", "-o", "b", "--local-files-root", photos.parent)
    first, second = (json.loads(Path(name, "tasks.json").read_text())[0]["data"] for name in ("a", "b"))
    assert first["image"] == f"https://host/x/{first['path']}"
    assert second["image"] == f"/data/local-files/?d=photos/{second['path']}"


def test_an_export_changes_nothing_else(audit: Path, photos: Path) -> None:
    before = modified(audit), modified(photos)
    for name in get_args(ExportName):
        succeed("export", audit, "--to", name, "-o", name)
    assert (modified(audit), modified(photos)) == before


def test_formats_are_listed(audit: Path) -> None:
    text = succeed("export", "--formats").out
    assert all(f"{name} " in text for name in get_args(ExportName))
    assert "tasks.json" in text


@pytest.mark.parametrize(
    ("run_folder", "options", "expected"),
    [
        ("finished", ("--to", "cvat", "--top", "0"), "--top 0 is too few; give at least 1"),
        ("finished", ("--to", "coco"), "Invalid value for '--to': 'coco' is not one of "),
        ("finished", (), "Missing option '--to'. Choose from: label-studio, cvat, "),
        ("photos", ("--to", "cvat"), "{} is not a run folder (it has no run.json); give the --run of an audit"),
        ("half_trained", ("--to", "cvat"), "{0} has no verdicts yet; run labelaudit fit {0}"),
    ],
)
def test_what_cannot_be_exported(
    request: pytest.FixtureRequest, run_folder: str, options: tuple[str, ...], expected: str
) -> None:
    folder = request.getfixturevalue(run_folder)
    assert run("export", folder, *options).only_error.startswith(expected.format(folder))
