"""Where it reads, runs and writes: splits, images that have moved, places without use, caches, locks, threads."""

import contextlib
import errno
import json
import os
import shutil
import warnings
from collections.abc import Iterator
from pathlib import Path
from unittest import mock

import joblib
import platformdirs
import pyarrow.parquet as pq
import pytest
import torch

import labelaudit
from labelaudit.engine.devices import set_threads
from labelaudit.errors import NoLocksWarning, StorageError
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, edit, file_bytes, modified, read_rows, result_in, run, succeed, write_images
from tests.helpers import failing

EMBED = ("--probe", "frozen", "--offline", "--epochs", "2", "--image-size", "32")
READ_ONLY = mock.patch.object(RunFolder, "writing", side_effect=StorageError("audit may not be written"))
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")


def data_in(audit: Path) -> dict[str, object]:
    return dict(json.loads((audit / "run.json").read_text())["data"])


@pytest.fixture
def moved(photos: Path, tmp_path: Path) -> Path:
    """The same images in another place."""
    return Path(shutil.copytree(photos, tmp_path / "moved"))


@pytest.fixture
def lost(audit: Path) -> Path:
    """An audit whose images are no longer where they were audited."""
    edit(audit / "run.json", data={**data_in(audit), "root": str(audit / "gone")})
    return audit


def test_a_page_without_images_says_so_and_data_names_their_place(lost: Path, moved: Path) -> None:
    outcome = succeed("report", lost, "--quiet")
    assert outcome.err.startswith(f"Warning: the page has no images: none of them is in {lost / 'gone'} as ")
    assert "image files are gone or have changed" in succeed("report", lost).err
    outcome = succeed("report", lost, "--data", moved)
    assert "Warning" not in outcome.err
    assert "gone or have changed" not in outcome.err
    assert outcome.err.splitlines()[-1].endswith(f"labelaudit relabel {moved} decisions.csv")
    assert data_in(lost)["root"] == str(lost / "gone")


def test_an_audit_follows_its_images_by_their_content(lost: Path, moved: Path, half_trained: Path) -> None:
    before = (lost / "scores.parquet").read_bytes()
    for folder in (lost, half_trained):
        assert "now looks for its images in" in succeed("score", moved, "--run", folder).err
        assert data_in(folder)["root"] == str(moved)
        assert "now looks" not in succeed("score", moved, "--run", folder).err
    assert (lost / "scores.parquet").read_bytes() == before
    write_images(moved, each=1, seed=9)
    assert "is the audit of other data" in run("score", moved, "--run", lost).error


def test_reading_a_run_needs_no_permission_to_write_and_decodes_no_image(audit, photos, moved, monkeypatch) -> None:
    plain, before = (audit / "suspicious.csv").read_text(), modified(audit)
    monkeypatch.setattr("labelaudit.auditing.probe.prepare", None)
    assert succeed("score", photos, "--run", audit, "-o", "-", *QUICK).out == plain
    with READ_ONLY:
        assert succeed("score", audit, "-o", "-").out == plain
        asked = succeed("score", audit, "-o", "-", "--rank-by", "forgetting_count", "--quiet")
        assert asked.out != plain
        assert asked.err == "Warning: the run folder keeps its earlier verdicts: audit may not be written\n"
        assert run("score", audit, "--rank-by", "forgetting_count").error == "audit may not be written"
        outcome = succeed("score", moved, "--run", audit, "-o", "-")
        assert (outcome.out, "Warning: " in outcome.err) == (plain, True)
    assert modified(audit) == before


@contextlib.contextmanager
def full_disk(name: str) -> Iterator[None]:
    """Let `os.fsync` find no space for files with this in their name."""
    fsync, fail = os.fsync, failing(errno.ENOSPC)

    def flush(handle: int) -> None:
        if name in str(Path(f"/proc/self/fd/{handle}").readlink()):
            fail()
        fsync(handle)

    with mock.patch("os.fsync", flush):
        yield


@needs_proc
@pytest.mark.parametrize("name", ["checkpoint.pt", "losses/epoch-0002.parquet"])
def test_a_disk_that_fails(photos: Path, finished: Path, name: str) -> None:
    with full_disk(Path(name).name):
        error = run("train-probe", photos, "--run", "audit", *QUICK).error
    assert error == f"no space left for audit/{name}; free some space and run the command again: it resumes"
    assert not list(Path("audit").rglob("*.partial"))
    succeed("train-probe", photos, "--run", "audit", *QUICK)
    assert file_bytes(Path("audit/losses")) == file_bytes(finished / "losses")
    assert Path("audit/probe.safetensors").read_bytes() == (finished / "probe.safetensors").read_bytes()


@needs_proc
def test_a_full_disk_leaves_what_was_there_before(audit: Path) -> None:
    Path("out.csv").write_text("precious")
    before = file_bytes(Path())
    with full_disk(""):
        error = run("fit", audit, "--rank-by", "aum").only_error
        assert error.startswith(f"no space left for {audit}/scores.parquet; ")
        assert run("score", audit, "--out", "out.csv", "-q").only_error.startswith("no space left for out.csv; ")
    assert file_bytes(Path()) == before


