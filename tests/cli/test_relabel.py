import json
import sys
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import pytest
import typer

from labelaudit.review.decisions import Decision
from tests.cli.helpers import run, succeed
from tests.review.helpers import change, drop, keep, snapshot, write_corrections, write_tree

FILES = ("cat/1.png", "cat/2.png", "cat/3.png", "dog/1.png", "dog/4.png")
SUMMARY = "2 labels are changed, 1 image dropped, 1 kept, 1 refused"


@pytest.fixture
def data() -> Path:
    return write_tree(Path("photos"), FILES)


def write(*corrections: Decision) -> Path:
    write_corrections(Path("corrections.csv"), corrections)
    return Path("corrections.csv")


@pytest.fixture
def file(data: Path) -> Path:
    refused = change("../x.png", "dog", where="line 6")
    return write(change("cat/1.png", "dog"), change("cat/2.png", "bird"), drop("dog/4.png"), keep("cat/3.png"), refused)


def test_the_plan_is_shown_carried_out_and_undone(data: Path, file: Path) -> None:
    before = snapshot(data)
    assert SUMMARY in succeed("relabel", data, file, "--dry-run").out
    assert snapshot(data) == before
    outcome = succeed("relabel", data, file, "--yes")
    rows = [" ".join(line.split()) for line in outcome.out.splitlines()]
    assert {"cat bird 1", "cat dog 1", "dog dropped 1"} <= set(rows)
    assert SUMMARY in outcome.out
    assert "New class folders (1):\n  'bird'\n" in outcome.out
    assert "Renamed, since the name is taken (1):\n  cat/1.png → dog/1-2.png\n" in outcome.out
    assert "Refused (1):\n  line 6: '../x.png' leads out of the data folder\n" in outcome.out
    done = "Moved 3 files. To undo: labelaudit relabel photos --undo\n"
    assert outcome.err == f"{done}To audit again: labelaudit score photos\n"
    assert Path("photos-dropped/dog/4.png").is_file()
    after = snapshot(data)
    outcome = succeed("relabel", data, "--undo", "--dry-run")
    assert outcome.err.startswith("Would move back 3 files moved by 'corrections.csv' on 2")
    assert snapshot(data) == after
    outcome = succeed("relabel", data, "--undo", "--yes")
    assert (outcome.out, outcome.err) == ("", "Moved 3 files back\n")
    assert snapshot(data) == before
    assert run("relabel", data, "--undo", "--yes").only_error.startswith("there is no relabeling of ")


def test_images_that_cannot_be_read_are_dropped_by_their_list(data: Path) -> None:
    Path("unreadable.csv").write_text("path,given_label,reason,sha256\ncat/2.png,cat,damaged: no end,\n")
    assert "Moved 1 file" in succeed("relabel", data, "unreadable.csv", "--yes").err
    assert Path("photos-dropped/cat/2.png").is_file()


def test_the_plan_as_json(data: Path, file: Path) -> None:
    plan = json.loads(succeed("relabel", data, file, "--dry-run", "--format", "json").out)
    expected = {"change": 2, "drop": 1, "keep": 1, "done_before": 0, "unreviewed": 0, "new_classes": ["bird"]}
    assert expected.items() <= plan.items()
    assert plan["pairs"][0] == {"given": "cat", "label": "bird", "count": 1}
    step = {"path": "cat/1.png", "given_label": "cat", "action": "change", "label": "dog", "target": "dog/1-2.png"}
    assert plan["steps"][0] == {**step, "renamed": True, "inherited": False}
    assert plan["refused"] == [{"path": "../x.png", "where": "line 6", "reason": "leads out of the data folder"}]


def test_long_plans_are_cut_and_names_cannot_control_the_terminal() -> None:
    names = [f"{label}/{number}.png" for label in ("c\x1b[31mat", "[red]dog") for number in range(16)]
    write_tree(Path("photos"), names)
    refused = [drop(f"no\x1b[0m/[bold]{number}") for number in range(12)]
    file = write(*(change(name, f"new {number}") for number, name in enumerate(names)), *refused)
    out = succeed("relabel", "photos", file, "--dry-run").out
    assert "\x1b" not in out
    for text in ("[bold]0", "… and 2 more pairs of classes", "… and 2 more (--format json lists all)"):
        assert text in out


