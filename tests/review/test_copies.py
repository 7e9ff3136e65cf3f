"""A corrected copy, and a corrected labels file."""

import errno
import json
import os
import shutil

import pytest

from labelaudit.data.labels_file import read_labels_csv
from labelaudit.errors import DataError, RunError, StorageError, UsageError
from labelaudit.review.copies import Copied
from labelaudit.review.corrections import Correction, write_corrections
from labelaudit.review.relabel import Corrections, plan_relabeling, relabel_copy, relabel_labels
from labelaudit.run.lock import held
from tests.review.helpers import change, contents, drop, keep, saved, sha256, snapshot, write_tree

FILES = ("cat/1.png", "cat/2.png", "cat/sub/3.png", "dog/1.png", "dog/notes.txt")
COPY = {
    "dog/1-2.png": "cat/1.png",
    "dog/sub/3.png": "cat/sub/3.png",
    "dog/1.png": "dog/1.png",
    "dog/notes.txt": "dog/notes.txt",
}


@pytest.fixture
def root(tmp_path):
    root = write_tree(tmp_path / "photos", FILES)
    write_tree(root, [".git/config", "cat/.hidden", ".labelaudit-dropped/cat/0.png"])
    return root


@pytest.fixture
def corrections(tmp_path):
    return saved(tmp_path / "c.csv", change("cat/1.png", "dog"), drop("cat/2.png"), change("cat/sub/3.png", "dog"))


@pytest.fixture
def out(tmp_path):
    return tmp_path / "copy"


def refuse_links(monkeypatch, code=errno.EXDEV):
    def no_links(*_, **__):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr(os, "link", no_links)


def test_a_copy_is_made_of_hard_links_and_has_the_corrections(root, corrections, out):
    before = contents(root)
    assert relabel_copy(root, corrections, out) == Copied(linked=4, copied=0, symbolic=0, skipped=0)
    assert contents(out) == COPY
    assert (out / "dog/1-2.png").samefile(root / "cat/1.png")
    assert not (out / "cat").exists()
    assert contents(root) == before
    assert not list(out.parent.glob(".copy*"))


def test_across_file_systems_contents_are_copied(root, corrections, out, monkeypatch):
    refuse_links(monkeypatch)
    os.utime(root / "cat/1.png", ns=(1, 1_500_000_000))
    (root / "cat/1.png").chmod(0o640)
    assert relabel_copy(root, corrections, out) == Copied(linked=0, copied=4, symbolic=0, skipped=0)
    assert contents(out) == COPY
    status = (out / "dog/1-2.png").stat()
    assert (status.st_nlink, status.st_mtime_ns, status.st_mode & 0o777) == (1, 1_500_000_000, 0o640)


def test_links_lead_where_they_did_and_other_things_are_left_out(root, corrections, out):
    outside = write_tree(root.parent / "outside", ["1.png"])
    (root / "cat/link.png").symlink_to("1.png")
    (root / "bird").symlink_to("../outside")
    os.mkfifo(root / "cat/pipe")
    assert relabel_copy(root, corrections, out) == Copied(linked=4, copied=0, symbolic=2, skipped=1)
    assert (out / "cat/link.png").readlink() == root / "cat/1.png"
    assert (out / "bird").readlink() == outside


def test_a_copy_goes_on_where_a_full_disk_stopped_it(root, corrections, out, monkeypatch):
    refuse_links(monkeypatch)
    copy, copied = shutil.copy2, []

    def full(source, target):
        copied.append(source)
        if len(copied) == 3:
            raise OSError(errno.ENOSPC, "No space left on device")
        return copy(source, target)

    monkeypatch.setattr("shutil.copy2", full)
    with pytest.raises(StorageError, match="no space left for"):
        relabel_copy(root, corrections, out)
    assert not out.exists()
    assert relabel_copy(root, corrections, out) == Copied(linked=0, copied=4, symbolic=0, skipped=0)
    assert contents(out) == COPY
    assert len(copied) == 5  # two before the disk was full, the one that found no room, and what was left


def test_what_an_other_plan_left_is_not_used(root, corrections, out, tmp_path, monkeypatch):
    with monkeypatch.context() as patch:
        patch.setattr(os, "sync", lambda: (_ for _ in ()).throw(OSError(errno.EIO, "broken")))
        with pytest.raises(StorageError):
            relabel_copy(root, saved(tmp_path / "other.csv", change("dog/1.png", "bird")), out)
    assert (tmp_path / ".copy.labelaudit-partial/bird/1.png").exists()
    relabel_copy(root, corrections, out)
    assert contents(out) == COPY


def test_nothing_is_overwritten(root, corrections, out):
    write_tree(out, ["precious"])
    for place in (out, out / "precious"):
        with pytest.raises(UsageError, match="is there already; give a new folder"):
            relabel_copy(root, corrections, place)
    assert contents(out) == {"precious": "precious"}
    empty = out.with_name("empty")
    empty.mkdir()
    relabel_copy(root, corrections, empty)
    assert contents(empty) == COPY


