"""SIGKILL at every step of a relabeling, an undo and a copy: the same command finishes it, and --undo takes it back."""

import contextlib
import shutil
import signal

import pytest

from labelaudit.errors import RunError
from labelaudit.review.relabel import relabel, undo
from tests.cli.processes import run_until_it_dies
from tests.review.helpers import change, contents, drop, saved, snapshot, write_tree

FILES = ("=cat/1\n.png", "=cat/2.png", "=cat/sub/3.png", "dog/1\n.png", "dog/4.png")
CORRECTED = {
    "dog/1\n-2.png": "=cat/1\n.png",
    "new/2.png": "=cat/2.png",
    "dog/sub/3.png": "=cat/sub/3.png",
    "dog/1\n.png": "dog/1\n.png",
    ".labelaudit-dropped/dog/4.png": "dog/4.png",
}


@pytest.fixture
def root(tmp_path):
    root = write_tree(tmp_path / "photos", FILES)
    (root / "empty").mkdir()
    return root


@pytest.fixture
def corrections(tmp_path):
    moved = (change("=cat/1\n.png", "dog"), change("=cat/2.png", "new"), change("=cat/sub/3.png", "dog"))
    return saved(tmp_path / "corrections.csv", *moved, drop("dog/4.png"))


def kill_at_each(step, least, *arguments):
    """Run a command that is killed at the first call of a function of `os`, at the second, …, until one ends."""
    for call in range(1, 60):
        code = run_until_it_dies("relabel", *arguments, "-q", dies_at=(step, call))
        if code == 0:
            assert call > least
            return
        assert code == -signal.SIGKILL
        yield
    pytest.fail("it never ends")


def undo_if_begun(root):
    with contextlib.suppress(RunError):  # killed before anything was done, or after everything was
        undo(root)


@pytest.mark.parametrize(("step", "least"), [("fsync", 6), ("replace", 2), ("mkdir", 4), ("link", 4), ("unlink", 5)])
@pytest.mark.parametrize("finishes", [True, False])
def test_killed_relabeling_can_be_finished_and_undone(root, corrections, step, least, finishes):
    before = snapshot(root)
    for _ in kill_at_each(step, least, root, corrections.file, "--yes"):
        assert set(contents(root).values()) - {""} == set(FILES)
        if finishes:
            relabel(root, corrections)
            assert contents(root) == CORRECTED
        undo_if_begun(root)
        assert snapshot(root) == before
    assert contents(root) == CORRECTED
    undo(root)
    assert snapshot(root) == before


@pytest.mark.parametrize(("step", "least"), [("fsync", 4), ("replace", 1), ("link", 4), ("unlink", 5), ("rmdir", 4)])
def test_killed_undo_is_finished_by_undo(root, corrections, step, least):
    before = snapshot(root)
    relabel(root, corrections)
    for _ in kill_at_each(step, least, root, "--undo", "--yes"):
        undo_if_begun(root)
        assert snapshot(root) == before
        relabel(root, corrections)
    assert snapshot(root) == before


@pytest.mark.parametrize(("step", "least"), [("fsync", 2), ("replace", 1), ("mkdir", 4), ("link", 4), ("rename", 1)])
@pytest.mark.parametrize("continues", [True, False])
def test_killed_copy_is_finished_by_the_same_command(root, corrections, tmp_path, step, least, continues):
    before, out = contents(root), tmp_path / "copies" / "copy"
    expected = {path: text for path, text in CORRECTED.items() if not path.startswith(".")}
    for _ in kill_at_each(step, 1 if continues else least, root, corrections.file, "--out", out):
        assert not out.exists() or contents(out) == expected
        if not continues:  # else the next call of the command begins with what this one left
            shutil.rmtree(out.parent, ignore_errors=True)
    assert contents(out) == expected
    assert [path.name for path in out.parent.iterdir()] == ["copy"]
    assert contents(root) == before
