import errno
import os
import shutil
from unittest import mock

import pytest

from labelaudit.data.labels_file import read_labels
from labelaudit.errors import RunError, StorageError, UsageError
from labelaudit.review import relabel
from labelaudit.review.relabel import plan_relabeling
from labelaudit.run.files import held
from tests.helpers import failing
from tests.review.helpers import change, contents, drop, keep, saved, sha256, snapshot, write_tree

FILES = ("cat/1.png", "cat/2.png", "cat/sub/3.png", "dog/1.png", "dog/notes.txt")
COPY = {
    "dog/1-2.png": "cat/1.png",
    "dog/sub/3.png": "cat/sub/3.png",
    "dog/1.png": "dog/1.png",
    "dog/notes.txt": "dog/notes.txt",
}


def relabel_copy(root, review, out):
    return relabel.relabel_copy(root, plan_relabeling(root, review), out)


@pytest.fixture
def root(tmp_path):
    root = write_tree(tmp_path / "photos", FILES)
    return write_tree(root, [".git/config", "cat/.hidden", ".dropped/cat/0.png"])


@pytest.fixture
def corrections(tmp_path):
    return saved(tmp_path / "c.csv", change("cat/1.png", "dog"), drop("cat/2.png"), change("cat/sub/3.png", "dog"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "copy"


def test_a_copy_has_hard_links_and_the_corrections(root, corrections, out):
    before = contents(root)
    assert relabel_copy(root, corrections, out) == 4
    assert contents(out) == COPY
    assert (out / "dog/1-2.png").samefile(root / "cat/1.png")
    assert not (out / "cat").exists()
    assert contents(root) == before
    assert not list(out.parent.glob(".copy*"))


def test_across_file_systems_contents_are_copied(root, corrections, out, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    os.utime(root / "cat/1.png", ns=(1, 1_500_000_000))
    (root / "cat/1.png").chmod(0o640)
    assert relabel_copy(root, corrections, out) == 4
    assert contents(out) == COPY
    status = (out / "dog/1-2.png").stat()
    assert (status.st_nlink, status.st_mtime_ns, status.st_mode & 0o777) == (1, 1_500_000_000, 0o640)


def test_links_keep_their_targets_and_pipes_are_skipped(root, corrections, out):
    outside = write_tree(root.parent / "outside", ["1.png"])
    (root / "cat/link.png").symlink_to("1.png")
    (root / "bird").symlink_to("../outside")
    os.mkfifo(root / "cat/pipe")
    assert relabel_copy(root, corrections, out) == 6
    assert (out / "cat/link.png").readlink() == root / "cat/1.png"
    assert (out / "bird").readlink() == outside


def test_after_a_full_disk_the_same_command_makes_the_copy(root, corrections, out, monkeypatch):
    monkeypatch.setattr(os, "link", failing(errno.EXDEV))
    full = mock.Mock(wraps=shutil.copy2, side_effect=[mock.DEFAULT, OSError(errno.ENOSPC, "full")])
    with mock.patch("shutil.copy2", full), pytest.raises(StorageError, match="no space left for"):
        relabel_copy(root, saved(out.with_name("other.csv"), change("dog/1.png", "bird")), out)
    assert not out.exists()
    in_use = pytest.raises(RunError, match=f"is in use by process {os.getpid()} on ")
    with held(out.with_name(".copy.labelaudit-lock"), out), in_use:
        relabel_copy(root, corrections, out)
    assert relabel_copy(root, corrections, out) == 4
    assert contents(out) == COPY
    assert not list(out.parent.glob(".copy*"))


def test_nothing_is_overwritten(root, corrections, out):
    write_tree(out, ["precious"])
    for place in (out, out / "precious"):
        with pytest.raises(UsageError, match="already exists; choose a new folder"):
            relabel_copy(root, corrections, place)
    assert contents(out) == {"precious": "precious"}
    before = snapshot(root)
    for place in (".", "inside", "cat/inside", ".."):
        with pytest.raises(UsageError, match="contain one another; choose a place beside"):
            relabel_copy(root, corrections, root / place)
    assert snapshot(root) == before
    empty = out.with_name("empty")
    empty.mkdir()
    relabel_copy(root, corrections, empty)
    assert contents(empty) == COPY


# Labels in a file

LABELS = "split,path,label,score\ntrain,./cat/1.png,cat,-3\ntest,'=x.png,'-dog,=SUM(A1)\n\ntrain,dog/1.png, cat ,+1\n"


@pytest.fixture
def labels(root, tmp_path):
    write_tree(root, ["=x.png"])
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path / "labels.csv"


def test_a_corrected_labels_file_keeps_the_other_columns(root, labels, tmp_path):
    changed = change("cat/1.png", "+new", given_label="cat", sha256=sha256("cat/1.png"))
    corrections = saved(tmp_path / "c.csv", changed, drop("dog/1.png", given_label="cat"), keep("=x.png"))
    new = tmp_path / "new.csv"
    plan = plan_relabeling(root, corrections, labels_file=labels)
    relabel.relabel_labels(root, plan, labels, new)
    assert (plan.pairs, plan.drops, plan.kept, plan.new_classes) == ([("cat", "+new", 1)], [("cat", 1)], 1, ("+new",))
    text = "split,path,label,score\ntrain,./cat/1.png,'+new,-3\ntest,'=x.png,'-dog,=SUM(A1)\n"
    assert new.read_text() == text
    assert read_labels(new).label_of == {"cat/1.png": "+new", "=x.png": "-dog"}
    with pytest.raises(UsageError, match="already exists; choose a new file"):
        relabel.relabel_labels(root, plan, labels, labels)
    assert labels.read_text() == LABELS


def test_refused_decisions_on_a_labels_file(root, labels, tmp_path):
    refused = {
        change("../secret", "dog"): "leads out of the data folder",
        change("cat/2.png", "dog"): "is not in the labels file",
        change("cat/1.png", "dog", given_label="dog"): "has the label 'cat', but had 'dog' when it was reviewed",
        change("dog/1.png", "a\nb"): "'a\\nb' is no label",
        change("=x.png", "cat", sha256=sha256("other")): "its content has changed since it was reviewed",
    }
    plan = plan_relabeling(root, saved(tmp_path / "c.csv", *refused), labels_file=labels)
    assert plan.steps == ()
    assert [refusal.reason for refusal in plan.refused] == list(refused.values())
