"""Moves and their undoing: the tree afterwards, and what stands in the way."""

import errno
import json
import multiprocessing
import os

import pytest

from labelaudit.errors import DataError, RunError, StorageError
from labelaudit.review import moves
from labelaudit.review.relabel import relabel, undo
from tests.review.helpers import (
    HOSTILE_CLASSES,
    HOSTILE_NAMES,
    change,
    contents,
    drop,
    keep,
    saved,
    sha256,
    snapshot,
    write_tree,
)

FILES = ("cat/1.png", "cat/2.png", "cat/sub/3.png", "dog/1.png", "dog/4.png", "dog/5.png")
CORRECTED = {
    "dog/1-2.png": "cat/1.png",
    "dog/2.png": "cat/2.png",
    "bird/sub/3.png": "cat/sub/3.png",
    "dog/1.png": "dog/1.png",
    ".labelaudit-dropped/dog/4.png": "dog/4.png",
    "dog/5.png": "dog/5.png",
}


class Told:
    """A reporter that remembers its lines."""

    def __init__(self):
        self.lines = []

    def say(self, text):
        self.lines.append(text)

    warn = say

    def bar(self, *_):
        from labelaudit.progress import QUIET

        return QUIET.bar("", 0, "")


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


def test_files_go_where_the_review_says_and_come_back(root, corrections):
    before = snapshot(root)
    assert relabel(root, corrections).moved == 4
    assert contents(root) == CORRECTED
    assert (root / "cat/sub").is_dir()
    assert [path.name for path in root.iterdir() if path.is_file()] == [".labelaudit-relabel-1.json"]
    assert undo(root).moved == 4
    assert snapshot(root) == before


def test_five_thousand_files_with_hostile_names_come_back_byte_for_byte(tmp_path):
    root = tmp_path / "photos"
    paths = [
        f"{name}/{HOSTILE_NAMES[number % len(HOSTILE_NAMES)].format(number)}"
        for name in HOSTILE_CLASSES
        for number in range(500)
    ]
    write_tree(root, paths)
    (root / "empty").mkdir()
    (root / "cat" / "link").symlink_to("nowhere")
    (root / os.fsdecode(b"caf\xe9")).mkdir()
    (root / os.fsdecode(b"caf\xe9/1\xff.png")).write_text("x")
    before = snapshot(root)
    rows = []
    for number, path in enumerate(paths):
        label = path.partition("/")[0]
        other = HOSTILE_CLASSES[(HOSTILE_CLASSES.index(label) + 1 + number % 3) % len(HOSTILE_CLASSES)]
        correction = (change(path, other, sha256=sha256(path)), drop(path), keep(path), change(path, "new one"))[
            number % 4
        ]
        rows.append(correction)
    outcome = relabel(root, saved(tmp_path / "c.csv", *rows))
    assert outcome.moved == 3750
    after = snapshot(root)
    files = [what for what in after.values() if what[0] == "file"]
    assert len(files) == 5002  # and the journal
    assert {what[1] for what in before.values() if what[0] == "file"} < {what[1] for what in files}
    assert sum(path.startswith(b".labelaudit-dropped/") for path, what in after.items() if what[0] == "file") == 1250
    assert sum(path.startswith(b"new one/") for path, what in after.items() if what[0] == "file") == 1250
    undo(root)
    assert snapshot(root) == before


def test_relabelings_are_undone_the_last_one_first(root, tmp_path, corrections):
    states = [snapshot(root)]
    relabel(root, corrections)
    states.append(snapshot(root))
    again = saved(tmp_path / "again.csv", change("dog/2.png", "cat"), drop("dog/1-2.png"), drop("dog/5.png"))
    relabel(root, again)
    assert contents(root)[".labelaudit-dropped/dog/5.png"] == "dog/5.png"
    with pytest.raises(RunError, match=r"was by 'again\.csv', not by .*corrections\.csv; leave the file out"):
        undo(root, corrections=corrections)
    undo(root, corrections=again)
    assert snapshot(root) == states[1]
    undo(root)
    assert snapshot(root) == states[0]
    with pytest.raises(RunError, match=r"there is no relabeling of .* to undo"):
        undo(root)
    assert snapshot(root) == states[0]


def test_the_same_corrections_twice_do_nothing_more(root, tmp_path):
    corrections = saved(
        tmp_path / "c.csv", *(change(path, "bird", sha256=sha256(path)) for path in ("cat/1.png", "dog/4.png"))
    )
    relabel(root, corrections)
    after = snapshot(root)
    plans = []
    assert relabel(root, corrections, agree=lambda plan: plans.append(plan) or True) is None
    assert (plans[0].done_before, plans[0].refused) == (2, ())
    assert snapshot(root) == after