@pytest.fixture(scope="module")
def embedded(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A head on embeddings of ``photos``; to be read only."""
    folder = tmp_path_factory.mktemp("embedded") / "audit"
    succeed("train-probe", photos, "--run", folder, *EMBED)
    return folder


@pytest.mark.parametrize(("broken", "options"), [("home", QUICK), ("folder", EMBED), ("disk", QUICK), ("disk", EMBED)])
def test_an_audit_without_a_cache_is_the_same_and_says_so_in_a_line(
    photos: Path, finished: Path, embedded: Path, cache_folder: Path, broken, options, monkeypatch
) -> None:
    if broken == "home":
        monkeypatch.delenv("LABELAUDIT_CACHE")
        monkeypatch.setattr(platformdirs, "user_cache_path", mock.Mock(side_effect=RuntimeError("no home directory")))
    elif broken == "folder":
        cache_folder.parent.mkdir(exist_ok=True)
        cache_folder.write_text("mine")
    else:
        for name in ("EmbeddingCache.add", "PixelCache.write"):
            monkeypatch.setattr(f"labelaudit.run.caches.{name}", mock.Mock(side_effect=StorageError("no space")))
    outcome = succeed("train-probe", photos, "--run", "audit", *options)
    (warned,) = (line for line in outcome.err.splitlines() if line.startswith("Warning: "))
    assert warned.startswith("Warning: nothing is kept for the next audit of these images: ")
    assert warned.endswith("LABELAUDIT_CACHE")
    reference = embedded if options is EMBED else finished
    assert file_bytes(Path("audit/losses")) == file_bytes(reference / "losses")


def test_the_warning_that_locks_are_missing_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(warnings, "formatwarning", warnings.formatwarning)
    succeed("--version")
    assert warnings.formatwarning(NoLocksWarning("no locks"), NoLocksWarning, "files.py", 1) == "Warning: no locks\n"
    assert "files.py:1" in warnings.formatwarning(UserWarning("other"), UserWarning, "files.py", 1)


def test_threads_are_those_of_the_quota_unless_they_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: 16)
    with mock.patch.object(torch, "set_num_threads") as set_to:
        set_threads(None)
        set_threads(5)
        monkeypatch.setenv("OMP_NUM_THREADS", "8")
        set_threads(None)
    assert set_to.call_args_list == [mock.call(2), mock.call(5)]


SPLIT = ("--split", "train/,./val")


@pytest.fixture(scope="module")
def birds(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three splits, with wrong labels in the first, and a file beside class folders; to be read only."""
    root = tmp_path_factory.mktemp("splits") / "birds"
    for name in ("train", "val", "test"):
        write_images(root / name, each=12 if name == "train" else 4, wrong=2 * (name == "train"))
    (root / "train/stray.png").write_bytes((root / "val/ant/000.png").read_bytes())
    return root


@pytest.fixture(scope="module")
def split_audit(birds: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An audit of two of them; to be read only."""
    folder = tmp_path_factory.mktemp("split-audit") / "audit"
    outcome = succeed("score", birds, *SPLIT, "--run", folder, "--verbose", *QUICK)
    assert "17 files in the folder are not in the audit:" in outcome.err
    assert "  16 .png: outside the folders of --split (test/ant/000.png)" in outcome.err
    return folder


def test_every_command_on_the_data_refuses_splits_and_names_the_option(birds: Path, split_audit: Path) -> None:
    Path("c.csv").write_text("path,given_label,action,label\ntrain/ant/000.png,ant,change,bee\n")
    retrain = ("retrain", birds, "--weights", split_audit / "weights.csv", "--out", "trained")
    for words in (("score", birds), ("train-probe", birds), retrain, ("relabel", birds, "c.csv", "--yes")):
        error = run(*words).only_error
        assert error.startswith(f"the folders train, val, test in {birds} are parts of a data set, not classes; ")
    assert os.listdir() == ["c.csv"]


def test_the_split_is_a_column_and_recorded(birds: Path, split_audit: Path) -> None:
    samples = pq.read_table(split_audit / "samples.parquet").to_pydict()
    parts = [path.split("/") for path in samples["path"]]
    assert [samples["split"], samples["class"]] == [[part[place] for part in parts] for place in (0, 1)]
    assert set(samples["split"]) == {"train", "val"}
    assert labelaudit.open_run(split_audit).scores["split"].to_pylist() == samples["split"]
    assert {row["split"] for row in read_rows((split_audit / "suspicious.csv").read_text())} == {"train"}
    data = data_in(split_audit)
    assert (data["split"], [row["files"] for row in data["left_out"]]) == (["train", "val"], [16, 1])
    # What is there is only read: the recorded splits are those that are scanned again.
    assert "trained already" in succeed("score", birds, *SPLIT, "--run", split_audit).err
    assert "--split train,val" in succeed("report", split_audit, "--html", "page.html").err


def test_a_network_is_trained_on_the_same_splits(birds: Path, split_audit: Path) -> None:
    words = ("retrain", birds, *SPLIT, "--weights", split_audit / "weights.csv", *QUICK[:6], "--val", birds / "test")
    succeed(*words, "--out", "trained")
    assert result_in("trained")["metrics"]["validation_error"] is not None
    assert "lies in the image folder" in run(*words, "--out", birds / "trained").only_error


def test_no_run_goes_into_the_image_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = write_images(tmp_path / "photos", each=3)
    monkeypatch.chdir(data / "ant")
    place = tmp_path / "labelaudit-runs/photos"
    told = succeed("score", "..", *QUICK).err
    assert f"The runs are in {place}: nothing is written into the folder of the images" in told
    for inside in ("run", "..", "../run"):
        assert "image folder" in run("score", "..", "--run", inside, *QUICK).only_error
    assert "lies in the image folder" in run("export", place, "--to", "huggingface", "--out", "made").only_error
    assert sorted(path.name for path in data.iterdir()) == ["ant", "bee", "cat", "dog"]
