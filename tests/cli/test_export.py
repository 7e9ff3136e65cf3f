import json
from pathlib import Path
from typing import get_args

from labelaudit.names import ExportName
from tests.cli.helpers import modified, read_rows, succeed


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


def test_an_export_changes_nothing_else_and_finds_the_images(audit: Path, photos: Path) -> None:
    before = modified(audit), modified(photos)
    listed = succeed("export", "--formats").out
    for name in get_args(ExportName):
        succeed("export", audit, "--to", name, "-o", name)
        assert f"{name} " in listed
    for option, value, prefix in (
        ("--url-prefix", "https://host/x", "https://host/x"),
        ("--local-files-root", photos.parent, "/data/local-files/?d=photos"),
    ):
        succeed("export", audit, "--to", "label-studio", "-o", "out", option, value)
        data = json.loads(Path("out/tasks.json").read_text())[0]["data"]
        assert data["image"] == f"{prefix}/{data['path']}"
    assert (modified(audit), modified(photos)) == before