def test_without_agreement_nothing_happens(root, corrections):
    before = snapshot(root)
    assert relabel(root, corrections, agree=lambda _: False) is None
    assert snapshot(root) == before
    relabel(root, corrections)
    after = snapshot(root)
    assert undo(root, agree=lambda _: False) is None
    assert snapshot(root) == after


@pytest.mark.parametrize("code", [errno.EPERM, errno.EOPNOTSUPP, errno.EMLINK])
def test_without_hard_links_files_are_renamed(root, corrections, monkeypatch, code):
    def no_links(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)
    before = snapshot(root)
    assert relabel(root, corrections).moved == 4
    assert contents(root) == CORRECTED
    undo(root)
    assert snapshot(root) == before


@pytest.mark.parametrize("links", [True, False])
def test_what_appears_in_a_files_place_meanwhile_is_not_overwritten(root, corrections, monkeypatch, links):
    if not links:

        def no_links(*_, **__):
            raise PermissionError(errno.EPERM, "no")

        monkeypatch.setattr(os, "link", no_links)
    before = snapshot(root)
    told = Told()

    def agree(_plan):
        (root / "dog/2.png").write_text("somebody else's")
        return True

    outcome = relabel(root, corrections, agree=agree, reporter=told)
    assert outcome.renamed == (("cat/2.png", "dog/2-2.png"),)
    assert any("'cat/2.png' is now 'dog/2-2.png'" in line for line in told.lines)
    assert contents(root)["dog/2.png"] == "somebody else's"
    assert contents(root)["dog/2-2.png"] == "cat/2.png"
    undo(root)
    (root / "dog/2.png").unlink()
    assert snapshot(root) == before


def test_an_undo_leaves_what_has_come_into_a_files_place(root, corrections):
    before = snapshot(root)
    relabel(root, corrections)
    (root / "cat/2.png").write_text("somebody else's")
    with pytest.raises(RunError, match=r"1 files cannot go back, since others are in their places: 'cat/2\.png'"):
        undo(root)
    assert contents(root)["cat/2.png"] == "somebody else's"
    assert contents(root)["dog/2.png"] == "cat/2.png"
    assert contents(root)["cat/1.png"] == "cat/1.png"
    with pytest.raises(RunError, match=r"undoing a relabeling of .* was interrupted; run labelaudit relabel .* --undo"):
        relabel(root, corrections)
    (root / "cat/2.png").unlink()
    assert undo(root).moved == 1
    assert snapshot(root) == before


def test_files_that_somebody_took_away_are_named_and_the_others_come_back(root, corrections):
    before = snapshot(root)
    relabel(root, corrections)
    (root / ".labelaudit-dropped/dog/4.png").unlink()
    told = Told()
    outcome = undo(root, reporter=told)
    assert (outcome.moved, outcome.gone) == (3, ((".labelaudit-dropped/dog/4.png", "dog/4.png"),))
    assert any("1 files are gone" in line for line in told.lines)
    (root / "dog/4.png").write_text("dog/4.png")
    assert snapshot(root).keys() == before.keys()


def test_folders_that_somebody_removed_are_made_again_and_filled_ones_stay(root, corrections):
    before = contents(root)
    relabel(root, corrections)
    (root / "cat/sub").rmdir()
    (root / "cat").rmdir()
    (root / "bird/new.png").write_text("new")
    undo(root)
    assert contents(root) == {**before, "bird/new.png": "new"}
    assert not (root / "bird/sub").exists()


def test_a_full_disk_leaves_a_relabeling_that_can_be_finished_or_undone(root, corrections, monkeypatch):
    before, link, calls = snapshot(root), os.link, []

    def full(*arguments, **keywords):
        calls.append(arguments)
        if len(calls) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        link(*arguments, **keywords)

    with monkeypatch.context() as patch:
        patch.setattr(os, "link", full)
        with pytest.raises(
            StorageError, match=r"no space left for .*; put that right and run the command again, or undo"
        ):
            relabel(root, corrections)
    assert set(contents(root).values()) == set(FILES)
    assert relabel(root, corrections).moved == 4
    assert contents(root) == CORRECTED
    undo(root)
    assert snapshot(root) == before


