"""SIGKILL within a relabeling, an undo and a copy: the same command finishes it, and --undo takes it back.

What a killed process has written stays, flushed or not, so each kind of change is interrupted, and no flush is.
"""

import contextlib
import signal

import pytest

from labelaudit.errors import RunError
from labelaudit.review.relabel import relabel, undo
from tests.cli.processes import run_until_it_dies
from tests.review.helpers import change, contents, drop, saved, snapshot, write_tree

FILES = ("=cat/1\n.png", "=cat/sub/2.png", "dog/1\n.png")
CORRECTED = {
    "dog/1\n-2.png": "=cat/1\n.png",
    "new/sub/2.png": "=cat/sub/2.png",
    ".labelaudit-dropped/dog/1\n.png": "dog/1\n.png",
}


@pytest.fixture
def root(tmp_path):
    root = write_tree(tmp_path / "photos", FILES)
    (root / "empty").mkdir()
    return root


@pytest.fixture
def corrections(tmp_path):
    moved = (change("=cat/1\n.png", "dog"), change("=cat/sub/2.png", "new"))
    return saved(tmp_path / "corrections.csv", *moved, drop("dog/1\n.png"))


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
    # Each begins with what the one before left; the last is killed when the folder has its name.
    for place in (("replace", 1), ("mkdir", 2), ("link", 1), ("link", 2), ("rename", 1), ("unlink", 1)):
        assert not out.exists()
        kill(*place, *arguments)
    assert contents(out) == expected
    assert run_until_it_dies("relabel", *arguments, "-q", dies_at=("rename", 1)) == 0
    assert contents(out) == expected
    assert [path.name for path in out.parent.iterdir()] == ["copy"]
    assert contents(root) == before
