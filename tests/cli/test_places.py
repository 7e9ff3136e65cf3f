"""Where it runs and writes: images that have moved, folders and disks that cannot be used, caches, locks, threads."""

import errno
import fcntl
import json
import os
import shutil
import warnings
from collections.abc import Callable
from pathlib import Path
from unittest import mock

import joblib
import platformdirs
import pytest
import torch

from labelaudit.cli.options import set_threads
from labelaudit.errors import NoLocksWarning, StorageError
from labelaudit.run.caches import EmbeddingCache
from labelaudit.run.files import _warn_of_no_locks
from labelaudit.run.layout import RunFolder
from tests.cli.helpers import QUICK, edit, file_bytes, modified, run, succeed, write_images

EMBED = ("--probe", "frozen", "--offline", "--epochs", "2", "--image-size", "32")
READ_ONLY = mock.patch.object(RunFolder, "writing", side_effect=StorageError("audit may not be written"))
needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="needs Linux's /proc")


def root_in(audit: Path) -> Path:
    return Path(json.loads((audit / "run.json").read_text())["data"]["root"])


@pytest.fixture
def moved(photos: Path, tmp_path: Path) -> Path:
    """The same images in another place."""
    return Path(shutil.copytree(photos, tmp_path / "moved"))


@pytest.fixture
def lost(audit: Path) -> Path:
    """An audit whose images are no longer where they were audited."""
    data = json.loads((audit / "run.json").read_text())["data"]
    edit(audit / "run.json", data={**data, "root": str(audit / "gone")})
    return audit


def test_a_page_without_images_says_so_and_data_names_their_place(lost: Path, moved: Path) -> None:
    outcome = succeed("report", lost, "--quiet")
    assert outcome.err.startswith(f"Warning: the page has no images: none of them is in {lost / 'gone'} as ")
    assert "image files are gone or have changed" in succeed("report", lost).err
    outcome = succeed("report", lost, "--data", moved)
    assert "Warning" not in outcome.err
    assert "gone or have changed" not in outcome.err
    assert outcome.err.splitlines()[-1].endswith(f"labelaudit relabel {moved} corrections.csv")
    assert root_in(lost) == lost / "gone"
    told = run("report", lost, "--data", "nowhere").only_error
    assert told == "--data nowhere is not a folder; give the folder that the images are in now"
    assert run("report", lost, "--data", moved, "--no-html").only_error.startswith("--data is for the page")


def test_an_audit_follows_its_images_by_their_content(lost: Path, moved: Path, half_trained: Path) -> None:
    before = (lost / "scores.parquet").read_bytes()
    assert "now looks for its images in" in succeed("score", moved, "--run", lost).err
    assert root_in(lost) == moved
    assert (lost / "scores.parquet").read_bytes() == before
    assert "Warning" not in succeed("report", lost).err
    assert "now looks" not in succeed("score", moved, "--run", lost).err
    assert "now looks for its images in" in succeed("score", moved, "--run", half_trained).err
    assert root_in(half_trained) == moved
    write_images(moved, each=1, seed=9)
    assert "is the audit of other data" in run("score", moved, "--run", lost).error
    assert root_in(lost) == moved


def test_reading_a_run_needs_no_permission_to_write(audit: Path, photos: Path, moved: Path) -> None:
    plain, before = succeed("score", audit, "-o", "-").out, modified(audit)
    with READ_ONLY:
        assert succeed("score", audit, "-o", "-").out == plain
        assert succeed("score", photos, "--run", audit, "-o", "-").out == plain
        asked = succeed("score", audit, "-o", "-", "--rank-by", "forgetting_count", "--quiet")
        assert asked.out != plain
        assert asked.err == "Warning: the run folder keeps its earlier verdicts: audit may not be written\n"
        assert run("score", audit, "--rank-by", "forgetting_count").error == "audit may not be written"
        outcome = succeed("score", moved, "--run", audit, "-o", "-")
        assert (outcome.out, "Warning: " in outcome.err) == (plain, True)
    assert modified(audit) == before


def failing_flush(number: int, name: str) -> Callable[[int], None]:
    """Return an `os.fsync` that fails for files whose path holds ``name``."""
    fsync = os.fsync

    def flush(handle: int) -> None:
        if name.rpartition("/")[2] in str(Path(f"/proc/self/fd/{handle}").readlink()):
            raise OSError(number, os.strerror(number))
        fsync(handle)

    return flush


FULL = "no space left for {}; free some space and run the command again: it resumes"
FAILURES = [
    *((errno.ENOSPC, name, FULL) for name in ("samples.parquet", "run.json", "checkpoint.pt", "probe.safetensors")),
    (errno.EDQUOT, "losses/epoch-0002.parquet", FULL),
    (errno.EROFS, "losses/epoch-0000.parquet", "{} is not writable (read-only file system); choose another folder"),
    (errno.EIO, "losses/epoch-0000.parquet", "cannot write {}: Input/output error; check the path and the disk"),
]


@needs_proc
@pytest.mark.parametrize(("number", "name", "expected"), FAILURES, ids=str)
def test_a_disk_that_fails(
    photos: Path, finished: Path, number: int, name: str, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing_flush(number, name))
        outcome = run("train-probe", photos, "--run", "audit", *QUICK)
    assert outcome.error == expected.format(f"audit/{name}")
    assert not list(Path("audit").rglob("*.partial"))
    succeed("train-probe", photos, "--run", "audit", *QUICK)
    assert file_bytes(Path("audit/losses")) == file_bytes(finished / "losses")
    assert Path("audit/probe.safetensors").read_bytes() == (finished / "probe.safetensors").read_bytes()