@pytest.fixture
def terminal() -> Iterator[mock.Mock]:
    """A terminal that can be asked; gives the question."""
    with mock.patch.object(sys, "stdin", mock.Mock(isatty=lambda: True)), mock.patch("typer.confirm") as confirm:
        yield confirm


def test_it_asks_before_it_moves(data: Path, file: Path, terminal: mock.Mock) -> None:
    before = snapshot(data)
    terminal.side_effect = [False, typer.Abort, True, True]  # Abort: Ctrl-D
    for _ in range(2):
        assert succeed("relabel", data, file).err == "Nothing was moved\n"
        assert snapshot(data) == before
    succeed("relabel", data, file)
    assert terminal.call_args == mock.call("Move 3 files in photos?", err=True)
    assert snapshot(data) != before
    succeed("relabel", data, "--undo")
    assert terminal.call_args.args[0].startswith("Move back 3 files")
    assert snapshot(data) == before


def test_without_a_terminal_nothing_is_moved(data: Path, file: Path) -> None:
    error = "there is no terminal to ask whether files may be moved; give --yes, or --dry-run to look only"
    with mock.patch.object(sys, "stdin", mock.Mock(isatty=lambda: False)):
        for words in ((file,), ("--undo",)):
            before = snapshot(data)
            assert run("relabel", data, *words).only_error == error
            assert snapshot(data) == before
            succeed("relabel", data, file, "--yes", "--quiet")
        assert "Nothing was moved" in succeed("relabel", data, file).err  # nothing is left to ask about


def test_a_copy_and_a_labels_file_need_no_answer(data: Path, file: Path) -> None:
    outcome = succeed("relabel", data, file, "--out", "copy")
    assert outcome.err == "Corrected copy: copy (4 files)\nTo audit again: labelaudit score copy\n"
    assert "copy already exists" in run("relabel", data, file, "--out", "copy").err
    Path("labels.csv").write_text("path,label\ncat/1.png,cat\ndog/1.png,dog\n")
    file = write(change("cat/1.png", "=dog"), drop("dog/1.png"))
    outcome = succeed("relabel", data, file, "--labels", "labels.csv", "--out", "new.csv")
    again = "labelaudit score photos --labels new.csv"
    assert outcome.err == f"Corrected labels: new.csv\nTo audit again: {again}\n"
    assert "New classes (1):\n  '=dog'\n" in outcome.out
    assert Path("new.csv").read_text() == "path,label\ncat/1.png,'=dog\n"
    succeed("relabel", data, file, "--labels", "labels.csv", "--dry-run")


def test_unusable_or_unnecessary_corrections_change_nothing(data: Path) -> None:
    before = snapshot(data)
    outcome = run("relabel", data, write(drop("cat/9.png", where="line 2")), "--yes")
    assert "line 2: 'cat/9.png' no such file" in outcome.out
    assert (outcome.code, outcome.err) == (2, "Error: none of the corrections can be used; see the reasons above\n")
    assert succeed("relabel", data, write(keep("cat/1.png")), "--yes").err == "Nothing was moved\n"
    assert snapshot(data) == before


def test_contradictory_options_are_refused(file: Path) -> None:
    for words, error in {
        "photos": "no corrections are given; name the file, or give --undo",
        "photos x.csv --undo": "--undo takes no corrections, and x.csv is given; leave it out",
        "photos --undo --out x": "--undo takes moves in DATA back, and --out makes none; delete",
        "photos c.csv --labels l.csv": "the labels of photos are not those of folders, so that no file can be moved; ",
        "photos none.csv --yes": "cannot read none.csv: no such file or directory; check",
        "nowhere corrections.csv --yes": "there is no folder nowhere; give a folder",
    }.items():
        assert run("relabel", *words.split()).only_error.startswith(error)
