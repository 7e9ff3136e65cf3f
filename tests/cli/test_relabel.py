"""``labelaudit relabel``: the plan, the question, what is printed where, and a round from an audit to the folder."""

import json
import shutil
import sys
from pathlib import Path
from unittest import mock

import pytest

from labelaudit.review.corrections import Correction, write_corrections
from tests.cli.helpers import CLASSES, file_bytes, read_rows, run, succeed
from tests.review.helpers import change, contents, drop, keep, snapshot, write_tree

FILES = ("cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/4.png")


@pytest.fixture
def data() -> Path:
    return write_tree(Path("photos"), FILES)


@pytest.fixture
def file(data: Path) -> Path:
    return write(
        change("cat/1.png", "dog"),
        change("cat/2.png", "bird"),
        drop("dog/4.png"),
        keep("cat/3.png"),
        change("../x.png", "dog", where="line 6"),
    )


def write(*corrections: Correction, name: str = "corrections.csv") -> Path:
    write_corrections(Path(name), corrections)
    return Path(name)


def test_the_plan_is_shown_and_carried_out(data: Path, file: Path) -> None:
    outcome = succeed("relabel", data, file, "--yes")
    lines = [line.split() for line in outcome.out.splitlines()]
    assert ["cat", "bird", "1"] in lines
    assert ["cat", "dog", "1"] in lines
    assert ["dog", "dropped", "1"] in lines
    assert "2 change, 1 dropped, 1 kept, 1 refused" in outcome.out
    assert "New class folders (1):\n  'bird'\n" in outcome.out
    assert "Renamed, since the name is taken (1):\n  cat/1.png → dog/1-2.png\n" in outcome.out
    assert "Refused (1):\n  line 6: '../x.png' leads out of the data folder\n" in outcome.out
    assert outcome.err == "Moved 3 files. To take it back: labelaudit relabel photos --undo\n"
    assert contents(data) == {
        "cat/3.png": "cat/3.png",
        "dog/1.png": "dog/1.png",
        "dog/1-2.png": "cat/1.png",
        "bird/2.png": "cat/2.png",
        ".labelaudit-dropped/dog/4.png": "dog/4.png",
    }


def test_undo_puts_everything_back(data: Path, file: Path) -> None:
    before = snapshot(data)
    succeed("relabel", data, file, "--yes")
    outcome = succeed("relabel", data, "--undo", "--yes")
    assert (outcome.out, outcome.err) == ("", "Moved 3 files back\n")
    assert snapshot(data) == before
    assert run("relabel", data, "--undo", "--yes").only_error.startswith("there is no relabeling of ")


def test_a_dry_run_writes_nothing(data: Path, file: Path) -> None:
    before = snapshot(data)
    outcome = succeed("relabel", data, file, "--dry-run")
    assert "2 change, 1 dropped, 1 kept, 1 refused" in outcome.out
    assert snapshot(data) == before
    succeed("relabel", data, file, "--yes", "-q")
    after = snapshot(data)
    outcome = succeed("relabel", data, "--undo", "--dry-run")
    assert outcome.err.startswith("Would move back 3 files that were moved by 'corrections.csv' on 2")
    assert snapshot(data) == after


def test_the_plan_as_json(data: Path, file: Path) -> None:
    plan = json.loads(succeed("relabel", data, file, "--dry-run", "--format", "json").out)
    assert {name: plan[name] for name in ("change", "drop", "keep", "unreviewed", "new_classes")} == {
        "change": 2,
        "drop": 1,
        "keep": 1,
        "unreviewed": 0,
        "new_classes": ["bird"],
    }
    assert plan["pairs"][0] == {"given": "cat", "label": "bird", "count": 1}
    assert plan["steps"][0] == {
        "path": "cat/1.png",
        "given_label": "cat",
        "action": "change",
        "label": "dog",
        "target": "dog/1-2.png",
        "renamed": True,
    }
    assert plan["refused"] == [
        {"path": "../x.png", "where": "line 6", "reason": "leads out of the data folder"},
    ]


def test_names_cannot_steer_the_terminal() -> None:
    write_tree(Path("photos"), ["c\x1b[31mat/1.png", "[red]dog/1.png"])
    file = write(change("c\x1b[31mat/1.png", "[red]dog"), drop("no\x1b[0m/[bold]x"))
    out = succeed("relabel", "photos", file, "--dry-run").out
    assert "\x1b" not in out
    assert "[red]dog" in out
    assert "[bold]x" in out


@pytest.mark.parametrize("answer", [True, False])
def test_it_asks_before_it_moves(data: Path, file: Path, answer: bool) -> None:
    before = snapshot(data)
    with mock.patch.object(sys, "stdin", mock.Mock(isatty=lambda: True)), mock.patch("typer.confirm") as confirm:
        confirm.return_value = answer
        outcome = succeed("relabel", data, file)
        assert confirm.call_args == mock.call("Move 3 files in photos?", err=True)
        assert (snapshot(data) == before) is not answer
        if not answer:
            assert outcome.err == "Nothing was moved\n"
            return
        succeed("relabel", data, "--undo")
        assert confirm.call_args.args[0].startswith("Move back 3 files")
        assert snapshot(data) == before