@pytest.mark.parametrize("place", [".", "inside", "cat/inside", ".."])
def test_a_copy_in_the_data_or_around_it_is_refused(root, corrections, place):
    before = snapshot(root)
    with pytest.raises(UsageError, match="lie in each other; give a place beside"):
        relabel_copy(root, corrections, root / place)
    assert snapshot(root) == before


def test_without_agreement_there_is_no_copy(root, corrections, out):
    assert relabel_copy(root, corrections, out, agree=lambda _: False) is None
    assert not out.exists()


def test_two_copies_to_one_place_at_once_are_refused(root, corrections, out):
    with (
        held(out.with_name(".copy.labelaudit-lock"), out),
        pytest.raises(RunError, match=f"is in use by process {os.getpid()} on "),
    ):
        relabel_copy(root, corrections, out)


# Labels in a file

LABELS = "split,path,label,score\ntrain,./cat/1.png,cat,-3\ntest,'=x.png,'-dog,=SUM(A1)\n\ntrain,dog/1.png, cat ,+1\n"


@pytest.fixture
def labels(root, tmp_path):
    write_tree(root, ["=x.png"])
    (tmp_path / "labels.csv").write_text(LABELS)
    return tmp_path / "labels.csv"


def test_a_labels_file_is_corrected_and_keeps_the_rest(root, labels, tmp_path):
    corrections = saved(
        tmp_path / "c.csv",
        change("cat/1.png", "+new", given_label="cat", sha256=sha256("cat/1.png")),
        drop("dog/1.png", given_label="cat"),
        keep("=x.png"),
    )
    plan = relabel_labels(root, corrections, labels, tmp_path / "new.csv")
    assert (plan.pairs, plan.drops, plan.kept, plan.new_classes) == ([("cat", "+new", 1)], [("cat", 1)], 1, ("+new",))
    text = "split,path,label,score\ntrain,./cat/1.png,'+new,-3\ntest,'=x.png,'-dog,=SUM(A1)\n"
    assert (tmp_path / "new.csv").read_text() == text
    assert read_labels_csv(tmp_path / "new.csv") == {"cat/1.png": "+new", "=x.png": "-dog"}
    assert labels.read_text() == LABELS


def test_a_labels_file_keeps_its_separator_and_its_way_to_write_paths(root, tmp_path):
    (tmp_path / "labels.csv").write_text("Class;File\ncat;C:\\old\\cat\\1.png\ndog;C:\\old\\dog\\1.png\n")
    for image in ("cat/1.png", "dog/1.png"):
        (root / image).write_bytes(b"x")
    corrections = saved(tmp_path / "c.csv", change("dog/1.png", "red; fox", given_label="dog"))
    relabel_labels(root, corrections, tmp_path / "labels.csv", tmp_path / "new.csv")
    text = 'Class;File\ncat;C:\\old\\cat\\1.png\n"red; fox";C:\\old\\dog\\1.png\n'
    assert (tmp_path / "new.csv").read_text() == text


def test_decisions_that_a_labels_file_refuses(root, labels, tmp_path):
    (tmp_path / "secret").write_text("x")
    corrections = saved(
        tmp_path / "c.csv",
        change("../secret", "dog"),
        change("cat/2.png", "dog"),
        change("cat/1.png", "dog", given_label="dog"),
        change("dog/1.png", "a\nb"),
        change("=x.png", "cat", sha256=sha256("other")),
    )
    plan = plan_relabeling(root, corrections, labels_file=labels)
    assert plan.steps == ()
    assert sorted(refusal.reason for refusal in plan.refused) == [
        "'a\\nb' is no label",
        "has the label 'cat', but had 'dog' when it was reviewed",
        "is not in the labels file",
        "its content has changed since it was reviewed",
        "leads out of the data folder",
    ]


def test_folders_before_a_path_are_left_out_for_a_labels_file_too(root, labels, tmp_path):
    result = {"from_name": "label", "value": {"choices": ["cat"]}}
    task = {"data": {"image": "/data/local-files/?d=photos/%3Dx.png"}, "annotations": [{"result": [result]}]}
    (tmp_path / "tasks.json").write_text(json.dumps([task]))
    plan = plan_relabeling(root, Corrections(file=tmp_path / "tasks.json"), labels_file=labels)
    assert [(step.path, step.label) for step in plan.steps] == [("=x.png", "cat")]


def test_a_corrected_labels_file_overwrites_nothing(root, labels, tmp_path):
    corrections = saved(tmp_path / "c.csv", drop("cat/1.png"))
    with pytest.raises(UsageError, match="is there already; give a new file"):
        relabel_labels(root, corrections, labels, labels)
    assert labels.read_text() == LABELS
    assert relabel_labels(root, corrections, labels, tmp_path / "new.csv", agree=lambda _: False) is None
    assert not (tmp_path / "new.csv").exists()


def test_a_labels_file_that_is_none_is_refused(root, tmp_path):
    (tmp_path / "labels.csv").write_text("a,b\n")
    write_corrections(tmp_path / "c.csv", [Correction(path="x", action="drop")])
    with pytest.raises(DataError, match="has no column path"):
        relabel_labels(root, Corrections(file=tmp_path / "c.csv"), tmp_path / "labels.csv", tmp_path / "new.csv")
