import contextlib
import errno
import json
import os
import signal
from unittest import mock

import pytest

from labelaudit.errors import DataError, RunError, StorageError
from labelaudit.review import moves
from labelaudit.review.relabel import relabel, undo
from labelaudit.run.files import held
from tests.cli.processes import run_until_it_dies
from tests.helpers import Listener, failing
from tests.report.exports.helpers import HOSTILE_CLASSES, HOSTILE_FILES
from tests.review.helpers import change, contents, drop, keep, saved, sha256, snapshot, write_tree

FILES = ("cat/1.png", "cat/2.png", "cat/sub/3.png", "dog/1.png", "dog/4.png", "dog/5.png")
CORRECTED = {
    "dog/1-2.png": "cat/1.png",
    "dog/2.png": "cat/2.png",
    "bird/sub/3.png": "cat/sub/3.png",
    "dog/1.png": "dog/1.png",
    "../photos-dropped/dog/4.png": "dog/4.png",
    "dog/5.png": "dog/5.png",
}


@pytest.fixture
def root(tmp_path):
    return write_tree(tmp_path / "photos", FILES)


@pytest.fixture
def corrections(tmp_path):
    return saved(
        tmp_path / "corrections.csv",
        change("cat/1.png", "dog", sha256=sha256("cat/1.png")),
        change("cat/2.png", "dog"),
        change("cat/sub/3.png", "bird"),
        keep("dog/1.png"),
        drop("dog/4.png"),
    )


