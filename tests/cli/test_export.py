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
    assert (outcome.out, outcome.err) == ("", f"{len(rows)} samples for label-studio: {file}\n")
    assert succeed("export", audit, "--to", "label-studio", "--quiet").err == ""
    for options, count in ((("--all",), 48), (("--top", "7"), 7)):
        err = succeed("export", audit, "--to", "cvat", *options, "--out", "out").err
        assert err == f"{count} samples for cvat: out/annotations.xml\n"


def test_where_label_studio_finds_the_images(audit: Path, photos: Path) -> None:
    succeed("export", audit, "--to", "label-studio", "-o", "a", "--url-prefix", "https://host/x")
    succeed("export", audit, "--to", "label-studio", "-o", "b", "--local-files-root", photos.parent)
    first, second = (json.loads(Path(name, "tasks.json").read_text())[0]["data"] for name in ("a", "b"))
    assert first["image"] == f"https://host/x/{first['path']}"
    assert second["image"] == f"/data/local-files/?d=photos/{second['path']}"


def test_an_export_changes_nothing_else_and_formats_are_listed(audit: Path, photos: Path) -> None:
    before = modified(audit), modified(photos)
    listed = succeed("export", "--formats").out
    for name in get_args(ExportName):
        succeed("export", audit, "--to", name, "-o", name)
        assert f"{name} " in listed
    assert (modified(audit), modified(photos)) == before


REFUSED = {
    "--to cvat --top 0": "--top 0 is too few; give at least 1",
    "--to cvat --top 1 --all": "--top and --all contradict each other; give one of them",
    "--to coco": "Invalid value for '--to': 'coco' is not one of ",
    "": "Missing option '--to'. Choose from: label-studio, cvat, ",
}


@pytest.mark.parametrize(("options", "expected"), REFUSED.items())
def test_what_cannot_be_meant(finished: Path, options: str, expected: str) -> None:
    assert run("export", finished, *options.split()).only_error.startswith(expected)
