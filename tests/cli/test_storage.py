"""Disks that are full, read-only or out of reach, and outputs that are no files."""

import errno
import os
import threading
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.cli.helpers import QUICK, file_bytes, run, start, succeed


@pytest.fixture(autouse=True)
def no_pixel_cache(monkeypatch: pytest.MonkeyPatch) -> None:
    """The files that are counted here are those of the run folder."""
    monkeypatch.setenv("LABELAUDIT_CACHE_GB", "0")


@pytest.mark.skipif(not Path("/proc/self").exists(), reason="needs Linux's /proc, which even root cannot write to")
def test_a_run_folder_that_cannot_be_made(photos: Path) -> None:
    error = run("train-probe", photos, "--run", "/proc/audit", *QUICK).only_error
    assert error.startswith("cannot write /proc/audit: ")
    assert error.endswith("check the path and the disk")


def test_a_file_where_the_run_folder_should_be(photos: Path) -> None:
    Path("audit").write_text("mine")
    assert run("train-probe", photos, "--run", "audit", *QUICK).only_error.startswith("cannot write audit: File exists")
    assert run("train-probe", photos, "--run", "audit/below", *QUICK).only_error.startswith(
        "cannot write audit/below: "
    )
    assert Path("audit").read_text() == "mine"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may write everywhere")
def test_a_run_folder_without_permission(photos: Path) -> None:
    Path("locked").mkdir(mode=0o500)
    error = run("train-probe", photos, "--run", "locked/audit", *QUICK).only_error
    assert error == "locked/audit may not be written (permission denied); choose another folder"


FAILURES = {
    errno.ENOSPC: "no space left for {}; free some space and run the command again: it resumes",
    errno.EDQUOT: "no space left for {}; free some space and run the command again: it resumes",
    errno.EROFS: "{} may not be written (read-only file system); choose another folder",
    errno.EACCES: "{} may not be written (permission denied); choose another folder",
    errno.EIO: "cannot write {}: Input/output error; check the path and the disk",
}


def failing_flush(number: int, call: int) -> Callable[[int], None]:
    """An `os.fsync` that works until it is called for the ``call``-th time on a file."""
    fsync, seen = os.fsync, []

    def flush(handle: int) -> None:
        seen.append(handle)
        if len(seen) >= call:
            raise OSError(number, os.strerror(number))
        fsync(handle)

    return flush


@pytest.mark.parametrize(("number", "expected"), FAILURES.items(), ids=map(os.strerror, FAILURES))
def test_a_disk_that_fails_in_the_first_epoch(
    photos: Path, finished: Path, number: int, expected: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    # Each file is flushed, and then its folder: samples, pictures and run.json come before the losses.
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing_flush(number, call=7))
        outcome = run("train-probe", photos, "--run", "audit", *QUICK)
    assert outcome.error == expected.format("audit/losses/epoch-0000.parquet")
    assert not list(Path("audit").rglob("*.partial"))
    assert not list(Path("audit/losses").iterdir())
    succeed("train-probe", photos, "--run", "audit")
    assert file_bytes(Path("audit/losses")) == file_bytes(finished / "losses")


FILES = {
    1: "samples.parquet",
    3: "pictures.parquet",
    5: "run.json",
    9: "checkpoint.pt",
    15: "losses/epoch-0002.parquet",
    23: "probe.safetensors",
    25: "run.json",
}


@pytest.mark.parametrize(("call", "name"), FILES.items(), ids=[f"{call} {name}" for call, name in FILES.items()])
def test_a_disk_that_is_full_for_any_file(
    photos: Path, finished: Path, call: int, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patched:
        patched.setattr(os, "fsync", failing_flush(errno.ENOSPC, call=call))
        outcome = run("train-probe", photos, "--run", "audit", *QUICK)
    assert outcome.error.startswith(f"no space left for audit/{name}; ")
    assert not list(Path("audit").rglob("*.partial"))
    succeed("train-probe", photos, "--run", "audit", *QUICK)
    assert file_bytes(Path("audit/losses")) == file_bytes(finished / "losses")
    assert Path("audit/probe.safetensors").read_bytes() == (finished / "probe.safetensors").read_bytes()


@pytest.mark.parametrize(
    ("most_bytes", "name"), [(2_000, "samples.parquet"), (50_000, "checkpoint.pt")], ids=["a table", "a checkpoint"]
)
def test_a_real_write_that_finds_no_room(photos: Path, most_bytes: int, name: str) -> None:
    resource = pytest.importorskip("resource")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (most_bytes, hard))
    try:
        outcome = run("train-probe", photos, "--run", "audit", *QUICK)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert outcome.error == f"no space left for audit/{name}; free some space and run the command again: it resumes"
    assert not list(Path("audit").rglob("*.partial"))
    succeed("train-probe", photos, "--run", "audit", *QUICK)


def test_a_full_disk_leaves_the_verdicts_of_before(audit: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = file_bytes(audit)
    monkeypatch.setattr(os, "fsync", failing_flush(errno.ENOSPC, call=1))
    error = run("fit", audit, "--rank-by", "aum").only_error
    assert error.startswith(f"no space left for {audit}/scores.parquet; ")
    assert file_bytes(audit) == before


@pytest.mark.parametrize("out", ["absent/folder/out.csv", "a-folder"])
def test_an_output_that_cannot_be_written(finished: Path, out: str) -> None:
    Path("a-folder").mkdir()
    outcome = run("score", finished, "--out", out)
    assert outcome.error.startswith(f"cannot write {out}: ")
    assert not list(Path().rglob("*.partial"))


def test_an_output_without_room_keeps_the_file_of_before(finished: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    Path("out.csv").write_text("precious")
    monkeypatch.setattr(os, "fsync", failing_flush(errno.ENOSPC, call=1))
    assert run("score", finished, "--out", "out.csv", "-q").only_error.startswith("no space left for out.csv; ")
    assert Path("out.csv").read_text() == "precious"
    assert [path.name for path in Path().iterdir()] == ["out.csv"]


def test_an_output_that_is_a_pipe_is_written_to_and_not_replaced(finished: Path) -> None:
    os.mkfifo("pipe")
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.append(Path("pipe").read_text()), daemon=True)
    reader.start()
    succeed("score", finished, "--out", "pipe")
    reader.join(10)
    assert read == [(finished / "suspicious.csv").read_text()]
    assert Path("pipe").is_fifo()


@pytest.mark.skipif(not Path("/dev/full").is_char_device(), reason="needs Linux's /dev/full")
def test_an_output_on_a_full_device(finished: Path) -> None:
    Path("full").symlink_to("/dev/full")  # through a link, so that a mistake here harms only the link
    assert run("score", finished, "--out", "full", "-q").only_error.startswith("no space left for full; ")
    assert Path("full").is_symlink()


def test_a_reader_that_has_seen_enough(finished: Path) -> None:
    with start("score", finished, "-o", "-", "--top", "48") as process:
        assert process.stdout is not None
        assert process.stderr is not None
        process.stdout.close()
        err = process.stderr.read()
    assert "Traceback" not in err
    assert "labelaudit failed" not in err