def test_other_corrections_are_refused_while_some_are_half_carried_out(root, tmp_path, corrections, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(moves, "_begin", interrupt)
        with pytest.raises(KeyboardInterrupt):
            relabel(root, corrections)
    other = saved(tmp_path / "other.csv", drop("dog/5.png"))
    with pytest.raises(RunError, match=r"by 'corrections\.csv' was interrupted; run it again with that file, or run"):
        relabel(root, other)
    undo(root)
    relabel(root, other)
    assert ".labelaudit-dropped/dog/5.png" in contents(root)


def interrupt(*_):
    raise KeyboardInterrupt


def test_going_on_does_not_ask_again(root, corrections, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(moves, "_end", interrupt)
        with pytest.raises(KeyboardInterrupt):
            relabel(root, corrections)
    told = Told()
    assert relabel(root, corrections, agree=interrupt, reporter=told).moved == 4
    assert any("Going on with the relabeling" in line for line in told.lines)
    assert contents(root) == CORRECTED


def test_a_move_never_ends_the_only_name_of_a_file(root):
    # As on a file system that takes two names for one: the last look before the old name ends has to notice.
    tree = moves.Tree(root)
    moves._end(tree, [(moves._Found.LINKED, ("cat/1.png", "cat/../cat/1.png"))])
    assert (root / "cat/1.png").exists()


def test_a_class_folder_that_became_a_link_is_not_followed(root, tmp_path, corrections):
    relabel(root, corrections)
    outside = tmp_path / "outside"
    (root / "dog").rename(outside)
    (root / "dog").symlink_to(outside)
    before = snapshot(outside)
    with pytest.raises(DataError, match="passes through 'dog', which is a symbolic link; put the folder back"):
        undo(root)
    assert snapshot(outside) == before


def journal(**changes):
    value = {
        "version": 1,
        "state": "moved",
        "corrections": "c.csv",
        "corrections_sha256": "0",
        "began": "2025-01-01T00:00:00+00:00",
        "folders": [],
        "moves": [["cat/1.png", "dog/9.png"]],
    }
    return json.dumps({**value, **changes})


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        journal(version=2),
        journal(state="done"),
        journal(moves=None),
        journal(moves=[["cat/1.png"]]),
        journal(moves=[["cat/1.png", 3]]),
        journal(moves=[["cat/1.png", "cat/1.png"]]),
        journal(moves=[["../secret", "dog/4.png"]]),
        journal(moves=[["dog/none.png", "/etc/passwd"]]),
        journal(moves=[["cat/1.png", "cat/../../secret"]]),
        journal(folders=["../empty"]),
    ],
)
def test_a_journal_that_is_damaged_or_leads_out_is_not_followed(root, tmp_path, corrections, content):
    (tmp_path / "secret").write_text("x")
    (tmp_path / "empty").mkdir()
    (root / ".labelaudit-relabel-1.json").write_text(content)
    before = snapshot(tmp_path)
    for attempt in (undo, lambda folder: relabel(folder, corrections)):
        with pytest.raises(RunError, match=r"\.labelaudit-relabel-1\.json is damaged \(.*; it lists what was moved"):
            attempt(root)
    assert snapshot(tmp_path) == before


def test_a_journal_of_a_stranger_moves_only_what_is_in_the_folder(root, tmp_path):
    (root / "way").symlink_to(tmp_path)
    (tmp_path / "secret").write_text("x")
    (root / ".labelaudit-relabel-1.json").write_text(journal(moves=[["cat/9.png", "way/secret"]]))
    with pytest.raises(DataError, match="passes through 'way', which is a symbolic link"):
        undo(root)
    assert (tmp_path / "secret").exists()


def test_leftovers_that_are_links_are_removed_and_not_written_through(root, tmp_path, corrections):
    precious = tmp_path / "precious"
    precious.write_text("x")
    (root / "..labelaudit-relabel-1.json.partial").symlink_to(precious)
    relabel(root, corrections)
    assert precious.read_text() == "x"
    assert not (root / "..labelaudit-relabel-1.json.partial").is_symlink()


def hold(root, corrections, ready, go):
    def agree(_plan):
        ready.set()
        go.wait(30)
        return True

    relabel(root, corrections, agree=agree)


def test_of_two_at_once_the_second_is_refused_and_told_who(root, corrections):
    context = multiprocessing.get_context("spawn")
    ready, go = context.Event(), context.Event()
    first = context.Process(target=hold, args=(root, corrections, ready, go))
    first.start()
    try:
        assert ready.wait(30)
        for attempt in (lambda: relabel(root, corrections), lambda: undo(root)):
            with pytest.raises(RunError, match=f"is in use by process {first.pid} on .*; wait for it"):
                attempt()
    finally:
        go.set()
        first.join(30)
    assert first.exitcode == 0
    assert contents(root) == CORRECTED


def test_a_folder_that_may_not_be_written_to_is_a_storage_error(root, corrections, monkeypatch):
    def refuse(*_):
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr("labelaudit.run.lock._locked", refuse)
    with pytest.raises(StorageError, match="may not be written"):
        relabel(root, corrections)
    assert set(contents(root)) == set(FILES)