@pytest.mark.parametrize("link_error", [None, errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_files_move_and_come_back_with_hard_links_or_without(root, corrections, monkeypatch, link_error):
    if link_error:
        monkeypatch.setattr(os, "link", failing(link_error))
    before = snapshot(root)
    assert relabel(root, corrections).moved == 4
    assert contents(root) == CORRECTED
    assert (root / "cat/sub").is_dir()
    assert [path.name for path in root.iterdir() if path.is_file()] == [".labelaudit-relabel-1.json"]
    assert undo(root).moved == 4
    assert snapshot(root) == before


def test_files_with_hostile_names_come_back_byte_for_byte(tmp_path):
    root = tmp_path / "photos"
    names = [f"{label}/{name}" for label in HOSTILE_CLASSES for name in HOSTILE_FILES]
    write_tree(root, names)
    (root / "cat" / "link").symlink_to("nowhere")
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    (root / os.fsdecode(b"caf\xe9/1\xff.png")).write_text("x")
    before = snapshot(root)
    rows = []
    for number, path in enumerate(names):
        other = change(path, HOSTILE_CLASSES[number % 7], sha256=sha256(path))
        rows.append((other, drop(path), keep(path), change(path, "new one"))[number % 4])
    relabel(root, saved(tmp_path / "c.csv", *rows))
    found = {path: what for path, what in snapshot(root).items() if what[0] == "file"}
    assert {what[1] for what in before.values() if what[0] == "file"} < {what[1] for what in found.values()}
    for folder in (b"../photos-dropped/", b"new one/"):
        assert sum(path.startswith(folder) for path in found) == len(names) // 4
    undo(root)
    assert snapshot(root) == before


def test_undo_takes_back_the_last_relabeling_first(root, tmp_path, corrections):
    states = [snapshot(root)]
    relabel(root, corrections)
    states.append(snapshot(root))
    again = saved(tmp_path / "again.csv", change("dog/2.png", "cat"), drop("dog/1-2.png"), drop("dog/5.png"))
    relabel(root, again)
    assert contents(root)["../photos-dropped/dog/5.png"] == "dog/5.png"
    undo(root)
    assert snapshot(root) == states[1]
    undo(root)
    assert snapshot(root) == states[0]


@pytest.mark.parametrize("links", [True, False])
def test_a_file_that_appears_at_the_target_is_not_overwritten(root, corrections, monkeypatch, links):
    if not links:
        monkeypatch.setattr(os, "link", failing(errno.EPERM))
    before, listener = snapshot(root), Listener()

    def agree(_plan):
        (root / "dog/2.png").write_text("new")
        return True

    outcome = relabel(root, corrections, agree=agree, reporter=listener)
    assert (outcome.moved, outcome.blocked) == (3, (("cat/2.png", "dog/2.png"),))
    assert any("'cat/2.png' is still there: another file has appeared as" in line for line in listener.lines)
    assert (contents(root)["dog/2.png"], contents(root)["cat/2.png"]) == ("new", "cat/2.png")
    assert undo(root).moved == 3
    (root / "dog/2.png").unlink()
    assert snapshot(root) == before


def test_undo_does_not_overwrite_a_file_that_appeared_meanwhile(root, corrections):
    before = snapshot(root)
    relabel(root, corrections)
    (root / "cat/2.png").write_text("new")
    with pytest.raises(RunError, match=r"1 file cannot go back, since others are in their places: 'cat/2\.png'"):
        undo(root)
    assert contents(root).items() >= {"cat/2.png": "new", "dog/2.png": "cat/2.png", "cat/1.png": "cat/1.png"}.items()
    with pytest.raises(RunError, match=r"undoing a relabeling of .* was interrupted; run labelaudit relabel .* --undo"):
        relabel(root, corrections)
    (root / "cat/2.png").unlink()
    assert undo(root).moved == 1
    assert snapshot(root) == before


def test_undo_reports_missing_files_and_restores_removed_folders(root, corrections):
    before, listener = contents(root), Listener()
    relabel(root, corrections)
    (root / "../photos-dropped/dog/4.png").unlink()
    (root / "cat/sub").rmdir()
    (root / "cat").rmdir()
    (root / "bird/new.png").write_text("new")
    outcome = undo(root, reporter=listener)
    assert (outcome.moved, outcome.gone) == (3, (("../photos-dropped/dog/4.png", "dog/4.png"),))
    assert any("1 file is missing" in line for line in listener.lines)
    del before["dog/4.png"]
    assert contents(root) == {**before, "bird/new.png": "new"}
    assert not (root / "bird/sub").exists()


def test_two_processes_cannot_relabel_one_folder(root, corrections):
    for attempt in (lambda: relabel(root, corrections), lambda: undo(root)):
        with held(root / moves.LOCK, root), pytest.raises(RunError, match=f"process {os.getpid()} on .*; wait for it"):
            attempt()
    assert set(contents(root)) == set(FILES)


def test_after_a_full_disk_a_relabeling_can_be_finished(root, corrections):
    full = mock.patch.object(os, "link", side_effect=[None, OSError(errno.ENOSPC, "x")])
    message = r"no space left for .*; fix that and run the command again, or undo"
    with full, pytest.raises(StorageError, match=message):
        relabel(root, corrections)
    assert set(contents(root).values()) == set(FILES)
    assert relabel(root, corrections).moved == 4
    assert contents(root) == CORRECTED


@pytest.mark.parametrize("step", ["_link_new_name", "_unlink_old_names"])
def test_an_interrupted_relabeling_is_continued_without_a_question_or_undone(root, tmp_path, corrections, step):
    interrupt = mock.Mock(side_effect=KeyboardInterrupt)
    with mock.patch.object(moves, step, interrupt), pytest.raises(KeyboardInterrupt):
        relabel(root, corrections)
    other, listener = saved(tmp_path / "other.csv", drop("dog/5.png")), Listener()
    with pytest.raises(RunError, match=r"by 'corrections\.csv' was interrupted; run it again with that file, or run"):
        relabel(root, other)
    assert relabel(root, corrections, agree=interrupt, reporter=listener).moved == 4
    assert any("Continuing the interrupted relabeling" in line for line in listener.lines)
    assert contents(root) == CORRECTED
    undo(root)
    relabel(root, other)
    assert "../photos-dropped/dog/5.png" in contents(root)


def test_new_names_are_on_the_disk_before_old_ones_are_deleted(root, corrections, monkeypatch):
    seen = mock.Mock()
    for name in ("link", "fsync", "unlink"):
        seen.attach_mock(mock.Mock(wraps=getattr(os, name)), name)
        monkeypatch.setattr(os, name, getattr(seen, name))
    relabel(root, corrections)
    calls = [name for name, *_ in seen.mock_calls]
    at = calls.index("unlink")
    assert calls[:at].count("link") == 4
    assert calls[at - 3 : at] == ["fsync"] * 3  # of the three folders that the files go to


def test_the_only_name_of_a_file_is_never_deleted(root):
    # As on a file system that takes two names for one: the last check before the old name is deleted has to notice.
    moves._unlink_old_names(moves.Tree(root), [("linked", ("cat/1.png", "cat/../cat/1.png"))])
    assert (root / "cat/1.png").exists()


def journal(**changes):
    value = {"version": 1, "state": "moved", "corrections": "c.csv", "corrections_sha256": "0"}
    value |= {"began": "2025-01-01T00:00:00+00:00", "folders": [], "moves": [["cat/1.png", "dog/9.png"]]}
    return json.dumps({**value, **changes})


MOVES = (
    *(["cat/1.png"], ["cat/1.png", 3], ["cat/1.png", "cat/1.png"], ["../secret", "dog/4.png"]),
    *(["../photos-dropped/../secret", "dog/9.png"], ["../photos-dropped", "dog/9.png"], ["../-dropped/a", "dog/9.png"]),
    *(["dog/none.png", "/etc/passwd"], ["cat/1.png", "cat/../../secret"], ["cat//1.png", "dog/9.png"]),
)


def test_a_journal_that_is_damaged_or_leads_out_is_not_followed(root, tmp_path, corrections):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "empty").mkdir()
    wrong = ({"version": 2}, {"state": "done"}, {"moves": None}, {"folders": ["../empty"]})
    for content in ("{", "[]", "{}", *(journal(**one) for one in wrong), *(journal(moves=[move]) for move in MOVES)):
        (root / ".labelaudit-relabel-1.json").write_text(content)
        before = snapshot(tmp_path)
        for attempt in (undo, lambda folder: relabel(folder, corrections)):
            with pytest.raises(RunError, match=r"\.labelaudit-relabel-1\.json is damaged \(.*; it lists what was"):
                attempt(root)
        assert snapshot(tmp_path) == before


def test_where_nothing_can_be_dropped_nothing_is_moved(root, tmp_path, corrections, monkeypatch):
    before = snapshot(root)
    monkeypatch.setattr(os, "access", lambda path, _mode: path != tmp_path)
    with pytest.raises(DataError) as error:
        relabel(root, corrections)
    what = f"dropped images go from {root} to {root}-dropped, and {tmp_path} is not writable"
    assert str(error.value) == f"{what}; give --out for a corrected copy without them"
    assert snapshot(root) == before
    assert relabel(root, saved(tmp_path / "others.csv", change("cat/2.png", "dog"))).moved == 1


def test_links_to_places_outside_are_not_followed_by_journals(root, tmp_path):
    (tmp_path / "secret").write_text("x")
    (root / "way").symlink_to(tmp_path)
    (root / ".labelaudit-relabel-1.json").write_text(journal(moves=[["cat/9.png", "way/secret"]]))
    with pytest.raises(DataError, match="passes through 'way', which is a symbolic link"):
        undo(root)
    assert (tmp_path / "secret").exists()


# SIGKILL: what a killed process has written stays, flushed or not, so each change is interrupted, and no flush is.


def kill(step, call, *arguments):
    """Run ``labelaudit relabel``, which is killed when it calls a function of `os` for the n-th time."""
    assert run_until_it_dies("relabel", *arguments, "-q", dies_at=(step, call)) == -signal.SIGKILL


def undo_if_begun(root):
    with contextlib.suppress(RunError):  # killed before anything was done, or after everything was
        undo(root)


@pytest.mark.parametrize(
    "place", [("replace", 1), ("mkdir", 1), ("mkdir", 3), ("link", 1), ("link", 2), ("unlink", 2), ("replace", 2)]
)
def test_killed_relabeling_can_be_finished_and_undone(root, corrections, place):
    before = snapshot(root)
    for finishes in (False, True):
        kill(*place, root, corrections.file, "--yes")
        assert set(contents(root).values()) - {""} == set(FILES)
        if finishes:
            relabel(root, corrections)
            assert contents(root) == CORRECTED
        undo_if_begun(root)
        assert snapshot(root) == before


@pytest.mark.parametrize(
    "place", [("replace", 1), ("link", 1), ("link", 2), ("unlink", 2), ("rmdir", 2), ("unlink", 4)]
)
def test_killed_undo_is_finished_by_undo(root, corrections, place):
    before = snapshot(root)
    relabel(root, corrections)
    kill(*place, root, "--undo", "--yes")
    undo_if_begun(root)
    assert snapshot(root) == before


def test_killed_copy_is_finished_by_the_same_command(root, corrections, tmp_path):
    before, out = contents(root), tmp_path / "copies" / "copy"
    expected = {path: text for path, text in CORRECTED.items() if not path.startswith(".")}
    arguments = (root, corrections.file, "--out", out)
    for place in (("mkdir", 2), ("link", 2), ("rename", 1)):  # each finds what the one before left
        kill(*place, *arguments)
        assert not out.exists()
    assert run_until_it_dies("relabel", *arguments, "-q", dies_at=("rename", 2)) == 0
    assert contents(out) == expected
    assert [path.name for path in out.parent.iterdir()] == ["copy"]
    assert contents(root) == before