@needs_proc
def test_a_full_disk_leaves_what_was_there_before(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out.csv").write_text("precious")
    before = file_bytes(Path())
    monkeypatch.setattr(os, "fsync", failing_flush(errno.ENOSPC, "/"))
    error = run("fit", audit, "--rank-by", "aum").only_error
    assert error.startswith(f"no space left for {audit}/scores.parquet; ")
    assert run("score", audit, "--out", "out.csv", "-q").only_error.startswith("no space left for out.csv; ")
    assert file_bytes(Path()) == before


@pytest.mark.parametrize(
    ("most_bytes", "name"), [(2_000, "samples.parquet"), (50_000, "checkpoint.pt")], ids=["a table", "a checkpoint"]
)
def test_a_real_write_that_finds_no_room(
    photos: Path, most_bytes: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "0")  # its files are larger than those of the run folder
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        outcome = run("train-probe", photos, "--run", "audit", *QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.error == FULL.format(f"audit/{name}")
    assert not list(Path("audit").rglob("*.partial"))
    succeed("train-probe", photos, "--run", "audit", *QUICK)


@needs_proc
def test_places_that_cannot_be_written(photos: Path, finished: Path) -> None:
    Path("mine").write_text("mine")
    Path("a-folder").mkdir()
    probe = ("train-probe", photos, *QUICK, "--run")
    for words, error in {
        (*probe, "/proc/audit"): "cannot write /proc/audit: ",  # which even root cannot write to
        (*probe, "mine"): "cannot write mine: File exists",
        (*probe, "mine/below"): "cannot write mine/below: ",
        ("score", finished, "-q", "--out", "absent/out.csv"): "cannot write absent/out.csv: ",
        ("score", finished, "-q", "--out", "a-folder"): "cannot write a-folder: ",
    }.items():
        assert run(*words).only_error.startswith(error)
    assert Path("mine").read_text() == "mine"
    assert not list(Path().rglob("*.partial"))


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs Linux's /dev/full")
def test_an_output_on_a_full_device(finished: Path) -> None:
    Path("full").symlink_to("/dev/full")  # through a link, so that a mistake here harms only the link
    assert run("score", finished, "--out", "full", "-q").only_error.startswith("no space left for full; ")
    assert Path("full").is_symlink()


def no_home(monkeypatch: pytest.MonkeyPatch, _folder: Path) -> None:
    def fail(_name: str) -> Path:
        raise RuntimeError("could not determine the home directory")

    monkeypatch.delenv("LABELAUDIT_CACHE")
    monkeypatch.setattr(platformdirs, "user_cache_path", fail)


def file_in_its_place(_: pytest.MonkeyPatch, folder: Path) -> None:
    folder.parent.mkdir(exist_ok=True)
    folder.write_text("mine")


def full_disk(monkeypatch: pytest.MonkeyPatch, _folder: Path) -> None:
    def fail(*_: object) -> None:
        raise StorageError("no space left for the cache")

    monkeypatch.setattr(EmbeddingCache, "add", fail)
    monkeypatch.setattr("labelaudit.run.caches.PixelWriter.add", fail)


@pytest.mark.parametrize("options", [QUICK, EMBED], ids=["pixels", "embeddings"])
@pytest.mark.parametrize("broken", [no_home, file_in_its_place, full_disk], ids=lambda broken: broken.__name__)
def test_an_audit_without_a_cache_is_the_same_and_says_so_in_a_line(
    photos: Path,
    cache_folder: Path,
    broken: Callable[..., None],
    options: tuple[str, ...],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    succeed("train-probe", photos, "--run", "with", *options)
    shutil.rmtree(cache_folder)
    broken(monkeypatch, cache_folder)
    outcome = succeed("train-probe", photos, "--run", "audit", *options)
    (warned,) = (line for line in outcome.err.splitlines() if line.startswith("Warning: "))
    assert warned.startswith("Warning: nothing is kept for the next audit of these images: ")
    assert warned.endswith("LABELAUDIT_CACHE")
    assert file_bytes(Path("with/losses")) == file_bytes(Path("audit/losses"))


def test_an_audit_without_locks_is_the_same_and_says_so_in_a_line(
    photos: Path, finished: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(fcntl, "flock", mock.Mock(side_effect=OSError(errno.ENOLCK, "No locks available")))
    _warn_of_no_locks.cache_clear()
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", NoLocksWarning)
        succeed("score", photos, "--run", "audit", *QUICK)
        (said,) = (warnings.formatwarning(told.message, told.category, told.filename, told.lineno) for told in caught)
    assert said.startswith("Warning: the file system cannot lock files")
    assert len(said.splitlines()) == 1
    assert file_bytes(Path("audit/losses")) == file_bytes(finished / "losses")


@pytest.mark.parametrize(
    ("asked", "variable", "expected"), [(None, None, 2), (None, "8", 16), (5, None, 5)], ids=["quota", "named", "asked"]
)
def test_threads_are_those_of_the_quota_unless_they_are_named(
    monkeypatch: pytest.MonkeyPatch, asked: int | None, variable: str | None, expected: int
) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.delenv(name, raising=False)
    if variable:
        monkeypatch.setenv("OMP_NUM_THREADS", variable)
    threads = [16]
    monkeypatch.setattr(joblib, "cpu_count", lambda: 2)
    monkeypatch.setattr(torch, "get_num_threads", lambda: threads[-1])
    monkeypatch.setattr(torch, "set_num_threads", threads.append)
    set_threads(asked)
    assert threads[-1] == expected