def test_with_nobody_to_ask_nothing_is_moved(data: Path, file: Path) -> None:
    before = snapshot(data)
    with mock.patch.object(sys, "stdin", mock.Mock(isatty=lambda: False)):
        nobody = "there is nobody to ask whether files may be moved; give --yes, or --dry-run to look only"
        assert run("relabel", data, file).only_error == nobody
        assert run("relabel", data, "--undo").only_error.startswith(f"there is no relabeling of {data} to undo")
        assert snapshot(data) == before
        succeed("relabel", data, file, "--yes", "--quiet")
        moved = snapshot(data)
        assert run("relabel", data, "--undo").only_error == nobody
        assert snapshot(data) == moved
        assert "Nothing was moved" in succeed("relabel", data, file).err  # nothing is left to ask about


def test_a_copy_needs_no_answer(data: Path, file: Path) -> None:
    before = snapshot(data)
    outcome = succeed("relabel", data, file, "--out", "copy")
    assert outcome.err == "Corrected copy: copy (4 hard links)\n"
    assert sorted(contents(Path("copy"))) == ["bird/2.png", "cat/3.png", "dog/1-2.png", "dog/1.png"]
    assert {path: what[1] for path, what in snapshot(data).items()} == {path: what[1] for path, what in before.items()}
    assert run("relabel", data, file, "--out", "copy").only_error.startswith("--out copy is there already")


def test_a_labels_file_is_corrected(data: Path) -> None:
    Path("labels.csv").write_text("path,label\ncat/1.png,cat\ndog/1.png,dog\n")
    file = write(change("cat/1.png", "=dog"), drop("dog/1.png"))
    outcome = succeed("relabel", data, file, "--labels", "labels.csv", "--out", "new.csv")
    assert outcome.err == "Corrected labels: new.csv\n"
    assert "New classes (1):\n  '=dog'\n" in outcome.out
    assert Path("new.csv").read_text() == "path,label\ncat/1.png,'=dog\n"
    succeed("relabel", data, file, "--labels", "labels.csv", "--dry-run")


def test_when_no_row_can_be_used_the_reasons_are_shown_and_it_fails(data: Path) -> None:
    before = snapshot(data)
    outcome = run("relabel", data, write(drop("cat/9.png", where="line 2")), "--yes")
    assert outcome.code == 2
    assert "line 2: 'cat/9.png' no such file" in outcome.out
    assert outcome.err == "Error: none of the corrections can be used; see the reasons above\n"
    assert snapshot(data) == before


def test_when_nothing_is_to_be_done_nothing_is_written(data: Path) -> None:
    before = snapshot(data)
    outcome = succeed("relabel", data, write(keep("cat/1.png")), "--yes")
    assert outcome.err == "Nothing was moved\n"
    assert snapshot(data) == before


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (("photos",), "no corrections are given; name the file, or give --undo"),
        (("photos", "--undo", "--out", "x"), "--undo takes moves in DATA back, and with --out none are made; delete"),
        (
            ("photos", "c.csv", "--labels", "l.csv"),
            "--labels needs a place for the corrected labels; give --out NEW.csv",
        ),
        (("photos", "none.csv", "--yes"), "cannot read the corrections none.csv: no such file or directory; check"),
        (("nowhere", "none.csv", "--yes"), "cannot read the folder nowhere: no such file or directory; check the path"),
    ],
)
def test_what_cannot_be_meant_is_refused(data: Path, words: tuple[str, ...], error: str) -> None:
    assert run("relabel", *words).only_error.startswith(error)


def test_a_dry_run_says_when_a_relabeling_was_interrupted(data: Path, file: Path) -> None:
    with mock.patch("labelaudit.review.moves._end", side_effect=KeyboardInterrupt):
        assert run("relabel", data, file, "--yes").code == 130
    outcome = succeed("relabel", data, file, "--dry-run")
    assert "Warning: A relabeling of photos was interrupted" in outcome.err
    assert "Going on with the relabeling of " in succeed("relabel", data, file, "--yes").err


def test_from_an_audit_to_a_folder_without_the_planted_errors(photos: Path, finished: Path) -> None:
    data = Path(shutil.copytree(photos, "photos"))
    rows = read_rows((finished / "suspicious.csv").read_text())
    found = {row["path"]: row for row in rows}
    planted = {f"{name}/{number:03d}.png": following(name) for name in CLASSES for number in (0, 1)}
    reviewed = [
        change(path, right, given_label=found[path]["given_label"], sha256=found[path]["sha256"])
        for path, right in planted.items()
        if path in found
    ]
    assert len(reviewed) >= 0.75 * len(planted)
    succeed("relabel", data, write(*reviewed), "--yes")
    assert all(not (data / correction.path).exists() for correction in reviewed)
    after = {name: {path.read_bytes() for path in (data / name).iterdir()} for name in CLASSES}
    assert all((photos / correction.path).read_bytes() in after[correction.label] for correction in reviewed)
    succeed("relabel", data, "--undo", "--yes")
    assert file_bytes(data) == file_bytes(photos)


def following(name: str) -> str:
    return CLASSES[(CLASSES.index(name) + 1) % len(CLASSES)]
